"""The files that come with the library, each checked against its SHA-256 before it is opened."""

import hashlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" if (HERE / "data").is_dir() else HERE.parent / "data"  # installed, or a checkout


def embedded_file(name):
    """The path of a file in `data/` whose SHA-256 is the one in `data/SHA256SUMS`.

    Raises FileNotFoundError where it is missing and ValueError where its hash is wrong.
    """
    path = DATA / name
    expected = dict(line.split()[::-1] for line in (DATA / "SHA256SUMS").read_text().splitlines())
    if name not in expected or not path.is_file():
        raise FileNotFoundError(f"expected the embedded file {path}; rebuild it with 'make train'.")
    received = hashlib.sha256(path.read_bytes()).hexdigest()
    if received != expected[name]:
        raise ValueError(f"expected {path} to have SHA-256 {expected[name]}; received {received}. Restore the file.")
    return path
