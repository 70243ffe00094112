"""How far drawn activations agree with real ones, in numbers that ask nothing of the sampler but draws."""

from typing import TYPE_CHECKING

import numpy as np

from vizlib._arrays import Activations
from vizlib.statistics.snapshots import Snapshots

if TYPE_CHECKING:
    import pandas as pd

LEADING = 8  # principal components in which likelihoods are estimated: a kernel density needs few dimensions


def sampler_agreement(samples: dict[str, Activations], real: Activations, held_out: Activations) -> "pd.DataFrame":
    """Samplers beside real activations: a pandas DataFrame, a row for each and one, "real", for the real ones.

    samples: {name: activations (m, h, w, channels)}; real: (n, h, w, channels), those that samplers were fitted on;
    held_out: (k, h, w, channels), others of the class; all float32, after the ReLU if there is one. The row "real" is
    what held-out activations get, and for likelihood what the fitted ones give them.

    "norm": mean Euclidean norm, and "spread": root of the total variance, as shares of the held-out ones. "zeros":
    share of zeros. "correlation_error": root mean square difference of the correlations between channels, over images
    and positions, from those of `real`. "log_likelihood": mean log density of held-out activations in the leading 8
    principal components of `real`, whitened, under a Gaussian kernel density of the samples (Parzen windows, as in
    Breuleux et al. 2011), in nats. "nearest": mean distance to the nearest of `real`, as a share of the held-out ones'.
    """
    import pandas as pd

    snapshots = Snapshots().fit(real)
    correlations, known = _channel_correlations(real), _flat(real)
    rows = {}
    for name, values in {"real": held_out, **samples}.items():
        flat, source = _flat(values), real if name == "real" else values
        rows[name] = {
            "norm": np.linalg.norm(flat, axis=1).mean(),
            "spread": np.sqrt(flat.var(axis=0).sum()),
            "zeros": np.mean(values == 0),
            "correlation_error": np.sqrt(np.mean((_channel_correlations(values) - correlations) ** 2)),
            "log_likelihood": _log_likelihood(snapshots, source, held_out),
            "nearest": _nearest(flat, known),
        }
    frame, shares = pd.DataFrame.from_dict(rows, orient="index"), ["norm", "spread", "nearest"]
    frame[shares] /= frame.loc["real", shares]
    return frame


def _flat(values):
    return np.asarray(values, "float64").reshape(len(values), -1)


def _nearest(flat, known):
    from scipy.spatial.distance import cdist

    return cdist(flat, known).min(axis=1).mean()


def _channel_correlations(values):
    """Correlations (channels, channels); 0 with a channel that does not vary."""
    covariance = np.cov(np.asarray(values, "float64").reshape(-1, values.shape[-1]), rowvar=False)
    deviation = np.sqrt(np.diag(covariance))
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    return covariance * scale * scale[:, None]


def _log_likelihood(snapshots, samples, held_out):
    from scipy.stats import gaussian_kde

    scale = np.sqrt(snapshots.explained_variance_[:LEADING])
    samples, held_out = ((snapshots.transform(x)[:, :LEADING] / scale).T for x in (samples, held_out))
    return gaussian_kde(samples).logpdf(held_out).mean()
