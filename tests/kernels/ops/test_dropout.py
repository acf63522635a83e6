"""Philox and what is drawn with it: known answers, distributions, who draws what."""

import numpy as np
import pytest
from tests.kernels_api import entry
from tests.kernels_api import _circle, philox
from tests.kernels_api import normal_pair as _normal_pair
from tests.kernels_api import panel_width
from tests.kernels_api import CHUNK_ROWS

from tests.kernels_api import Data, Engine, Regularisation
from tests import naive
from tests.networks import (
    BASE,
    DTYPES,
    KERNELS,
    NAIVE,
    REGULARISED,
    make_csr,
    make_optimizer,
    make_parameters,
    make_problem,
    run_epochs,
)

# kat_vectors of the Random123 distribution: philox4x32, 10 rounds.
KNOWN = [
    ("00000000 00000000 00000000 00000000 00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip

SEED = 2**62 + 12345

_philox = entry(lambda *words: philox(*words))
_pair = entry(lambda a, b: _normal_pair(a, b))
_angle = entry(lambda word: _circle(word))


def _words(text):
    return [np.uint64(int(word, 16)) for word in text.split()]


@pytest.mark.parametrize("given, words", KNOWN)
def test_known_answers(given, words):
    given, words = _words(given), _words(words)
    assert list(_philox(*given)) == words
    ref = naive.philox(given[:4], [int(word) for word in given[4:]])
    assert [int(word) for word in ref] == words


def test_circle_goes_round():
    words = np.linspace(0, 2**32 - 1, 1001).astype(np.uint64)
    words = np.append(words, [2**29 - 1, 2**29, 7 * 2**29 - 1, 7 * 2**29]).astype("u8")
    comp = np.array([_angle(word) for word in words])
    angle = 2 * np.pi * (words + 0.5) / 2.0**32
    np.testing.assert_allclose(comp[:, 0], np.cos(angle), rtol=0, atol=1e-15)
    np.testing.assert_allclose(comp[:, 1], np.sin(angle), rtol=0, atol=1e-15)


def test_extreme_words_give_finite_numbers():
    low, high = np.uint64(0), np.uint64(2**32 - 1)
    for a in (low, high):
        for b in (low, high):
            assert np.isfinite(_pair(a, b)).all()
    assert 6.7 < np.hypot(*_pair(low, low)) < 6.8


def test_factors_of_naive_have_the_share_and_the_mean_of_their_rate():
    """Those of the kernels are the same numbers, see below."""
    for stream, rate in enumerate((0.1, 0.5, 0.8)):
        factors = naive.dropout_factors(SEED, 3, stream, (400, 250), rate)
        dropped = (factors == 0).mean()
        assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / factors.size)
        np.testing.assert_allclose(factors[factors != 0], 1 / (1 - rate))
        spread = np.sqrt(rate / (1 - rate) / factors.size)
        assert abs(factors.mean() - 1) < 4 * spread
        # No row, column or step resembles another.
        other = naive.dropout_factors(SEED, 4, stream, (400, 250), rate)
        for a, b in ((factors, other), (factors[1:], factors[:-1])):
            both = ((a == 0) & (b == 0)).mean()
            assert abs(both - rate**2) < 5 * np.sqrt(rate**2 / factors.size)


def test_noise_of_naive_is_normal():
    noise = naive.normal_noise(SEED, 0, (400, 250)).ravel()
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / noise.size)
    assert abs((abs(noise) < 0.6744897501960817).mean() - 0.5) < 2 / np.sqrt(noise.size)
    assert abs(np.corrcoef(noise[::2], noise[1::2])[0, 1]) < 4 / np.sqrt(noise.size / 2)


