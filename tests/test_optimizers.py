"""Every row of the table of update rules, against the formulas in NumPy."""

import numpy as np
import pytest

from fastmlp.kernels import Optimizer
from fastmlp.kernels._optimizers import RULES, update_loop
from fastmlp.kernels._simd import lanes
from tests import naive
from tests.networks import DTYPES, TRAINING_RULES, make_optimizer

SCALE, ALPHA = 0.25, 0.5


def _steps(rule, dtype, n, n_steps=4):
    """Return parameters and moments after some steps: computed and by `naive`."""
    rng = np.random.default_rng(n)
    optimizer = make_optimizer(rule)
    w = rng.standard_normal(n).astype(dtype)
    moments = [np.zeros(n, dtype) for _ in range(2)]
    settings = optimizer.settings(dtype)
    ref = make_optimizer(rule, naive.NaiveOptimizer)
    ref_w = w.astype(np.float64)
    ref_moments = [np.zeros(n)] * optimizer.n_moments
    for rate in optimizer.rates(n_steps):
        g = rng.standard_normal(n).astype(dtype)
        gradient = SCALE * (g.astype(np.float64) + ALPHA * ref_w)
        places = [a.ctypes.data for a in (w, g, *moments)]
        update_loop(rule, dtype).ctypes(
            *places, n, rate, SCALE, ALPHA, settings.ctypes.data
        )
        ref_w, ref_moments = ref.step(ref_w, gradient, ref_moments)
    return (w, *moments[: optimizer.n_moments]), (ref_w, *ref_moments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_update_equals_the_formulas(rule, dtype):
    for n in (0, 1, lanes(dtype) - 1, lanes(dtype) + 1, 4 * lanes(dtype) + 3):
        comp, ref = _steps(rule, dtype, n)
        for a, b in zip(comp, ref, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_added_up(dtype):
    w, g, m = (np.arange(5, dtype=dtype) + i for i in range(3))
    ref_w, ref_m = w.copy(), m + g
    places = [a.ctypes.data for a in (w, g, m, m)]
    settings = np.zeros(5)
    update_loop("gradient", dtype).ctypes(*places, 5, 1, 1, 1, settings.ctypes.data)
    np.testing.assert_array_equal(w, ref_w)
    np.testing.assert_array_equal(m, ref_m)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_nan_gradient_shows_in_the_parameter(rule, dtype):
    w, m, v = np.ones(3, dtype), np.zeros(3, dtype), np.zeros(3, dtype)
    g = np.array([1, np.nan, 1], dtype)
    settings = make_optimizer(rule).settings(dtype)
    places = [a.ctypes.data for a in (w, g, m, v)]
    update_loop(rule, dtype).ctypes(*places, 3, 0.1, 1, 0, settings.ctypes.data)
    np.testing.assert_array_equal(np.isnan(w), [False, True, False])


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_leaves_a_parameter_without_gradient_alone(dtype):
    """Padding is one, whatever epsilon becomes in the dtype."""
    optimizer = Optimizer("adam", learning_rate=0.1, epsilon=1e-300)
    w, g, m, v = np.ones((4, 3), dtype)
    g[:], m[:], v[:] = 0, 0, 0
    settings = optimizer.settings(dtype)
    places = [a.ctypes.data for a in (w, g, m, v)]
    update_loop("adam", dtype).ctypes(*places, 3, 0.1, 1, 0, settings.ctypes.data)
    np.testing.assert_array_equal(w, 1)


@pytest.mark.parametrize(
    "settings, rule",
    [
        ({"name": "sgd", "momentum": 0}, "sgd"),
        ({"name": "sgd", "momentum": 0, "nesterov": True}, "sgd"),
        ({"name": "sgd", "momentum": 0.9}, "momentum"),
        ({"name": "sgd", "momentum": 0.9, "nesterov": True}, "nesterov"),
        ({"name": "adam"}, "adam"),
    ],
)
def test_rule_follows_from_the_settings(settings, rule):
    optimizer = Optimizer(**settings, learning_rate=1.0)
    assert optimizer.rule == rule
    assert optimizer.n_moments == RULES[rule].n_moments


def test_adams_rates_go_on_from_step_t():
    optimizer = Optimizer("adam", learning_rate=0.5, beta_1=0.8, beta_2=0.9)
    whole = optimizer.rates(10)
    t = np.arange(1, 11)
    ref = 0.5 * np.sqrt(1 - 0.9**t) / (1 - 0.8**t)
    np.testing.assert_allclose(whole, ref, rtol=1e-15)
    optimizer.t = 4
    np.testing.assert_array_equal(optimizer.rates(6), whole[4:])


def test_sgds_rate_is_constant_within_an_epoch():
    optimizer = Optimizer("sgd", learning_rate=0.5, momentum=0.9)
    np.testing.assert_array_equal(optimizer.rates(3), [0.5] * 3)
    optimizer.learning_rate = 0.25
    np.testing.assert_array_equal(optimizer.rates(2), [0.25] * 2)
