"""Every row of the tables of activations, against NumPy and central differences."""

import numpy as np
import pytest

from fastmlp.kernels import _activations, _jit, _math
from fastmlp.kernels._activations import (
    ACTIVATIONS,
    OUTPUTS,
    Activation,
    backward_loop,
    forward_loop,
    output_loop,
)
from fastmlp.kernels._simd import lanes
from tests import naive
from tests.networks import (
    BASE,
    DTYPES,
    KERNELS,
    NAIVE,
    loss_and_gradient,
    make_problem,
    run_epochs,
)

HIDDEN = [name for name, row in ACTIVATIONS.items() if row is not None]


def _values(name, z):
    a = z.copy()
    parameter = ACTIVATIONS[name].parameter
    forward_loop(name, z.dtype.type).ctypes(a.ctypes.data, a.size, parameter)
    return a


def _derivatives(name, z):
    a, delta = _values(name, z), np.ones_like(z)
    row = ACTIVATIONS[name]
    scores = z if row.keeps_scores else a
    backward_loop(name, z.dtype.type).ctypes(
        scores.ctypes.data, a.ctypes.data, delta.ctypes.data, z.size, row.parameter
    )
    return delta


def _outputs(name, z):
    """Return the predictions for scores (rows, columns)."""
    rows, columns = z.shape
    lane = lanes(z.dtype)
    width = -(-columns // lane) * lane if OUTPUTS[name].by_rows else columns
    padded = np.full((rows, width), -np.inf, z.dtype)
    padded[:, :columns] = z
    ones, scratch = np.ones(rows, z.dtype), np.empty(rows, z.dtype)
    places = [array.ctypes.data for array in (padded, ones, scratch)]
    output_loop(name, z.dtype.type).ctypes(*places, rows, width)
    return padded[:, :columns]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_value(name, dtype):
    for size in (0, 1, lanes(dtype) - 1, 4 * lanes(dtype) + 1, 1001):
        z = np.linspace(-8, 8, size).astype(dtype)
        ref = naive.ACTIVATIONS[name](z.astype(np.float64))
        comp = _values(name, z)
        np.testing.assert_allclose(comp, ref, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", HIDDEN)
def test_derivative_is_that_of_the_value(name):
    # An even number of points: the kink of relu at 0 is between two of them.
    z, h = np.linspace(-6, 6, 1000), 1e-5
    ref = (_values(name, z + h) - _values(name, z - h)) / (2 * h)
    np.testing.assert_allclose(_derivatives(name, z), ref, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", HIDDEN)
def test_derivative_in_float32_equals_float64(name):
    z = np.linspace(-6, 6, 1000)
    comp = _derivatives(name, z.astype(np.float32))
    np.testing.assert_allclose(comp, _derivatives(name, z), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_nan_and_infinities(name, dtype):
    z = np.array([np.nan, np.inf, -np.inf], dtype)
    with np.errstate(over="ignore"):
        ref = naive.ACTIVATIONS[name](z)
    np.testing.assert_array_equal(_values(name, z), ref)
    assert np.isnan(_values(name, z)[0])


def test_relu_is_flat_at_zero():
    """The subgradient that scikit-learn takes."""
    for dtype in DTYPES:
        z = np.array([-1, -0.0, 0, 1], dtype)
        np.testing.assert_array_equal(_derivatives("relu", z), [0, 0, 0, 1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, 2, 3, 16, 33])
@pytest.mark.parametrize("name", [name for name, row in OUTPUTS.items() if row])
def test_output(name, columns, dtype):
    rng = np.random.default_rng(0)
    for rows in (1, 2, 7):
        z = 3 * rng.standard_normal((rows, columns)).astype(dtype)
        ref = naive.ACTIVATIONS[name](z.astype(np.float64))
        comp = _outputs(name, z)
        np.testing.assert_allclose(comp, ref, rtol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_huge_scores(dtype):
    z = np.array([[1e4, 1e4 - 1, -1e4], [-1e30, 0, -1e30]], dtype)
    ref = [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0], [0, 1, 0]]
    np.testing.assert_allclose(_outputs("softmax", z), ref, rtol=1e-6)
    z[0, 1] = np.nan
    comp = _outputs("softmax", z)
    assert np.isnan(comp[0]).all()
    np.testing.assert_array_equal(comp[1], ref[1])


@_jit.jit
def _softsign(z, parameter):
    return z / (type(z)(1) + parameter * abs(z))


@_jit.jit
def _softsign_derivative(z, a, parameter):
    root = type(z)(1) + parameter * abs(z)
    return type(z)(1) / (root * root)


@pytest.fixture
def softsign(monkeypatch):
    """Add a row whose derivative needs the score, with a parameter, to the tables."""
    slope = 0.5
    row = Activation(_softsign, _softsign_derivative, True, slope)
    monkeypatch.setitem(ACTIVATIONS, "softsign", row)
    value = lambda z: z / (1 + slope * abs(z))  # noqa: E731
    monkeypatch.setitem(naive.ACTIVATIONS, "softsign", value)
    # 1 + slope |z| = 1 / (1 - slope |a|).
    derivative = lambda a: (1 - slope * abs(a)) ** 2  # noqa: E731
    monkeypatch.setitem(naive.DERIVATIVES, "softsign", derivative)
    yield "softsign"
    for loop in (_activations.forward_loop, _activations.backward_loop):
        loop.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_new_row_is_all_that_a_new_activation_takes(softsign, dtype):
    network = BASE | {"activation": softsign, "units": (5, 33, 7, 3)}
    problem = make_problem(network, 30, dtype)
    comp = run_epochs(KERNELS, network, dtype, "momentum", problem, n_threads=2)
    ref = run_epochs(NAIVE, network, dtype, "momentum", problem)
    for a, b in zip(comp, ref, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=200 * np.finfo(dtype).eps)
    value, gradient = loss_and_gradient(KERNELS, network, dtype, problem, 0.1)
    ref_value, ref_gradient = loss_and_gradient(NAIVE, network, dtype, problem, 0.1)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(value, ref_value, rtol=20 * eps)
    np.testing.assert_allclose(gradient, ref_gradient, rtol=0, atol=20 * eps)


def test_only_kernels_of_the_package_are_kept_on_disk(softsign):
    """Another program's function of the same name would be taken for it."""
    assert _jit.own_name(_softsign, "forward", softsign) is None
    name = _jit.own_name(_math.exp, "forward", "exp", np.float32)
    assert name == "forward-exp-float32"
