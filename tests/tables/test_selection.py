"""Shares of y that columns explain, and how many of them are kept."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastmlp.tables.selection import (
    CHUNK_SIZE,
    MOST_WAVING,
    MOST_WITH_WAVES,
    explained,
    is_dense,
    most_explaining,
    numbers_to_try,
    shares_matter,
)
from tests.tables.test_encoding import category, number

RNG = np.random.RandomState(0)
N = 200
Y = RNG.normal(size=(N, 2))
WEIGHT = RNG.random(N)


def ref_share(parts, y, weight):
    """Return the adjusted share of variance that a weighted least-squares fit has."""
    root = np.sqrt(weight)[:, np.newaxis]
    A = np.column_stack([np.ones(len(y)), *parts])
    fitted, *_ = np.linalg.lstsq(A * root, y * root, rcond=None)
    left = weight @ np.square(y - A @ fitted).sum(axis=1)
    overall = weight @ np.square(y - np.average(y, 0, weight)).sum(axis=1)
    n = len(y) - 1
    return 1 - (left / overall) * n / (n - len(parts))


@pytest.mark.parametrize("weight", [np.ones(N), WEIGHT])
@pytest.mark.parametrize("n_columns", [1, *(CHUNK_SIZE // N + i for i in (-1, 0, 1))])
def test_numbers_explain_by_a_parabola(n_columns, weight):
    codes = RNG.normal(size=(N, n_columns)).astype(np.float32)
    y = Y + codes[:, :1] + np.square(codes[:, -1:])
    comp = explained([number(j) for j in range(n_columns)], codes, y, weight)
    x = codes.astype(np.float64).T
    ref = [ref_share([each, each**2], y, weight) for each in x]
    assert_allclose(comp, ref, atol=1e-12)


def test_numbers_explain_by_being_missing():
    codes = RNG.normal(size=(N, 1)).astype(np.float32)
    missing = RNG.random(N) < 0.3
    y = Y + 2.0 * missing[:, np.newaxis]
    codes[missing] = np.nan
    x = np.where(missing, 0.0, codes[:, 0])
    comp = explained([number(0, missing=True)], codes, y, WEIGHT)
    assert_allclose(comp, [ref_share([missing, x, x**2], y, WEIGHT)])


def test_categories_explain_by_the_mean_of_each():
    codes = RNG.randint(4, size=(N, 1)).astype(np.float32)
    y = Y + np.array([3.0, 0.0, 1.0, 1.0])[codes[:, 0].astype(int), np.newaxis]
    codes[codes == 3] = np.nan  # unknown ones are one more
    parts = [codes[:, 0] == k for k in range(3)]
    comp = explained([category(0, 3)], codes, y, WEIGHT)
    assert_allclose(comp, [ref_share(parts, y, WEIGHT)])


def test_a_category_of_weightless_rows_is_no_coefficient():
    codes, weight = np.float32([[0], [1], [0], [1], [2]]), np.float32([1, 1, 1, 1, 0])
    y = np.array([[0.0], [1.0], [0.1], [1.2], [9.0]])
    (comp,) = explained([category(0, 3)], codes, y, weight)
    assert 0.9 < comp < 1


def test_a_number_of_two_values_has_no_bend():
    codes = RNG.randint(2, size=(N, 1)).astype(np.float32)
    y = Y + codes
    (comp,) = explained([number(0)], codes, y, WEIGHT)
    assert_allclose(1 - comp, (1 - ref_share([codes[:, 0]], y, WEIGHT)) * 198 / 197)


@pytest.mark.parametrize("column", [number(0), number(0, missing=True), category(0, 1)])
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_constant_column_explains_nothing(column, value):
    codes = np.full((N, 1), value, np.float32)
    (comp,) = explained([column], codes, Y, WEIGHT)
    assert -0.02 < comp <= 0


def test_nothing_explains_a_constant_target():
    codes = RNG.normal(size=(N, 1)).astype(np.float32)
    (comp,) = explained([number(0)], codes, np.ones((N, 1)), WEIGHT)
    assert comp <= 0


def test_a_column_with_as_many_coefficients_as_rows_comes_last():
    codes = np.arange(3, dtype=np.float32)[:, np.newaxis]
    y = np.arange(3.0)[:, np.newaxis]
    assert explained([category(0, 3)], codes, y, np.ones(3)) == -np.inf
    assert explained([number(0)], codes, y, np.ones(3)) == -np.inf


def test_shares_of_noise_are_zero_on_average():
    codes = RNG.normal(size=(N, 2000)).astype(np.float32)
    shares = explained([number(j) for j in range(2000)], codes, Y[:, :1], np.ones(N))
    assert abs(shares.mean()) < 0.001
    assert 0.3 < np.mean(shares > 0) < 0.45
    assert not is_dense(shares)


def test_is_dense_where_most_columns_say_something():
    assert is_dense(np.r_[np.full(76, 0.01), np.full(24, -0.01)])
    assert not is_dense(np.r_[np.full(75, 0.01), np.full(25, -0.01)])


@pytest.mark.parametrize(
    "n_columns, ref",
    [
        (29, [29]),
        (30, [10, 30]),
        (101, [11, 33, 101]),
        (1000, [12, 37, 111, 333, 1000]),
    ],
)
def test_numbers_to_try(n_columns, ref):
    assert numbers_to_try(n_columns) == ref


def test_most_explaining_are_in_order_and_the_first_of_equal_ones():
    shares = np.array([0.1, -np.inf, 0.5, 0.1, 0.1])
    columns = [number(0), number(1), category(2, 3), number(3), number(4, scale=0.0)]
    assert most_explaining(columns, shares, 3) == ((0, 2, 3), (0, 3))
    assert most_explaining(columns, shares, 5) == ((0, 1, 2, 3, 4), (0, 1, 3))


def test_numbers_that_explain_most_have_waves():
    n = MOST_WAVING + 2
    columns, shares = [number(i) for i in range(n)], RNG.random(n)
    for n_kept in (n, n - 1):
        read, waving = most_explaining(columns, shares, n_kept)
        assert len(read) == n_kept
        left_out = sorted(set(range(n)).difference(waving))
        assert left_out == sorted(np.argsort(shares)[:2])


@pytest.mark.parametrize("n_more, n_waving", [(0, MOST_WAVING), (1, 0)])
def test_many_numbers_have_no_waves(n_more, n_waving):
    columns = [number(i) for i in range(MOST_WITH_WAVES + n_more)]
    columns += [category(len(columns), 3), number(len(columns) + 1, scale=0.0)]
    selection = most_explaining(columns, RNG.random(len(columns)), len(columns))
    assert len(selection.columns) == len(columns)
    assert len(selection.waving) == n_waving
    assert shares_matter(columns, len(columns)) == (n_more == 0)
    assert shares_matter(columns, len(columns) - 1)
    few = columns[-MOST_WAVING:]
    assert not shares_matter(few, len(few))
