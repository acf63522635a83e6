"""Trained factors whose gradient is taken from the weights behind them."""

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import Data, Engine, Layout, Optimizer, panel_width
from tests.networks import (
    DTYPES,
    KERNELS,
    assert_close,
    assert_same_bits,
    loss_and_gradient,
    make_problem,
    run_epochs,
    start_of,
)

BOTH = pytest.mark.parametrize("dtype", DTYPES)

# A bound that is never met, with which the factors' gradient is that of their own.
UNMET = {"max_norm": 1e6}


def _network(n, units=5, kind="tanh", rules=()):
    """Return a network whose factors are behind the codes of n columns.

    `rules` : further ones of `Layout`.
    """
    alike = tuple((source, -1.0, 0.0, 0.0, None) for source in range(n))
    return {
        "units": (n, units, 1),
        "activation": kind,
        "out_activation": "identity",
        "loss": "squared_error",
        "inputs": (("columns", Layout((*alike, *rules))), ("scale", 1.0)),
    }


def _widths(dtype):
    width = panel_width(dtype)
    return (1, width - 1, width, width + 1, 3 * width + 1)


def test_gradient_is_that_of_central_differences():
    dtype = np.float64
    for n in (1, panel_width(dtype) + 1):
        network = _network(n, rules=((0, -1.0, 0.0, 1.0, 0.0),))
        problem = make_problem(network, 9, dtype, weighted=True)
        _, comp = loss_and_gradient(KERNELS, network, dtype, problem, 0.0)

        def value(parameters, network=network, problem=problem):
            with Engine(**network, dtype=dtype) as made:
                made.load(parameters)
                room = np.empty_like(parameters)
                return made.loss_gradient(Data(*problem), 0.0, room)

        ref = naive.central_differences(value, start_of(network, dtype))
        np.testing.assert_allclose(comp, ref, rtol=1e-6, atol=1e-8)


@BOTH
@pytest.mark.parametrize("kind", ["tanh", "prelu", ("maxout", 3)])
def test_training_equals_that_with_factors_of_their_own(kind, dtype):
    for n in _widths(dtype):
        for units in (1, panel_width(dtype) + 3):
            network = _network(n, units, kind)
            problem = make_problem(network, 21, dtype, weighted=True)
            settings = {"epochs": 3, "alpha": 0.1}
            for more in ({}, {"clip_norm": 0.05}):
                comp, ref = (
                    run_epochs(
                        KERNELS, network, dtype, "adamw", problem, **settings,
                        regularisation=more | bound,
                    )
                    for bound in ({}, UNMET)
                )  # fmt: skip
                assert_close(comp, ref, dtype, 1000)


@BOTH
def test_training_is_the_same_for_any_number_of_threads(dtype):
    n = 5 * panel_width(dtype) + 1
    network = _network(n, 2 * panel_width(dtype) + 1)
    problem = make_problem(network, 70, dtype)
    for regularisation in (None, {"clip_norm": 0.05}):
        assert_same_bits(
            run_epochs, KERNELS, network, dtype, "adam", problem, batch_size=64,
            epochs=2, regularisation=regularisation,
        )  # fmt: skip


@BOTH
def test_a_factor_of_zero_stays_and_no_other_does(dtype):
    """Padding stays zero too: another training in the same memory is the same."""
    n = panel_width(dtype) + 1
    network = _network(n)
    start = start_of(network, dtype)
    start[-n] = 0
    problem = make_problem(network, 9, dtype)
    found = []
    for _ in range(2):
        adam = Optimizer("adam", learning_rate=0.1)
        with Engine(**network, dtype=dtype, batch_size=4, optimizer=adam) as made:
            made.load(start)
            made.train_epoch(Data(*problem), np.arange(9), 0.0)
            found.append(made.stored())
    np.testing.assert_array_equal(*found)
    changed = found[0][-n:] != start[-n:]
    assert not changed[0]
    assert changed[1:].all()
