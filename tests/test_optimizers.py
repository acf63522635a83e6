"""Every row of the table of update rules, against the formulas in NumPy."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fastmlp.kernels import Optimizer
from fastmlp.kernels._optimizers import (
    DECAY,
    N_SETTINGS,
    N_STEP,
    RULES,
    update_loop,
)
from fastmlp.kernels._simd import lanes
from tests import naive
from tests.networks import DTYPES, TRAINING_RULES, make_optimizer

SCALE, ALPHA = 0.25, 0.5


def _update(rule, dtype, places, n, step, scale, alpha, settings):
    step, settings = (np.ascontiguousarray(a) for a in (step, settings))
    update_loop(rule, dtype).ctypes(
        *places, n, step.ctypes.data, scale, alpha, settings.ctypes.data, 1, 0, 0
    )


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
    for step in optimizer.steps(n_steps):
        g = rng.standard_normal(n).astype(dtype)
        gradient = SCALE * (g.astype(np.float64) + ALPHA * ref_w)
        places = [a.ctypes.data for a in (w, g, *moments)]
        _update(rule, dtype, places, n, step, SCALE, ALPHA, settings)
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
    _update("gradient", dtype, places, 5, np.zeros(N_STEP), 1, 1, np.zeros(N_SETTINGS))
    np.testing.assert_array_equal(w, ref_w)
    np.testing.assert_array_equal(m, ref_m)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_nan_gradient_shows_in_the_parameter(rule, dtype):
    w, m, v = np.ones(3, dtype), np.zeros(3, dtype), np.zeros(3, dtype)
    g = np.array([1, np.nan, 1], dtype)
    optimizer = make_optimizer(rule)
    settings, [step] = optimizer.settings(dtype), optimizer.steps(1)
    places = [a.ctypes.data for a in (w, g, m, v)]
    _update(rule, dtype, places, 3, step, 1, 0, settings)
    np.testing.assert_array_equal(np.isnan(w), [False, True, False])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", ["adam", "adamw", "rmsprop", "nadam"])
def test_a_parameter_without_gradient_is_left_alone(rule, dtype):
    """Padding is one, whatever epsilon becomes in the dtype."""
    optimizer = Optimizer(rule, learning_rate=0.1, epsilon=1e-300)
    w, g, m, v = np.ones((4, 3), dtype)
    g[:], m[:], v[:] = 0, 0, 0
    settings, [step] = optimizer.settings(dtype), optimizer.steps(1)
    places = [a.ctypes.data for a in (w, g, m, v)]
    _update(rule, dtype, places, 3, step, 1, 0, settings)
    np.testing.assert_array_equal(w, 1)


@pytest.mark.parametrize(
    "settings, rule",
    [
        ({"name": "sgd", "momentum": 0}, "sgd"),
        ({"name": "sgd", "momentum": 0, "nesterov": True}, "sgd"),
        ({"name": "sgd", "momentum": 0.9}, "momentum"),
        ({"name": "sgd", "momentum": 0.9, "nesterov": True}, "nesterov"),
        ({"name": "adam"}, "adam"),
        ({"name": "adamw"}, "adamw"),
        ({"name": "rmsprop"}, "rmsprop"),
        ({"name": "nadam"}, "nadam"),
    ],
)
def test_rule_follows_from_the_settings(settings, rule):
    optimizer = Optimizer(**settings, learning_rate=1.0)
    assert optimizer.rule == rule
    assert optimizer.n_moments == RULES[rule].n_moments


def test_adams_rates_go_on_from_step_t():
    optimizer = Optimizer("adam", learning_rate=0.5, beta_1=0.8, beta_2=0.9)
    whole = optimizer.steps(10)[:, 0]
    t = np.arange(1, 11)
    ref = 0.5 * np.sqrt(1 - 0.9**t) / (1 - 0.8**t)
    np.testing.assert_allclose(whole, ref, rtol=1e-15)
    optimizer.t = 4
    np.testing.assert_array_equal(optimizer.steps(6)[:, 0], whole[4:])


def test_sgds_rate_is_constant_within_an_epoch():
    optimizer = Optimizer("sgd", learning_rate=0.5, momentum=0.9)
    np.testing.assert_array_equal(optimizer.steps(3)[:, 0], [0.5] * 3)
    optimizer.learning_rate = 0.25
    np.testing.assert_array_equal(optimizer.steps(2)[:, 0], [0.25] * 2)


@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_a_rate_for_each_step(rule):
    optimizer = make_optimizer(rule)
    optimizer.t, optimizer.learning_rate = 3, 1.0
    factors = optimizer.steps(4)
    rates = np.array([0.5, 0.0, 0.25, 2.0])
    optimizer.learning_rate = rates
    np.testing.assert_allclose(
        optimizer.steps(4)[:, 0], rates * factors[:, 0], rtol=1e-15
    )
    np.testing.assert_allclose(optimizer.steps(4)[:, 2], rates * factors[:, 2])
    np.testing.assert_array_equal(optimizer.steps(4)[:, 3], factors[:, 3])


@pytest.mark.parametrize("given, used", [(None, 0.0), (0.0, 0.0), (0.25, 0.25)])
def test_weight_decay_is_a_share_of_the_rate(given, used):
    for rule in TRAINING_RULES:
        optimizer = Optimizer(
            rule if rule in ("adam", "adamw", "rmsprop", "nadam") else "sgd",
            learning_rate=np.array([0.5, 0.1]),
            weight_decay=given,
        )
        decay = 0.01 if given is None and rule == "adamw" else used
        # The bias corrections have no part in it.
        np.testing.assert_allclose(
            optimizer.steps(2)[:, DECAY], decay * np.array([0.5, 0.1])
        )


def test_nadams_factors_go_on_from_step_t():
    """Also where the product of all momenta has been left to itself."""
    optimizer = Optimizer("nadam", learning_rate=0.5, beta_1=0.8, beta_2=0.99)
    whole = optimizer.steps(2000)
    mu = 0.8 * (1 - 0.5 * 0.96 ** (0.004 * np.arange(1, 2002)))
    product = np.cumprod(mu)
    np.testing.assert_allclose(
        whole[:, 0], 0.5 * mu[1:] / (1 - product[1:]), rtol=1e-14
    )
    ref = 0.5 * (1 - mu[:-1]) / (1 - product[:-1])
    np.testing.assert_allclose(whole[:, 2], ref, rtol=1e-14)
    for optimizer.t in (1, 3, 300, 1999):
        rest = optimizer.steps(2000 - optimizer.t)
        np.testing.assert_allclose(rest, whole[optimizer.t :], rtol=1e-14)
    optimizer = Optimizer("nadam", learning_rate=0.5, beta_1=0.0)
    np.testing.assert_array_equal(optimizer.steps(3)[:, [0, 2]], [[0, 0.5]] * 3)


_SCRIPT = """
import sys
import numpy as np
from tests.test_optimizers import _steps
for rule in sys.argv[1:]:
    for comp, ref in zip(*_steps(rule, np.float64, 3), strict=True):
        np.testing.assert_allclose(comp, ref, rtol=1e-12)
"""


def test_rules_kept_on_disk_by_different_processes_are_not_mixed_up(tmp_path):
    """Alone in its process, each is the first of its kind and named like the others."""
    for rules in (["sgd"], ["nesterov"], ["adam"], ["sgd", "nesterov", "adam"]):
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, *rules],
            env=os.environ | {"FASTMLP_CACHE_DIR": str(tmp_path)},
            check=True,
        )
