"""Prediction intervals: their width, their coverage, and where there are none."""

import functools
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from fastmlp import TabularRegressor
from fastmlp.estimators import _intervals
from fastmlp.estimators._intervals import half_widths
from tests.estimators import tables

RNG = np.random.default_rng(0)
FEW_ROWS = np.arange(8.0)[:, np.newaxis]

make = functools.partial(
    tables.make, TabularRegressor, hidden_layer_sizes=(16,), max_epochs=12
)


def make_data(n, rng=RNG):
    """Return X, and y whose noise grows with a column."""
    X = rng.uniform(-1, 1, size=(n, 3))
    y = 2 * X[:, 0] + X[:, 1] ** 2 + rng.normal(size=n) * (0.2 + abs(X[:, 2]))
    return X, y


X, Y = make_data(1500)
X_NEW, Y_NEW = make_data(20_000)


@pytest.fixture(scope="module")
def fitted():
    return make().fit(X, Y)


def covered(intervals, y):
    """Return the share of targets in their intervals."""
    inside = (intervals[..., 0] <= y) & (y <= intervals[..., 1])
    return inside.mean(axis=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [9, 19, 99, 199, 9999])
def test_ranks_are_those_of_the_decimal_number(dtype, m):
    # The product 0.55 * 100 is 55.00000000000001, of which the ceiling is 56.
    residuals = np.arange(1.0, m + 1)[:, np.newaxis]
    for percent in range(1, 100):
        rank = -(-percent * (m + 1) // 100)
        [half] = half_widths(residuals, dtype(percent) / dtype(100))
        assert half == (rank if rank <= m else np.inf)


@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_coverage_of_new_rows(n_networks, coverage):
    regr = make(n_networks=n_networks).fit(X, Y)
    share = covered(regr.predict_interval(X_NEW, coverage), Y_NEW)
    # 1500 or 300 residuals: a standard deviation of up to 0.013 or 0.029.
    assert abs(share - coverage) < (0.04 if n_networks > 1 else 0.09)


def test_intervals_are_those_of_the_held_out_residuals(fitted):
    residuals = np.sort(abs(Y - fitted.oof_predictions_))
    assert_allclose(fitted._residuals[:, 0], residuals)
    half = residuals[-(-9 * (len(Y) + 1) // 10) - 1]
    predictions = fitted.predict(X_NEW[:5])
    ref = np.column_stack([predictions - half, predictions + half])
    assert_allclose(fitted.predict_interval(X_NEW[:5]), ref)


def test_several_targets_have_intervals_of_their_own():
    both = np.column_stack([Y, 10 * Y[::-1]])
    regr = make().fit(X, both)
    intervals = regr.predict_interval(X_NEW[:7])
    assert intervals.shape == (7, 2, 2)
    widths = np.diff(intervals, axis=2)[:, :, 0].mean(axis=0)
    assert widths[1] > 5 * widths[0]
    assert_allclose(covered(regr.predict_interval(X), both), 0.9, atol=0.03)


def test_at_most_so_many_residuals_are_kept(monkeypatch):
    monkeypatch.setattr(_intervals, "MOST_RESIDUALS", 400)
    regr = make().fit(X, Y)
    residuals = regr._residuals
    assert residuals.shape == (400, 1)
    assert np.isin(residuals[:, 0], abs(Y - regr.oof_predictions_)).all()
    # A standard deviation of 0.015.
    assert abs(covered(regr.predict_interval(X_NEW), Y_NEW) - 0.9) < 0.04


def test_rows_without_weight_do_not_count():
    weight = np.repeat([1.0, 0.0], [1000, 500])
    far = np.where(weight, Y, 1e3)
    regr = make().fit(X, far, weight)
    assert regr._residuals.shape == (1000, 1)
    assert abs(covered(regr.predict_interval(X_NEW), Y_NEW) - 0.9) < 0.03


@pytest.mark.parametrize(
    "loss, y, lowest, highest",
    [
        ("squared_error", 2, -np.inf, np.inf),
        (("quantile", 0.5), 2, -np.inf, np.inf),
        ("poisson", 2, 0, np.inf),
        ("gamma", 2, 0, np.inf),
        ("log_loss", 0.1, 0, 1),
    ],
)
def test_ends_of_few_rows_are_those_of_the_targets(loss, y, lowest, highest):
    y = y * np.arange(1.0, 9.0)
    regr = make(loss=loss).fit(FEW_ROWS, y)
    ref = np.tile([lowest, highest], (8, 1))
    assert_array_equal(regr.predict_interval(FEW_ROWS), ref)
    # 8 of 8 residuals: (8 + 1) * 0.88 is less.
    ends = regr.predict_interval(FEW_ROWS, 0.88)
    assert np.isfinite(ends).all()
    assert (ends >= lowest).all()
    assert (ends <= highest).all()


def test_same_after_pickling(fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(
        loaded.predict_interval(X_NEW[:9]), fitted.predict_interval(X_NEW[:9])
    )


def test_wider_for_more_coverage(fitted):
    widths = [np.diff(fitted.predict_interval(X[:20], c)) for c in (0.5, 0.8, 0.95)]
    assert (widths[0] < widths[1]).all()
    assert (widths[1] < widths[2]).all()


def test_no_interval_without_held_out_rows():
    regr = make().fit(X, Y)
    regr.fit(X, Y, X_val=X[:50], y_val=Y[:50])
    with pytest.raises(ValueError, match="fit without X_val"):
        regr.predict_interval(X)


def test_no_interval_of_several_quantiles():
    regr = make(loss=("quantile", [0.05, 0.95]), max_epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="the first and the last column of predict"):
        regr.predict_interval(X)


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1, np.nan, "0.9", None, [0.9]])
def test_coverage_has_to_be_a_share(fitted, coverage):
    with pytest.raises(ValueError, match="'coverage' parameter"):
        fitted.predict_interval(X, coverage)


def test_not_fitted():
    with pytest.raises(NotFittedError):
        make().predict_interval(X)
