"""Dropout and input noise in training: against NumPy, by any threads, in any rows."""

import numpy as np
import pytest

from tests import naive
from tests.kernels.math.test_random import SEED
from tests.kernels_api import (
    CHUNK_ROWS,
    Data,
    Engine,
    Regularisation,
    Trainer,
    form_of,
    panel_width,
)
from tests.networks import (
    BASE,
    DTYPES,
    KERNELS,
    REGULARISED,
    assert_same_bits,
    compare,
    make_csr,
    make_optimizer,
    make_parameters,
    make_problem,
    run_epochs,
)


def _gradient_step(dtype, X, settings, t):
    """Return the weights' change in a step of a linear network from zero, y = 1.

    It is the mean of the inputs as the network sees them, column by column.
    """
    n, width = X.shape
    optimizer = make_optimizer("sgd")
    optimizer.rates, optimizer.t = 1.0, t
    data = Data(X, np.ones((n, 1), dtype), copied=settings.changes_inputs)
    with Engine(
        (width, 1), "identity", "identity", "squared_error", dtype,
        batch_size=n, optimizer=optimizer, n_threads=1, regularisation=settings,
    ) as engine:  # fmt: skip
        engine.load(np.zeros(width + 1, dtype))
        engine.train_epoch(data, np.arange(n), 0.0)
        return engine.stored()[:-1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("t", [0, 7, 2**32 + 7])
def test_inputs_are_dropped_and_disturbed_as_naive_does(t, dtype):
    """In one row of ones, whatever the panel's width, by steps beyond 32 bits too."""
    width = 2 * panel_width(dtype) + 5
    X = np.ones((1, width), dtype)
    comp = _gradient_step(dtype, X, Regularisation(dropout=(0.3,), seed=SEED), t)
    ref = naive.dropout_factors(SEED, t, 1, (1, width), 0.3)
    np.testing.assert_allclose(comp, ref[0], rtol=1e-6)
    assert 0 < (comp == 0).sum() < width
    comp = _gradient_step(dtype, X, Regularisation(input_noise=0.5, seed=SEED), t)
    ref = 1 + 0.5 * naive.normal_noise(SEED, t, (1, width))
    np.testing.assert_allclose(comp, ref[0], rtol=1e-5, atol=1e-6)


CASES = ("hidden", "inputs", "noise", "all")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["tanh", "relu", "identity", "logistic"])
@pytest.mark.parametrize("case", CASES)
def test_epochs_equal_naive(case, activation, dtype):
    """With the derivative of the network whose masks are fixed."""
    settings = REGULARISED[case] | {"seed": SEED}
    network = BASE | {"units": (37, 9, 33, 3), "activation": activation}
    problem = make_problem(network, 21, dtype, weighted=True)
    arguments, kept = (dtype, "momentum", problem), {"alpha": 0.1, "epochs": 2}
    comp = compare(network, *arguments, **kept, regularisation=settings)
    plain = run_epochs(KERNELS, network, *arguments, **kept)
    assert abs(plain[1] - comp[1]).max() > 1e-3


def test_gradient_of_fixed_masks_is_that_of_their_loss():
    """By central differences, of the reference that the kernels are held against."""
    factors = [naive.dropout_factors(SEED, 0, 2, (11, 6), 0.4)]
    network = BASE | {"units": (4, 6, 3)}
    X, y, _ = make_problem(network, 11, np.float64)
    start = make_parameters(network["units"], np.float64)

    def value_and_gradient(parameters):
        coefs, intercepts, _ = naive.unpack(parameters, network["units"])
        layers = naive.forward(X, coefs, intercepts, "tanh", "softmax", factors=factors)
        losses, deltas = naive.losses_and_deltas(y, layers[-1], "log_loss", "softmax")
        weight = np.ones(len(y))
        gradients = naive.backward(
            layers, deltas, coefs, intercepts, 0.2, "tanh", weight, factors=factors
        )
        return naive.loss(losses, coefs, 0.2, weight), naive.pack(*gradients)

    ref = naive.central_differences(lambda w: value_and_gradient(w)[0], start)
    np.testing.assert_allclose(value_and_gradient(start)[1], ref, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["dense", "csr"])
def test_number_of_threads_changes_no_bit(form, dtype):
    """Nor how the minibatch falls into chunks of rows."""
    network = BASE | {"units": (10, 33, 65, 3)}
    X, y, weight = make_problem(network, 2 * CHUNK_ROWS + 60, dtype)
    X = make_csr(X, 0.1) if form == "csr" else X
    settings = REGULARISED["all"] | {"seed": SEED}
    assert_same_bits(
        run_epochs, KERNELS, network, dtype, "adam", (X, y, weight), epochs=2,
        batch_size=CHUNK_ROWS + 50, regularisation=settings, threads=(2, 3, 4),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_rows_are_disturbed_as_dense_ones(dtype):
    network = BASE | {"units": (40, 9, 3)}
    X, y, weight = make_problem(network, 30, dtype)
    X = make_csr(X, 0.1)
    assert Data(X, y).sparse
    settings = {"dropout": (0.2, 0.3), "input_noise": 0.5, "seed": SEED}
    results = [
        run_epochs(
            KERNELS, network, dtype, "sgd", (rows, y, weight), regularisation=settings
        )
        for rows in (X, X.toarray())
    ]
    for a, b in zip(*results, strict=True):
        assert a.tobytes() == b.tobytes()


def test_sparse_rows_that_cannot_be_changed_are_refused():
    """Also where operations of the network change them."""
    form = form_of(make_csr(np.arange(45.0).reshape(9, 5), 0.1))
    assert form.multiplied
    noise = {"regularisation": Regularisation(input_noise=0.1)}
    for changed in (noise, {"inputs": [("scale", 1.0)]}):
        with (
            Engine(
                **BASE, dtype=np.float64, optimizer=make_optimizer("sgd"), **changed
            ) as engine,
            pytest.raises(ValueError, match="copied=True"),
        ):
            engine.network(Trainer, form)
