"""Where activations come from: from memory, from disk where they are kept, or from the network once more."""

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vizlib.store.store import StatsStore

MEMORY = 2**31  # bytes of activations that a store remembers


class Memory:
    """The activations that were asked for last, of single images: {(class, layer, image): array}, of some bytes."""

    def __init__(self):
        self._found, self._used = OrderedDict(), 0

    def __contains__(self, key: tuple) -> bool:
        return key in self._found

    def __getitem__(self, key: tuple) -> np.ndarray:
        self._found.move_to_end(key)
        return self._found[key]

    def put(self, key: tuple, values: np.ndarray):
        """Remember a copy, and forget what was not asked for longest where there is too much."""
        self._used += values.nbytes - getattr(self._found.get(key), "nbytes", 0)
        self._found[key] = np.array(values)
        while self._used > MEMORY:
            self._used -= self._found.popitem(last=False)[1].nbytes

    def clear(self):
        self._found.clear()
        self._used = 0


class RealActivations:
    """The activations of the images of a class, as far as the model of a layer looks at them: X[rows], rows ascending.

    together: layers that are drawn together with it. Whenever the network has to be asked, it is asked for all.
    """

    def __init__(self, store: "StatsStore", class_name: str, layer: str, together: tuple[str, ...] = ()):
        self._store, self._class_name, self._layer, self._together = store, class_name, layer, together

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._store.real(self._class_name, self._layer, rows, self._together)
