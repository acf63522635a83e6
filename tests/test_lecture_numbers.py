"""The worked numbers of the lectures that concern losses and single neurons."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastmlp import MLPRegressor
from tests.kernels_api import Data, Engine
from tests.networks import DTYPES


def _engine(units, out_activation, loss, dtype=np.float64):
    return Engine(
        units, "identity", out_activation, loss, dtype, batch_size=1, n_threads=1
    )


def _outputs(z, out_activation):
    """Return the outputs of a network whose biases, the scores, are added to 0."""
    with _engine((1, len(z)), out_activation, "log_loss") as engine:
        engine.load(np.append(np.zeros(len(z)), z))
        return engine.predict(np.zeros((1, 1)))[0]


# -- one neuron, x = 1, target 0, rate 0.15 --------------------------------------------

NEURON = {
    # loss, w, b: outputs after numbers of steps
    ("squared_error", 0.6, 0.9): {0: 0.82, 300: 0.094},
    ("squared_error", 2.0, 2.0): {
        0: 0.98, 50: 0.976, 100: 0.964, 200: 0.789, 300: 0.203,
    },
    ("log_loss", 2.0, 2.0): {0: 0.98, 50: 0.099, 300: 0.012},
}  # fmt: skip


def _digits(text):
    """Return half a unit of the last digit that is given."""
    return 0.5 * 10.0 ** -len(repr(text).split(".")[1])


@pytest.mark.parametrize("loss, w, b", NEURON)
def test_one_neuron_learning_slowdown_by_the_regressor(loss, w, b):
    """The weights are set, and partial_fit makes the steps."""
    x, target = np.ones((1, 1)), np.zeros(1)
    neuron = MLPRegressor(
        loss, (), out_activation="logistic", solver="sgd", momentum=0.0, alpha=0.0,
        learning_rate_init=0.15, batch_size=1,
    ).partial_fit(x, target)  # fmt: skip
    neuron.coefs_, neuron.intercepts_ = [np.array([[w]])], [np.array([b])]
    steps = NEURON[loss, w, b]
    for step in range(max(steps) + 1):
        if step in steps:
            output = neuron.predict(x)[0]
            assert abs(output - steps[step]) <= _digits(steps[step]), step
        neuron.partial_fit(x, target)


# -- outputs of several scores ---------------------------------------------------------


def _two_digits(outputs):
    return [f"{a:.2g}" for a in outputs]


def test_sigmoid_numbers():
    outputs = _outputs([3.2, -5.7, 0.6], "logistic")
    assert _two_digits(outputs) == ["0.96", "0.0033", "0.65"]


def test_softmax_numbers():
    outputs = _outputs([3.2, -5.7, 0.6], "softmax")
    assert _two_digits(outputs) == ["0.93", "0.00013", "0.069"]
    outputs = _outputs([5, 2, -1, 3], "softmax")
    assert_allclose(outputs, [0.842, 0.042, 0.002, 0.114], atol=5e-4)


# -- single steps ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_logistic_regression_gradient(dtype):
    x, y = np.array([[5.0, 3.0]], dtype), np.ones((1, 1), dtype)
    with _engine((2, 1), "logistic", "log_loss", dtype) as engine:
        engine.load(np.array([0.5, 0.5, 1.0], dtype))
        assert_allclose(engine.predict(x), 0.993307, atol=5e-7)
        gradient = np.empty(3, dtype)
        loss = engine.loss_gradient(Data(x, y), 0.0, gradient)
    assert_allclose(loss, np.log1p(np.exp(-5.0)), rtol=1e-4)
    assert_allclose(gradient, [-0.033464, -0.020079, -0.006693], atol=6e-7)


def test_two_inputs_without_bias():
    """The bias is put back to zero after the step: the example has none."""
    X, y, w = np.array([[0.50, 0.51]]), np.full((1, 1), 0.1), np.array([0.35, 0.40, 0])
    gradient = np.empty(3)
    with _engine((2, 1), "logistic", "squared_error") as engine:
        engine.load(w)
        output = float(engine.predict(X)[0, 0])
        cost = engine.loss_gradient(Data(X, y), 0.0, gradient)
        assert_allclose(X @ w[:2], 0.379, atol=5e-4)
        assert_allclose(output, 0.5936, atol=5e-5)
        assert_allclose(cost, 0.1218, atol=5e-5)
        assert_allclose(output - 0.1, 0.4936, atol=5e-5)
        # The bias's gradient is (y^ - y) y^ (1 - y^).
        assert_allclose(gradient[2] / (output - 0.1), 0.2412, atol=5e-5)
        assert_allclose(gradient[:2], [0.0595, 0.0607], atol=5e-5)
        w[:2] -= gradient[:2]
        assert_allclose(w[:2], [0.2905, 0.3393], atol=5e-5)
        engine.load(w)
        assert_allclose(engine.predict(X), 0.5789, atol=5e-5)
        after = engine.loss_gradient(Data(X, y), 0.0, gradient)
    assert_allclose(after, 0.1147, atol=5e-5)
    assert after < cost
