"""Where the operating system lacks a function, the package does without."""

import os
import sys
import types

from fastmlp import _platform


def test_functions_that_a_system_lacks(monkeypatch, tmp_path):
    tmp_path.chmod(0o777)
    for name in ("sched_getaffinity", "register_at_fork", "getuid", "sysconf"):
        monkeypatch.delattr(os, name, raising=False)
    assert _platform.allowed_cores() is None
    assert _platform.machine_bytes() == sys.maxsize
    _platform.at_fork(before=lambda: None)
    _platform.check_private(tmp_path)
    _platform.read_ahead(types.SimpleNamespace(), 0, 1)


def test_tiles_are_asked_for_on_linux_only(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not _platform.may_use_tiles()
