"""The image loader: what it does to pictures, and what it does with files that are none."""

import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, features

from vizlib.images import as_images, load_images, save_image, to_uint8
from vizlib.images import files as images

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def folder(tmp_path):
    """A folder of class folders with one class, "thing"."""
    (tmp_path / "thing").mkdir()
    return tmp_path


def put(folder, name, picture, **options):
    """Save a picture, or an array as one, in the class folder; the path."""
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    picture.save(folder / "thing" / name, **options)
    return folder / "thing" / name


def solid(colour, size=(10, 10), mode="RGB"):
    return Image.new(mode, size, colour)


def greys(folder, values):
    for value in values:
        put(folder, f"{value:03}.png", solid((value,) * 3))


def only(folder, **options):
    """The one image of the class, uint8."""
    loaded = load_images(folder, "thing", **options)
    assert len(loaded) == 1
    return to_uint8(loaded[0])


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.tiff", "a.jpg", "a.webp"])
def test_a_solid_colour_survives_in_every_format(folder, name):
    put(folder, name, solid((200, 100, 50), (97, 80)), **({"lossless": True} if name == "a.webp" else {}))
    loaded = load_images(folder, "thing", size=16)
    assert loaded.shape == (1, 16, 16, 3) and loaded.dtype == np.float32
    expected = np.broadcast_to(np.array([200, 100, 50]) / 255, loaded.shape)
    np.testing.assert_allclose(loaded, expected, atol=3 / 255 if name == "a.jpg" else 1e-6)


@pytest.mark.parametrize("factor", [2, 7, 16])
def test_a_checkerboard_of_single_pixels_becomes_mid_grey(folder, factor):
    board = np.indices((32 * factor, 32 * factor)).sum(0) % 2 * np.uint8(255)
    put(folder, "board.png", board.astype(np.uint8))
    np.testing.assert_allclose(load_images(folder, "thing", size=32), 0.5, atol=0.02)


def test_a_picture_of_the_right_size_is_left_as_it_is(folder):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    put(folder, "a.png", picture)
    np.testing.assert_array_equal(only(folder, size=8), picture)


@pytest.mark.parametrize("turn", [False, True])
def test_the_crop_is_the_middle_square(folder, turn):
    picture = np.zeros((4, 13, 3), np.uint8)
    picture[:, :4], picture[:, 4:8], picture[:, 8:] = RED, GREEN, BLUE  # 4, 4 and 5 wide
    put(folder, "a.png", picture.transpose(1, 0, 2) if turn else picture)
    np.testing.assert_array_equal(only(folder, size=4), np.broadcast_to(GREEN, (4, 4, 3)))


def test_exif_orientation_is_respected(folder):
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4], picture[:, 4:] = RED, BLUE
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show: the left side comes up
    put(folder, "a.png", picture, exif=exif)
    np.testing.assert_array_equal(only(folder, size=8), np.rot90(picture, -1))


