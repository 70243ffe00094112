"""HDF5 files of others: plain numbers that lie in the file itself, or nothing."""

import h5py

MAX_COMPRESSION = 100


def kind(item: h5py.Dataset | h5py.h5a.AttrID) -> str:
    """The kind of numbers in a dataset or attribute, a letter as of NumPy, which has none for some: "?"."""
    try:
        return item.dtype.kind
    except TypeError:
        return "?"


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
