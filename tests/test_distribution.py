"""What `python -m build` makes: whole, nothing else in it, and of use in an environment that has never seen the checkout."""

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
    (site / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
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
    assert {name.removeprefix("vizlib/") for name in files if name.startswith("vizlib/")} == expected
    assert {"py.typed", "__init__.pyi", "data/mini.keras", "images/imagenet_classes.txt"} < expected
    others = {name for name in files if not name.startswith(("vizlib/", "vizlib-"))}
    assert others == {f"../../../share/vizlib/notebooks/{name}" for name in NOTEBOOKS}


def test_the_source_distribution_holds_what_a_wheel_is_built_from_and_no_tests(distributions):
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = {file.name.partition("/")[2] for file in archive.getmembers() if file.isfile()}
    assert {f"notebooks/{name}" for name in NOTEBOOKS} | {"LICENSE", "CITATION.cff", "CHANGELOG.md"} < files
    assert {file.partition("/")[0] for file in files if "/" in file} == {"vizlib", "vizlib.egg-info", "notebooks"}


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
reveal_type(net.scores(images))
reveal_type(viz.StatsStore("stats", net).classes)
viz.saliency(net, images, layer=3)
viz.salience
"""


def test_a_users_type_checker_knows_it(environment, tmp_path):
    """Through `py.typed` and the stub, as nothing that is loaded lazily would be seen."""
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--python-executable", environment / "bin/python", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    said = re.findall(r"user.py:(\d+): \w+: (.*)", done.stdout)
    assert said == [], done.stdout + done.stderr
