"""What surrounds the code: dependencies, version, and a package that loads nothing before it is used."""

import ast
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from importlib import import_module
from types import ModuleType

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import vizlib

SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def requirements(lines):
    """{name: version specifier} of requirement lines, all of it where a name is repeated; names as on PyPI."""
    found = {}
    for requirement in map(Requirement, lines):
        name = {"pytorch": "torch"}.get(requirement.name, requirement.name)
        found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return {name: str(specifier) for name, specifier in found.items()}


def fresh(code, cwd=ROOT):
    """Run code in an interpreter of its own, where nothing is imported yet; what it prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_conda_gives_what_setup_cfg_gives():
    wanted = SETUP["options"]["install_requires"].split()
    for extra in SETUP["options.extras_require"].values():
        wanted += extra.split()
    wanted.append("python" + SETUP["options"]["python_requires"])
    *packages, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    editable, *from_pypi = pip["pip"]
    assert editable == "-e ."
    packages += from_pypi
    assert len(packages) == len(set(packages))
    packages.remove("pip")
    assert requirements(packages) == requirements(wanted)


# The versions that something breaks with, and what: no others are excluded, and no version to come.
BROKEN = {
    "ipykernel": "!=7.0.*",  # threads cannot update widgets
    "torch": "<2.14",  # newer than the tests were run with, a download of GBs
}


def test_every_dependency_has_a_lower_bound_and_an_upper_one_only_where_something_breaks():
    lines = SETUP["options"]["install_requires"].split()
    for extra in SETUP["options.extras_require"].values():
        lines += extra.split()
    assert len(lines) > 15
    for name, specifier in requirements(lines).items():
        *excluded, bound = specifier.split(",")
        assert re.fullmatch(r">=\d+(\.\d+)+", bound) and excluded == [x for x in (BROKEN.get(name),) if x], name


def test_an_ipykernel_whose_threads_cannot_update_widgets_is_excluded():
    for extra in ("test", "notebooks"):
        wanted = requirements(SETUP["options.extras_require"][extra].split())["ipykernel"]
        assert not {"7.0.0", "7.0.1"} & {*SpecifierSet(wanted).filter(["6.29", "7.0.0", "7.0.1", "7.1.0"])}


def test_pyproject_holds_only_what_setup_cfg_cannot():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(pyproject) == {"build-system", "tool"} and set(pyproject["tool"]) == {"ruff"}


def test_the_version_is_the_same_everywhere():
    assert SETUP["metadata"]["version"] == "attr: vizlib.__version__"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == vizlib.__version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == vizlib.__version__


def test_importing_vizlib_loads_nothing_else():
    loaded = set(fresh("import sys, vizlib; dir(vizlib); print(*sys.modules)"))
    assert "vizlib" in loaded
    heavy = {"tensorflow", "jax", "keras", "numpy", "PIL", "scipy", "pandas", "matplotlib", "ipywidgets"}
    assert not loaded & heavy


@pytest.mark.parametrize("given", [None, "0"])
def test_tensorflow_uses_onednn_unless_the_user_says_otherwise(monkeypatch, given):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if given:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
    assert fresh("import vizlib, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])") == [given or "1"]


@pytest.mark.parametrize("name", vizlib.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(vizlib)
    assert isinstance(getattr(vizlib, name), ModuleType) == (name in vizlib._MODULES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'vizlib' has no attribute 'salience'"):
        vizlib.salience  # noqa: B018


ORDER = (  # a room imports from those before it, and from no other
    "_arrays", "_progress", "backend", "_files", "_hdf5", "partworld", "images", "networks", "statistics", "store",
    "attribution", "plots", "synthesis", "realism", "reporting", "explorer",
)


def test_rooms_import_from_those_before_them():
    for path in (ROOT / "vizlib").rglob("*.py"):
        room = path.relative_to(ROOT / "vizlib").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in re.findall(r"^ *(?:from|import) vizlib\.(\w+)", path.read_text(), re.MULTILINE):
            assert ORDER.index(name) <= ORDER.index(room), f"{path} imports vizlib.{name}"


def test_no_file_has_the_name_of_a_function():
    files = {path.stem for path in (ROOT / "vizlib").rglob("*.py")}
    assert not files & (set(vizlib.__all__) - set(vizlib._MODULES))


def test_type_checkers_see_the_public_names():
    """Each where it comes from, and that the package has types at all."""
    stub = ast.parse((ROOT / "vizlib/__init__.pyi").read_text()).body
    homes = {alias.asname: x.module for x in stub if isinstance(x, ast.ImportFrom) for alias in x.names}
    for name, home in homes.items():  # without "as" a name is private to a stub
        assert getattr(import_module(home), name or "") is getattr(vizlib, name)
    assert sorted([*homes, *(x.target.id for x in stub if isinstance(x, ast.AnnAssign))]) == sorted(vizlib.__all__)
    assert (ROOT / "vizlib/py.typed").read_bytes() == b""  # of tests/test_distribution.py is that both are installed


@pytest.mark.parametrize("room", ORDER)
def test_public_functions_say_what_they_take_and_give(room):
    """Each argument and what is returned has an annotation, of functions and methods, `__init__` among them."""
    files, bare, seen = [*(ROOT / "vizlib").glob(f"{room}.py"), *(ROOT / "vizlib" / room).rglob("*.py")], [], 0
    for path in files:
        module = ast.parse(path.read_text())
        for scope in (module, *(x for x in module.body if isinstance(x, ast.ClassDef) and x.name[0] != "_")):
            for function in (x for x in scope.body if isinstance(x, ast.FunctionDef)):
                if function.name.startswith("_") and not function.name.startswith("__"):
                    continue
                given, kinds = function.args, {ast.unparse(x) for x in function.decorator_list}
                arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                arguments = arguments[isinstance(scope, ast.ClassDef) and "staticmethod" not in kinds :]  # self
                bare += [f"{path.name}: {function.name}({x.arg})" for x in arguments if x and not x.annotation]
                bare += [f"{path.name}: {function.name}() →"] * (function.returns is None)
                seen += 1
    assert seen and not bare, ", ".join(bare)
