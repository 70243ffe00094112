"""Names of files, and files that are written whole or not at all."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_to_bytes
from uuid import uuid4

LONGEST = 120  # characters of a quoted name; file systems take 255, of which endings and temporary names need some
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)$")  # names that Windows keeps for devices
TEMPORARY = ".part"  # how names end of what is not whole yet; no quoted name does


def keras_home() -> Path:
    """Where Keras keeps what it downloads."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


def quoted(name: str) -> str:
    """A name, also one with slashes, as that of a file: ASCII letters, digits, "_" and "-", all else as %XX.

    A long name is cut and told from others by a hash, after a "~". No two names share one.
    """
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else _percent(c) for c in name)
    if RESERVED.match(safe):
        safe = _percent(safe[0]) + safe[1:]
    if len(safe) <= LONGEST:
        return safe
    return f"{safe[:LONGEST]}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def unquoted(name: str) -> str | None:
    """The name that `quoted` made this of; None where it is cut, or was not made by it."""
    if "~" in name:
        return None
    found = unquote_to_bytes(name).decode("utf-8", "surrogatepass")
    return found if quoted(found) == name else None


def _percent(character):
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary name to write a file under, which becomes `path` when the `with` block ends well.

    The file is on the disk by then, and takes the place of one that is there; else nothing of it is left. What a crash
    leaves is found by `leftovers`.
    """
    part = path.with_name(f"{path.name[:LONGEST]}.{uuid4().hex}{TEMPORARY}")
    try:
        yield part
        with open(part, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    # The new name is on the disk when the folder is. Not all file systems, and not Windows, know how to bring it there.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def leftovers(folder: Path) -> list[Path]:
    """What crashes left in a folder of files that were being written."""
    return [path for path in folder.iterdir() if path.name.endswith(TEMPORARY)] if folder.is_dir() else []
