"""Elementary functions of one float32 or float64, of operations that LLVM vectorises.

No calls into libm, no tables, no branches that cannot become selects: a loop over an
array that calls one of them is compiled to vector instructions. Every function is
written once for both precisions; their differences are in `_Format`.

Largest errors found, in units in the last place of the exact result, the same in both
precisions: exp and log 1.0, log1p 1.4, expm1 and tanh 1.6, sigmoid 1.7, softplus 2.0;
normal_cdf 5.

Special values follow C99, Annex F, as NumPy's do, and nothing warns. The result for a
number depends on nothing else: vector lanes and remainders round alike.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..compile.options import inlined, jit
from ..simd.llvm import bits_float, float_bits


class _Format(NamedTuple):
    """Constants of one floating-point format, in that format.

    A Python literal is a float64, and an integer sum an int64: in kernels everything
    passes through `real` or `integer`, or float32 would be widened.
    """

    real: type
    integer: type
    # Layout of the bits.
    mantissa: int  # explicit bits
    bias: int  # of the exponent
    one: int  # bits of 1
    exponent_mask: int
    sign_mask: int
    smallest_normal: float
    # Above 2**mantissa the lowest bits of a float count units.
    unit: float
    # x + shifter - shifter rounds x to an integer, also below zero.
    shifter: float
    log2_e: float
    # ln2_hi * n is exact for every exponent n.
    ln2_hi: float
    ln2_lo: float
    # exp overflows from exp_top on and is zero up to exp_bottom.
    exp_top: float
    exp_bottom: float
    # From here down both factors of 2**n are 0 in exp: no product is subnormal.
    exp_floor: float
    # (exp(r) - 1 - r) / r**2 for |r| <= log(2)/2, highest power first. Minimax in the
    # relative error of exp (Remez): 3e-9, 4e-18.
    exp_tail: tuple
    # (tanh(r) - r) / r**3 in r**2 for |r| <= 0.55. Minimax in the relative error of
    # tanh: 1e-9, 2e-17.
    tanh_tail: tuple
    # (log((1 + s) / (1 - s)) - 2 * s) / s**3 in s**2. Minimax in the relative error of
    # log. For (1 + s) / (1 - s) between sqrt(1/2) and sqrt(2): 8e-10, 1e-18.
    log_tail: tuple
    # The same for (1 + s) / (1 - s) between 1 and 2: 5e-9, 1e-18.
    softplus_tail: tuple
    # (x + 4) Phi(-x) exp(x**2 / 2) in t = (x - 4) / (x + 4) for x from 0 to where
    # Phi(-x) vanishes, Phi the normal distribution: even(t**2) + t odd(t**2).
    # Interpolation at Chebyshev's nodes, relative: 1e-8, 4e-17; after rounding the
    # coefficients 7e-8, 2e-16. LLVM does not unroll the longer one in one piece.
    normal_even: tuple
    normal_odd: tuple
    # sin(2 pi u) / u in u**2 for |u| <= 1/4. Interpolation at Chebyshev's nodes,
    # relative: 7e-9, 3e-19.
    sine_tail: tuple


def _format(real, integer, *, ln2_hi, ln2_lo, exp_top, exp_bottom, **tails):
    """Return the constants of a format, from NumPy's description of it."""
    info = np.finfo(real)
    mantissa, bias = int(info.nmant), int(info.maxexp) - 1
    return _Format(
        real=real,
        integer=integer,
        mantissa=mantissa,
        bias=bias,
        one=bias << mantissa,
        exponent_mask=(2 * bias + 1) << mantissa,
        sign_mask=int(np.iinfo(integer).min),
        smallest_normal=info.smallest_normal,
        unit=real(2.0**mantissa),
        shifter=real(1.5 * 2.0**mantissa),
        log2_e=real(1.4426950408889634),
        ln2_hi=real(float.fromhex(ln2_hi)),
        ln2_lo=real(float.fromhex(ln2_lo)),
        exp_top=real(exp_top),
        exp_bottom=real(exp_bottom),
        exp_floor=real(-2 * bias * np.log(2)),
        **{name: tuple(map(real, tail)) for name, tail in tails.items()},
    )


