"""Imports between the modules point one way."""

import ast
from pathlib import Path

import pytest

import fastmlp

ROOT = Path(fastmlp.__file__).parent

# What each module may import of fastmlp: those before it.
ORDER = (
    "kernels",
    "_network",
    "_schedules",
    "_training",
    "_validation",
    "_pairings",
    "_holdout",
    "_parameters",
    "_fitted",
    "_saving",
    "_onnx",
    "_callbacks",
    "_features",
    "_base",
)
ESTIMATORS = ("classifier", "regressor")

MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
KERNELS = [path for path in MODULES if path.parts[0] == "kernels"]


def imports(path):
    """Return the full names of all that a module imports, wherever it does so."""
    package = ("fastmlp", *path.parts[:-1])
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *([node.module] if node.module else [])))
            names.update(f"{start}.{alias.name}" for alias in node.names)
    return names


def layers(path):
    """Return the parts of fastmlp that a module imports."""
    own = [name.split(".") for name in imports(path) if name.startswith("fastmlp")]
    return {name[1] for name in own if len(name) > 1}


def packages(path):
    """Return the top-level packages that a module imports."""
    return {name.split(".")[0] for name in imports(path)}


def test_every_module_is_seen():
    names = {path.parts[0].removesuffix(".py") for path in MODULES}
    assert {*ORDER, *ESTIMATORS, "__init__"} <= names
    assert len(KERNELS) > 5


@pytest.mark.parametrize("path", KERNELS, ids=str)
def test_kernels_import_neither_sklearn_nor_the_layers_above(path):
    assert layers(path) <= {"kernels"}
    assert "sklearn" not in packages(path)


@pytest.mark.parametrize("name", ORDER[1:])
def test_a_layer_imports_only_those_below(name):
    below = ORDER[: ORDER.index(name)]
    assert layers(Path(f"{name}.py")) <= set(below)


@pytest.mark.parametrize("name", ["_network", "_schedules", "_training"])
def test_no_sklearn_below_the_estimators(name):
    assert "sklearn" not in packages(Path(f"{name}.py"))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_know_the_base_but_not_each_other(name):
    assert layers(Path(f"{name}.py")) == {"_base", "_pairings"}


@pytest.mark.parametrize("path", [p for p in MODULES if p not in KERNELS], ids=str)
def test_numba_is_imported_by_the_kernels_only(path):
    assert not packages(path) & {"numba", "llvmlite"}


@pytest.mark.parametrize("name", [*ORDER[1:], *ESTIMATORS])
def test_nothing_that_trains_needs_what_looks_inside(name):
    assert not layers(Path(f"{name}.py")) & {"inspection", "displays", "examples"}
