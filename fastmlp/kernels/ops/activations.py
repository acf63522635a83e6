"""Value and derivative of each activation as scalar functions; the table ACTIVATIONS.

Another activation is one row more. Its loops over arrays are compiled when a network
first uses it; `dense` calls them by address. An activation that has trained parameters
or several inputs per output is an operation of its own: see `per_unit` and `maxout`.
"""

from typing import Any, NamedTuple

from numba import types

from ..compile.options import callback, compiled_once, inlined, jit, own_name
from ..math import functions
from ..simd.llvm import array_at, caller


class Activation(NamedTuple):
    """One row of the table.

    Parameters
    ----------
    value, derivative : jitted functions
        ``value(z, parameter)`` and ``derivative(z, a, parameter)`` take and return
        scalars of one dtype, a being the value at z.
    keeps_scores : bool
        True: the derivative needs z. False: z is not kept, and the derivative gets a
        in its place.
    parameter : float or None
        Default of the parameter. None: there is none.
    """

    value: Any
    derivative: Any
    keeps_scores: bool = False
    parameter: float | None = None


@jit
def _logistic(z, parameter):
    return functions.sigmoid(z)


@jit
def _logistic_derivative(z, a, parameter):
    return a * (type(a)(1) - a)


@jit
def _tanh(z, parameter):
    return functions.tanh(z)


@jit
def _tanh_derivative(z, a, parameter):
    return type(a)(1) - a * a


@jit
def _relu(z, parameter):
    # Written so that a NaN stays one: a network that has diverged must show it.
    return type(z)(0) if z <= 0 else z


@jit
def _relu_derivative(z, a, parameter):
    return type(a)(0) if a == 0 else type(a)(1)


@jit
def leaky_relu(z: float, alpha: float) -> float:
    """Return z or alpha z (Maas, Hannun & Ng 2013)."""
    return z if z > 0 else alpha * z


@jit
def leaky_relu_derivative(z: float, a: float, alpha: float) -> float:
    """Take a for z where alpha is not negative: both have one sign."""
    return type(z)(1) if z > 0 else alpha


@jit
def _elu(z, alpha):
    """Return z or alpha (e^z - 1) (Clevert, Unterthiner & Hochreiter 2016)."""
    return z if z > 0 else alpha * functions.expm1(z)


@jit
def _elu_derivative(z, a, alpha):
    return type(a)(1) if a > 0 else a + alpha


# Klambauer et al. 2017: with these, mean 0 and variance 1 are a fixed point.
SELU_ALPHA, SELU_LAMBDA = 1.6732632423543772, 1.0507009873554805


@jit
def _selu(z, parameter):
    scale = type(z)(SELU_LAMBDA)
    return scale * (z if z > 0 else type(z)(SELU_ALPHA) * functions.expm1(z))


@jit
def _selu_derivative(z, a, parameter):
    scale = type(a)(SELU_LAMBDA)
    return scale if a > 0 else a + scale * type(a)(SELU_ALPHA)


@jit
def bounded(z: float) -> float:
    """Bound z, beyond where the factor beside it vanishes: 0 inf would be NaN."""
    return min(max(z, type(z)(-1000)), type(z)(1000))


@jit
def _silu(z, parameter):
    """Return z sigmoid(z) (Elfwing, Uchibe & Doya 2018)."""
    return max(z, type(z)(-1000)) * functions.sigmoid(z)


@jit
def _silu_derivative(z, a, parameter):
    """Return s (1 + z (1 - s)), s = sigmoid(z); 1 - s is not taken from a rounded s."""
    one = type(z)(1)
    e = functions.exp(-abs(z))
    large = one / (one + e)
    small = e * large
    s = large if z > 0 else small
    rest = small if z > 0 else large
    return s * (one + bounded(z) * rest)


@inlined
def _gelu(z, parameter):
    """Return z Phi(z), Phi the normal distribution (Hendrycks & Gimpel 2016)."""
    return max(z, type(z)(-1000)) * functions.normal_cdf(z)


@inlined
def _gelu_derivative(z, a, parameter):
    return functions.normal_cdf(z) + bounded(z) * functions.normal_density(z)