_FLOAT32 = _format(
    np.float32,
    np.int32,
    ln2_hi="0x1.62e4p-1",
    ln2_lo="0x1.7f7d1cf79abcap-20",
    exp_top=89.0,
    exp_bottom=-104.0,
    exp_tail=(
        0.0013814480614641471,
        0.0083687802105051928,
        0.041668393942823056,
        0.16666520110960072,
        0.49999993413848358,
    ),
    tanh_tail=(
        -0.0062817142837689455,
        0.021077256629647625,
        -0.053853745239607812,
        0.13332600706759633,
        -0.33333318019978552,
    ),
    log_tail=(0.29874425334628115, 0.39977449289991626, 0.66666777055135743),
    softplus_tail=(
        0.28025140632364873,
        0.27999013318733872,
        0.40021706142980304,
        0.66666413024279027,
    ),
    normal_even=(
        0.00018902005535932321,
        -0.0035209838740840378,
        0.060406186845661486,
        0.38713668304189041,
        0.75528513859602962,
    ),
    normal_odd=(
        -0.00012554782192927367,
        0.0015668910064624696,
        -0.0075254097008448269,
        -0.18652330551597032,
        -0.60789659419529053,
    ),
    sine_tail=(
        39.7598270853191,
        -76.58117264427872,
        81.60247636892518,
        -41.34168061334652,
        6.283185280154407,
    ),
)

_FLOAT64 = _format(
    np.float64,
    np.int64,
    ln2_hi="0x1.62e42fefa3800p-1",
    ln2_lo="0x1.ef35793c76730p-45",
    exp_top=710.0,
    exp_bottom=-746.0,
    exp_tail=(
        2.4999912952040192e-8,
        2.7630378723623470e-7,
        2.7557587514363035e-6,
        2.4801492762802962e-5,
        0.00019841269504566983,
        0.0013888888943922277,
        0.0083333333334957164,
        0.041666666666529192,
        0.16666666666666410,
        0.50000000000000107,
    ),
    tanh_tail=(
        5.1079022245189403e-5,
        -0.00021038983890336543,
        0.00057919339799326585,
        -0.0014532368420251917,
        0.0035917240078966078,
        -0.0088631950738396094,
        0.021869486020276745,
        -0.053968253878131931,
        0.13333333333173249,
        -0.33333333333332348,
    ),
    log_tail=(
        0.14799071674193015,
        0.15313755192007485,
        0.18183575188690483,
        0.22222198377991920,
        0.28571428744146817,
        0.39999999999407458,
        0.66666666666667354,
    ),
    softplus_tail=(
        0.17019576996031829,
        0.083395759252453453,
        0.12106202996922085,
        0.13300959296825582,
        0.15386560973973912,
        0.18181743877437060,
        0.22222223971024627,
        0.28571428547833963,
        0.40000000000157394,
        0.66666666666666303,
    ),
    normal_even=(
        -1.0055412091713131e-9,
        1.3987138627393355e-8,
        -7.6342053600804782e-8,
        2.6351784934024822e-7,
        -6.2496438918695499e-7,
        7.1491672604948871e-7,
        -1.9078389980077625e-6,
        0.00013334424896949754,
        -0.0034796923617191665,
        0.06039657489067221,
        0.38713740074221942,
        0.75528513041575148,
    ),
    normal_odd=(
        -2.588222279175032e-11,
        1.489298271975529e-8,
        -1.5468881648824075e-7,
        1.020123676730215e-6,
        -5.9190371916261321e-6,
        3.5144221825560245e-5,
        -0.00023109482535855134,
        0.0016308184426064203,
        -0.0075401889656320908,
        -0.18652185795969321,
        -0.60789664197189177,
    ),
    sine_tail=(
        0.10089695501646812,
        -0.7177337921413454,
        3.8199280942271643,
        -15.0946416761179,
        42.058693925428685,
        -76.70585975282492,
        81.60524927607362,
        -41.341702240399755,
        6.283185307179586,
    ),
)


@intrinsic
def _constants(typingctx, x):
    """Return the constants of the format of `x`.

    As `numba.extending.overload` it would take 50 ms a format to compile.
    """
    constants = _FLOAT32 if x == types.float32 else _FLOAT64
    returned = typingctx.resolve_value_type(constants)

    def codegen(context, builder, signature, args):
        return context.get_constant_generic(builder, returned, constants)

    return returned(x), codegen


@jit
def _polynomial(x, coefficients):
    """Horner's rule; the highest power comes first. The loop is unrolled."""
    y = coefficients[0]
    for i in range(1, len(coefficients)):
        y = y * x + coefficients[i]
    return y


