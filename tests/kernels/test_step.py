"""Whole epochs: against NumPy, central differences, and any number of threads."""

import itertools

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import (
    ACTIVATIONS,
    CHUNK_DEPTH,
    CHUNK_ROWS,
    LOSSES,
    TILE_ROWS,
    Data,
    Engine,
    Optimizer,
)
from tests.networks import (
    BASE,
    DTYPES,
    KERNELS,
    MIXED,
    NAIVE,
    TRAINING_RULES,
    assert_close,
    assert_same_bits,
    compare,
    loss_and_gradient,
    make_csr,
    make_optimizer,
    make_parameters,
    make_problem,
    run_epochs,
    start_of,
    wide,
)

WIDTHS = [1, 7, 16, 31, 32, 33, 65]


def _trios():
    """Return rules, activations and losses: each two of them meet in one trio."""
    rules = TRAINING_RULES
    assert len(rules) <= len(LOSSES) <= len(ACTIVATIONS)
    return [
        (rules[(i + k) % len(rules)], activation, *loss)
        for i, activation in enumerate(ACTIVATIONS)
        for k, loss in enumerate(LOSSES)
    ]


def assert_equals_naive(rule, activation, out_activation, loss, dtype):
    """Compare epochs with NumPy's, with weights and penalty or without."""
    network = {
        "units": (5, 9, 3),
        "activation": activation,
        "out_activation": out_activation,
        "loss": loss,
    }
    for weighted in (False, True):
        problem = make_problem(network, 21, dtype, weighted=weighted)
        for alpha in (0.0, 0.3):
            compare(network, dtype, rule, problem, alpha=alpha, epochs=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule, activation, out_activation, loss", _trios())
def test_epochs_equal_naive(rule, activation, out_activation, loss, dtype):
    """Every trio: `tests.stress.products`."""
    assert_equals_naive(rule, activation, out_activation, loss, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", MIXED, ids=str)
@pytest.mark.parametrize("hidden", [(1, 1), (9, 7), (33, 65)], ids=str)
def test_an_activation_per_layer(hidden, activation, dtype):
    network = BASE | {"units": (5, *hidden, 3), "activation": activation}
    for weighted, share in ((False, None), (True, 0.5), (False, 0.1)):
        X, y, weight = make_problem(network, 40, dtype, weighted=weighted)
        X = X if share is None else make_csr(X, share)
        for rule in ("momentum", "adam"):
            compare(network, dtype, rule, (X, y, weight), alpha=0.1, n_threads=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", MIXED, ids=str)
def test_threads_and_activations(activation, dtype):
    network = BASE | {"units": (10, 33, 65, 3), "activation": activation}
    X, y, weight = make_problem(network, 100, dtype)
    for rows in (X, make_csr(X, 0.1)):
        problem = rows, y, weight
        assert_same_bits(_everything, dtype, network, problem, 33, "adam")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [(), (1,), *[(n, n) for n in WIDTHS], (5, 33, 2)])
@pytest.mark.parametrize("n_outputs", [1, 2, 10, 33, 65])
def test_widths(n_outputs, hidden, dtype):
    network = BASE | {"units": (7, *hidden, n_outputs), "activation": "relu"}
    problem = make_problem(network, 20, dtype)
    compare(network, dtype, "momentum", problem, alpha=0.1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", WIDTHS)
def test_features(n_features, dtype):
    network = BASE | {"units": (n_features, 5, 2)}
    X, y, weight = make_problem(network, 20, dtype)
    compare(network, dtype, "adam", (X, y, weight))
    for share in (0.5, 0.1):
        compare(network, dtype, "adam", (make_csr(X, share), y, weight))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, CHUNK_ROWS + 1, CHUNK_DEPTH + 1, 1300])
def test_batches_of_several_chunks(batch, dtype):
    network = BASE | {"units": (7, 33, 3)}
    n = 1300 if batch > 1 else 50
    problem = make_problem(network, n, dtype, weighted=True)
    for n_threads in (1, 2):
        compare(
            network, dtype, "nesterov", problem, batch_size=batch, n_threads=n_threads
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("skipped", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_minibatch_without_weight_is_passed_over(skipped, n_threads, dtype):
    network, rows = BASE, 2 * TILE_ROWS + 3
    X, y, weight = make_problem(network, 3 * rows, dtype, weighted=True)
    for i in skipped:
        weight[i * rows : (i + 1) * rows] = 0
    parameters = make_parameters(network["units"], dtype)
    results = []
    for make_engine, make_data, optimizer_kind in (KERNELS, NAIVE):
        optimizer = make_optimizer("adam", optimizer_kind)
        with make_engine(
            **network, dtype=dtype, batch_size=rows, optimizer=optimizer,
            n_threads=n_threads,
        ) as engine:  # fmt: skip
            engine.load(parameters)
            data = make_data(X, y, weight)
            loss = engine.train_epoch(data, np.arange(3 * rows), 0.1)
            results.append((loss, optimizer.t, engine.stored()))
    assert_close(*results, dtype)
    if len(skipped) == 3:
        assert results[0][0] == 0
        np.testing.assert_array_equal(results[0][2], parameters)


def _everything(dtype, network, problem, batch, rule, n_threads=1):
    """Return all that training returns, and loss and gradient of all rows."""
    settings = {"batch_size": batch, "n_threads": n_threads}
    trained = run_epochs(
        KERNELS, network, dtype, rule, problem, alpha=0.1, epochs=2, **settings
    )
    value, gradient = loss_and_gradient(
        KERNELS, network, dtype, problem, 0.1, **settings
    )
    return (*trained, value, gradient)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, 7, 8, 9, 33, 200])
@pytest.mark.parametrize("form", ["dense", "full csr", "csr"])
def test_number_of_threads_changes_no_bit(form, batch, dtype):
    network = BASE | {"units": (10, 33, 65, 3)}
    X, y, weight = make_problem(network, 203, dtype, weighted=batch % 2 == 0)
    if form != "dense":
        X = make_csr(X, 0.1 if form == "csr" else 0.5)
    rule = "adam" if form == "dense" else "momentum"
    assert_same_bits(
        _everything, dtype, network, (X, y, weight), batch, rule, threads=(2, 3, 4, 50)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("out_activation, loss", LOSSES)
def test_threads_and_every_loss(out_activation, loss, dtype):
    network = BASE | {"out_activation": out_activation, "loss": loss}
    problem = make_problem(network, 50, dtype)
    assert_same_bits(_everything, dtype, network, problem, 30, "sgd")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "out_activation, loss, given",
    [
        ("softmax", "log_loss", {"smoothing": 0.2}),
        ("logistic", "log_loss", {"smoothing": 0.2}),
        ("identity", "huber", {"parameter": 0.3}),
        ("identity", "quantile", {"parameter": np.array([0.1, 0.5, 0.9])}),
    ],
)
def test_loss_settings_reach_the_kernels(out_activation, loss, given, dtype):
    network = BASE | {"out_activation": out_activation, "loss": loss}
    problem = make_problem(network, 50, dtype, weighted=True)
    plain = run_epochs(KERNELS, network, dtype, "sgd", problem)[1]
    network["loss_settings"] = given
    assert (run_epochs(KERNELS, network, dtype, "sgd", problem)[1] != plain).any()
    compare(network, dtype, "momentum", problem, alpha=0.1, epochs=2)
    comp = loss_and_gradient(KERNELS, network, dtype, problem, 0.1)
    ref = loss_and_gradient(NAIVE, network, np.float64, wide(problem), 0.1)
    assert_close(comp, ref, dtype, 50)
    assert_same_bits(_everything, dtype, network, problem, 30, "sgd")


@pytest.mark.parametrize(
    "activation, names",
    list(zip([*ACTIVATIONS, *MIXED], itertools.cycle(LOSSES), strict=False)),
    ids=str,
)
def test_gradient_is_that_of_the_loss(activation, names):
    out_activation, loss = names
    # This squared error steps along the sum over outputs but reports their mean.
    n_outputs = 1 if (out_activation, loss) == ("identity", "squared_error") else 3
    network = {
        "units": (4, 6, 5, n_outputs),
        "activation": activation,
        "out_activation": out_activation,
        "loss": loss,
    }
    data, alpha = Data(*make_problem(network, 11, np.float64, weighted=True)), 0.2
    parameters = start_of(network, np.float64)
    with Engine(**network, dtype=np.float64, batch_size=4) as engine:
        unused = np.empty_like(parameters)

        def value(moved):
            engine.load(moved)
            return engine.loss_gradient(data, alpha, unused)

        ref = naive.central_differences(value, parameters)
        engine.load(parameters)
        comp = np.empty_like(parameters)
        engine.loss_gradient(data, alpha, comp)
    np.testing.assert_allclose(comp, ref, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("out_activation, loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradient_equal_naive(weighted, out_activation, loss, dtype):
    network = BASE | {"out_activation": out_activation, "loss": loss}
    for n, batch in ((1, 8), (100, 8), (100, 33), (100, 1000)):
        problem = make_problem(network, n, dtype, weighted=weighted)
        comp = loss_and_gradient(
            KERNELS, network, dtype, problem, 0.1, batch_size=batch
        )
        ref = loss_and_gradient(NAIVE, network, np.float64, wide(problem), 0.1)
        assert_close(comp, ref, dtype, 50)


def _sums(n, dtype):
    """Return X, y: a linear network's gradient sums n numbers of much the same size."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.05, 0.15, (n, 3)).astype(dtype)
    y = rng.uniform(-0.35, -0.25, (n, 1)).astype(dtype)
    return X, y


def _error_after_one_step(n):
    """Relative error of a float32 step over one minibatch of all n rows."""
    X, y = _sums(n, np.float32)
    optimizer = Optimizer("sgd", learning_rate=1.0)
    with Engine(
        (3, 1), "relu", "identity", "squared_error", np.float32,
        batch_size=n, optimizer=optimizer, n_threads=1,
    ) as engine:  # fmt: skip
        engine.load(np.zeros(4, np.float32))
        loss = engine.train_epoch(Data(X, y), np.arange(n), 0.0)
        parameters = engine.stored()
    X, y = X.astype(np.float64), y.astype(np.float64)
    ref = np.append(X.T @ y[:, 0], y.sum()) / n
    np.testing.assert_allclose(loss, 0.5 * (y**2).mean(), rtol=1e-6)
    return abs(parameters / ref - 1).max()


def test_error_of_float32_sums_does_not_grow_with_the_rows():
    assert _error_after_one_step(1_000) < 2e-6
    assert _error_after_one_step(20_000) < 2e-6
    assert _error_after_one_step(200_000) < 2e-6


def test_error_of_the_float32_gradient_does_not_grow_with_the_rows():
    n = 1_000_000
    X, y = _sums(n, np.float32)
    with Engine((3, 1), "relu", "identity", "squared_error", np.float32) as engine:
        engine.load(np.zeros(4, np.float32))
        gradient = np.empty(4, np.float32)
        loss = engine.loss_gradient(Data(X, y), 0.0, gradient)
    X, y = X.astype(np.float64), y.astype(np.float64)
    ref = -np.append(X.T @ y[:, 0], y.sum()) / n
    np.testing.assert_allclose(gradient, ref, rtol=4e-6)
    np.testing.assert_allclose(loss, 0.5 * (y**2).mean(), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_numbers_show_in_loss_and_parameters(value, activation, dtype):
    network = BASE | {"activation": activation}
    X, y, weight = make_problem(network, 16, dtype)
    X[3, 2] = value
    with np.errstate(all="ignore"):
        losses, parameters, *_ = run_epochs(
            KERNELS, network, dtype, "sgd", (X, y, weight), batch_size=16
        )
    # An infinite feature saturates bounded activations; then 0 * inf is the gradient.
    assert np.isnan(parameters).any()
    if np.isnan(value):
        assert np.isnan(losses).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_bad_rows_of_one_minibatch_leave_the_next_alone(dtype):
    """What stands in the rows and padding of the minibatch before is not read."""
    network = BASE | {"units": (5, 9, 9, 3)}
    X, _, _ = make_problem(network, 40, dtype)
    X[:16] = np.nan
    parameters = make_parameters(network["units"], dtype)
    with Engine(**network, dtype=dtype, batch_size=16) as engine:
        engine.load(parameters)
        ref = engine.predict(X[16:])
        assert np.isnan(engine.predict(X)[:16]).all()
        assert np.isfinite(engine.predict(X)[16:]).all()
        assert engine.predict(X[16:]).tobytes() == ref.tobytes()
