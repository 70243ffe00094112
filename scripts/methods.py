"""The methods that are compared: each is asked for images of a class, with the same number of steps and seed."""

from functools import cached_property, partial
from pathlib import Path

import numpy as np
from imagenet import LAYERS
from worlds import HELD_OUT, INVERTED, TRAINING

import vizlib as viz

SAMPLERS = {  # of one layer alone, in PartWorld
    "quilted Gaussian": "QuiltedGaussian",
    "Gaussian of neighbours": "LocalGaussian",
    "PCA Gaussian": "PCAGaussian",
    "Gaussian copula": "GaussianCopula",
    "mix of three real": "BootstrapMix",
}


class Task:
    """n images of a class of a world; folder: where its statistics are kept."""

    def __init__(self, world, class_name: str, n: int, steps: int, folder: Path) -> None:
        self.world, self.net, self.class_name, self.n, self.folder = world, world.net, class_name, n, folder
        self.asked = {"n": n, "steps": steps, "seed": TRAINING, "progress": False}

    @cached_property
    def store(self):
        store = viz.StatsStore(self.folder, self.net)
        images = self.world.images(self.class_name, self.world.training, TRAINING)
        viz.collect(store, images, self.class_name, LAYERS, progress=False)
        return store

    def draw(self):
        return self.store.sample(self.class_name, n=self.n, seed=TRAINING)

    def real(self, which):
        return self.world.images(self.class_name, self.n, which)

    def inverted(self, targets):
        asked = {name: self.asked[name] for name in ("steps", "seed", "progress")}
        statistics = self.store.model(self.class_name, "image")
        return viz.reconstruct(self.net, targets, statistics=statistics, **asked).images


def maco(task):
    return viz.maco(task.net, task.class_name, task.store.activations(task.class_name, "image"), **task.asked).images


def one_layer(task, sampler, temperature=1.0):
    model = task.store.model(task.class_name, task.world.drawn[0], sampler)
    return task.inverted({task.world.drawn[0]: model.sample(task.n, TRAINING, temperature)})


def chain(task):
    """In all as many steps as any other method."""
    drawn = task.store.sample(task.class_name, task.world.chained, 1)
    asked = task.asked | {"steps": task.asked["steps"] // (len(drawn) + len(drawn.marginals))}
    return viz.chain(task.store, task.class_name, task.world.chained, **asked).images


METHODS = {  # each from a `Task` to images (n, h, w, 3)
    "noise": lambda task: np.random.default_rng(TRAINING).random(task.real(HELD_OUT).shape, "float32"),
    "Simonyan 2013, pure": lambda task: viz.simonyan(task.net, task.class_name, tuned=False, **task.asked).images,
    "Simonyan 2013, tuned": lambda task: viz.simonyan(task.net, task.class_name, **task.asked).images,
    "Olah 2017": lambda task: viz.olah(task.net, task.class_name, **task.asked).images,
    "MACO 2023": maco,
    "VITAL 2025": lambda task: viz.vital(task.store, task.class_name, **task.asked).images,
    "suppressed outliers": lambda task: viz.suppress(task.store, task.class_name, **task.asked).images,
    "chain of layers": chain,
    "class mean, inverted": partial(one_layer, sampler="PCAGaussian", temperature=0),
    **{f"one layer, {name}": partial(one_layer, sampler=sampler) for name, sampler in SAMPLERS.items()},
    "samples": lambda task: task.inverted(task.draw()),
    "inversion of real images": lambda task: task.inverted(
        task.net.activations(task.real(INVERTED), task.world.drawn)
    ),
    "real images": lambda task: task.real(HELD_OUT),
}
SMALL_ALONE = {"suppressed outliers", "chain of layers", "inversion of real images"}  # at 224 px they take hours more
PARTWORLD_ALONE = {"Simonyan 2013, pure", "class mean, inverted", *(f"one layer, {name}" for name in SAMPLERS)}


def methods_of(world):
    left_out = (set() if world.public else PARTWORLD_ALONE) | (SMALL_ALONE if world.net.image_size > 128 else set())
    return {name: make for name, make in METHODS.items() if name not in left_out}


def largest_shares(task):
    """Of each sample the share of what is drawn, patches of the deepest layer, that is from one real image: (n,)."""
    deepest, *_ = task.draw().mixtures.values()
    return np.array([mixture.weights.max() for mixture in deepest])
