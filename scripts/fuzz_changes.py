"""What a file may suffer: changes of its bytes, and of its fields, after which all checksums are right."""

import contextlib
import gzip
import io
import json
import re
import zipfile

import h5py
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

NUMBERS = 0, 1, -1, 2, 3, 4, 7, 255, 256, 1000, 2**15, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 10**30, -(2**63)
OTHERS = 0.5, -0.0, 1e308, float("nan"), float("inf"), None, True, False, "", "a/../b", "/etc/passwd", "\ud800", "\0"
OTHERS += ("é", "x" * 5000, "Lambda", "float16", "string", [], {}, [[]], [None], [1, 2], {"a": 1})
DEEP = "nested to the bottom"  # stands for brackets in brackets, which Python cannot write
LAYERS = "Dense", "Conv2D", "Flatten", "InputLayer", "Functional", "Sequential", "Reshape", "Embedding", "ZeroPadding2D"
LAYERS += ("UpSampling2D", "RepeatVector", "Lambda", "Bidirectional", "TimeDistributed", "StringLookup", "Resizing")
WORDS = LAYERS + ("relu", "softmax", "os.system", "keras.layers", "builtins", "uint8", "complex64", "same", "causal")


def pick(rng, options):
    return options[int(rng.integers(len(options)))]


def value(rng):
    """A number or something else that a field may not expect."""
    return pick(rng, NUMBERS) if rng.random() < 0.5 else pick(rng, (*OTHERS, *WORDS, DEEP))


def of_bytes(rng, content, other):
    """Bytes that flipped, were overwritten, lost, doubled, cut off, or come from another file."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        start = int(rng.integers(len(content) + 1))
        stop = min(len(content), start + int(2 ** rng.uniform(0, 10)))
        kind = int(rng.integers(7))
        if kind == 0 and start < len(content):
            content[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[start:stop] = rng.bytes(stop - start)
        elif kind == 2:
            size = pick(rng, (1, 2, 4, 8))
            number = pick(rng, NUMBERS) % 2 ** (8 * size)
            content[start : start + size] = number.to_bytes(size, pick(rng, ("little", "big")))
        elif kind == 3:
            del content[start:stop]
        elif kind == 4:
            content[start:start] = content[start:stop]
        elif kind == 5:
            place = int(rng.integers(len(other)))
            content[start:stop] = other[place : place + stop - start]
        elif rng.random() < 0.2:
            del content[start:]
    return bytes(content)


def of_json(rng, text):
    """A document whose values were replaced, removed, doubled or put elsewhere."""
    document = json.loads(text)
    for _ in range(int(rng.integers(1, 4))):
        places = [*_places(document)]
        if not places:
            break
        (parent, key), kind = pick(rng, places), int(rng.integers(5))
        if kind == 0:
            del parent[key]
        elif kind == 1:
            other, place = pick(rng, places)
            parent[key] = json.loads(json.dumps(other[place]))
        elif kind == 2 and isinstance(parent, list):
            parent.insert(key, json.loads(json.dumps(parent[key])))
        elif kind == 3 and isinstance(parent, dict):
            parent[str(value(rng))] = parent.pop(key)
        else:
            parent[key] = value(rng)
    return json.dumps(document).replace(json.dumps(DEEP), "[" * 10**5 + "]" * 10**5)


def _places(document):
    """Each place of a document as (what it is in, key)."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, inner in list(pairs):
        yield document, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def of_table(rng, content):
    """A CSV whose cells were replaced."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(int(rng.integers(1, 5))):
        row = pick(rng, rows)
        cells = '"', "\0", "../../a.png", "", ",", "\r", "x" * 200_000, '"""', "a"
        row[int(rng.integers(len(row)))] = pick(rng, cells)
    return "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")


def of_text(rng, content):
    """A text whose words and numbers were replaced, or that is nested without end."""
    words = re.split(rb"(\s+|[{}:])", content)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(words)))
        number = str(pick(rng, NUMBERS)).encode()
        words[place] = pick(rng, (number, pick(rng, words), b"", b"a { " * 10**4, b'"', b"\xff"))
    return b"".join(words)


def of_message(rng, message):
    """A message of protobuf whose fields were set to other values, cleared or repeated."""
    messages = [*_messages(message)]
    for _ in range(int(rng.integers(1, 4))):
        own = pick(rng, messages)
        field = pick(rng, own.DESCRIPTOR.fields)
        with contextlib.suppress(TypeError, ValueError, AttributeError, UnicodeError):  # of a value that is none of its
            if rng.random() < 0.2:
                own.ClearField(field.name)
            elif field.is_repeated:
                values = getattr(own, field.name)
                values.append(pick(rng, values) if len(values) and rng.random() < 0.5 else value(rng))
            elif field.message_type is None:
                setattr(own, field.name, rng.bytes(9) if field.type == field.TYPE_BYTES else value(rng))
    return message.SerializeToString()


def _messages(message):
    yield message
    for field, found in message.ListFields():
        if field.message_type is not None:
            for inner in found if field.is_repeated else [found]:
                yield from _messages(inner)


def of_png(rng, content):
    """A PNG whose JSON was changed."""
    with Image.open(io.BytesIO(content)) as image:
        carried, written = PngInfo(), io.BytesIO()
        for key, text in image.text.items():
            carried.add_itxt(key, of_json(rng, text), zip=bool(rng.random() < 0.2))
        image.save(written, "PNG", pnginfo=carried)
    return written.getvalue()


