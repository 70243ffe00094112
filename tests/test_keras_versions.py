"""The oldest Keras that is allowed; all other tests run on what is installed, which is the newest where it is fresh."""

import os
import re
import subprocess
import sys
from configparser import ConfigParser

import keras
import pytest
from conftest import ROOT

import vizlib as viz
from vizlib.partworld.embedded import load_judge

SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
OLDEST = re.search(r"^keras>=([\d.]+)$", SETUP["options"]["install_requires"], re.MULTILINE)[1] + ".0"
TESTS = "graph", "network", "identity", "batches", "compiled", "precision", "weights", "tokens", "inputs"
NETWORKS = "mini", "classifier", "parts"

IDENTITIES = f"""
import vizlib as viz
from vizlib.partworld.embedded import load_judge
print(viz.load_network("mini").fingerprint, *(viz.Network(load_judge(name)).fingerprint for name in {NETWORKS[1:]}))
"""


@pytest.fixture(scope="module")
def oldest(tmp_path_factory):
    """A function that runs Python with that Keras before the one that is installed."""
    if keras.__version__ == OLDEST:
        pytest.skip(f"Keras {OLDEST} is installed")
    folder = tmp_path_factory.mktemp("keras")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder), f"keras=={OLDEST}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"pip got no Keras {OLDEST}: {done.stderr}")
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}

    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert run("-c", "import keras; print(keras.__version__)").stdout.split() == [OLDEST] != [keras.__version__]
    return run


def test_networks_are_the_same_on_the_oldest_keras(oldest):
    files = [f"tests/test_{name}.py" for name in TESTS]
    done = oldest("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 100


def test_their_identities_are_the_same(oldest):
    nets = viz.load_network("mini"), *(viz.Network(load_judge(name)) for name in NETWORKS[1:])
    done = oldest("-c", IDENTITIES)
    assert done.stdout.split() == [net.fingerprint for net in nets], done.stderr


def test_what_keras_keeps_private_is_touched_in_one_file():
    private = r"_nodes_by_depth|_flatten_layers|_inbound_nodes|_outbound_nodes|_dtype_policy|_keras_history|_functional"
    found = {path.name for path in (ROOT / "vizlib").rglob("*.py") if re.search(private, path.read_text())}
    assert found == {"graph.py"}