@pytest.mark.parametrize(
    ("name", "picture", "expected"),
    [
        ("grey.png", solid(77, mode="L"), (77, 77, 77)),
        ("grey and alpha.png", solid((0, 51), mode="LA"), (204, 204, 204)),
        ("one bit.png", solid(1, mode="1"), (255, 255, 255)),
        ("alpha.png", solid((255, 0, 0, 51), mode="RGBA"), (255, 204, 204)),  # 1/5 red on white
        ("palette.gif", solid(GREEN).convert("P"), GREEN),
        ("cmyk.tiff", solid((0, 255, 255, 0), mode="CMYK"), RED),
        ("deep.png", np.full((10, 10), 77 * 257, np.uint16), (77, 77, 77)),
        ("deep.tiff", np.full((10, 10), 77 * 257, np.uint16), (77, 77, 77)),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_every_colour_mode_becomes_rgb(folder, name, picture, expected):
    put(folder, name, picture)
    np.testing.assert_array_equal(only(folder, size=10), np.broadcast_to(expected, (10, 10, 3)))


@pytest.mark.parametrize(
    ("name", "values", "expected", "assumed"),
    [
        ("12 bits.tiff", np.full((9, 9), 2048, np.uint16), 128, "16 bits that hold no more than 12 were taken for 12"),
        ("8 bits.tiff", np.full((9, 9), 77, np.uint16), 77, "16 bits that hold no more than 8 were taken for 8"),
        ("16 bits.tiff", np.full((9, 9), 4096, np.uint16), 16, None),
        ("floats.tiff", np.full((9, 9), 0.5, np.float32), 128, None),
        ("wide floats.tiff", np.eye(8, dtype=np.float32) * 500 - 100, None, "its lowest value was taken for black"),
        ("32 bits.tiff", np.eye(8, dtype=np.int32) * 100_000, None, "its lowest value was taken for black"),
    ],
    ids=lambda x: x if isinstance(x, str) and "." in x else "",
)
def test_deep_pictures_are_shown_and_what_was_assumed_is_told(folder, recwarn, name, values, expected, assumed):
    put(folder, name, values)
    shown = only(folder, size=len(values))
    target = np.full(values.shape, expected) if expected else np.eye(len(values)) * 255
    np.testing.assert_array_equal(shown, np.repeat(target[..., None], 3, 2))
    messages = [str(warning.message) for warning in recwarn]
    assert messages == [] if assumed is None else assumed in messages[0] and messages[0].startswith("1 of 1 images of")


def test_assumptions_are_told_once_for_all_files(folder):
    for i in range(5):
        put(folder, f"{i}.tiff", np.full((9, 9), 1000 + i, np.uint16))
    with pytest.warns(UserWarning) as caught:
        load_images(folder, "thing")
    assert [str(w.message)[:22] for w in caught] == ["5 of 5 images of 'thing"[:22]]


def test_colours_of_12_bits_that_pillow_would_lose_are_refused(folder):
    """A TIFF of 16 bits a colour: its header, three directories of tags, and 2 x 2 pixels."""
    pixels = np.full((2, 2, 3), 1000, "<u2").tobytes()
    tags = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14),
            (277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 1, len(pixels))]
    header = struct.pack("<2sHI3H", b"II", 42, 14 + len(pixels), 16, 16, 16) + pixels
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    (folder / "thing" / "deep.tiff").write_bytes(header + directory)
    with pytest.warns(UserWarning, match="deep.tiff.*colours of 12"), pytest.raises(ValueError, match="none readable"):
        load_images(folder, "thing")


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_of_every_writer(folder, adobe):
    """Adobe writes its numbers inverted, and a marker that says so; others write them as they are, without one."""
    path = put(folder, "a.jpg", solid((0, 255, 255, 0), mode="CMYK"), quality=95)
    if not adobe:
        solid((255, 0, 0, 255), mode="CMYK").save(path, quality=95)  # inverted, as Pillow inverts in writing
        content = path.read_bytes()
        start = content.index(b"\xff\xee")
        path.write_bytes(content[:start] + content[start + 16 :])
        with Image.open(path) as image:
            assert image.mode == "CMYK" and "adobe" not in image.info
    np.testing.assert_allclose(only(folder)[32, 32], RED, atol=4)


@pytest.mark.parametrize(("name", "options"), [("a.avif", {"quality": 100}), ("a.jp2", {"irreversible": False})])
def test_newer_formats(folder, name, options):
    if not features.check({"avif": "avif", "jp2": "jpg_2000"}[name[2:]]):
        pytest.skip("this Pillow was built without it")
    put(folder, name, solid((200, 100, 50), (32, 32)), **options)
    np.testing.assert_allclose(only(folder)[0, 0], (200, 100, 50), atol=3)


def test_of_a_picture_with_a_gain_map_the_picture_is_taken(folder):
    """Ultra HDR: a JPEG, and behind it a second one of how much brighter each place may be shown."""
    put(folder, "a.jpg", solid((200, 100, 50), (32, 32)), format="MPO", save_all=True,
        append_images=[solid(RED, (8, 8))], quality=95)
    np.testing.assert_allclose(only(folder)[32, 32], (200, 100, 50), atol=4)


