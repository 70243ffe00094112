"""Seams: of a few real activations, which lies in each cell, so that seams run where both sides look alike."""

import numpy as np

from vizlib._arrays import Floats, Integers
from vizlib.statistics.counts import Counts

PARTS = 3  # images of a draw: the fewest of which none has more than `MOST`
MOST = 0.4  # of a draw, the largest share of one image
TRIES = 4  # annealings for each draw, of which that with the least seams is kept
MOST_TRIES = 16  # where none of these has as much of everything as real images do
STEPS = 36  # of an annealing for each pair of neighbouring cells
ROUNDS = 20  # how often in these the images beside the first are chosen anew
HEAT = 0.15  # at which an annealing begins, in units of a seam between cells that are not alike at all


def least_seams(unlike: Floats, first: int, candidates: Integers, key: list[int], counts: Counts | None) -> Integers:
    """Of a few annealings the layout with the least seams: which of m lies in each cell, int (rows, columns).

    unlike: how unlike any two of m activations are in each cell, (rows, columns, m, m). first: which of these is in the
    layout. candidates: ascending int (k,), which may be, the first among them. counts: of the m, where it is known: of
    layouts that are as usual as its limit asks, that with the least seams is taken, or else the most usual one.
    """
    own = unlike[:, :, candidates[:, None], candidates]
    rng, begun, tries = np.random.default_rng(key), int(np.searchsorted(candidates, first)), []
    while len(tries) < TRIES or (len(tries) < MOST_TRIES and all(excess > 0 for excess, _, _ in tries)):
        found, cost = _annealed(own, begun, rng)
        layout = candidates[found]
        excess = max(0.0, float(counts.unusual(layout[None])[0]) - counts.limit) if counts else 0.0
        tries.append((excess, cost, layout))
    return min(tries, key=lambda found: found[:2])[2]


def _annealed(unlike, first, rng):
    """A layout of `first` and the few of m that go with it best, int (rows, columns), and what its seams cost."""
    (height, width), m = unlike.shape[:2], unlike.shape[2]
    unlike, cells = unlike.reshape(-1, m, m), np.arange(height * width)
    parts = min(PARTS, m)
    room = max(int(MOST * len(cells)), -(-len(cells) // parts))
    right, down = cells.reshape(height, width)[:, :-1].ravel(), cells[:-width]
    one, other = np.concatenate([right, down]), np.concatenate([right + 1, down + width])
    steps = STEPS * len(one)
    moves = np.concatenate([np.stack([one, other], axis=1), np.stack([other, one], axis=1)])
    around = [moves[moves[:, 0] == cell, 1].tolist() for cell in cells]

    # At first each cell is of the nearest of a few random spots that has room left.
    spots, at = rng.random((parts, 2)) * (height, width), np.stack(np.divmod(cells, width), axis=1)
    apart = np.linalg.norm(at[:, None] - spots, axis=2)
    part, sizes = [0] * len(cells), [0] * parts
    for cell in np.argsort(apart.min(axis=1)):
        part[cell] = next(k for k in np.argsort(apart[cell]).tolist() if sizes[k] < room)
        sizes[part[cell]] += 1
    images = np.array([first, *rng.choice(np.delete(np.arange(m), first), parts - 1, replace=False)])

    def chosen_anew(heat):
        """Each image but the first gives way to that of which the seams around its part cost least, up to noise."""
        part_of = np.array(part)
        for k in range(1, parts):
            inner, outer = (part_of[x] == k for x in (one, other))
            a, b = one[inner != outer], other[inner != outer]
            beyond = images[np.where(part_of[a] == k, part_of[b], part_of[a])]
            costs = (unlike[a, beyond] + unlike[b, beyond]).sum(axis=0) / 2
            costs[np.delete(images, k)] = np.inf
            images[k] = np.argmin(costs - heat * rng.gumbel(size=m))
        return (unlike[:, images[:, None], images] / 2).tolist()  # far faster to look up than in an array

    moves = moves[rng.integers(len(moves), size=steps)].tolist()
    heats = HEAT * (1 - np.arange(steps) / steps) ** 2
    worse = (heats * rng.exponential(size=steps)).tolist()  # by how much a move may be it: the rule of Metropolis
    for step, (cell, neighbour) in enumerate(moves):
        if step % (steps // ROUNDS) == 0:
            halves = chosen_anew(heats[step] * (height + width) / 8)
        old, new = part[cell], part[neighbour]
        if old == new or sizes[new] == room:
            continue
        cost_new, cost_old = (
            sum(halves[cell][k][part[at]] + halves[at][k][part[at]] for at in around[cell]) for k in (new, old)
        )
        if cost_new - cost_old <= worse[step]:
            part[cell] = new
            sizes[old], sizes[new] = sizes[old] - 1, sizes[new] + 1
    halves = chosen_anew(0)
    cost = sum(halves[a][part[a]][part[b]] + halves[b][part[a]][part[b]] for a, b in zip(one, other, strict=True))
    return images[part].reshape(height, width), cost
