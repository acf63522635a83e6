"""The package as users open it: its greeting, and modules that load when first used."""

from pathlib import Path

import pytest

import fastmlp
from tests.fresh import run_python


def test_submodules_are_imported_when_they_are_first_used():
    code = """
import sys, fastmlp
fastmlp.MLPClassifier
names = ["displays", "examples", "inspection", "onnx_export", "playground"]
other = ["_warmup", "cluster", "estimators._tabular", "tables.ensemble"]
assert not [name for name in names + other if f"fastmlp.{name}" in sys.modules]
# Numba's modules are those that it imports to compile, 0.2 s.
others = ["numba.np.arrayobj", "numba.np.linalg", "dask", "matplotlib", "onnx"]
assert not [name for name in others if name in sys.modules]
assert set(names) <= set(dir(fastmlp))
assert fastmlp.TabularClassifier().get_params() and callable(fastmlp.warmup)
assert callable(fastmlp.inspection.summary)
assert callable(fastmlp.onnx_export.register)
assert not {"onnx", "skl2onnx"} & set(sys.modules)
assert callable(fastmlp.displays.LossCurveDisplay.from_estimator)
assert callable(fastmlp.playground.run)
"""
    comp = run_python(code)
    assert comp.returncode == 0, comp.stderr


def test_there_is_nothing_else():
    with pytest.raises(AttributeError, match="module 'fastmlp' has no attribute 'x'"):
        fastmlp.x  # noqa: B018


def test_the_greeting_names_all_that_is_public():
    public = {*fastmlp.__all__} - {"__version__"} | {*fastmlp._SUBMODULES}
    assert [name for name in public if name not in fastmlp.__doc__] == []


def test_the_package_is_marked_as_typed():
    assert (Path(fastmlp.__file__).parent / "py.typed").exists()
