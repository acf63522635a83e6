"""Compiling ahead of time, in processes of their own."""

from pathlib import Path

import pytest

from fastmlp import __main__ as main_module
from fastmlp import _warmup
from fastmlp.kernels import cache_folder
from tests.kernels_api import ENCODINGS
from tests.stress import warmup


def test_nothing_is_left_to_compile():
    """The short version of ``tests.stress.warmup``: one type, and any cache."""
    prepared, _ = warmup.kernels_of("warm_up", ("float32",))
    asked, compiled = warmup.kernels_of("fit_all", ("float32",))
    assert len(asked) > 50
    assert asked <= prepared
    assert not compiled
    for name in (*ENCODINGS, "scaled"):
        assert any(kernel.startswith(f"{name}-") for kernel in prepared)


def test_command_says_where_kernels_are(monkeypatch, capsys):
    jobs = [("a job", lambda: None)]
    monkeypatch.setattr(_warmup, "_storage_jobs", lambda: jobs)
    monkeypatch.setattr(_warmup, "_table_jobs", lambda: jobs)
    main_module.main(["warmup"])
    first, second, last = capsys.readouterr().out.splitlines()
    assert (first, second) == ("[1/2] a job", "[2/2] a job")
    assert Path(last.rpartition("kept in ")[2]) == cache_folder()


def test_no_folder_is_an_error(monkeypatch):
    monkeypatch.setattr(_warmup, "cache_folder", lambda: None)
    with pytest.raises(RuntimeError, match="FASTMLP_CACHE_DIR"):
        _warmup.warmup()
