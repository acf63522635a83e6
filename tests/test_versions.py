"""Facts for a bug report."""

import os
import platform
from importlib.metadata import version

import pytest

import fastmlp
from fastmlp import __main__ as main_module
from fastmlp import _versions
from fastmlp.kernels import available_cores, cache_folder


@pytest.fixture
def facts(capsys):
    """Return what is printed, by name."""
    fastmlp.show_versions()
    lines = capsys.readouterr().out.splitlines()
    return dict(line.strip().split(": ", 1) for line in lines if ": " in line)


def test_versions(facts):
    assert facts["fastmlp"] == fastmlp.__version__
    assert facts["python"].startswith(platform.python_version())
    for name in ("numpy", "scipy", "scikit-learn", "numba", "llvmlite", "joblib"):
        assert facts[name] == version(name)


def test_machine(facts):
    assert facts["cores"] == f"{available_cores()} of {os.cpu_count()}"
    assert facts["kept in"] == str(cache_folder())
    assert facts["CPU"]
    wide = {"64 bytes": "avx512f", "32 bytes": "avx2", "16 bytes": ""}
    assert wide[facts["vectors"]] in facts["features"]


def test_a_package_that_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(_versions, "PACKAGES", ("no-such-package",))
    fastmlp.show_versions()
    assert "no-such-package: None" in capsys.readouterr().out


def test_command(capsys):
    main_module.main(["versions"])
    by_command = capsys.readouterr().out
    fastmlp.show_versions()
    assert capsys.readouterr().out == by_command
