"""HDF5 files of others: plain numbers that lie in the file itself, or nothing."""

import mmap

import h5py

MAX_COMPRESSION = 100
HEAP = b"GCOL\1\0\0\0"  # how a heap begins, in which attributes of text lie; its size and its objects follow


def kind(item: h5py.Dataset | h5py.h5a.AttrID) -> str:
    """The kind of numbers in a dataset or attribute, a letter as of NumPy, which has none for some: "?"."""
    try:
        return item.dtype.kind
    except TypeError:
        return "?"


def check_heaps(file: h5py.File, content: bytes | mmap.mmap) -> None:
    """Raise ValueError for a file, all of whose bytes are given, with a heap that HDF5 would not come to an end of.

    HDF5 1.14 does not where the free space, which is object 0, has no size, and nothing can stop it then. To be asked
    before attributes are read.
    """
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("expected an HDF5 file with addresses and sizes of 8 bytes; received others.")
    end = 0
    while (start := content.find(HEAP, end)) >= 0:
        place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
        sound = place <= end <= len(content)
        while sound and place + 16 <= end:
            size = int.from_bytes(content[place + 8 : place + 16], "little")
            step = 16 + -(-size // 8) * 8 if any(content[place : place + 2]) else size
            sound = step > 0 and HEAP not in content[place : place + step]
            place += step
        if not sound or place > end:
            raise ValueError(f"expected heaps of HDF5 that come to an end; received another, at byte {start}.")


def foreign_datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """{path: dataset} of all that is in a group of a file that others wrote, such as a network's weights.

    Raises ValueError unless all are plain numbers that lie in the file itself, in about as many bytes as they declare.
    """
    links = []
    group.visititems_links(lambda path, link: links.append((path, link)))
    for path, link in links:
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"expected all of a weights file in it; received {path!r}, {link!r}.")
    found = {path: group[path] for path, _ in links if isinstance(group[path], h5py.Dataset)}
    for path, item in found.items():
        stored = item.id.get_storage_size()
        elsewhere = item.external or item.is_virtual or h5py.h5o.get_info(item.id).rc != 1
        if kind(item) not in "biufV" or item.shape is None or elsewhere:
            raise ValueError(f"expected numbers that lie in the file once; received {path!r} of type {kind(item)!r}.")
        if item.size * item.dtype.itemsize > MAX_COMPRESSION * stored:
            raise ValueError(
                f"expected numbers as many as declared; received {path!r} of shape {item.shape} in {stored:,} bytes."
            )
    return found
