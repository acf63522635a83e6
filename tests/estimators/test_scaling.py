"""Units of a regression's targets."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp.estimators._scaling import fit_scaling

RNG = np.random.RandomState(0)
Y = RNG.gamma(2, size=(50, 2)) * [1, 30]
W = RNG.randint(4, size=50).astype(float)


@pytest.mark.parametrize("size", [1e-300, 1e-3, 1.0, 1e6, 1e300])
def test_numbers_get_mean_0_and_deviation_1(size):
    scaling = fit_scaling(Y * size, W, "identity")
    z = scaling.scaled(Y * size)
    assert_allclose(np.average(z, axis=0, weights=W), 0, atol=1e-12)
    assert_allclose(np.average(z**2, axis=0, weights=W), 1)
    assert_allclose(scaling.restored(z), Y * size)
    assert_array_equal(scaling.low, (Y * size).min(axis=0))
    assert_array_equal(scaling.high, (Y * size).max(axis=0))


def test_positive_numbers_get_mean_1():
    scaling = fit_scaling(Y, W, "exp")
    assert_array_equal(scaling.shift, 0)
    assert_allclose(np.average(scaling.scaled(Y), axis=0, weights=W), 1)


def test_shares_stay_as_they_are():
    y = Y / Y.max()
    assert_array_equal(fit_scaling(y, W, "logistic").scaled(y), y)


@pytest.mark.parametrize("out_activation", ["identity", "exp"])
@pytest.mark.parametrize("value", [0, 7, 0.1, 5e-324])
def test_equal_numbers_are_finite_and_return(value, out_activation):
    y = np.full((9, 1), value)
    scaling = fit_scaling(y, np.ones(9), out_activation)
    z = scaling.scaled(y)
    assert (np.abs(z) < 2).all()
    assert_allclose(scaling.clipped(scaling.restored(z)), y)


def test_predictions_are_clipped_also_where_they_overflow():
    y = np.array([[-1e308], [1e308]])
    scaling = fit_scaling(y, np.ones(2), "identity")
    far = scaling.restored(np.array([[-9.0], [9.0]]))
    assert_array_equal(scaling.clipped(far), y)