def test_damaged_metadata_around_a_sound_picture(folder):
    damaged = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 40
    path = put(folder, "a.jpg", solid((200, 100, 50), (32, 32)), exif=damaged, quality=95)
    with pytest.warns(UserWarning) as caught:
        np.testing.assert_allclose(only(folder)[32, 32], (200, 100, 50), atol=4)
    assert path.exists() and caught


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("a.jxl", b"\xff\n\xfa\x1f", "JPEG XL"),
        ("a.psd", b"8BPS\0\x01", "Photoshop"),
        ("a.dcm", bytes(128) + b"DICM", "DICOM"),
        ("a.npy", b"\x93NUMPY\x01\0", "NumPy"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
    ],
)
def test_other_formats_are_named(folder, name, content, kind):
    (folder / "thing" / name).write_bytes(content)
    with pytest.warns(UserWarning, match=f"received {kind}, to be converted first"), \
            pytest.raises(ValueError, match="received 1 files, none readable"):
        load_images(folder, "thing")


def test_padding_keeps_the_whole_picture_with_its_mean_colour_around(folder):
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, :4], picture[:, 4:] = RED, BLUE
    put(folder, "a.png", picture)
    shown = only(folder, size=8, fit="pad")
    np.testing.assert_array_equal(shown[2:6], picture)
    np.testing.assert_array_equal(shown[[0, 1, 6, 7]], np.broadcast_to((128, 0, 128), (4, 8, 3)))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_images_that_are_not_square(folder, fit):
    picture = np.zeros((12, 8, 3), np.uint8)
    picture[:4], picture[4:8], picture[8:] = RED, GREEN, BLUE
    put(folder, "a.png", picture)
    shown = only(folder, size=(4, 8), fit=fit)
    assert shown.shape == (4, 8, 3)
    if fit == "crop":
        np.testing.assert_array_equal(shown, picture[4:8])
    else:
        np.testing.assert_allclose(shown[:, [0, 7]], 85, atol=8)
        assert shown[0, 4].argmax() == 0 and shown[3, 4].argmax() == 2


def test_as_bytes_they_are_the_same_in_a_quarter_of_the_memory(folder):
    put(folder, "a.png", np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    for source, name in ((folder, "thing"), ("partworld", "face")):
        pixels, images = (load_images(source, name, 1, size=8, dtype=dtype) for dtype in ("uint8", "float32"))
        assert pixels.dtype == np.uint8 and images.dtype == np.float32
        np.testing.assert_array_equal(as_images(pixels), images)


def test_a_bar_is_shown_where_reading_takes_long(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    greys(folder, range(5))
    load_images(folder, "thing")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("vizlib.images.loading.PATIENCE", 0)
    load_images(folder, "thing")
    assert "thing: 100%" in capsys.readouterr().err
    load_images(folder, "thing", progress=False)
    assert capsys.readouterr().err == ""


def test_reading_goes_on_until_there_are_enough(folder, monkeypatch):
    """Of many files side by side no more are read than are still wanted, and the choice is as if read one by one."""
    monkeypatch.setattr("vizlib.images.loading.AHEAD", 3)
    greys(folder, range(9))
    whole = to_uint8(load_images(folder, "thing", n=9, seed=1))[:, 0, 0, 0]
    for value in whole[:2]:
        (folder / "thing" / f"{value:03}.png").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="skipped"):
        found = to_uint8(load_images(folder, "thing", n=5, seed=1))[:, 0, 0, 0]
    np.testing.assert_array_equal(found, whole[2:7])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"fit": "squash"}, "expected fit to be 'crop' or 'pad'; received 'squash'"),
     ({"dtype": "float64"}, "expected dtype to be 'float32' or 'uint8'; received 'float64'"),
     ({"size": (4, 0)}, r"expected size to be pixels, at least 1, or a height and a width; received \(4, 0\)"),
     ({"size": (4, 4, 3)}, "a height and a width; received")],
)
def test_wrong_settings_are_told_before_anything_is_read(folder, wrong, message):
    with pytest.raises(ValueError, match=message):
        load_images(folder / "nowhere", "thing", **wrong)


def test_a_transparent_palette_entry_shows_white(folder):
    picture = solid(RED).quantize(2)
    put(folder, "a.png", picture, transparency=picture.getpixel((0, 0)))
    np.testing.assert_array_equal(only(folder), 255)


def test_of_an_animation_the_first_frame_is_taken(folder):
    put(folder, "a.gif", solid(RED), save_all=True, append_images=[solid(BLUE)])
    np.testing.assert_array_equal(only(folder)[0, 0], RED)


def test_all_files_come_in_the_order_of_their_names(folder):
    greys(folder, np.random.default_rng(0).permutation(30))
    assert to_uint8(load_images(folder, "thing"))[:, 0, 0, 0].tolist() == list(range(30))


