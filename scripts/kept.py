"""What hours have made, kept in output/kept as it comes: a run that was cut off goes on, and two can share the work."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from vizlib._files import written

LIBRARY, KEPT = (Path(__file__).resolve().parent.parent / name for name in ("vizlib", "output/kept"))
JUDGING = {"explorer", "plots.py", "realism"}  # on which no image depends


class Kept:
    """Arrays of each class under a name, in a folder of the experiment, its settings and the network.

    What other code of the library, but what judges and shows, or of the files that ask for it made is made anew, or
    with `reuse` told.
    """

    def __init__(self, title: str, settings: Sequence[int], fingerprint: str, asking: tuple, reuse: bool) -> None:
        files = [file for file in sorted(LIBRARY.rglob("*.py")) if not JUDGING & {*file.relative_to(LIBRARY).parts}]
        code = b"".join(file.read_bytes() for file in (*files, *map(Path, asking)))
        self.code = hashlib.sha256(code).hexdigest()[:12]
        self.folder = KEPT / "-".join((title, *map(str, settings), fingerprint[:8]))
        self.reuse = reuse

    def of(self, class_name: str, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """What make() gives, {name: array}, and did when it was first asked for."""
        path = self.folder / class_name / f"{name}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                found = dict(file)
            other = str(found.pop("code"))
            if other == self.code or self.reuse:
                print(f"{class_name}, {name}: kept" + f", of other code ({other})" * (other != self.code), flush=True)
                return found
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as part, part.open("wb") as file:
            np.savez(file, code=self.code, **made)
        print(f"{class_name}, {name}: made", flush=True)
        return made

    def each(self, classes: Sequence[str], make: Callable[[str], dict]) -> dict[str, dict]:
        """{class: make(class)}, of which a process started beside this one makes some.

        Raises SystemExit where it is still at one when the others are done: the last to be done goes on from here.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        made = {}
        for again in (False, True):
            for class_name in [name for name in classes if name not in made]:
                try:
                    with FileLock(self.folder / f"{class_name}.lock", blocking=False):
                        made[class_name] = make(class_name)
                except Timeout:
                    if again:
                        raise SystemExit(f"Another process is still at {class_name}, and goes on from here.") from None
        return {class_name: made[class_name] for class_name in classes}
