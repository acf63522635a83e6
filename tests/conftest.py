"""Fixtures of more than one test file."""

import signal

import pytest

from fastmlp.estimators import _parameters
from fastmlp.kernels.compile import cache


@pytest.fixture(autouse=True, scope="session")
def compilation_announced():
    """Have the process's line about its first compilation stand in no test's output."""
    cache._announce()


@pytest.fixture
def interruptible():
    """Have SIGINT raise, here and in processes that a test starts.

    Both ignore it where a shell has started the tests in the background.
    """
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.fixture
def agg():
    """Draw without a window, and close the figures."""
    from matplotlib import pyplot as plt  # only tests that draw wait for it

    plt.close("all")
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(autouse=True)
def nothing_was_warned_of():
    """Have each test warned of unused parameters as the first one is."""
    _parameters.WARNED.clear()
