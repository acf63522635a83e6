"""Penalties, decay and bounds on norms: whole epochs against NumPy, and invariants."""

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import (
    Data,
    Engine,
    Optimizer,
    Regularisation,
    Trainer,
    form_of,
    panel_width,
)
from tests.networks import (
    BASE,
    DTYPES,
    KERNELS,
    MIXED,
    NAIVE,
    REGULARISED,
    TRAINING_RULES,
    assert_same_bits,
    compare,
    loss_and_gradient,
    make_csr,
    make_optimizer,
    make_parameters,
    make_problem,
    run_epochs,
)

NETWORK = BASE | {"units": (37, 9, 41, 3)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
@pytest.mark.parametrize("case", REGULARISED)
def test_epochs_equal_naive(case, rule, dtype):
    for weighted in (False, True):
        problem = make_problem(NETWORK, 21, dtype, weighted=weighted)
        comp = compare(
            NETWORK, dtype, rule, problem, alpha=0.1, epochs=2,
            regularisation=REGULARISED[case],
        )  # fmt: skip
    if "max_norm" in REGULARISED[case]:
        norms = _norms(comp[1], NETWORK["units"])
        largest = REGULARISED[case]["max_norm"]
        assert max(n.max() for n in norms) <= largest * (1 + 1e-6)
        # In every layer one that was bounded.
        start = make_parameters(NETWORK["units"], dtype)
        assert all(n.max() > largest for n in _norms(start, NETWORK["units"]))


def _norms(parameters, units):
    coefs, *_ = naive.unpack(parameters.astype(np.float64), units)
    return [np.linalg.norm(W, axis=0) for W in coefs]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["full csr", "csr"])
@pytest.mark.parametrize("case", REGULARISED)
def test_sparse_rows(case, form, dtype):
    X, y, weight = make_problem(NETWORK, 21, dtype)
    X = make_csr(X, 0.1 if form == "csr" else 0.5)
    compare(NETWORK, dtype, "adamw", (X, y, weight), regularisation=REGULARISED[case])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", REGULARISED)
@pytest.mark.parametrize("activation", MIXED)
def test_slopes_and_pieces(activation, case, dtype):
    network = NETWORK | {"activation": activation}
    problem = make_problem(network, 21, dtype)
    compare(network, dtype, "adam", problem, regularisation=REGULARISED[case])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 31, 32, 33, 65])
def test_widths(n, dtype):
    network = BASE | {"units": (n, n, 2)}
    problem = make_problem(network, 20, dtype)
    settings = {"l1": 0.1, "clip_norm": 0.05, "max_norm": 0.8}
    compare(network, dtype, "momentum", problem, regularisation=settings)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", REGULARISED)
