"""Another locale, time zone, home and clock change nothing of what is computed, read or written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import surroundings
from conftest import ROOT


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What comes of it here, in the surroundings of the tests."""
    return json.loads(json.dumps(surroundings.everything(tmp_path_factory.mktemp("here"))))


@pytest.fixture(scope="module")
def locales(tmp_path_factory):
    """A folder with the locale of Turkey: a comma in numbers, and an i that has a dot as a capital letter."""
    if not shutil.which("localedef") or not Path("/usr/share/i18n/locales/tr_TR").exists():
        pytest.skip("no localedef, or no sources of locales")
    folder = tmp_path_factory.mktemp("locales")
    subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", folder / "tr_TR.UTF-8"], check=True)
    return folder


def elsewhere(folder, **environment):
    """What comes of it in other surroundings, where the clock goes back."""
    own = "LC_", "LANG", "TZ", "KERAS_HOME", "MPLCONFIGDIR", "XDG_"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "surroundings.py", folder], text=True, encoding="utf-8", capture_output=True,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_locale_and_no_home_to_write_to(expected, tmp_path):
    assert elsewhere(tmp_path, LC_ALL="C", HOME="/dev/null/home") == expected


def test_another_country(expected, locales, tmp_path):
    assert elsewhere(tmp_path, LOCPATH=str(locales), LANG="tr_TR.UTF-8", TZ="Asia/Kathmandu") == expected