def _gradient_step(dtype, X, settings, t=0):
    """Return the weights' change in a step of a linear network from zero, y = 1.

    It is the mean of the inputs as the network sees them, column by column.
    """
    n, width = X.shape
    optimizer = make_optimizer("sgd")
    optimizer.learning_rate, optimizer.t = 1.0, t
    data = Data(X, np.ones((n, 1), dtype), copied=settings.changes_inputs)
    with Engine(
        (width, 1), "identity", "identity", "squared_error", dtype,
        batch_size=n, optimizer=optimizer, n_threads=1, regularisation=settings,
    ) as engine:  # fmt: skip
        parameters = np.zeros(width + 1, dtype)
        engine.load(parameters)
        engine.train_epoch(data, np.arange(n), 0.0)
        engine.store(parameters)
    return parameters[:-1]


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
    comp = run_epochs(
        KERNELS, network, dtype, "momentum", problem, alpha=0.1, epochs=2,
        regularisation=settings,
    )  # fmt: skip
    problem = tuple(a.astype(np.float64) for a in problem)
    ref = run_epochs(
        NAIVE, network, np.float64, "momentum", problem, alpha=0.1, epochs=2,
        regularisation=settings,
    )  # fmt: skip
    for a, b in zip(comp, ref, strict=True):
        bound = 200 * np.finfo(dtype).eps
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound)
    plain = run_epochs(
        NAIVE, network, np.float64, "momentum", problem, alpha=0.1, epochs=2
    )
    assert abs(plain[1] - ref[1]).max() > 1e-3


def test_gradient_of_fixed_masks_is_that_of_their_loss():
    """By central differences, of the reference that the kernels are held against."""
    factors = [naive.dropout_factors(SEED, 0, 2, (11, 6), 0.4)]
    network = BASE | {"units": (4, 6, 3)}
    X, y, _ = make_problem(network, 11, np.float64)
    start, h = make_parameters(network["units"], np.float64), 1e-6

    def value_and_gradient(parameters):
        coefs, intercepts, _ = naive.unpack(parameters, network["units"])
        layers = naive.forward(X, coefs, intercepts, "tanh", "softmax", factors=factors)
        losses, deltas = naive.losses_and_deltas(y, layers[-1], "log_loss", "softmax")
        weight = np.ones(len(y))
        gradients = naive.backward(
            layers, deltas, coefs, intercepts, 0.2, "tanh", weight, factors=factors
        )
        return naive.loss(losses, coefs, 0.2, weight), naive.pack(*gradients)

    ref = np.empty_like(start)
    for i, step in enumerate(h * np.eye(start.size)):
        up, down = value_and_gradient(start + step), value_and_gradient(start - step)
        ref[i] = (up[0] - down[0]) / (2 * h)
    np.testing.assert_allclose(value_and_gradient(start)[1], ref, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["dense", "csr"])
def test_number_of_threads_changes_no_bit(form, dtype):
    """Nor how the minibatch falls into chunks of rows."""
    network = BASE | {"units": (10, 33, 65, 3)}
    X, y, weight = make_problem(network, 2 * CHUNK_ROWS + 60, dtype)
    X = make_csr(X, 0.1) if form == "csr" else X
    settings = REGULARISED["all"] | {"seed": SEED}

    def run(n_threads):
        return [
            a.tobytes()
            for a in run_epochs(
                KERNELS, network, dtype, "adam", (X, y, weight), epochs=2,
                batch_size=CHUNK_ROWS + 50, n_threads=n_threads,
                regularisation=settings,
            )
        ]  # fmt: skip

    ref = run(1)
    for n_threads in (2, 3, 4):
        assert run(n_threads) == ref


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
    settings = Regularisation(input_noise=0.1)
    with pytest.raises(ValueError, match="copied=True"):
        Engine(
            **BASE, dtype=np.float64, optimizer=make_optimizer("sgd"), sparse=True,
            regularisation=settings,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_prediction_and_gradient_drop_nothing(dtype):
    network = BASE | {"units": (5, 9, 9, 3)}
    X, y, _ = make_problem(network, 30, dtype)
    parameters = make_parameters(network["units"], dtype)
    results = []
    random = Regularisation(dropout=(0.1, 0.2, 0.3), input_noise=0.1, seed=SEED)
    for settings in (Regularisation(), random):
        kept = network | {"dtype": dtype, "batch_size": 16, "regularisation": settings}
        with (
            Engine(**kept, optimizer=make_optimizer("sgd")) as engine,
            Engine(**kept) as whole,
        ):
            engine.load(parameters)
            whole.load(parameters)
            gradient = np.empty_like(parameters)
            value = whole.loss_gradient(Data(X, y), 0.1, gradient)
            results.append((engine.predict(X).tobytes(), value, gradient.tobytes()))
            engine.train_epoch(Data(X, y), np.arange(30), 0.1)
            engine.load(parameters)
            assert engine.predict(X).tobytes() == results[-1][0]
    assert results[0] == results[1]
