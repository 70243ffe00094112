"""What `python -m build` makes: it is whole, has nothing else in it, and works where there is no checkout."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
from configparser import ConfigParser
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from packaging.requirements import Requirement

import vizlib

SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
NOTEBOOKS = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}


def run(*command, **options):
    """Run Python on a command line; what it prints."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The folder of the source distribution and of the wheel that is built from it, not from the checkout."""
    folder = tmp_path_factory.mktemp("build")
    ignored = (line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())
    shutil.copytree(ROOT, folder / "checkout", ignore=shutil.ignore_patterns(".git", *ignored))
    run("-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "checkout")
    return folder / "dist"


@pytest.fixture(scope="module")
def environment(distributions, tmp_path_factory):
    """An environment of its own with the wheel installed; only what vizlib requires is borrowed from this one.

    It is borrowed as a path: the editable vizlib of this environment, which would fill every gap, stays out of sight.
    """
    folder = tmp_path_factory.mktemp("environment")
    run("-m", "venv", "--without-pip", folder)
    (wheel,) = distributions.glob("*.whl")
    run("-m", "pip", "--python", folder / "bin/python", "install", "--no-deps", "--no-index", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    for path in borrowed:  # where Python has no distutils, TensorFlow 2.18 asks setuptools for it
        for shim in Path(path).glob("distutils-precedence.pth"):
            shutil.copy(shim, site)
    return folder


@pytest.fixture(scope="module")
def installed(environment) -> Distribution:
    (info,) = environment.glob("lib/python*/site-packages/vizlib-*.dist-info")
    return PathDistribution(info)


def within(folder, pattern="*"):
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if path.is_file()}


def test_the_wheel_holds_the_package_and_the_notebooks_and_nothing_else(installed):
    files = {Path(file).as_posix() for file in installed.files if file.suffix != ".pyc"}
    expected = {name for name in within(ROOT / "vizlib") if "__pycache__" not in name}
    expected |= {f"data/{name}" for name in within(ROOT / "data")}
    assert {name.removeprefix("vizlib/") for name in files if name.startswith("vizlib/")} == expected
    assert {"py.typed", "__init__.pyi", "data/mini.keras", "images/imagenet_classes.txt"} < expected
    others = {name for name in files if not name.startswith(("vizlib/", "vizlib-"))}
    assert others == {f"../../../share/vizlib/notebooks/{name}" for name in NOTEBOOKS}


def test_the_source_distribution_holds_what_a_wheel_is_built_from_and_no_tests(distributions):
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = {file.name.partition("/")[2] for file in archive.getmembers() if file.isfile()}
    assert {f"notebooks/{name}" for name in NOTEBOOKS} | {"LICENSE", "CITATION.cff", "CHANGELOG.md"} < files
    folders = {file.partition("/")[0] for file in files if "/" in file}
    assert folders == {"vizlib", "vizlib.egg-info", "data", "notebooks"}


def test_metadata(installed):
    metadata = installed.metadata
    assert (metadata["Name"], metadata["Version"], metadata["License"]) == ("vizlib", vizlib.__version__, "MIT")
    assert installed.read_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert (metadata["Requires-Python"], metadata["Description-Content-Type"]) == (">=3.11", "text/markdown")
    wanted = {Requirement(line) for line in SETUP["options"]["install_requires"].strip().splitlines()}
    assert {line for line in map(Requirement, installed.requires) if "extra" not in str(line.marker)} == wanted
    assert set(metadata.get_all("Provides-Extra")) == set(SETUP["options.extras_require"])


def test_the_package_index_would_take_them(distributions):
    assert run("-m", "twine", "check", "--strict", *distributions.iterdir()).count("PASSED") == 2


PROGRAM = """
import json, vizlib as viz
assert all(getattr(viz, name) is not None for name in viz.__all__)
net = viz.load_network("mini")
images = viz.load_images("partworld", "face", n=2, seed=0)
print(json.dumps([viz.__file__, net.scores(images).tolist()]))
"""


def test_it_works_where_it_is_installed(environment, mini, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [environment / "bin/python", "program.py"], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    file, scores = json.loads(done.stdout)
    assert Path(file).is_relative_to(environment)
    images = vizlib.load_images("partworld", "face", n=2, seed=0)
    np.testing.assert_allclose(scores, mini.scores(images), rtol=1e-4, atol=1e-4)


USER = """
import numpy as np
import vizlib as viz

net = viz.load_network("mini")
images = viz.load_images("partworld", "face", n=4)
maps = viz.grad_cam(net, images, "scores", "face")
viz.plots.overlay(images, {"Grad-CAM": maps, "gradient": viz.saliency(net, images, "scores", "face")})
store = viz.StatsStore("stats", net)
viz.collect(store, images, "face", ["block3_conv3"])
result = viz.reconstruct(store.network, store.sample("face"), steps=9)
shown: np.ndarray[tuple[int, int, int, int], np.dtype[np.float32]] = result.images
"""
MISTAKES = {
    "viz.salience": "attr-defined",
    'viz.saliency(net, images, "scores")': "call-arg",
    'viz.saliency(net, images, 3, "face")': "arg-type",
    "net.scores([1.0])": "arg-type",
    "wrong: np.ndarray[tuple[int, int], np.dtype[np.float32]] = maps": "assignment",
    "doubles: np.ndarray[tuple[int, int, int], np.dtype[np.float64]] = maps": "assignment",
    "classes: list[str] = net.classes": "assignment",
}


def test_a_users_type_checker_knows_what_is_public(environment, tmp_path):
    """Through `py.typed` and the stub: it does not see what `__getattr__` loads."""
    (tmp_path / "user.py").write_text(USER + "\n".join(MISTAKES))
    command = [sys.executable, "-m", "mypy", "--python-executable", environment / "bin/python", "user.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    found = re.findall(r"user\.py:(\d+): error: .*\[([a-z-]+)\]", said)
    first = USER.count("\n") + 1
    assert found == [(str(first + i), code) for i, code in enumerate(MISTAKES.values())], said