def test_the_seed_decides_the_choice_and_a_smaller_n_is_its_beginning(folder):
    greys(folder, range(40))
    def choice(n, seed):
        return to_uint8(load_images(folder, "thing", n=n, seed=seed))[:, 0, 0, 0].tolist()

    draws = [choice(20, seed) for seed in range(4)]
    assert len({tuple(values) for values in draws}) == 4
    for seed, values in enumerate(draws):
        assert len(set(values)) == 20
        assert choice(20, seed) == values
        assert choice(7, seed) == values[:7]


def truncate(path, keep=0.6):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def declare(path, width, height):
    """A PNG of a few bytes whose header declares these sizes."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    )


def noisy(folder, name):
    return put(folder, name, np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8))


BAD = {
    "empty.png": lambda path, folder: path.write_bytes(b""),
    "text.jpg": lambda path, folder: path.write_text("no image"),
    "cut.jpg": lambda path, folder: truncate(noisy(folder, path.name)),
    "cut.png": lambda path, folder: truncate(noisy(folder, path.name)),
    "cut.gif": lambda path, folder: truncate(noisy(folder, path.name)),
    "cut.bmp": lambda path, folder: truncate(noisy(folder, path.name)),
    "cut.tiff": lambda path, folder: truncate(noisy(folder, path.name)),
    "cut.webp": lambda path, folder: truncate(noisy(folder, path.name)),
    "header only.png": lambda path, folder: truncate(noisy(folder, path.name), keep=0.005),
    "other format.ppm": lambda path, folder: put(folder, path.name, solid(RED)),
    "not a number.tiff": lambda path, folder: put(folder, path.name, np.full((5, 5), np.nan, np.float32)),
    "51 megapixels.png": lambda path, folder: declare(path, 51_000, 1_000),
    "bomb.png": lambda path, folder: declare(path, 60_000, 60_000),
    "nowhere.png": lambda path, folder: path.symlink_to("absent"),
    "pipe.png": lambda path, folder: os.mkfifo(path),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_skipped_with_a_warning_that_names_it(folder, name):
    greys(folder, [10, 20])
    BAD[name](folder / "thing" / name, folder)
    with pytest.warns(UserWarning, match=name) as caught:
        loaded = load_images(folder, "thing")
    assert to_uint8(loaded)[:, 0, 0, 0].tolist() == [10, 20]
    assert caught[-1].filename == __file__


def test_the_pixel_limit_is_the_declared_size_and_the_byte_limit_the_file_s(folder, monkeypatch):
    path = put(folder, "a.png", solid(RED, (20, 10)))
    monkeypatch.setattr(images, "MAX_PIXELS", 200)
    monkeypatch.setattr(images, "MAX_BYTES", path.stat().st_size)
    assert len(load_images(folder, "thing")) == 1
    for limit in ("MAX_PIXELS", "MAX_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(images, limit, getattr(images, limit) - 1)
            with (
                pytest.warns(UserWarning, match=rf"a\.png.* at most \d+ {limit[4:].lower()}"),
                pytest.raises(ValueError, match="received 1 files, none readable"),
            ):
                load_images(folder, "thing")


def test_memory_is_taken_for_what_a_file_has_and_not_for_what_it_declares(tmp_path):
    """Found by fuzzing: a header of JPEG 2000 that says it is of gigabytes."""
    path = tmp_path / "a.jp2"
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 "
    path.write_bytes(start + b"\0\0\0\1jp2h" + struct.pack(">Q", 2**32) + bytes(99))
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, SyntaxError, OSError)):
            images.read_image(path, (8, 8))
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_another_file_takes_the_place_of_a_bad_one(folder):
    greys(folder, range(10))
    for value in range(5):
        (folder / "thing" / f"bad{value}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="bad"):
        loaded = load_images(folder, "thing", n=10)
    assert sorted(to_uint8(loaded)[:, 0, 0, 0]) == list(range(10))


def test_fewer_than_asked_for_is_a_warning(folder):
    greys(folder, [1, 2, 3])
    with pytest.warns(UserWarning, match="expected 5 images of 'thing'; received 3"):
        assert len(load_images(folder, "thing", n=5)) == 3


def test_hidden_files_and_folders_are_passed_over(folder, recwarn):
    greys(folder, [1])
    (folder / "thing" / ".DS_Store").write_bytes(b"anything")
    (folder / "thing" / "inner").mkdir()
    assert len(load_images(folder, "thing")) == 1 and not recwarn


def test_an_unknown_class_lists_the_classes(folder):
    (folder / "other").mkdir()
    (folder / ".git").mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"\(other, thing\); received 'thin'"):
        load_images(folder, "thin")
    for escape in ("..", ".git", "", "../" + folder.name):
        with pytest.raises(ValueError, match="expected a class"):
            load_images(folder, escape)


def test_what_is_not_there_is_an_error(folder):
    with pytest.raises(FileNotFoundError, match="received .*absent"):
        load_images(folder / "absent", "thing")
    with pytest.raises(ValueError, match="received 0 files"):
        load_images(folder, "thing")
    for wrong in ({"n": 0}, {"n": -1}, {"size": 0}):
        with pytest.raises(ValueError, match=f"received {next(iter(wrong.values()))}"):
            load_images(folder, "thing", **wrong)


def test_partworld_is_drawn_from_the_seed():
    from vizlib import partworld

    loaded = load_images("partworld", "face", n=3, seed=5)
    np.testing.assert_array_equal(loaded, partworld.draw("face", 3, seed=5))
    np.testing.assert_array_equal(load_images("partworld", "face", n=2, seed=5), loaded[:2])
    half = load_images("partworld", "face", n=3, seed=5, size=32)
    assert half.shape == (3, 32, 32, 3) and half.dtype == np.float32
    np.testing.assert_allclose(half, loaded.reshape(3, 32, 2, 32, 2, 3).mean((2, 4)), atol=0.2)
    np.testing.assert_allclose(half.mean((1, 2)), loaded.mean((1, 2)), atol=0.01)
    with pytest.raises(ValueError, match="face.*received 'faces'"):
        load_images("partworld", "faces")


def test_photographs(shared):
    loaded = load_images(shared / "photos" / "val", "goldfish")
    assert loaded.shape == (50, 64, 64, 3)
    red, green, blue = loaded.mean((0, 1, 2))
    assert red > green > blue  # goldfish are orange


def test_as_images_takes_uint8_and_floats_of_one_image_or_many():
    one = np.array([[[0, 51, 255]]], np.uint8)
    for array in (one, one[None], one / 255, (one / 255)[None], (one / 255).tolist()):
        result = as_images(array)
        assert result.dtype == np.float32 and result.shape == (1, 1, 1, 3)
        np.testing.assert_array_equal(result.ravel(), np.float32([0, 0.2, 1]))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), r"received \(4, 4\)"),
        (np.zeros((1, 1, 4, 4, 3)), r"received \(1, 1, 4, 4, 3\)"),
        (np.zeros((4, 4, 1)), r"received \(4, 4, 1\)"),
        (np.zeros((2, 4, 4, 4)), r"received \(2, 4, 4, 4\)"),
        (np.zeros((0, 4, 4, 3)), r"received \(0, 4, 4, 3\)"),
        (np.zeros((4, 4, 3), int), "received dtype int64"),
        (np.zeros((4, 4, 3), bool), "received dtype bool"),
        (np.full((4, 4, 3), np.nan), "received values from nan to nan"),
        (np.full((4, 4, 3), 1.01), "received values from 1.01 to 1.01"),
        (np.linspace(-0.5, 1, 48).reshape(4, 4, 3), "received values from -0.5 to 1"),
        (np.linspace(0, 255, 48).reshape(4, 4, 3), "received values from 0 to 255"),
    ],
)
def test_as_images_says_what_it_expected_and_received(array, message):
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        as_images(array)


def test_to_uint8_is_the_inverse_of_as_images_and_rounds():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(to_uint8(as_images(every))[0], every)
    np.testing.assert_array_equal(to_uint8(np.full((1, 1, 3), 0.5019)), 128)
    with pytest.raises(ValueError, match="received values"):
        to_uint8(np.full((1, 1, 3), 2.0))


def test_save_image_writes_the_whole_file_or_none(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_image(path, picture / 255)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)

    def fail(self, file, **options):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_image(path, 1 - picture / 255)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
