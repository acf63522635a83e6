"""Elementary functions against NumPy's, in units in the last place."""

import re

import numba
import numpy as np
import pytest

from tests.kernels_api import functions, options
from tests.networks import DTYPES

NAMES = ["exp", "expm1", "log", "log1p", "sigmoid", "softplus", "tanh"]
# The normal distribution's; a bound of its own, and NumPy has no reference.
NORMAL = ["normal_cdf", "normal_density"]
N_RANDOM = 300_000


def _loop_over(function):
    @numba.njit(**options.OPTIONS)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


SQUARES = _loop_over(numba.njit(lambda x: x * x, **options.OPTIONS))
# The bound of its error is absolute, and holds up to MOST_TURNS.
SINE = "sine_of_turns"
ALL = [*NAMES, *NORMAL, SINE]
LOOPS = {name: _loop_over(getattr(functions, name)) for name in ALL}


def _apply(name, x):
    out = np.empty_like(x)
    LOOPS[name](x, out)
    return out


def _ref(name, x):
    """Evaluate `name` in the precision of x, with NumPy's functions alone."""
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            e = np.exp(-np.abs(x))
            return np.where(x < 0, e, np.where(np.isnan(x), x, 1)) / (1 + e)
        if name in NORMAL:
            return globals()[f"_{name}"](x)
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        return getattr(np, name)(x)


def _normal_density(x):
    return np.exp(-0.5 * x * x) / np.sqrt(2 * np.arccos(x.dtype.type(-1)))


def _normal_cdf(x):
    """Evaluate by the series around 0 and, from 2 on, the tail's continued fraction."""
    size = np.minimum(np.abs(x), 100)
    near, far = np.minimum(size, 2), np.maximum(size, 2)
    term = total = near
    for k in range(3, 121, 2):
        term = term * near**2 / k
        total = total + term
    fraction = far
    for k in range(300, 0, -1):
        fraction = far + k / fraction
    tail = np.where(
        size < 2,
        x.dtype.type(0.5) - _normal_density(near) * total,
        _normal_density(far) / fraction,
    )
    return np.where(x > 0, 1 - tail, tail)


