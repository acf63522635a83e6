"""A fixture of all tests, doctests included."""

import pytest

from fastmlp.kernels import ACTIVATIONS, CUSTOM, LOSSES


@pytest.fixture(autouse=True)
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