@jit
def _reduce(x, steps, offset):
    """Write x = n log(2) / steps + r with the nearest n; `steps` is a power of two.

    Returns high and low with r = high - low, high exact (low is tiny beside log(2)),
    and an integer ending in the bits of n + offset.
    """
    c = _constants(x)
    steps = c.real(steps)
    shifter = c.shifter + c.real(offset)
    shifted = x * (c.log2_e * steps) + shifter
    n = shifted - shifter
    return x - n * (c.ln2_hi / steps), n * (c.ln2_lo / steps), float_bits(shifted)


@jit
def _power_of_two(exponent, x):
    """Return 2**n in the format of `x`; `exponent` ends in the bits of n + bias."""
    c = _constants(x)
    return bits_float(c.integer(exponent << c.mantissa))


@jit
def exp(x: float) -> float:
    """Exponential of x."""
    c = _constants(x)
    # min and max keep a NaN that is their first argument. -inf pads rows of scores, and
    # a subnormal product takes Intel's CPUs some 150 cycles.
    x = min(max(x, c.exp_floor), c.exp_top)
    # 2**n in two factors: n goes below the smallest exponent and beyond the largest.
    high, low, exponent = _reduce(x, 1, 2 * c.bias)
    half = exponent >> 1
    r = high - low
    y = (_polynomial(r, c.exp_tail) * r + c.real(1)) * r + c.real(1)
    return y * _power_of_two(half, x) * _power_of_two(exponent - half, x)


@jit
def _scaled_exp_of_minus_abs(x):
    """2**64 exp(-|x|): never subnormal."""
    c = _constants(x)
    x = max(-abs(x), c.exp_bottom)
    high, low, exponent = _reduce(x, 1, c.bias + 64)
    r = high - low
    y = (_polynomial(r, c.exp_tail) * r + c.real(1)) * r + c.real(1)
    return y * _power_of_two(exponent, x)


@jit
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), relatively accurate where exp(-x) overflows."""
    c = _constants(x)
    scale = c.real(2.0**64)
    y = _scaled_exp_of_minus_abs(x)
    # 1 - y / (1 + y) or y - y * y / (1 + y): 0.5 ulp better than a plain quotient.
    top = scale if x > 0 else y
    return (top - top * (y / (y + scale))) * c.real(2.0**-64)


@jit
def expm1(x: float) -> float:
    """exp(x) - 1, relatively accurate near 0."""
    c = _constants(x)
    # At -40 exp vanishes beside 1.
    y = min(max(x, c.real(-40)), c.exp_top)
    # Half of everything: 2**n overflows before exp does.
    high, low, exponent = _reduce(y, 1, c.bias - 1)
    scale = _power_of_two(exponent, x)
    r = high - low
    # r is rounded; where the sum below cancels, that alone would cost 1 ulp.
    y = high + (r * r * _polynomial(r, c.exp_tail) - low)
    y = c.real(2) * (y * scale + (scale - c.real(0.5)))
    # Halving rounds subnormals, and the sum loses the sign of zero.
    return x if abs(x) < c.real(2.0**-60) else y


@jit
def tanh(x: float) -> float:
    """Hyperbolic tangent.

    With |x| = n log(2) / 2 + r and t = tanh(r), a polynomial:
    1 - tanh|x| = 2 (1 - t) / ((2**n + 1) + (2**n - 1) t). Below 0.55, where that
    difference would lose digits, the result is the polynomial at |x| itself.
    """
    c = _constants(x)
    one, two = c.real(1), c.real(2)
    # At 20 tanh rounds to 1.
    y = min(abs(x), c.real(20))
    small = y < c.real(0.55)
    high, low, exponent = _reduce(y, 2, c.bias)
    scale = _power_of_two(exponent, x)
    r = y if small else high - low
    z = r * r
    t = r * z * _polynomial(z, c.tanh_tail) + r
    y = one - (two - two * t) / ((scale - one) * t + (scale + one))
    y = t if small else y
    return bits_float(c.integer(float_bits(y) | (float_bits(x) & c.sign_mask)))


@jit
def _log1p_parts(f, coefficients):
    """Return h = f**2 / 2 and t: log(1 + f) = f - (h - t). From fdlibm's e_log.c."""
    c = _constants(f)
    s = f / (f + c.real(2))
    z = s * s
    half_square = c.real(0.5) * f * f
    return half_square, s * (half_square + z * _polynomial(z, coefficients))


