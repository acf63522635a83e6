"""Every row of the tables of activations, against NumPy and central differences."""

import numba
import numpy as np
import pytest
from tests.kernels_api import (
    ACTIVATIONS,
    OUTPUTS,
    Activation,
    backward_loop,
    forward_loop,
    output_loop,
)
from tests.kernels_api import lanes

from fastmlp import MLPClassifier
from fastmlp.kernels import _activations, _jit, _math, prediction
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
from tests.test_math import SQUARES, optimised, vector_lanes

# Those that work on one number at a time.
HIDDEN = [name for name, row in ACTIVATIONS.items() if row and not row.pieces]

# Where each may differ from its reference, in units of the dtype's rounding.
BOUND = 12


def _place(array):
    return array.ctypes.data


def _values(name, z, parameter=None):
    a, row, kind = z.copy(), ACTIVATIONS[name], z.dtype.type
    parameter = row.parameter if parameter is None else parameter
    if row.parameter_derivative is None:
        forward_loop(name, kind).ctypes(_place(a), a.size, parameter or 0.0)
    else:
        slope = np.array([parameter], kind)
        forward_loop(name, kind).ctypes(_place(a), _place(slope), a.size, 1, 1)
    return a


def _derivatives(name, z, parameter=None):
    a, delta, kind = _values(name, z, parameter), np.ones_like(z), z.dtype.type
    row = ACTIVATIONS[name]
    parameter = row.parameter if parameter is None else parameter
    scores = z if row.keeps_scores else a
    places = [_place(array) for array in (scores, a, delta)]
    if row.parameter_derivative is None:
        backward_loop(name, kind).ctypes(*places, z.size, parameter or 0.0)
    else:
        slope = np.array([parameter], kind)
        unused = np.empty_like(z)
        backward_loop(name, kind).ctypes(
            *places, _place(unused), _place(slope), z.size, 1, 1
        )
    return delta


