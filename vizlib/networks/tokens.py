"""Tokens of vision transformers as maps: (n, tokens, channels) where the tokens are the patches of a grid."""

from math import prod

import keras
from keras import ops

TOKEN = ":token"  # "block_3:token" is what block_3 gives for the tokens that are no patches, such as the class token
APART = 5  # tokens at most that stand before the patches: one for the class, and registers (Darcet et al. 2024)


def grid(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """The rows and columns of the patches that an image is cut into, if there are as many tokens, or a few more.

    Patches are squares that tile the image, two rows and columns of them or more; as many tokens as possible are.
    """
    sides = (side for side in range(1, min(height, width) // 2 + 1) if height % side == width % side == 0)
    grids = [(height // side, width // side) for side in sides]
    return next((shape for shape in grids if 0 <= tokens - prod(shape) <= APART), None)


def as_map(tensor: keras.KerasTensor, shape: tuple[int, int]) -> keras.KerasTensor:
    """Tokens (n, tokens, channels) of which the last are patches, row by row, as a map (n, rows, columns, channels)."""
    first = tensor.shape[1] - prod(shape)
    return ops.reshape(tensor[:, first:], (-1, *shape, tensor.shape[-1]))


def apart(tensor: keras.KerasTensor, shape: tuple[int, int]) -> keras.KerasTensor | None:
    """The tokens that come before the patches, side by side, (n, tokens · channels); None if there are none."""
    first = tensor.shape[1] - prod(shape)
    return ops.reshape(tensor[:, :first], (-1, first * tensor.shape[-1])) if first else None
