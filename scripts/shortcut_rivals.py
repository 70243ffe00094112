"""What rivals take for a shortcut: Grad-CAM alone, and clusters of relevance (SpRAy, Lapuschkin et al. 2019).

Both see places alone. They rank places, and Grad-CAM patches, as `viz.shortcuts` does, with the share of a map that a
place holds in the place of its effect.
"""

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from sklearn.cluster import SpectralClustering
from sklearn.neighbors import kneighbors_graph

import vizlib as viz
from vizlib.attribution.components import box, cells, places
from vizlib.attribution.interventions import UNIT, USUAL

SIDE, NEIGHBOURS, CLUSTERS = 16, 5, 8  # of maps to cluster; of the graph; at most


def grad_cam(net, images):
    """Places and patches by how much more of the Grad-CAM of a class they hold than of others."""
    maps = {name: _shares(viz.grad_cam(net, x, "scores", name)) for name, x in images.items()}
    squares, rows = cells(net.image_shape[:2]), []
    in_cells = {name: np.stack([_held(x, mask) for mask in squares.values()], axis=1) for name, x in maps.items()}
    for name in maps:
        others = [other for other in maps if other != name]
        for place, mask in places(net.image_shape[:2]).items():
            expected = np.median([_held(maps[other], mask).mean() for other in others])
            rows.append((name, "place", place, _ratio(_held(maps[name], mask).mean(), expected), ()))
        beyond = in_cells[name] - np.percentile(np.concatenate([in_cells[other] for other in others]), USUAL, axis=0)
        expected = np.max([in_cells[other].mean(0) for other in others], axis=0)
        half, best = np.argsort(beyond.max(1))[len(beyond) // 2 :], beyond.argmax(1)
        where = [(i, *box([*squares.values()][best[i]])) for i in half]
        ratio = _ratio(in_cells[name][half, best[half]].mean(), expected[best[half]].mean())
        rows.append((name, "patch", "anywhere", ratio, where))
    return _ranked(rows)


def spray(net, images):
    """Places in the clusters of the relevance of each class: the class with the largest eigengap first, and of it the
    place that holds most of a cluster's relevance beyond that of other classes."""
    maps = {name: _shares(np.abs(viz.lrp(net, x, "scores", name))) for name, x in images.items()}
    rows = []
    for name, own in maps.items():
        gap, labels = _clusters(own)
        for place, mask in places(net.image_shape[:2]).items():
            expected = np.median([_held(x, mask).mean() for other, x in maps.items() if other != name])
            best = max(_ratio(_held(own[labels == k], mask).mean(), expected) for k in np.unique(labels))
            rows.append((name, "place", place, gap, best))
    table = pd.DataFrame(rows, columns=["class", "kind", "name", "ratio", "held"])
    return table.sort_values(["ratio", "held"], ascending=False, ignore_index=True)


def _shares(maps):
    """Maps that sum to 1; even ones where there is nothing."""
    maps = maps + 1e-9
    return maps / maps.sum((1, 2), keepdims=True)


def _held(maps, mask):
    """The share of each map that a place holds, (n,)."""
    return maps[:, mask].sum(1)


def _ratio(held, expected):
    return (held - expected) / (expected + UNIT)


def _clusters(maps):
    """The largest eigengap of the neighbours' graph of maps, and the cluster of each map, as many as it tells."""
    n, h, w = maps.shape
    small = maps.reshape(n, SIDE, h // SIDE, SIDE, w // SIDE).sum((2, 4)).reshape(n, -1)
    graph = kneighbors_graph(small, NEIGHBOURS, include_self=False).toarray()
    graph = np.maximum(graph, graph.T)
    scale = 1 / np.sqrt(graph.sum(1))
    values = eigh(np.eye(n) - scale[:, None] * graph * scale, eigvals_only=True)
    gaps = np.diff(values)[1:CLUSTERS]
    k = 2 + int(gaps.argmax())
    found = SpectralClustering(k, affinity="precomputed", random_state=0, assign_labels="kmeans").fit_predict(graph)
    return float(gaps.max()), found


def _ranked(rows):
    frame = pd.DataFrame(rows, columns=["class", "kind", "name", "ratio", "where"])
    return frame.sort_values("ratio", ascending=False, ignore_index=True)
