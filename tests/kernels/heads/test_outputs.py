"""Every row of the table of output activations against NumPy."""

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import OUTPUTS, compile_output, lanes
from tests.networks import DTYPES


def _outputs(name, z):
    """Return the predictions for scores (rows, columns)."""
    rows, columns = z.shape
    lane = lanes(z.dtype)
    width = -(-columns // lane) * lane if OUTPUTS[name].by_rows else columns
    padded = np.full((rows, width), -np.inf, z.dtype)
    padded[:, :columns] = z
    ones, scratch = np.ones(rows, z.dtype), np.empty(rows, z.dtype)
    places = [array.ctypes.data for array in (padded, ones, scratch)]
    compile_output(name, z.dtype.type).ctypes(*places, rows, width)
    return padded[:, :columns]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, 2, 3, 16, 33])
@pytest.mark.parametrize("name", [name for name, row in OUTPUTS.items() if row])
def test_output(name, columns, dtype):
    rng = np.random.default_rng(0)
    for rows in (1, 2, 7):
        z = 3 * rng.standard_normal((rows, columns)).astype(dtype)
        ref = naive.ACTIVATIONS[name](z.astype(np.float64))
        comp = _outputs(name, z)
        np.testing.assert_allclose(comp, ref, rtol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_huge_scores(dtype):
    z = np.array([[1e4, 1e4 - 1, -1e4], [-1e30, 0, -1e30]], dtype)
    ref = [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0], [0, 1, 0]]
    np.testing.assert_allclose(_outputs("softmax", z), ref, rtol=1e-6)
    z[0, 1] = np.nan
    comp = _outputs("softmax", z)
    assert np.isnan(comp[0]).all()
    np.testing.assert_array_equal(comp[1], ref[1])
