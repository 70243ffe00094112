"""ImageNet's 1,000 classes, and Imagenette: pictures of ten of them, few enough to download."""

import hashlib
import shutil
import tarfile
from pathlib import Path, PurePosixPath

import filelock

from vizlib._files import keras_home

# {synset of WordNet, such as "n03028079": name of the class, "church"}, in the order of the scores of all models of
# keras.applications.
NAMES = Path(__file__).with_name("imagenet_classes.txt")
SYNSETS = dict(line.split() for line in NAMES.read_text("utf-8").splitlines())
IMAGENETTE = (
    "tench", "English_springer", "cassette_player", "chain_saw", "church", "French_horn", "garbage_truck", "gas_pump",
    "golf_ball", "parachute",
)  # fmt: skip
ORIGIN = "https://s3.amazonaws.com/fast-ai-imageclas"
ARCHIVES = {  # by the pixels of the shorter side of most pictures: SHA-256
    160: "88daccb09b6fce93f45e6c09ddeb269cce705549e6bff322092a2a5a11489863",
    320: "5020a9130cea0348272823cb12d2db7e981c6f2afa3dce71ccd5b8013005c55e",
}
MAX_BYTES = 2**30  # of all that an archive holds


def imagenette(size: int) -> Path:
    """The folder of Imagenette whose pictures have a shorter side of `size`, 160 or 320 pixels: downloaded once.

    It lies where Keras caches data sets. Raises FileNotFoundError, which says what to put where, if it cannot be had,
    and ValueError for an archive whose SHA-256 is wrong, or that holds anything but files below one folder.
    """
    cache = keras_home() / "datasets"
    folder = cache / f"imagenette2-{size}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache / f".{folder.name}.lock"):
            if not folder.is_dir():  # of another process by now
                archive = folder.with_name(f"{folder.name}.tgz")
                kept = _have(archive, ARCHIVES[size])
                try:
                    _unpack(archive, folder)
                finally:
                    if folder.is_dir() or not kept:
                        archive.unlink()
    return folder


def _have(archive, sha256):
    """Download an archive, unless it is there: whether it was. Raises as `imagenette` does."""
    import keras

    origin = f"{ORIGIN}/{archive.name}"
    if archive.exists():
        with archive.open("rb") as file:
            if (found := hashlib.file_digest(file, "sha256").hexdigest()) != sha256:
                raise ValueError(f"expected {archive} from {origin}, of SHA-256 {sha256}; received {found}.")
        return True
    try:
        keras.utils.get_file(archive.name, origin, file_hash=sha256, cache_dir=archive.parent.parent)
    except Exception as error:  # Keras raises bare exceptions for what a network does
        archive.unlink(missing_ok=True)
        if isinstance(error, ValueError):
            raise ValueError(f"expected {origin} of SHA-256 {sha256}; received another file.") from error
        raise FileNotFoundError(
            f"expected {archive.name}, which is downloaded on first use. Without internet, copy it from {origin} into "
            f"{archive.parent} by hand; received: {error}"
        ) from error
    return False


def _unpack(archive, folder):
    """The files of an archive below a folder, which has that folder's name in it: all of them, or none.

    Raises ValueError for a damaged archive, and for members that are no files or folders, or lie elsewhere.
    """
    part, left = folder.with_name(f".{folder.name}.part"), MAX_BYTES
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                inside = path.parts[:1] == (folder.name,) and ".." not in path.parts
                if not inside or not (member.isdir() or member.isfile() and len(path.parts) > 1):
                    raise ValueError(f"expected files in {folder.name} alone in {archive}; received {member.name!r}.")
                if (left := left - member.size) < 0:
                    raise ValueError(f"expected at most {MAX_BYTES} bytes in {archive}; received more.")
                if member.isfile():
                    target = part.joinpath(*path.parts[1:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as source, target.open("xb") as file:
                        shutil.copyfileobj(source, file)
        if not part.is_dir():
            raise ValueError(f"expected files in {folder.name} in {archive}; received none.")
        part.rename(folder)
    except (tarfile.TarError, EOFError, OSError, MemoryError, OverflowError) as error:  # the last two of sizes
        if isinstance(error, OSError) and error.errno:  # of the disk, not of what is read
            raise
        raise ValueError(f"expected a whole archive in {archive}; received: {error!r}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
