"""Fixtures of more than one test file."""

import signal

import pytest

from fastmlp.kernels import _cache


@pytest.fixture(autouse=True, scope="session")
def compilation_announced():
    """Have the process's line about its first compilation stand in no test's output."""
    _cache._announce()


@pytest.fixture
def interruptible():
    """Have SIGINT raise, which a shell's background processes ignore."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)
