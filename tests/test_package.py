"""The package as users open it: its greeting, and modules that load when first used."""

from pathlib import Path

import pytest

import fastmlp
from tests.fresh import run_python


def test_submodules_are_imported_when_they_are_first_used():
    code = """
import sys, fastmlp
names = ["displays", "examples", "inspection", "onnx_export", "playground"]
assert not [name for name in names if f"fastmlp.{name}" in sys.modules]
assert set(names) <= set(dir(fastmlp))
assert callable(fastmlp.inspection.summary)
assert callable(fastmlp.onnx_export.register)
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