def _ref_rounded(name, x):
    """Evaluate in the next wider format and round once."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        return _ref(name, x.astype(wide)).astype(x.dtype)


def _ordinals(x):
    """Integers in which neighbouring floats differ by one; both zeros are 0."""
    bits = x.view(np.int32 if x.dtype == np.float32 else np.int64)
    return np.where(bits < 0, np.iinfo(bits.dtype).min - bits, bits).astype(object)


def _ulps(a, b):
    """Return the largest distance in ulp, an infinity being next to the largest."""
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    known = ~np.isnan(a)
    a, b = a[known], b[known]
    differ = a != b
    if not differ.any():
        return 0
    return np.abs(_ordinals(a[differ]) - _ordinals(b[differ])).max()


def _whole_range(dtype):
    """Bit patterns of every size, and the numbers networks meet, more densely."""
    rng = np.random.default_rng(0)
    bits = np.uint32 if dtype == np.float32 else np.uint64
    patterns = rng.integers(0, np.iinfo(bits).max, N_RANDOM, bits, endpoint=True)
    grids = [np.linspace(-bound, bound, 100_001) for bound in (1, 5, 40, 110, 760)]
    tiny = np.exp(rng.uniform(-100, 2, N_RANDOM))
    near_one = 1 + 1e-3 * rng.standard_normal(N_RANDOM)
    numbers = np.concatenate([*grids, tiny, -tiny, near_one]).astype(dtype)
    return np.concatenate([patterns.view(dtype), numbers])


def _around(values, dtype, n=2000):
    """Return the n floats on either side of each value."""
    bits = np.int32 if dtype == np.float32 else np.int64
    steps = np.arange(-n, n + 1, dtype=bits)
    starts = np.asarray(values, dtype).view(bits)
    return (starts[:, None] + steps).ravel().view(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_within_two_ulp_of_numpy(name, dtype):
    x = _whole_range(dtype)
    comp = _apply(name, x)
    assert comp.dtype == dtype
    assert _ulps(comp, _ref_rounded(name, x)) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NORMAL)
def test_normal_distribution(name, dtype):
    x = np.concatenate(
        [
            _whole_range(dtype)[:: 1 if dtype == np.float32 else 20],
            _around([0, -0.674, 0.674, -5.0, -12.9, -37.5], dtype),
        ]
    )
    x = x[~(abs(x) < np.finfo(dtype).smallest_normal)]
    assert _ulps(_apply(name, x), _ref_rounded(name, x)) <= 6


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "tanh"])
def test_within_two_ulp_of_numpys_own_float64(name):
    x = _whole_range(np.float64)
    assert _ulps(_apply(name, x), _ref(name, x)) <= 2


# Where a result overflows, becomes subnormal, vanishes or stops changing, and where an
# implementation goes from one formula to another.
EDGES = {
    "exp": {
        np.float32: [88.72284, -87.33655, -103.97208, 1e-30, 0.34657359],
        np.float64: [709.782712893384, -708.3964185322641, -745.1332191019412, 0.3466],
    },
    "expm1": {
        np.float32: [88.72284, -17.32868, 0.34657359, -0.34657359, 1e-38, -40.0],
        np.float64: [709.782712893384, -37.42994775023705, 0.34657359, -0.3466, 1e-308],
    },
    "log": {
        np.float32: [1.17549435e-38, 1.0, 0.70710678, 1.41421356, 3.4e38],
        np.float64: [2.2250738585072014e-308, 1.0, 0.7071067811865476, 1.7e308],
    },
    "log1p": {
        np.float32: [-0.9999, 0.41421356, -0.29289322, 1e-38, 3.4e38, 16777216.0],
        np.float64: [-0.9999, 0.41421356237309515, -0.29289321, 1e-308, 1.7e308, 2**53],
    },
    "sigmoid": {
        np.float32: [-87.33655, -103.97208, 17.0, -0.34657359, 88.72284],
        np.float64: [-708.3964185322641, -745.1332191019412, 37.0, 709.782712893384],
    },
    "softplus": {
        np.float32: [-87.33655, -103.97208, 17.0, -0.34657359, 88.72284],
        np.float64: [-708.3964185322641, -745.1332191019412, 37.0, 709.782712893384],
    },
    "tanh": {
        np.float32: [0.55, -0.55, 9.010913, 20.0, 1e-38, 0.17328680],
        np.float64: [0.55, -0.55, 19.061547465398498, 20.0, 1e-308, 0.1732868],
    },
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_within_two_ulp_around_edges(name, dtype):
    x = _around(EDGES[name][dtype], dtype)
    assert _ulps(_apply(name, x), _ref_rounded(name, x)) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES + NORMAL)
def test_special_values(name, dtype):
    info = np.finfo(dtype)
    subnormal, most = info.smallest_subnormal, info.max
    x = [0.0, np.inf, np.nan, subnormal, 3 * subnormal, info.smallest_normal, most, 1.0]
    x = np.array([*x, *np.negative(x)], dtype)
    comp, ref = _apply(name, x), _ref_rounded(name, x)
    np.testing.assert_array_equal(np.isfinite(comp), np.isfinite(ref))
    np.testing.assert_array_max_ulp(comp, ref, 2, dtype)
    known = ~np.isnan(ref)
    np.testing.assert_array_equal(np.signbit(comp[known]), np.signbit(ref[known]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("payload", [1, 2**20, 2**22 - 1])
@pytest.mark.parametrize("name", ALL)
def test_nan_of_any_payload_stays_nan(name, payload, dtype):
    bits = np.int32 if dtype == np.float32 else np.int64
    x = (np.array([np.nan, -np.nan], dtype).view(bits) + bits(payload)).view(dtype)
    assert np.isnan(x).all()
    assert np.isnan(_apply(name, x)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_result_does_not_depend_on_place(name, dtype):
    """A vector's lanes and the loop's remainder round alike."""
    x = np.random.default_rng(1).uniform(-30, 30, 67).astype(dtype)
    x = np.abs(x) if name in ("log", "log1p") else x
    whole = _apply(name, x)
    alone = np.concatenate([_apply(name, x[i : i + 1]) for i in range(x.size)])
    assert alone.tobytes() == whole.tobytes()
    for size in (0, 1, 15, 16, 17, 33):
        for start in (0, 1, 7, 16):
            part = _apply(name, x[start : start + size])
            assert part.tobytes() == whole[start : start + size].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", SINE])
def test_odd_functions(name, dtype):
    x = _whole_range(dtype)
    x = x[~np.isnan(x) & (abs(x) <= MOST_TURNS[dtype])]
    np.testing.assert_array_equal(_apply(name, -x), -_apply(name, x))


# Turns up to which the sine is accurate.
MOST_TURNS = {np.float32: 2.0**22, np.float64: 2.0**51}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bound", [0.25, 1.0, 10.0, 1e4, None], ids=str)
def test_sine_of_turns(bound, dtype):
    """Within two units in the last place of 1. Whole turns are taken off exactly."""
    bound = bound or MOST_TURNS[dtype]
    grid = np.linspace(-bound, bound, N_RANDOM)
    quarters = np.rint(4 * np.linspace(-bound, bound, 1001)) / 4
    around = _around(np.append(quarters, [1e-30, -1e-30]), dtype, 20)
    x = np.concatenate([grid.astype(dtype), around[abs(around) <= bound]])
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    turns = wide - np.rint(wide)
    turns = np.where(abs(turns) > 0.25, np.copysign(0.5, turns) - turns, turns)
    ref = np.sin(2 * np.arccos(wide.dtype.type(-1)) * turns)
    comp = _apply(SINE, x)
    assert comp.dtype == dtype
    assert abs(comp - ref).max() <= 2 * np.finfo(dtype).eps
    # Near zero relatively too.
    few = (abs(wide) < 0.01) & (abs(wide) > np.finfo(dtype).smallest_normal)
    assert (abs(comp - ref)[few] <= 2 * np.finfo(dtype).eps * abs(ref)[few]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sine_of_quarter_turns_is_exact(dtype):
    """Up to the rounding of the polynomial at its end, where it is 1."""
    x = np.array([-1e4, -2.5, -0.5, -0.0, 0.0, 0.5, 1.0, 1e4], dtype)
    np.testing.assert_array_equal(_apply(SINE, x), 0)
    x = np.array([-0.75, 0.25, 1.25, 1e4 + 0.25], dtype)
    comp = _apply(SINE, x)
    np.testing.assert_allclose(comp, 1, rtol=np.finfo(dtype).eps)
    np.testing.assert_array_equal(_apply(SINE, -x), -comp)
    assert np.isnan(_apply(SINE, np.array([np.inf, -np.inf], dtype))).all()


def optimised(loop, dtype):
    """Return the optimised LLVM code of `loop` for arrays of `dtype`."""
    loop(np.ones(1, dtype), np.ones(1, dtype))
    (code,) = (
        code
        for signature, code in loop.inspect_llvm().items()
        if signature[0].dtype.name == np.dtype(dtype).name
    )
    return code


def vector_lanes(code, dtype):
    """Return the number of lanes in the widest product or quotient, 1 if scalar."""
    kind = "float" if dtype == np.float32 else "double"
    widths = re.findall(rf"= (?:fmul|fdiv) contract <(\d+) x {kind}>", code)
    return max(map(int, widths), default=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_loop_is_vectorised(name, dtype):
    available = vector_lanes(optimised(SQUARES, dtype), dtype)
    code = optimised(LOOPS[name], dtype)
    # With two lanes, LLVM's cost model prefers scalar code for the float64 logarithms.
    if available > 2:
        assert vector_lanes(code, dtype) > 1
    # No arithmetic in a wider format.
    wider = "double" if dtype == np.float32 else "fp128"
    assert not re.search(rf"= f\w+ contract (<\d+ x )?{wider}", code)
    called = set(re.findall(r"call [^@\n]*@\"?([\w.]+)", code))
    assert not {call for call in called if re.match(r"(llvm\.)?(exp|log|tanh)", call)}
