"""How long a run still takes, from how fast it goes."""

from collections.abc import Sequence
from time import monotonic

STEPS = 3  # of a part, from which on it tells how fast it goes: the first one compiles


class Remaining:
    """The time left of work in parts, one after the other.

    parts: (name, size) of each in its order, the sizes in one unit; a name may come again.
    """

    def __init__(self, parts: Sequence[tuple[str, float]]) -> None:
        self._parts, self._seen, self._end = list(parts), [], None

    def __call__(self, name: str, done: float) -> float | None:
        """Seconds left when a share `done` of the part of a name is done; None as long as nothing is known.

        From the third step of a part on its speed is taken for that of all that follow. Before, as in what is no part,
        the time that was left is counted down.
        """
        now = monotonic()
        if self._seen and done < self._seen[-1][1] or self._parts and name != self._parts[0][0]:
            later = [i for i, (part, _) in enumerate(self._parts) if i and part == name]
            if later:
                self._parts, self._seen = self._parts[later[0] :], []
        if self._parts and name == self._parts[0][0]:
            self._seen.append((now, done))
            (begun, first), (_, own) = self._seen[0], self._parts[0]
            if len(self._seen) >= STEPS and done > first:
                later = sum(size for _, size in self._parts[1:])
                self._end = now + (now - begun) / (done - first) * (1 - done + later / own)
        return None if self._end is None else max(self._end - now, 0)


def told(seconds: float | None) -> str:
    """A time in words, such as "about 40 s left"; nothing for None."""
    if seconds is None:
        return ""
    return f"about {max(5, 5 * round(seconds / 5))} s left" if seconds < 100 else f"about {seconds / 60:.0f} min left"
