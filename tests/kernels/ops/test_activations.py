"""Every row of the tables of activations, against NumPy and central differences."""

import numba
import numpy as np
import pytest

from tests import naive
from tests.custom_functions import softsign
from tests.kernels.math.test_functions import SQUARES, optimised, vector_lanes
from tests.kernels_api import (
    FUSED,
    compile_derivative,
    compile_value,
    functions,
    lanes,
    options,
)
from tests.networks import DTYPES

HIDDEN = [name for name, row in FUSED.items() if row]

# Where each may differ from its reference, in units of the dtype's rounding.
BOUND = 12


def _place(array):
    return array.ctypes.data


def _values(name, z, parameter=None):
    a = z.copy()
    parameter = FUSED[name].parameter if parameter is None else parameter
    compile_value(name, z.dtype.type).ctypes(_place(a), a.size, parameter or 0.0)
    return a


def _derivatives(name, z, parameter=None):
    a, delta, row = _values(name, z, parameter), np.ones_like(z), FUSED[name]
    parameter = row.parameter if parameter is None else parameter
    places = [_place(each) for each in (z if row.keeps_scores else a, a, delta)]
    derivative = compile_derivative(name, z.dtype.type).ctypes
    derivative(*places, z.size, parameter or 0.0)
    return delta


def _extremes(dtype):
    """Return zeros, tiny, large and infinite numbers of both signs."""
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, info.tiny, info.eps, 1e-3, 1, 2.9, 3, 5, 12]
    sizes = np.array([*sizes, 20, 90, 1e3, 1e30, info.max, np.inf], dtype)
    return np.concatenate([sizes, -sizes])


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

    @numba.njit(**options.OPTIONS)
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
    row = FUSED[name]
    available = vector_lanes(optimised(SQUARES, dtype), dtype)
    for function, n_numbers in ((row.value, 1), (row.derivative, 2)):
        code = optimised(_loop_over(function, n_numbers), dtype)
        # With two lanes, LLVM prefers scalar code for some functions in float64.
        if available > 2:
            assert vector_lanes(code, dtype) > 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name, parameter",
    [("leaky_relu", 0.0), ("leaky_relu", 1.5), ("elu", 0.0), ("elu", 2.5)],
)
def test_parameter_changes_value_and_derivative(name, parameter, dtype):
    z = np.append(np.linspace(-6, 6, 101), [0.0, -0.0, np.inf]).astype(dtype)
    ref = naive.ACTIVATIONS[name](z.astype(np.float64), parameter)
    ref_derivative = naive.DERIVATIVES[name](z.astype(np.float64), ref, parameter)
    bound = BOUND * np.finfo(dtype).eps
    np.testing.assert_allclose(_values(name, z, parameter), ref, rtol=bound)
    comp = _derivatives(name, z, parameter)
    np.testing.assert_allclose(comp, ref_derivative, rtol=bound, atol=bound)


def test_relu_is_flat_at_zero():
    """The subgradient that scikit-learn takes."""
    for dtype in DTYPES:
        z = np.array([-1, -0.0, 0, 1], dtype)
        np.testing.assert_array_equal(_derivatives("relu", z), [0, 0, 0, 1])


def test_own_name_is_of_the_packages_kernels_only():
    """Another program's function of the same name would be taken for it."""
    assert options.own_name(options.jit(softsign), "forward", "softsign") is None
    name = options.own_name(functions.exp, "forward", "exp", np.float32)
    assert name == "exp-forward-exp-float32"
