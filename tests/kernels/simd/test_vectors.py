"""Vector operations against NumPy, on sizes around one vector."""

import itertools

import numba
import numpy as np
import pytest

from tests.kernels_api import lanes, vectors
from tests.networks import DTYPES


@numba.njit
def _sum_squares(x, offset, count):
    return vectors.sum_squares(x, offset, count)


@numba.njit
def _dot(x, y, offset, count):
    return vectors.dot(x, y, offset, count)


@numba.njit
def _copy_rows(rows, columns, source, source_at, target, target_at, filled, fill):
    vectors.copy_rows(rows, columns, source, source_at, target, target_at, filled, fill)


@numba.njit
def _softmax(x, rows, width, weights, totals):
    vectors.shift_rows(x, rows, width)
    x[:] = np.exp(x)
    vectors.normalize_rows(x, rows, width, weights, totals)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_products(dtype):
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    x, y = rng.standard_normal((2, 3000)).astype(dtype)
    for count, offset in itertools.product((0, 1, 2, 5, 40), (0, 1, 3)):
        count *= lanes(dtype)
        part, other = (a[offset:][:count].astype(np.float64) for a in (x, y))
        comp = _sum_squares(x, offset, count)
        np.testing.assert_allclose(comp, part @ part, rtol=40 * eps)
        comp, bound = _dot(x, y, offset, count), abs(part) @ abs(other)
        np.testing.assert_allclose(comp, part @ other, rtol=0, atol=40 * eps * bound)


@pytest.mark.parametrize("to", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_copy_rows(dtype, to):
    """Whole rows arrive converted, and nothing beside them is touched."""
    rng = np.random.default_rng(0)
    lane = lanes(to)
    for rows, columns in itertools.product((0, 1, 3), range(2 * lane + 2)):
        filled = -(-columns // lane) * lane
        for pad in (0, filled, filled + lane):
            a_row, b_row = columns + 2, max(columns, pad) + 1
            source = rng.standard_normal(1 + rows * a_row).astype(dtype)
            target = np.full(2 + rows * b_row, 7, to)
            ref = target.copy()
            matrix = ref[2:].reshape(rows, b_row)
            matrix[:, :pad] = -np.inf
            matrix[:, :columns] = source[1:].reshape(rows, a_row)[:, :columns]
            at = (1, a_row), (2, b_row)
            _copy_rows(rows, columns, source, at[0], target, at[1], pad, -np.inf)
            np.testing.assert_array_equal(target, ref)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_become_probabilities(dtype):
    rng = np.random.default_rng(0)
    eps = np.finfo(dtype).eps
    for rows, per_row in itertools.product((1, 2, 5), (1, 2, 3)):
        width = per_row * lanes(dtype)
        scores = 20 * rng.standard_normal((rows, width)).astype(dtype)
        scores[:, -1] = -np.inf
        x, totals = scores.ravel().copy(), np.empty(rows, dtype)
        weights = rng.uniform(1, 2, rows).astype(dtype)
        _softmax(x, rows, width, weights, totals)
        e = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
        np.testing.assert_allclose(totals, e.sum(axis=1), rtol=50 * eps)
        ref = e / e.sum(axis=1, keepdims=True) * weights[:, None]
        np.testing.assert_allclose(x.reshape(rows, width), ref, 50 * eps, 1e-36)


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_with_nan_is_nan_and_the_others_are_not(dtype):
    width = 2 * lanes(dtype)
    for place in range(width):
        x = np.zeros((3, width), dtype)
        x[1, place] = np.nan
        totals = np.empty(3, dtype)
        _softmax(x.reshape(-1), 3, width, np.ones(3, dtype), totals)
        assert np.isnan(x[1]).all()
        assert np.isnan(totals[1])
        np.testing.assert_array_equal(x[[0, 2]], dtype(1 / width))
