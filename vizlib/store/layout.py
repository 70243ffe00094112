"""Where things lie in a file of statistics, version 3.

    /                         attributes: format, vizlib (its version), network_name, network (fingerprint), and what
                              that is made of: weights, preprocessing (SHA-256), image_size; unused (bytes of holes)
    /CLASS                    attributes: n_images (how many are expected), images_sha256
    /CLASS/LAYER              attributes: n_images, rectify, time, sha256 (of the states below), versions of libraries,
                              what else `put` is given
    /CLASS/LAYER/ESTIMATOR/…  the state of a fitted estimator: numbers are attributes, arrays datasets
    /CLASS/LAYER/activations  (n_images, ...), one row for each image, before the ReLU where rectify is true

The layer "image" is the images themselves: ImageStatistics, and the pixels as activations, uint8 where that loses
nothing. Classes and layers come in the order in which they were made.
"""

from functools import cache
from importlib.metadata import version

import h5py

from vizlib import _hdf5 as hdf5

FORMAT = "vizlib statistics, version 3"
IDENTITY = ("weights", "preprocessing", "image_size")
NETWORK = ("network_name", "network", *IDENTITY)
ACTIVATIONS = "activations"
COLUMNS = ("class", "layer", "images", "components", "estimators", "activations", "MB", "time")


def check_format(file):
    """Raise ValueError for a file of something else, or of another version."""
    found = file.attrs.get("format")
    found = found.decode(errors="replace") if isinstance(found, bytes) else found
    if not isinstance(found, str) or found != FORMAT:
        raise ValueError(f"expected the format {FORMAT!r} in {file.filename}; received {found!r}.")


def check_network(file, received):
    """Raise ValueError, saying what differs, unless the file is of the network of which `received` has the NETWORK."""
    found = hdf5.attributes(file)
    other = [
        f"{name} {str(received.get(name))[:12]} in place of {str(found.get(name))[:12]}"
        for name in IDENTITY
        if received.get(name) != found.get(name)
    ]
    if other:
        raise ValueError(
            f"expected the network that {file.filename} was collected with, {found.get('network_name')!r}; "
            f"received {received.get('network_name')!r} with {' and '.join(other)}."
        )


def network(net):
    """The attributes that tell a `Network` from others."""
    return {"network_name": net.model.name, "network": net.fingerprint} | net.identity


def set_network(file, attributes):
    """Say of which network the file is, or raise ValueError, saying what differs, if it has classes of another."""
    if not len(file):
        hdf5.write_attributes(file, {name: attributes[name] for name in NETWORK if name in attributes})
    check_network(file, attributes)


def open_group(file, *names):
    """The group of a class, or of a layer of a class; ValueError, listing what is there, if there is none."""
    group = file
    for kind, name in zip(("class", "layer"), names, strict=False):
        if hdf5.checked(name) not in group:
            known = ", ".join(group) or "none"
            raise ValueError(f"expected a {kind} of {file.filename}{group.name} ({known}); received {name!r}.")
        group = hdf5.child(group, name)
    return group


def layers(file, class_name):
    """The groups of the layers of a class."""
    return [open_group(file, class_name, layer) for layer in open_group(file, class_name)]


def layer_name(group):
    return group.name.rpartition("/")[2]


def open_activations(group):
    """The dataset of the activations of a layer, or None."""
    if ACTIVATIONS not in group:
        return None
    values = hdf5.child(group, ACTIVATIONS, h5py.Dataset)
    if values.shape[:1] != (hdf5.attribute(group, "n_images", int),):
        raise hdf5.damaged(values, f"a shape of {values.shape}")
    return values


def make_class(file, class_name, attributes):
    """The group of a class of these attributes, n_images and images_sha256; ValueError if it is of other images."""
    if hdf5.checked(class_name) not in file:
        hdf5.write_attributes(file.create_group(class_name, track_order=True), attributes)
    group = open_group(file, class_name)
    found = hdf5.attributes(group)
    if found != attributes:
        raise ValueError(
            f"expected the {found.get('n_images')} images that {class_name!r} in {file.filename} was collected from; "
            f"received {attributes.get('n_images')} others. Choose another class name or another file, or call "
            f"store.delete({class_name!r}) first."
        )
    return group


def make_layer(parent, name, states, attributes, activations=None):
    """Write a layer of a class, in the place of the one that is there."""
    group = parent.create_group(None)  # named last: the old layer's room is not free before, for none to overwrite it
    hdf5.write_attributes(group, attributes)
    for estimator, state in states.items():
        hdf5.write_state(group.create_group(hdf5.checked(estimator)), state)
    if activations is not None:
        hdf5.write_array(group, ACTIVATIONS, activations)
    if hdf5.checked(name) in parent:
        del parent[name]
    parent[name] = group


def copy_class(file, other, class_name):
    """Copy what the file lacks of a class of another file."""
    target = make_class(file, class_name, hdf5.attributes(open_group(other, class_name)))
    for group in layers(other, class_name):
        if layer_name(group) not in target:
            states = {name: hdf5.read_state(hdf5.child(group, name)) for name in group if name != ACTIVATIONS}
            make_layer(target, layer_name(group), states, hdf5.attributes(group), open_activations(group))


def row(group):
    """What is to be said about a layer in a table: a tuple of the COLUMNS; MB are 10⁶ bytes in the file."""
    attributes, sizes = hdf5.attributes(group), []
    group.visititems(lambda name, item: sizes.append(hdf5.stored_bytes(item)))
    pca = hdf5.child(group, "PCA") if "PCA" in group else {}
    return (
        group.parent.name[1:],
        layer_name(group),
        attributes.get("n_images"),
        len(hdf5.child(pca, "components_", h5py.Dataset)) if "components_" in pca else None,
        ", ".join(name for name in group if name != ACTIVATIONS),
        ACTIVATIONS in group,
        sum(sizes) / 1e6,
        attributes.get("time"),
    )


@cache
def versions():
    """Of the libraries that activations are computed and kept with: {name: version}, and which is the backend."""
    import keras

    backend = keras.config.backend()
    return {name: version(name) for name in ("keras", backend, "h5py", "numpy")} | {"backend": backend}
