"""Epochs in one run: the same as one after the other."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.kernels_api import (
    Data,
    Patience,
    Regularisation,
)
from tests.networks import BASE, DTYPES, make_parameters, trainer_of

NETWORK = BASE | {"out_activation": "identity", "loss": "squared_error"}
UNITS = NETWORK["units"]
INF = float("inf")


def _problem(dtype, weighted):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(33, 5)).astype(dtype), rng.normal(size=(33, 3))
    # In file order one minibatch has no weight.
    weight = np.repeat([1.0, 0.0, 2.0], 11) if weighted else None
    return Data(X, y.astype(dtype), weight)


def _trainer(data, n_threads, dtype, regularisation=None):
    trainer = trainer_of(
        NETWORK, dtype, data.form, batch_size=8, n_threads=n_threads,
        regularisation=regularisation or Regularisation(),
    )  # fmt: skip
    trainer.load(make_parameters(UNITS, dtype))
    return trainer


def _in_file_order(n_epochs):
    return np.tile(np.arange(33), (n_epochs, 1))


def _rates(n):
    return np.linspace(0.1, 0.01, n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_epochs_in_one_run_are_as_one_by_one(n_threads, weighted, alike, dtype):
    data, n_epochs = _problem(dtype, weighted), 4
    regularisation = Regularisation(dropout=(0.1, 0.3), input_noise=0.1, seed=5)
    rng = np.random.default_rng(3)
    orders = np.array([rng.permutation(33) for _ in range(n_epochs)])
    if alike:
        orders[:] = orders[0]
    with (
        _trainer(data, 1, dtype, regularisation) as ref,
        _trainer(data, n_threads, dtype, regularisation) as comp,
    ):
        losses = []
        rates = _rates(5 * n_epochs).reshape(n_epochs, 5)
        for order, ref._optimizer.rates in zip(orders, rates, strict=True):
            losses.append(ref.train_epoch(data, order, 0.1))
        comp._optimizer.rates = _rates(5 * n_epochs)
        patience = Patience(0.0, INF, INF, 0)
        comp.train_epochs(data, orders, 0.1, patience)
        assert patience.losses == losses
        assert not patience.diverged
        assert not patience.ended
        assert_array_equal(comp.stored(), ref.stored())
        assert_array_equal(comp.store_moments(), ref.store_moments())
        assert comp._optimizer.t == ref._optimizer.t
        assert patience.best_loss == min(losses)
        # An epoch after a run of several is as ever.
        comp._optimizer.rates = ref._optimizer.rates = 0.1
        assert comp.train_epoch(data, order, 0.1) == ref.train_epoch(data, order, 0.1)


def test_a_run_ends_where_the_loss_does_not_improve():
    data = _problem(np.float64, weighted=False)
    with _trainer(data, 1, np.float64) as trainer:
        trainer._optimizer.rates = 0.0
        # The first epoch improves on infinity.
        patience = Patience(1e-9, 2.0, INF, 0)
        trainer.train_epochs(data, _in_file_order(20), 0.0, patience)
        assert patience.ended
        assert (len(patience.losses), patience.waited) == (4, 3)
        assert patience.best_loss == patience.losses[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_run_ends_where_a_parameter_is_not_finite(place, value, dtype):
    data = _problem(dtype, weighted=False)
    parameters = make_parameters(UNITS, dtype)
    parameters[place] = value
    with _trainer(data, 1, dtype) as trainer, np.errstate(all="ignore"):
        trainer.load(parameters)
        trainer._optimizer.rates = 0.0
        patience = Patience(0.0, INF, 2.0, 1)
        trainer.train_epochs(data, _in_file_order(5), 0.0, patience)
        assert patience.diverged
        assert len(patience.losses) == 1
        assert (patience.best_loss, patience.waited) == (2.0, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_numbers_are_finite(dtype):
    data = _problem(dtype, weighted=False)
    data.X[:, 0] = 0  # is multiplied by them
    parameters = make_parameters(UNITS, dtype)
    parameters[:9] = np.finfo(dtype).max
    with _trainer(data, 1, dtype) as trainer:
        trainer.load(parameters)
        trainer._optimizer.rates = 0.0
        patience = Patience(0.0, INF, INF, 0)
        trainer.train_epochs(data, _in_file_order(3), 0.0, patience)
        assert not patience.diverged
        assert len(patience.losses) == 3