def _extremes(dtype):
    """Return zeros, tiny, large and infinite numbers of both signs."""
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, info.tiny, info.eps, 1e-3, 1, 2.9, 3, 5, 12]
    sizes = np.array([*sizes, 20, 90, 1e3, 1e30, info.max, np.inf], dtype)
    return np.concatenate([sizes, -sizes])


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
        np.testing.assert_allclose(comp, ref, rtol=BOUND * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_value_and_derivative_at_extremes(name, dtype):
    z, info = _extremes(dtype), np.finfo(dtype)
    wide = z.astype(np.float64)
    with np.errstate(all="ignore"):
        ref = naive.ACTIVATIONS[name](wide)
        ref_derivative = naive.DERIVATIVES[name](wide, ref)
        ref = ref.astype(dtype)
    bound = BOUND * info.eps
    comp = _values(name, z)
    np.testing.assert_allclose(comp, ref, rtol=bound, atol=info.tiny)
    comp = _derivatives(name, z)
    np.testing.assert_allclose(comp, ref_derivative, rtol=bound, atol=bound)
    assert np.isnan(_values(name, np.array([np.nan], dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_derivative_is_that_of_the_value(name, dtype):
    # An even number of points: the kinks at 0 and +-3 are between two of them. Each
    # dtype's derivative is compared with the differences of the float64 value.
    z, h = np.linspace(-6, 6, 1000).astype(dtype), 1e-5
    wide = z.astype(np.float64)
    ref = (_values(name, wide + h) - _values(name, wide - h)) / (2 * h)
    bound = max(1e-9, BOUND * np.finfo(dtype).eps)
    np.testing.assert_allclose(_derivatives(name, z), ref, rtol=10 * bound, atol=bound)


def _loop_over(function, n_numbers):
    """Compile a loop that multiplies by what the function gives for an element."""

    @numba.njit(**_jit.OPTIONS)
    def loop(x, out):
        parameter = x.dtype.type(0.5)
        for i in range(x.size):
            if n_numbers == 1:
                out[i] *= function(x[i], parameter)
            else:
                out[i] *= function(x[i], x[i], parameter)

    return loop


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_loops_are_vectorised(name, dtype):
    row = ACTIVATIONS[name]
    available = vector_lanes(optimised(SQUARES, dtype), dtype)
    for function, n_numbers in ((row.value, 1), (row.derivative, 2)):
        code = optimised(_loop_over(function, n_numbers), dtype)
        # With two lanes, LLVM prefers scalar code for some functions in float64.
        if available > 2:
            assert vector_lanes(code, dtype) > 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name, parameter",
    [("leaky_relu", 0.0), ("leaky_relu", 1.5), ("elu", 0.0), ("elu", 2.5)]
    + [("prelu", -0.5), ("prelu", 0.0)],
)
def test_parameters(name, parameter, dtype):
    z = np.append(np.linspace(-6, 6, 101), [0.0, -0.0, np.inf]).astype(dtype)
    ref = naive.ACTIVATIONS[name](z.astype(np.float64), parameter)
    ref_derivative = naive.DERIVATIVES[name](z.astype(np.float64), ref, parameter)
    bound = BOUND * np.finfo(dtype).eps
    np.testing.assert_allclose(_values(name, z, parameter), ref, rtol=bound)
    comp = _derivatives(name, z, parameter)
    np.testing.assert_allclose(comp, ref_derivative, rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_slope_per_column(dtype):
    """What lies beyond the columns stays as it is."""
    rng = np.random.default_rng(0)
    rows, width = 7, 2 * lanes(dtype)
    for columns in (1, lanes(dtype) + 1, width):
        z, delta = rng.standard_normal((2, rows, width)).astype(dtype)
        slopes = rng.standard_normal(columns).astype(dtype)
        a, slope_delta, before = z.copy(), np.full_like(z, 7), delta.copy()
        sizes = rows, columns, width
        forward_loop("prelu", dtype).ctypes(_place(a), _place(slopes), *sizes)
        places = map(_place, (z, a, delta, slope_delta, slopes))
        backward_loop("prelu", dtype).ctypes(*places, *sizes)
        inside = np.s_[:, :columns]
        ref = naive.ACTIVATIONS["prelu"](z[inside], slopes)
        np.testing.assert_array_equal(a[inside], ref)
        ref = before[inside] * np.where(z[inside] > 0, 1, slopes)
        np.testing.assert_array_equal(delta[inside], ref)
        ref = before[inside] * np.minimum(z[inside], 0)
        np.testing.assert_array_equal(slope_delta[inside], ref)
        for array, ref in ((a, z), (delta, before), (slope_delta, 7 + 0 * z)):
            np.testing.assert_array_equal(array[:, columns:], ref[:, columns:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_largest_piece(pieces, dtype):
    """Ties go to the first piece, as in argmax; a NaN is larger than all."""
    rng = np.random.default_rng(0)
    n = 4 * lanes(dtype) + 3
    # Few different numbers, so that many tie.
    z = rng.integers(-2, 3, (pieces, n)).astype(dtype)
    z[0, 0] = z[-1, 1] = np.inf
    z[:, 2] = -np.inf
    jump = n + 5
    scores, deltas = np.full((2, pieces, jump), 7, dtype)
    scores[:, :n] = z
    a, delta = np.empty(n, dtype), rng.standard_normal(n).astype(dtype)
    ref, _ = naive.activation_backward(delta, z.reshape(-1), None, "maxout", ())
    forward_loop("maxout", dtype).ctypes(_place(scores), _place(a), n, pieces, jump)
    np.testing.assert_array_equal(a, z.max(axis=0))
    places = map(_place, (scores, a, delta, deltas))
    backward_loop("maxout", dtype).ctypes(*places, n, pieces, jump)
    np.testing.assert_array_equal(deltas[:, :n], ref.reshape(z.shape))
    assert (deltas[:, n:] == 7).all()
    for p in range(pieces):
        scores[:, :n] = z
        scores[p, :n] = np.nan
        forward_loop("maxout", dtype).ctypes(_place(scores), _place(a), n, pieces, jump)
        assert np.isnan(a).all()


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
    derivative = lambda z, a: (1 + slope * abs(z)) ** -2.0  # noqa: E731
    monkeypatch.setitem(naive.DERIVATIVES, "softsign", derivative)
    yield "softsign"
    # Addresses of the loops stand in the layouts.
    for made in (_activations.forward_loop, _activations.backward_loop):
        made.cache_clear()
    prediction._layout.cache_clear()


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


@pytest.mark.parametrize("parameter", [0.5, 2.0])
def test_a_new_row_is_an_estimators_activation(softsign, parameter):
    """By its name, and with another parameter in one layer of two."""
    X, y, _ = make_problem(BASE, 60, np.float64)
    estimator = MLPClassifier(
        (7, 5), ("tanh", (softsign, parameter)), tol=1e9, random_state=0
    ).fit(X, y[:, 0])
    hidden = np.tanh(X @ estimator.coefs_[0] + estimator.intercepts_[0])
    z = hidden @ estimator.coefs_[1] + estimator.intercepts_[1]
    z = z / (1 + parameter * abs(z)) @ estimator.coefs_[2] + estimator.intercepts_[2]
    ref = naive.ACTIVATIONS["softmax"](z)
    np.testing.assert_allclose(estimator.predict_proba(X), ref, rtol=1e-12)


def test_only_kernels_of_the_package_are_kept_on_disk(softsign):
    """Another program's function of the same name would be taken for it."""
    assert _jit.own_name(_softsign, "forward", softsign) is None
    name = _jit.own_name(_math.exp, "forward", "exp", np.float32)
    assert name == "exp-forward-exp-float32"
