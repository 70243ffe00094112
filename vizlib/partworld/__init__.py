"""The embedded picture world: scenes drawn from parts with the truth known, and the networks trained on them."""

from vizlib.partworld.world import (
    CLASSES,
    PARTS,
    SIGNATURES,
    SKETCHES,
    Part,
    Scene,
    compose,
    draw,
    draw_scene,
    scenes,
)

__all__ = ["CLASSES", "PARTS", "SIGNATURES", "SKETCHES", "Part", "Scene", "compose", "draw", "draw_scene", "scenes"]