def of_zip(rng, content):
    """An archive of which a member was changed, doubled, renamed or left out; its checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    place, kind = int(rng.integers(len(members))), rng.random()
    name, inner = members[place]
    if kind < 0.8 and name in CHANGES_OF_MEMBERS:
        inner = CHANGES_OF_MEMBERS[name](rng, inner)
        members[place] = name, inner
    elif kind < 0.9:
        members.append((pick(rng, (name, "../outside", "/outside", "assets/a")), of_bytes(rng, inner, inner)))
    elif kind < 0.95:
        members.pop(place)
    else:
        members[place] = name, bytes(10**7)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, inner in members:
            archive.writestr(name, inner)
    return written.getvalue()


def of_tar(rng, content):
    """A `.tgz` whose headers were changed; their checksums are right."""
    archive = bytearray(gzip.decompress(content))
    headers = [i for i in range(0, len(archive), 512) if archive[i + 257 : i + 262] == b"ustar"]
    for _ in range(int(rng.integers(1, 4))):
        start = pick(rng, headers)
        offset, length = pick(rng, ((0, 100), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155)))
        kinds = [bytes([kind]) for kind in b"0123567LKSxg"]
        sizes = [b"\xff" * 12, b"\x80" + b"\x7f" * 11, b"77777777777", b"-1"]
        text = pick(rng, (b"../../outside", b"/outside", *sizes, *kinds, rng.bytes(length)))
        archive[start + offset : start + offset + length] = text[:length].ljust(length, b"\0")
        header = archive[start : start + 512]
        header[148:156] = b" " * 8
        archive[start + 148 : start + 156] = b"%06o\0 " % (sum(header) % 8**6)
    return gzip.compress(bytes(archive), 1)


def of_hdf5(rng, content):
    """An HDF5 file of which links, data sets and attributes were replaced."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        for _ in range(int(rng.integers(1, 3))):
            paths = []
            opened.visititems_links(lambda path, link, paths=paths: paths.append(path))
            with contextlib.suppress(Exception):  # of a change that HDF5 does not let happen
                if rng.random() < 0.4:
                    _change_attribute(rng, pick(rng, [opened, *(opened[path] for path in paths)]))
                elif paths:
                    _change_link(rng, opened, pick(rng, paths), paths)
    return file.getvalue()


def _change_attribute(rng, item):
    names = [*item.attrs, "new"]
    name, kind = pick(rng, names), int(rng.integers(6))
    if name in item.attrs and isinstance(item.attrs[name], str) and item.attrs[name][:1] == "{" and kind < 4:
        item.attrs[name] = of_json(rng, item.attrs[name])
    elif kind == 0:
        del item.attrs[name]
    elif kind == 1:
        item.attrs[name] = h5py.Empty(pick(rng, ("f4", "S5")))
    elif kind == 2:
        item.attrs.create(name, item.ref, dtype=h5py.ref_dtype)
    elif kind == 3:
        item.attrs[name] = pick(rng, (np.zeros((2, 3)), np.array([], "f4"), np.zeros(3, "i8,f4"), np.bool_(True)))
    elif kind == 4:
        item.attrs[name] = pick(rng, ("", "text", b"bytes", b"\xff\xfe", ["a", "b"], [1, 2**40], float("nan"), 1j))
    else:
        item.attrs[name] = pick(rng, NUMBERS)


def _change_link(rng, file, path, paths):
    """Put something else in the place of a group or data set."""
    item, kind = file[path], int(rng.integers(10))
    if kind == 0 and isinstance(item, h5py.Dataset):
        item[...] = pick(rng, (0, 1, -1, 1e30, np.nan))
        return
    dtype, shape = getattr(item, "dtype", np.dtype("f4")), getattr(item, "shape", (3,))
    del file[path]
    huge = pick(rng, ((2**40,), (10**6, 10**6), (2**62,), (0,), (0, 5), (1,) * 32))
    if kind == 1:
        file[path] = pick(rng, (h5py.SoftLink("/"), h5py.SoftLink("nowhere"), h5py.ExternalLink("/etc/passwd", "/")))
    elif kind == 2:
        file[path] = file[pick(rng, ("/", pick(rng, paths)))]
    elif kind == 3:
        file.create_dataset(path, huge, dtype, chunks=True, compression=pick(rng, (None, "gzip", "lzf")))
    elif kind == 4:
        file.create_dataset(path, shape, pick(rng, ("f8", "i1", "u8", "f2", "c8", "S3", "?", h5py.string_dtype())))
    elif kind == 5:
        file.create_dataset(path, pick(rng, (shape[1:], (*shape, 0), (*shape, 1), (*shape, 2))), dtype, fillvalue=1)
    elif kind == 6:
        file.create_dataset(path, shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    elif kind == 7:
        file.create_group(path)
    elif kind == 8:
        file.create_dataset(path, (10**7,), "u1", chunks=(10**7,), compression="gzip", data=np.zeros(10**7, "u1"))
    else:
        file[path] = pick(rng, (np.zeros(()), h5py.Empty("f4"), np.dtype("i4"), "text"))


CHANGES_OF_MEMBERS = {"config.json": lambda rng, text: of_json(rng, text).encode(), "model.weights.h5": of_hdf5}
CHANGES_OF_MEMBERS["metadata.json"] = CHANGES_OF_MEMBERS["config.json"]
CHANGES = {
    ".json": lambda rng, text: of_json(rng, text).encode(), ".csv": of_table, ".png": of_png, ".keras": of_zip,
    ".h5": of_hdf5, ".prototxt": of_text, ".tgz": of_tar,
}  # fmt: skip
