"""Settings of all tests, doctests included."""

import os

import pytest

# Workers of pytest-xdist have a core each. SciPy's L-BFGS would wait there for BLAS's
# threads, most of its time; set before NumPy is imported, for processes of tests too.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

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
