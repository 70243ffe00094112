"""A memory bank of patches: what of an activation is unlike all that is known, and what is near to it."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from vizlib._arrays import Activations, Integers, Maps

HELD_OUT = 5  # one of so many activations gives no patches but says how far a new one may be


class PatchBank:
    """The patches of real activations, and how far from the nearest of them a patch may be.

    As finds defects in PatchCore (Roth et al. 2022), here with the patches of each position compared with those of the
    same position: an outlier is a patch that is farther from all of them than a share of the patches of held-out
    activations are. Activations are (n, h, w, channels), before the ReLU if there is one, or (n, units), where the one
    patch is the whole. Distances are mean squared differences over a patch; beyond the border lies what lies there.

    span: of the height of a layer, how much a patch spans, in (0, 1]; quantile: of the distances of held-out patches,
    in [0, 1].

    Fitted: `side_`, the positions of a patch's side, odd; `bank_` float32 (h, w, m, channels), the activations whose
    patches are known; `threshold_` float32 (h, w); `variance_`, of the known values.
    """

    def __init__(self, span: float = 0.5, quantile: float = 0.99) -> None:
        self.span, self.quantile = span, quantile

    def fit(self, X: Activations) -> Self:
        """The patches of X, but of a random fifth, which is held out. Raises ValueError for fewer than two."""
        if len(X) < 2:
            raise ValueError(f"expected two activations or more; received {len(X)}.")
        order, held_out = np.random.default_rng(0).permutation(len(X)), max(1, len(X) // HELD_OUT)
        self.bank_ = np.ascontiguousarray(np.moveaxis(_maps(X[np.sort(order[held_out:])]), 0, 2), "float32")
        self.side_ = int(self.span * len(self.bank_)) | 1
        self._half = np.einsum("hwmc,hwmc->hwm", self.bank_, self.bank_) / 2
        self.variance_ = max(float(self.bank_.var()), float(np.finfo("float32").tiny))
        self.threshold_ = np.quantile(self.nearest(X[order[:held_out]])[0], self.quantile, axis=0).astype("float32")
        return self

    def nearest(self, X: Activations) -> tuple[Maps, Integers]:
        """The distance of the patch at each position of X to the nearest known one, and of which activation that is.

        float32 and int (n, h, w); of units (n, 1, 1).
        """
        distances, sources = zip(*map(self._nearest, _maps(X)), strict=True)
        return np.stack(distances), np.stack(sources)

    def _nearest(self, values):
        # half the squared difference, but for what is the same of all known patches
        apart = self._half - (self.bank_ @ values[..., None])[..., 0]
        apart = uniform_filter(apart, self.side_, mode="nearest", axes=(0, 1))
        own = uniform_filter((values**2).sum(axis=2), self.side_, mode="nearest")
        return np.maximum(own + 2 * apart.min(axis=2), 0) / values.shape[2], apart.argmin(axis=2)

    def outliers(self, X: Activations) -> NDArray[np.bool_]:
        """Where the patches of X are outliers: bool (n, h, w); of units (n, 1, 1)."""
        return self.nearest(X)[0] > self.threshold_

    def expected(self, X: Activations, where: NDArray[np.bool_]) -> tuple[Activations, Maps]:
        """What is near to the patches of X at some positions, and how much each neuron belongs to them.

        where: bool (n, h, w), which patches. Returns values like X, the means of the nearest known patches where these
        overlap, and the shares in [0, 1] of the patches around a position that are meant, float32 (n, h, w).
        """
        _, sources = self.nearest(X)
        shares = np.zeros_like(where, np.float32)
        values = np.zeros((*where.shape, self.bank_.shape[-1]), np.float32)
        for i, (found, which) in enumerate(zip(where, sources, strict=True)):
            for source in np.unique(which[found]):
                share = uniform_filter((found & (which == source)).astype("float32"), self.side_, mode="nearest")
                values[i] += share[..., None] * self.bank_[:, :, source]
                shares[i] += share
        values /= np.maximum(shares, 0.5 / self.side_**2)[..., None]  # less than a patch is rounding
        return values.reshape(X.shape), shares


def _maps(X):
    return X if X.ndim == 4 else X.reshape(len(X), 1, 1, -1)