@jit
def mish(z: float, parameter: float) -> float:
    """Return z tanh(log(1 + e^z)) (Misra 2020).

    With n = e^z (e^z + 2) the tanh is n / (n + 2): for positive z both are divided by
    e^2z, so that nothing overflows.
    """
    one, two = type(z)(1), type(z)(2)
    e = functions.exp(-abs(z))
    n = one + two * e if z > 0 else e * (e + two)
    return max(z, type(z)(-1000)) * (n / (n + (two * e * e if z > 0 else two)))


@inlined
def mish_parts(z: float) -> tuple[float, float, float]:
    """Return n, w and s: t = tanh(log(1 + e^z)) is n / w, dt/dz is s / w^2.

    As in `mish`, w = n + 2 and s = 4 e^z (e^z + 1), for positive z divided by e^2z
    and by e^4z.
    """
    one, two = type(z)(1), type(z)(2)
    e = functions.exp(-abs(z))
    n = one + two * e if z > 0 else e * (e + two)
    whole = n + (two * e * e if z > 0 else two)
    return n, whole, type(z)(4) * e * (one + e) * (e if z > 0 else one)


@inlined
def _mish_derivative(z, a, parameter):
    """Return t + z dt/dz."""
    n, whole, rise = mish_parts(z)
    return n / whole + bounded(z) * (rise / (whole * whole))


@jit
def _softplus(z, parameter):
    """log(1 + e^z) (Dugas et al. 2001)."""
    return functions.softplus(z)


@jit
def _softplus_derivative(z, a, parameter):
    """sigmoid(z) = 1 - e^-a."""
    return -functions.expm1(-a)


@jit
def _hard_swish(z, parameter):
    """Return z min(max(z + 3, 0), 6) / 6 (Howard et al. 2019)."""
    three = type(z)(3)
    inner = z * ((z + three) * type(z)(1 / 6))
    return type(z)(0) if z <= -three else (z if z >= three else inner)


@jit
def _hard_swish_derivative(z, a, parameter):
    """At -3, where it jumps, it is 0, and at 3 it is 1, as PyTorch's."""
    three = type(z)(3)
    inner = z * type(z)(1 / 3) + type(z)(0.5)
    return type(z)(0) if z <= -three else (type(z)(1) if z >= three else inner)


_SILU = Activation(_silu, _silu_derivative, keeps_scores=True)

ACTIVATIONS = {
    "identity": None,
    "logistic": Activation(_logistic, _logistic_derivative),
    "tanh": Activation(_tanh, _tanh_derivative),
    "relu": Activation(_relu, _relu_derivative),
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative, parameter=0.01),
    "elu": Activation(_elu, _elu_derivative, parameter=1.0),
    "selu": Activation(_selu, _selu_derivative),
    "silu": _SILU,
    "swish": _SILU,
    "gelu": Activation(_gelu, _gelu_derivative, keeps_scores=True),
    "mish": Activation(mish, _mish_derivative, keeps_scores=True),
    "softplus": Activation(_softplus, _softplus_derivative),
    "hard_swish": Activation(_hard_swish, _hard_swish_derivative, keeps_scores=True),
}


VALUE = types.void(types.intp, types.intp, types.float64)
DERIVATIVE = types.void(*[types.intp] * 4, types.float64)
call_value, call_derivative = caller(VALUE), caller(DERIVATIVE)


@compiled_once
def compile_value(name: str, dtype: type) -> Any:
    """Compile ``value(a, n, parameter)``: n scores at address a become values."""
    row = ACTIVATIONS[name]
    assert row is not None
    function = row.value

    def value(a, n, parameter):
        x = array_at(a, n, dtype)
        setting = dtype(parameter)
        for i in range(n):
            x[i] = function(x[i], setting)

    return callback(value, VALUE, own_name(function, "value", name, dtype))


@compiled_once
def compile_derivative(name: str, dtype: type) -> Any:
    """Compile ``derivative(z, a, delta, n, parameter)``: delta *= f'(z).

    z, a and delta are addresses of n scores, values and deltas.
    """
    row = ACTIVATIONS[name]
    assert row is not None
    function = row.derivative

    def derivative(z, a, delta, n, parameter):
        scores = array_at(z, n, dtype)
        values = array_at(a, n, dtype)
        deltas = array_at(delta, n, dtype)
        setting = dtype(parameter)
        for i in range(n):
            deltas[i] *= function(scores[i], values[i], setting)

    key = own_name(function, "derivative", name, dtype)
    return callback(derivative, DERIVATIVE, key)
