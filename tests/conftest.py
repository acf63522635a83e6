"""Fixtures of more than one test file."""

import signal

import pytest


@pytest.fixture
def interruptible():
    """Have SIGINT raise, which a shell's background processes ignore."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)
