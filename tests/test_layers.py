"""Imports between the modules point one way."""

import ast
import functools
from pathlib import Path

import pytest

import fastmlp

ROOT = Path(fastmlp.__file__).parent

# What each part may import of fastmlp besides itself and `_platform`.
BELOW = {
    "_platform": (),
    "kernels": (),
    "network": ("kernels",),
    "training": ("kernels", "network"),
    "data": (),
    "tables": ("kernels", "network", "training"),
    "estimators": ("kernels", "network", "training", "data", "tables"),
    "cluster": ("kernels", "network", "training", "data", "tables", "estimators"),
    "dask": (
        *("kernels", "network", "training", "data", "tables", "estimators", "cluster"),
    ),
    "inspection": ("kernels", "network", "training", "tables", "estimators"),
    "displays": ("kernels", "network", "training", "estimators", "inspection"),
    "playground": ("kernels", "network", "training", "estimators", "inspection"),
}

MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
KERNELS = [path for path in MODULES if path.parts[0] == "kernels"]
WITHOUT_SKLEARN = ("kernels", "network", "training", "data")


@functools.cache
def nodes(path):
    """Return the nodes of a module's syntax tree."""
    return [*ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))]


@functools.cache
def imports(path):
    """Return the full names of all that a module imports, wherever it does so."""
    package = ("fastmlp", *path.parts[:-1])
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *([node.module] if node.module else [])))
            names.update(f"{start}.{alias.name}" for alias in node.names)
    return names


def packages(path):
    """Return the top-level packages that a module imports."""
    return {name.split(".")[0] for name in imports(path)}


def test_every_module_is_seen():
    names = {path.parts[0].removesuffix(".py") for path in MODULES}
    assert {*BELOW, "__init__"} <= names
    assert len(KERNELS) > 5


@pytest.mark.parametrize("name", BELOW)
def test_a_part_imports_only_those_below(name):
    below = {*BELOW[name], name, "_platform"}
    for path in MODULES:
        if path.parts[0].removesuffix(".py") == name:
            # Of the package itself the version only.
            own = {n for n in imports(path) if n.startswith("fastmlp.")}
            assert {n.split(".")[1] for n in own} <= below, path


def test_no_sklearn_below_the_estimators():
    below = [path for path in MODULES if path.parts[0] in WITHOUT_SKLEARN]
    assert [path for path in below if "sklearn" in packages(path)] == []


def test_numba_is_imported_by_the_kernels_only():
    others = [path for path in MODULES if path not in KERNELS]
    assert [p for p in others if packages(p) & {"numba", "llvmlite"}] == []


# What one operating system has and another has not, or answers otherwise.
OF_THE_SYSTEM = {
    "ctypes": {"CDLL", "WinDLL"},
    "mmap": {"MADV_WILLNEED"},
    "os": {
        *("fork", "getuid", "name", "register_at_fork", "sched_getaffinity"),
        *("sched_setaffinity", "sysconf", "uname"),
    },
    "platform": {"machine", "system"},
    "sys": {"getwindowsversion", "platform"},
}
MODULES_OF_THE_SYSTEM = {"fcntl", "msvcrt", "pwd", "resource", "signal", "winreg"}


def test_one_module_depends_on_the_operating_system():
    names_of = {f"{a}.{b}" for a, names in OF_THE_SYSTEM.items() for b in names}
    for path in MODULES:
        used = imports(path) | {
            f"{node.value.id}.{node.attr}"
            for node in nodes(path)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        found = used & names_of | packages(path) & MODULES_OF_THE_SYSTEM
        assert not found or path == Path("_platform.py"), path


@pytest.mark.parametrize("name", ["network", "training"])
def test_the_parts_above_use_what_the_kernels_offer(name):
    """And not their insides."""
    for path in MODULES:
        if path.parts[0] == name:
            own = {n for n in imports(path) if n.startswith("fastmlp.kernels.")}
            assert {n.count(".") for n in own} <= {2}, path


# In order: each imports only those before.
KERNEL_FOLDERS = ("compile", "simd", "math", "runtime", "ops", "heads", "update")


@pytest.mark.parametrize("name", KERNEL_FOLDERS)
def test_a_folder_of_the_kernels_imports_only_those_before(name):
    before = {*KERNEL_FOLDERS[: KERNEL_FOLDERS.index(name)], name}
    for path in KERNELS:
        if path.parts[1] == name:
            own = {n for n in imports(path) if n.startswith("fastmlp.kernels.")}
            folders = {n.split(".")[2] for n in own} & {*KERNEL_FOLDERS}
            assert folders <= before, path


ESTIMATORS = (
    "_warnings", "_checks", "_pairings", "_targets", "_parameters", "_problem",
    "_fitted", "_holdout", "_session", "_learning", "_blocks", "_block_judge",
    "_block_rows", "_streams", "_callbacks", "_doc_link", "_saving", "_features",
    "_export", "_onnx", "_c_code", "_conversion", "_base", "_folds", "_scaling",
    "_table_onnx", "_calibration", "_table_problem", "_intervals", "_table_model",
    "_table_scores", "_table_selection", "_table_learning", "_table_streams",
    "_tabular",
)  # fmt: skip

FITTERS = ("classifier", "regressor", "tabular_classifier", "tabular_regressor")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_module_of_the_estimators_imports_only_those_before(name):
    own = imports(Path("estimators") / f"{name}.py")
    own = {n.split(".")[2] for n in own if n.startswith("fastmlp.estimators.")}
    assert own <= {*ESTIMATORS[: ESTIMATORS.index(name)]}


@pytest.mark.parametrize("name", FITTERS)
def test_estimators_do_not_know_each_other(name):
    own = imports(Path("estimators") / f"{name}.py")
    own = {n.split(".")[2] for n in own if n.startswith("fastmlp.estimators.")}
    assert own <= set(ESTIMATORS)
