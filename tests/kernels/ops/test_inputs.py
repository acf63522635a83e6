"""A trained factor per feature, before the first layer."""

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import Data, Engine, panel_width
from tests.naive_engine import NaiveData, NaiveEngine, NaiveOptimizer
from tests.networks import (
    BASE,
    DTYPES,
    TRAINING_RULES,
    make_csr,
    make_optimizer,
    make_parameters,
    make_problem,
)

ACTIVATION = ("prelu", "tanh")


def _network(n_features):
    return BASE | {"units": (n_features, 9, 4, 3), "activation": ACTIVATION}


def _start(network, dtype):
    """Return parameters; the factors of the inputs follow weights and biases."""
    units, rng = network["units"], np.random.default_rng(0)
    flat = make_parameters(units, dtype, activation=ACTIVATION)
    factors = rng.uniform(0.5, 1.5, units[0]).astype(np.float32)
    return np.insert(flat, [flat.size - units[1]] * units[0], factors)


def _of_naive(network, parameters):
    """Return the parameters of a network whose first layer is the identity, scaled."""
    units = network["units"]
    at = parameters.size - units[1] - units[0]
    factors = slice(at, at + units[0])
    flat = np.delete(parameters, factors)
    coefs, intercepts, slopes = naive.unpack(flat, units, ACTIVATION)
    first = np.eye(units[0]), np.zeros(units[0]), parameters[factors]
    lists = zip(first, (coefs, intercepts, slopes), strict=True)
    return naive.pack(*([one, *others] for one, others in lists))


def _trained(network, dtype, rule, X, y, n_threads=1, **settings):
    """Return loss, parameters and predictions after an epoch."""
    with Engine(
        **network, dtype=dtype, batch_size=8, optimizer=make_optimizer(rule),
        n_threads=n_threads, inputs=[("scale", 1.0)],
    ) as engine:  # fmt: skip
        start = _start(network, dtype)
        assert engine.n_parameters == start.size
        engine.load(start)
        loss = engine.train_epoch(Data(X, y, copied=True), np.arange(len(y)), 0.1)
        engine.store(start)
        return loss, start, engine.predict(X)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
@pytest.mark.parametrize("share", [None, 0.1])
def test_scaled_inputs_train_as_naive(share, rule, dtype):
    for n_features in (1, 5, panel_width(dtype) + 1):
        network = _network(n_features)
        X, y, _ = make_problem(network, 30, dtype)
        X = X if share is None else make_csr(X, share)
        loss, parameters, outputs = _trained(network, dtype, rule, X, y)
        with NaiveEngine(
            **network | {
                "units": (n_features, *network["units"]),
                "activation": ("scale", *ACTIVATION),
            },
            dtype=np.float64, batch_size=8,
            optimizer=make_optimizer(rule, NaiveOptimizer),
        ) as ref:  # fmt: skip
            start = _of_naive(network, _start(network, np.float64))
            ref.load(start)
            # The identity is no part of the network: it stays, and has no penalty.
            size = n_features**2
            coefs, *_ = naive.shapes(ref.units, ref.activation)
            first = sum(n * m for n, m in coefs) + np.arange(n_features)
            ref.group["rate"][[*range(size), *first]] = 0
            for name in ("l2", "decay"):
                ref.group[name][:size] = 0
            data = NaiveData(X.astype(np.float64), y.astype(np.float64))
            ref_loss = ref.train_epoch(data, np.arange(30), 0.1)
            ref_outputs = ref.predict(data.X)
        bound = 200 * np.finfo(dtype).eps
        np.testing.assert_allclose(loss, ref_loss, rtol=bound)
        comp = _of_naive(network, parameters.astype(np.float64))
        np.testing.assert_allclose(comp, ref.parameters, rtol=bound, atol=bound)
        np.testing.assert_allclose(outputs, ref_outputs, rtol=bound, atol=bound)
        moved = abs(parameters - _start(network, dtype))
        assert (moved[-n_features - 9 : -9] > 0).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_scaled_inputs_by_any_threads_are_the_same_bits(dtype):
    network = _network(40)
    X, y, _ = make_problem(network, 60, dtype)
    runs = [_trained(network, dtype, "adam", X, y, n) for n in (1, 2, 3)]
    for run in runs[1:]:
        for a, b in zip(run, runs[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["scale", "prelu", "parametric_mish"])
def test_gradient_of_changed_inputs_is_that_of_the_loss(name):
    network = _network(4)
    problem = make_problem(network, 11, np.float64, weighted=True)
    data, start = Data(*problem), _start(network, np.float64)
    with Engine(**network, dtype=np.float64, inputs=[(name, 1.0)]) as engine:
        unused, comp = np.empty((2, start.size))

        def value(parameters):
            engine.load(parameters)
            return engine.loss_gradient(data, 0.2, unused)

        ref = naive.central_differences(value, start)
        engine.load(start)
        engine.loss_gradient(data, 0.2, comp)
    np.testing.assert_allclose(comp, ref, rtol=1e-6, atol=1e-8)
