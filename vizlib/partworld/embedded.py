"""The files that come with the library, each checked against its SHA-256 before it is opened."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

HERE = Path(__file__).resolve().parents[1]
DATA = HERE / "data" if (HERE / "data").is_dir() else HERE.parent / "data"  # installed, or a checkout


def embedded_file(name: str) -> Path:
    """The path of a file in `data/` whose SHA-256 is the one in `data/SHA256SUMS`.

    Raises FileNotFoundError where it or the list of hashes is missing, ValueError where its hash is wrong or not
    listed.
    """
    path, sums = DATA / name, DATA / "SHA256SUMS"
    for needed in (path, sums):
        if not needed.is_file():
            raise FileNotFoundError(f"expected the embedded file {needed}, which 'make train' rebuilds; found none.")
    expected = dict(line.split()[::-1] for line in sums.read_text().splitlines()).get(name, "listed in SHA256SUMS")
    received = hashlib.sha256(path.read_bytes()).hexdigest()
    if received != expected:
        raise ValueError(f"expected {path} as it was published, with the SHA-256 {expected}; received {received}.")
    return path


def load_judge(name: str) -> "keras.Model":
    """An embedded judge, a Keras model that takes RGB in [0, 1], (n, 64, 64, 3).

    "classifier" answers scores (n, classes) before the softmax and has a layer "embedding" (n, 96); "parts" answers
    heat maps (n, 32, 32, kinds of parts) in [0, 1]. Raises ValueError for another name, and what `embedded_file` does.
    """
    import keras

    if name not in ("classifier", "parts"):
        raise ValueError(f"expected the judge 'classifier' or 'parts'; received {name!r}.")
    return keras.models.load_model(embedded_file(f"judge_{name}.keras"), compile=False)
