"""Fixtures of more than one test file."""

import signal

import pytest

from fastmlp.estimators import _parameters
from fastmlp.kernels import ACTIVATIONS, CUSTOM, LOSSES
from fastmlp.kernels.compile import cache


@pytest.fixture(autouse=True, scope="session")
def compilation_announced():
    """Have the process's line about its first compilation stand in no test's output."""
    cache._announce()


@pytest.fixture
def interruptible():
    """Have SIGINT raise, which a shell's background processes ignore."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.fixture
def registered():
    """Forget the activations and losses that a test registers.

    Their names stay those of the compiled functions: each test needs others.
    """
    tables = ACTIVATIONS, LOSSES, CUSTOM
    earlier = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, earlier, strict=True):
        table.clear()
        table.update(rows)


@pytest.fixture(autouse=True)
def nothing_was_warned_of():
    """Have each test warned of unused parameters as the first one is."""
    _parameters.WARNED.clear()