@jit
def _exponent_field(x):
    """Return the exponent bits of 2**n: x = 2**n m, m from sqrt(1/2) to sqrt(2)."""
    c = _constants(x)
    root = float_bits(c.real(0.7071067811865476))
    return (float_bits(x) + (c.one - root)) & c.exponent_mask


@jit
def _log_of_product(f, field, offset):
    """log(1 + f) + (n - offset) log(2); `field`: the bits of the exponent n."""
    c = _constants(f)
    unit = bits_float(c.integer((field >> c.mantissa) | float_bits(c.unit)))
    n = unit - (c.unit + c.real(c.bias + offset))
    half_square, tail = _log1p_parts(f, c.log_tail)
    return n * c.ln2_hi - ((half_square - (tail + n * c.ln2_lo)) - f)


@jit
def log(x: float) -> float:
    """Natural logarithm."""
    c = _constants(x)
    subnormal = x < c.smallest_normal
    y = x * c.real(2.0**54) if subnormal else x
    field = _exponent_field(y)
    m = bits_float(c.integer(float_bits(y) - field + c.one))
    y = _log_of_product(m - c.real(1), field, 54 if subnormal else 0)
    special = x if x > 0 else (c.real(-np.inf) if x == 0 else c.real(np.nan))
    return y if (x > 0) & (x < c.real(np.inf)) else special


@jit
def log1p(x: float) -> float:
    """log(1 + x), relatively accurate near 0."""
    c = _constants(x)
    field = _exponent_field(x + c.real(1))
    # f = (1 + x) / 2**n - 1 in one rounding; 2**-n may be subnormal, 2**(2 - n) is not.
    scale = bits_float(c.integer((2 * c.one - field) + (2 << c.mantissa)))
    scale *= c.real(0.25)
    y = _log_of_product(x * scale + (scale - c.real(1)), field, 0)
    special = x if x > -1 else (c.real(-np.inf) if x == -1 else c.real(np.nan))
    return y if (x > -1) & (x < c.real(np.inf)) & (x != 0) else special


@jit
def softplus(x: float) -> float:
    """log(1 + exp(x)), relatively accurate where exp(x) overflows or vanishes."""
    c = _constants(x)
    y = _scaled_exp_of_minus_abs(x) * c.real(2.0**-64)
    half_square, tail = _log1p_parts(y, c.softplus_tail)
    return max(x, c.real(0)) + (y - (half_square - tail))


@jit
def _normal_exponential(x):
    """exp(-x**2 / 2), relatively accurate.

    Rounding x**2 would cost x**2 / 4 ulp: a part of x whose square is exact goes into
    one exponential, and the rest, at most 0.1, into a series.
    """
    c = _constants(x)
    # At 40 the result vanishes.
    x = min(abs(x), c.real(40))
    high = bits_float(c.integer(float_bits(x) & -(1 << ((c.mantissa + 2) >> 1))))
    rest = c.real(0.5) * ((x - high) * (x + high))
    series = c.real(1 / 6) - rest * c.real(1 / 24)
    series = c.real(1) - rest * (c.real(1) - rest * (c.real(0.5) - rest * series))
    return exp(c.real(-0.5) * (high * high)) * series


@jit
def normal_density(x: float) -> float:
    """exp(-x**2 / 2) / sqrt(2 pi)."""
    c = _constants(x)
    return _normal_exponential(x) * c.real(0.3989422804014327)


@inlined
def normal_cdf(x: float) -> float:
    """(1 + erf(x / sqrt(2))) / 2, relatively accurate where it vanishes."""
    c = _constants(x)
    y = min(abs(x), c.real(40))
    scale = c.real(1) / (y + c.real(4))
    t = (y - c.real(4)) * scale
    odd = t * _polynomial(t * t, c.normal_odd)
    tail = scale * (odd + _polynomial(t * t, c.normal_even)) * _normal_exponential(x)
    return c.real(1) - tail if x > 0 else tail


@jit
def sine_of_turns(x: float) -> float:
    """sin(2 pi x), within 2 units in the last place of 1.

    Of |x| up to 2**22 in float32 and 2**51 in float64, where whole turns are exact.
    """
    c = _constants(x)
    half = c.real(0.5)
    u = x - ((x + c.shifter) - c.shifter)
    # Fold |u| > 1/4 back: sin(pi - z) = sin(z).
    u = max(min(u, half - u), -half - u)
    return u * _polynomial(u * u, c.sine_tail)
