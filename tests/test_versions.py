"""`make versions`: what it pins is the oldest that is allowed, and its table counts what pytest counted."""

from configparser import ConfigParser

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def test_the_oldest_is_the_lower_bound_of_what_is_required():
    bounds = {wanted.name: wanted for wanted in map(Requirement, SETUP["options"]["install_requires"].split())}
    pinned = [line.split(": ") for line in SETUP["testenv"]["deps"].strip().splitlines()[1:]]
    assert {name for names, _ in pinned for name in names.split(",")} == {f"py3{i}-oldest" for i in (11, 12, 13)}
    oldest = [Requirement(pin) for names, pin in pinned if "py311-oldest" in names]
    for pin in oldest:
        (bound,), (only,) = bounds[pin.name].specifier, pin.specifier
        assert only.version in (f"{bound.version}.0", f"{bound.version}.*")
    assert [pin.name for pin in oldest] == ["keras", "tensorflow"]


REPORT = '<testsuites><testsuite errors="1" failures="2" skipped="30" tests="400"/></testsuites>'


def test_a_row_of_the_table(tmp_path):
    from versions import counts

    (tmp_path / "py311-oldest.xml").write_text(REPORT)
    assert counts(tmp_path / "py311-oldest.xml") == {"passed": 367, "failed": 3, "skipped": 30}


@pytest.mark.parametrize("returncode", [0, 1])
def test_the_table_is_of_this_run(tmp_path, monkeypatch, capsys, returncode):
    """Rows of an earlier run are gone; whether all passed is what tox says."""
    import versions

    def run(command):
        assert command[1:] == ["-m", "tox", "run", "--", "tests/test_terms.py"]
        (tmp_path / "py312-newest.xml").write_text(REPORT)
        return type("Done", (), {"returncode": returncode})

    (tmp_path / "py311-oldest.xml").write_text(REPORT)
    monkeypatch.setattr(versions, "FOLDER", tmp_path)
    monkeypatch.setattr(versions.subprocess, "run", run)
    monkeypatch.setattr(versions.sys, "argv", ["versions.py", "tests/test_terms.py"])
    assert versions.main() == returncode
    assert capsys.readouterr().out.split() == ["py312-newest", "367", "passed", "3", "failed", "30", "skipped"]