def test_number_of_threads_changes_no_bit(case, dtype):
    network = BASE | {"units": (10, 33, 65, 3)}
    problem = make_problem(network, 60, dtype)
    assert_same_bits(
        run_epochs, KERNELS, network, dtype, "nadam", problem, alpha=0.1, epochs=2,
        batch_size=19, regularisation=REGULARISED[case], threads=(2, 3, 4),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_that_nothing_reaches_change_nothing(dtype):
    problem = make_problem(NETWORK, 21, dtype)
    ref = run_epochs(KERNELS, NETWORK, dtype, "sgd", problem, alpha=0.1)
    for settings in ({"clip_norm": 1e3}, {"max_norm": 1e3}, {"dropout": (0.0,) * 3}):
        comp = run_epochs(
            KERNELS, NETWORK, dtype, "sgd", problem, alpha=0.1, regularisation=settings
        )
        for a, b in zip(comp, ref, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=20 * np.finfo(dtype).eps)


def test_padding_stays_zero():
    width = panel_width(np.float64)
    network = BASE | {"units": (width + 1, width + 1, 3)}
    X, y, _ = make_problem(network, 30, np.float64)
    optimizer = Optimizer("adamw", learning_rate=0.1)
    with Engine(
        **network, dtype=np.float64, batch_size=8, optimizer=optimizer,
        regularisation=Regularisation(l1=0.1, clip_norm=0.1, max_norm=0.5),
    ) as engine:  # fmt: skip
        parameters = make_parameters(network["units"], np.float64)
        engine.load(parameters)
        engine.train_epoch(Data(X, y), np.arange(30), 0.1)
        trainer = engine.network(Trainer, form_of(X))
        memory = trainer.memory[: trainer.program.n_parameters]
        assert np.count_nonzero(memory) <= parameters.size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("settings", [{"clip_norm": 0.1}, {"max_norm": 0.5}])
def test_bad_numbers_show(settings, dtype):
    X, y, weight = make_problem(BASE, 16, dtype)
    X[3, 2] = np.nan
    losses, parameters, *_ = run_epochs(
        KERNELS, BASE, dtype, "sgd", (X, y, weight), regularisation=settings
    )
    assert np.isnan(losses).all()
    assert np.isnan(parameters).any()


@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_weight_decay_leaves_biases_alone(rule):
    """Without a gradient, weights shrink by the factor of each step."""
    X, y = np.zeros((8, 3)), np.zeros((8, 2))
    name = {"momentum": "sgd", "nesterov": "sgd"}.get(rule, rule)
    momentum = {"momentum": 0.9} if rule in ("momentum", "nesterov") else {}
    optimizer = Optimizer(name, learning_rate=0.5, weight_decay=0.2, **momentum)
    optimizer.rates = np.array([0.5, 0.1])
    parameters = np.append(np.arange(1.0, 7.0), [0.0, 0.0])
    with Engine(
        (3, 2), "relu", "identity", "squared_error", np.float64, batch_size=4,
        optimizer=optimizer,
    ) as engine:  # fmt: skip
        engine.load(parameters)
        engine.train_epoch(Data(X, y), np.arange(8), 0.0)
        np.testing.assert_allclose(engine.stored(), parameters * 0.9 * 0.98, rtol=1e-14)


def test_l1_in_loss_and_gradient():
    """Of the whole set, against NumPy and central differences; 0 has the slope 0."""
    problem = make_problem(BASE, 30, np.float64, weighted=True)
    settings = {"l1": 0.7}
    comp = loss_and_gradient(
        KERNELS, BASE | {"regularisation": Regularisation(**settings)}, np.float64,
        problem, 0.1,
    )  # fmt: skip
    ref = loss_and_gradient(
        NAIVE, BASE | {"regularisation": settings}, np.float64, problem, 0.1
    )
    np.testing.assert_allclose(comp[0], ref[0], rtol=1e-12)
    np.testing.assert_allclose(comp[1], ref[1], rtol=1e-10, atol=1e-14)
    data = Data(*problem)
    start = make_parameters(BASE["units"], np.float64)
    with Engine(
        **BASE, dtype=np.float64, regularisation=Regularisation(**settings)
    ) as engine:
        unused = np.empty_like(start)

        def value(parameters):
            engine.load(parameters)
            return engine.loss_gradient(data, 0.1, unused)

        differences = naive.central_differences(value, start)
        np.testing.assert_allclose(comp[1], differences, rtol=1e-6, atol=1e-8)
        engine.load(np.zeros_like(start))
        engine.loss_gradient(
            Data(np.zeros((2, 5)), np.array([[0.0], [1.0]])), 0, unused
        )
        np.testing.assert_array_equal(unused[: 5 * 9 + 9 * 3], 0)


def test_penalty_of_the_weights_before_the_step_is_reported():
    """Also in a second epoch, and after new parameters."""
    X, y, _ = make_problem(BASE, 8, np.float64)
    parameters = make_parameters(BASE["units"], np.float64)
    settings = {
        "dtype": np.float64, "batch_size": 8,
        "regularisation": Regularisation(l1=0.5, max_norm=0.7),
    }  # fmt: skip
    with (
        Engine(**BASE, **settings, optimizer=make_optimizer("sgd")) as engine,
        Engine(**BASE, **settings) as whole,
    ):
        for _ in range(2):
            engine.load(parameters)
            first = engine.train_epoch(Data(X, y), np.arange(8), 0.0)
            after = engine.stored()
            second = engine.train_epoch(Data(X, y), np.arange(8), 0.0)
            for loss, weights in ((first, parameters), (second, after)):
                whole.load(weights)
                ref = whole.loss_gradient(Data(X, y), 0.0, np.empty_like(after))
                np.testing.assert_allclose(loss, ref, rtol=1e-12)


@pytest.mark.parametrize("bound", ["clip_norm", "max_norm"])
def test_norm_that_overflows_is_no_number(bound):
    """Its norm is NaN or inf, not 0, so that training reports divergence."""
    settings = Regularisation(**{bound: 1.0})
    optimizer, network = make_optimizer("sgd"), BASE | {"activation": "relu"}
    with Engine(
        **network, dtype=np.float64, batch_size=8, optimizer=optimizer,
        regularisation=settings,
    ) as engine:  # fmt: skip
        X, y, _ = make_problem(BASE, 8, np.float64)
        parameters = make_parameters(BASE["units"], np.float64)
        if bound == "max_norm":
            X *= 0
            parameters[: BASE["units"][0] * BASE["units"][1]] = 1e160
        else:
            X *= 1e160
        engine.load(parameters)
        engine.train_epoch(Data(X, y), np.arange(8), 0.0)
        assert not engine.finite()
