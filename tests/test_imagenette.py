"""Imagenette: downloaded from a server on this machine, with an archive of the same layout."""

import gzip
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from vizlib.images import class_names, imagenet, load_images, to_uint8

CHURCH = "imagenette2-160/train/n03028079"


def picture(value):
    with io.BytesIO() as file:
        Image.new("RGB", (8, 8), (value,) * 3).save(file, "PNG")
        return file.getvalue()


def archive(members):
    """The bytes of a .tgz of {name: bytes, or a `TarInfo`}."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, content in members.items():
                info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
                if content is not info:
                    info.size = len(content)
                tar.addfile(info, None if content is info else io.BytesIO(content))
        return file.getvalue()


def special(name, kind, **facts):
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in facts.items():
        setattr(info, key, value)
    return info


SOUND = {
    f"{CHURCH}/a.JPEG": picture(10), f"{CHURCH}/b.JPEG": picture(20),
    "imagenette2-160/train/n01440764/a.JPEG": picture(30), "imagenette2-160/val/n03028079/a.JPEG": picture(40),
    "imagenette2-160/noisy_imagenette.csv": b"path,noisy_labels_0\n",
}


class Server(HTTPServer):
    """Serves `content`, or what is left of it when it is cut; counts requests."""

    content, declared, requests = b"", None, 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.declared or len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(imagenet, "ORIGIN", f"http://127.0.0.1:{server.server_port}/data")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def publish(server, monkeypatch, content):
    server.content = content
    monkeypatch.setitem(imagenet.ARCHIVES, 160, hashlib.sha256(content).hexdigest())


def left(tmp_path):
    """What is there in the end, but for the lock."""
    return sorted(path.name for path in (tmp_path / "keras/datasets").iterdir() if not path.name.endswith(".lock"))


def test_it_is_downloaded_once_and_answers_to_imagenets_names(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, archive(SOUND))
    for _ in range(2):
        images = load_images("imagenette", "church", size=8)
        assert to_uint8(images)[:, 0, 0, 0].tolist() == [10, 20]
    np.testing.assert_array_equal(load_images("imagenette", "n03028079", size=8), images)
    assert server.requests == 1 and left(tmp_path) == ["imagenette2-160"]


def test_its_classes_are_known_without_a_download(server):
    assert len(class_names("imagenette")) == 10 and {"church", "French_horn"} <= {*class_names("imagenette")}
    with pytest.raises(ValueError, match=r"expected a class of 'imagenette' \(English_springer, .*received 'goldfish'"):
        load_images("imagenette", "goldfish")
    assert server.requests == 0


@pytest.mark.parametrize(("size", "pixels"), [(64, 160), (160, 160), (161, 320), (224, 320), (500, 320)])
def test_the_smaller_archive_serves_small_sizes(monkeypatch, tmp_path, size, pixels):
    asked = []
    monkeypatch.setattr("vizlib.images.loading.imagenette", lambda size: asked.append(size) or tmp_path)
    (tmp_path / "church").mkdir()
    (tmp_path / "church/a.png").write_bytes(picture(3))
    load_images("imagenette", "church", size=size)
    assert asked == [pixels]


def test_the_published_archives_are_the_ones_that_are_named():
    assert imagenet.ARCHIVES == {
        160: "88daccb09b6fce93f45e6c09ddeb269cce705549e6bff322092a2a5a11489863",
        320: "5020a9130cea0348272823cb12d2db7e981c6f2afa3dce71ccd5b8013005c55e",
    }
    assert {*imagenet.IMAGENETTE} < {*imagenet.SYNSETS.values()}


def test_a_wrong_hash_leaves_nothing(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, archive(SOUND))
    server.content = archive(SOUND | {f"{CHURCH}/c.JPEG": picture(50)})
    with pytest.raises(ValueError, match=r"expected .*imagenette2-160.tgz of SHA-256 .*; received another file"):
        load_images("imagenette", "church")
    assert left(tmp_path) == []


def test_a_broken_transfer_leaves_nothing_and_can_be_done_again(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, archive(SOUND))
    server.declared = len(server.content) + 1000
    with pytest.raises(FileNotFoundError, match=r"downloaded on first use. Without internet, copy it from http.* into"):
        load_images("imagenette", "church")
    assert left(tmp_path) == []
    server.declared = None
    assert len(load_images("imagenette", "church")) == 2


def test_without_a_server_one_sentence_says_what_to_put_where(server, monkeypatch, tmp_path):
    monkeypatch.setattr(imagenet, "ORIGIN", "http://127.0.0.1:9/data")  # where nothing listens
    with pytest.raises(FileNotFoundError) as error:
        load_images("imagenette", "church")
    wanted = "expected imagenette2-160.tgz, which is downloaded on first use. Without internet, copy it from " \
             f"http://127.0.0.1:9/data/imagenette2-160.tgz into {tmp_path / 'keras/datasets'} by hand; received: "
    assert str(error.value).startswith(wanted) and left(tmp_path) == []


def test_an_archive_that_was_put_there_is_taken(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, archive(SOUND))
    there = tmp_path / "keras/datasets/imagenette2-160.tgz"
    there.parent.mkdir()
    there.write_bytes(server.content + b"more")
    with pytest.raises(ValueError, match="expected .*imagenette2-160.tgz from http.*; received"):
        load_images("imagenette", "church")
    assert there.exists(), "what someone put there is not ours to remove"
    there.write_bytes(server.content)
    assert len(load_images("imagenette", "church")) == 2 and server.requests == 0


HOSTILE = {
    "a folder above": {"imagenette2-160/../../evil": b"x"},
    "an absolute path": {"/tmp/evil": b"x"},
    "another folder": {"evil/a": b"x"},
    "a file in the place of the folder": {"imagenette2-160": b"x"},
    "a link": {"link": special(f"{CHURCH}/c.JPEG", tarfile.SYMTYPE, linkname="/etc/passwd")},
    "a hard link": {"link": special(f"{CHURCH}/c.JPEG", tarfile.LNKTYPE, linkname=f"{CHURCH}/a.JPEG")},
    "a device": {"device": special(f"{CHURCH}/c.JPEG", tarfile.CHRTYPE, devmajor=1, devminor=3)},
    "a pipe": {"pipe": special(f"{CHURCH}/c.JPEG", tarfile.FIFOTYPE)},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_nothing(server, monkeypatch, tmp_path, name):
    publish(server, monkeypatch, archive(SOUND | HOSTILE[name]))
    with pytest.raises(ValueError, match="expected files in imagenette2-160 alone in .*; received"):
        load_images("imagenette", "church")
    assert left(tmp_path) == [] and not list(tmp_path.rglob("*evil*"))


def test_an_archive_of_no_files_is_refused(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, archive({"imagenette2-160/": special("imagenette2-160", tarfile.DIRTYPE)}))
    with pytest.raises(ValueError, match="expected files in imagenette2-160 in .*; received none"):
        load_images("imagenette", "church")
    assert left(tmp_path) == []


HUGE_NAME = special("name", tarfile.GNUTYPE_LONGNAME, size=2**80).tobuf(tarfile.GNU_FORMAT)  # found by fuzzing


WHOLE = "expected a whole archive in .*; received"


@pytest.mark.parametrize(
    ("content", "refusal"),
    [(archive(SOUND)[:-200], WHOLE), (b"no archive", WHOLE), (gzip.compress(HUGE_NAME), WHOLE),
     (b"", f"{WHOLE}|received another file")],  # the oldest Keras takes none for a download that has failed
    ids=["cut short", "text", "a huge name", "empty"],  # an archive holds the second it was made in, an id must not
)  # fmt: skip
def test_a_damaged_archive_of_the_right_hash_leaves_no_folder(server, monkeypatch, tmp_path, content, refusal):
    publish(server, monkeypatch, content)
    with pytest.raises(ValueError, match=refusal):
        load_images("imagenette", "church")
    assert left(tmp_path) == []


def test_an_archive_that_unpacks_to_too_much_is_refused(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, archive(SOUND))
    monkeypatch.setattr(imagenet, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="expected at most 100 bytes in .*; received more"):
        load_images("imagenette", "church")
    assert left(tmp_path) == []
