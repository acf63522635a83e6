"""Value and derivative of each activation as scalar functions; the table ACTIVATIONS.

Another activation joins by one row. Its loops over arrays are compiled when a network
first uses it and reach the kernels as addresses.
"""

import math
from collections.abc import Mapping, Set
from functools import cache, lru_cache
from numbers import Integral, Real
from typing import NamedTuple

from numba import carray, types

from . import _math
from ._jit import callback, inlined, jit, own_name
from ._llvm import pointer
from ._names import did_you_mean
from ._simd import normalize_rows, shift_rows


class Activation(NamedTuple):
    """One row of the table.

    ``value(z, parameter)`` and ``derivative(z, a, parameter)`` take and return scalars
    of one dtype, a being the value at z. Unless `keeps_scores` is set, the score z is
    not kept and the derivative is handed a in its place.

    `parameter` is its default; None: there is none. With
    ``parameter_derivative(z, parameter)`` every unit has one of its own, which is
    trained from that start. With `pieces` the value is the largest of so many scores,
    as many as the parameter says, and there are no scalar functions.
    """

    value: object
    derivative: object
    keeps_scores: bool = False
    parameter: float | None = None
    parameter_derivative: object = None
    pieces: bool = False


@jit
def _logistic(z, parameter):
    return _math.sigmoid(z)


@jit
def _logistic_derivative(z, a, parameter):
    return a * (type(a)(1) - a)


@jit
def _tanh(z, parameter):
    return _math.tanh(z)


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
def _leaky_relu(z, alpha):
    """Return z or alpha z (Maas, Hannun & Ng 2013)."""
    return z if z > 0 else alpha * z


@jit
def _leaky_relu_derivative(z, a, alpha):
    """Take a for z where alpha is not negative: both have one sign."""
    return type(z)(1) if z > 0 else alpha


@jit
def _leaky_relu_in_alpha(z, alpha):
    return type(z)(0) if z > 0 else z


@jit
def _elu(z, alpha):
    """Return z or alpha (e^z - 1) (Clevert, Unterthiner & Hochreiter 2016)."""
    return z if z > 0 else alpha * _math.expm1(z)


@jit
def _elu_derivative(z, a, alpha):
    return type(a)(1) if a > 0 else a + alpha


# Klambauer et al. 2017: with these, mean 0 and variance 1 are a fixed point.
_SELU_ALPHA, _SELU_LAMBDA = 1.6732632423543772, 1.0507009873554805


@jit
def _selu(z, parameter):
    scale = type(z)(_SELU_LAMBDA)
    return scale * (z if z > 0 else type(z)(_SELU_ALPHA) * _math.expm1(z))


@jit
def _selu_derivative(z, a, parameter):
    scale = type(a)(_SELU_LAMBDA)
    return scale if a > 0 else a + scale * type(a)(_SELU_ALPHA)


@jit
def _bounded(z):
    """Bound z, beyond where the factor beside it vanishes: 0 inf would be NaN."""
    return min(max(z, type(z)(-1000)), type(z)(1000))


@jit
def _silu(z, parameter):
    """Return z sigmoid(z) (Elfwing, Uchibe & Doya 2018)."""
    return max(z, type(z)(-1000)) * _math.sigmoid(z)


@jit
def _silu_derivative(z, a, parameter):
    """Return s (1 + z (1 - s)), s = sigmoid(z); 1 - s is not taken from a rounded s."""
    one = type(z)(1)
    e = _math.exp(-abs(z))
    large = one / (one + e)
    small = e * large
    s = large if z > 0 else small
    rest = small if z > 0 else large
    return s * (one + _bounded(z) * rest)


@inlined
def _gelu(z, parameter):
    """Return z Phi(z), Phi the normal distribution (Hendrycks & Gimpel 2016)."""
    return max(z, type(z)(-1000)) * _math.normal_cdf(z)


@inlined
def _gelu_derivative(z, a, parameter):
    return _math.normal_cdf(z) + _bounded(z) * _math.normal_density(z)


@jit
def _mish(z, parameter):
    """Return z tanh(log(1 + e^z)) (Misra 2020).

    With n = e^z (e^z + 2) the tanh is n / (n + 2): for positive z both are divided by
    e^2z, so that nothing overflows.
    """
    one, two = type(z)(1), type(z)(2)
    e = _math.exp(-abs(z))
    n = one + two * e if z > 0 else e * (e + two)
    return max(z, type(z)(-1000)) * (n / (n + (two * e * e if z > 0 else two)))


@inlined
def _mish_derivative(z, a, parameter):
    """Return t + z dt/dz, t = n / (n + 2), dt/dz = 4 e^z (e^z + 1) / (n + 2)^2."""
    one, two = type(z)(1), type(z)(2)
    e = _math.exp(-abs(z))
    n = one + two * e if z > 0 else e * (e + two)
    whole = n + (two * e * e if z > 0 else two)
    slope = type(z)(4) * e * (one + e) * (e if z > 0 else one) / (whole * whole)
    return n / whole + _bounded(z) * slope


@jit
def _softplus(z, parameter):
    """log(1 + e^z) (Dugas et al. 2001)."""
    return _math.softplus(z)


@jit
def _softplus_derivative(z, a, parameter):
    """sigmoid(z) = 1 - e^-a."""
    return -_math.expm1(-a)


@jit
def _hard_swish(z, parameter):
    """Return z min(max(z + 3, 0), 6) / 6 (Howard et al. 2019)."""
    three = type(z)(3)
    inner = z * ((z + three) * type(z)(1 / 6))
    return type(z)(0) if z <= -three else (z if z >= three else inner)


@jit
def _hard_swish_derivative(z, a, parameter):
    """Flat at -3, 1 at 3, where there are two: as PyTorch's."""
    three = type(z)(3)
    inner = z * type(z)(1 / 3) + type(z)(0.5)
    return type(z)(0) if z <= -three else (type(z)(1) if z >= three else inner)


_SILU = Activation(_silu, _silu_derivative, keeps_scores=True)

ACTIVATIONS = {
    "identity": None,
    "logistic": Activation(_logistic, _logistic_derivative),
    "tanh": Activation(_tanh, _tanh_derivative),
    "relu": Activation(_relu, _relu_derivative),
    "leaky_relu": Activation(_leaky_relu, _leaky_relu_derivative, parameter=0.01),
    # He et al. 2015. Slopes may turn negative, so that only z tells the sides apart.
    "prelu": Activation(
        _leaky_relu,
        _leaky_relu_derivative,
        keeps_scores=True,
        parameter=0.25,
        parameter_derivative=_leaky_relu_in_alpha,
    ),
    "elu": Activation(_elu, _elu_derivative, parameter=1.0),
    "selu": Activation(_selu, _selu_derivative),
    "silu": _SILU,
    "swish": _SILU,
    "gelu": Activation(_gelu, _gelu_derivative, keeps_scores=True),
    "mish": Activation(_mish, _mish_derivative, keeps_scores=True),
    "softplus": Activation(_softplus, _softplus_derivative),
    "hard_swish": Activation(_hard_swish, _hard_swish_derivative, keeps_scores=True),
    # Goodfellow et al. 2013.
    "maxout": Activation(None, None, parameter=2, pieces=True),
}

# What other libraries call them, see `did_you_mean`. Softmax is not for hidden layers.
ACTIVATION_ALIASES = {
    "linear": "identity",
    "none": "identity",
    "sigmoid": "logistic",
    "softmax": "",
}


def layer_activations(activation, n_hidden):
    """Return (name, parameter) of each hidden layer's activation, a tuple of pairs.

    Parameters
    ----------
    activation : str, (str, number) or sequence
        The name of a row of ACTIVATIONS, a name with a parameter, or a sequence with
        one of these per hidden layer. What is returned may be handed in again.
    n_hidden : int

    Raises
    ------
    TypeError
        If there is no order of the layers, a name is not a string or a parameter not a
        number.
    ValueError
        If a name is not known, takes no parameter or not this one, or a sequence has
        another length than there are hidden layers.
    """
    if isinstance(activation, str):
        return _by_name(activation, n_hidden)
    if _is_setting(activation):
        return (_checked(activation),) * n_hidden
    if isinstance(activation, Mapping | Set):
        raise TypeError(
            f"{activation!r} is neither a name, nor (name, parameter), nor a sequence "
            "with one of these per hidden layer."
        )
    entries = list(activation)
    if len(entries) != n_hidden:
        raise ValueError(
            f"it has {len(entries)} entries and there are {n_hidden} hidden layers; "
            "one per hidden layer is needed, or a name without a list for all."
        )
    return tuple(_checked(entry) for entry in entries)


# Every prediction asks.
@lru_cache(maxsize=256)
def _by_name(name, n_hidden):
    return (_checked(name),) * n_hidden


def _is_setting(activation):
    """Return whether this is a name with its parameter, not two layers' names."""
    return (
        isinstance(activation, tuple)
        and len(activation) == 2
        and isinstance(activation[0], str)
        and not isinstance(activation[1], str | tuple | list)
    )


def _checked(entry):
    """Return (name, parameter) for one layer; the parameter is None without one."""
    name, parameter = entry if _is_setting(entry) else (entry, None)
    if not isinstance(name, str):
        raise TypeError(f"{entry!r} is neither a name nor (name, parameter).")
    name = str(name)
    if name not in ACTIVATIONS:
        hint = did_you_mean(name, ACTIVATIONS, ACTIVATION_ALIASES)
        raise ValueError(
            f"{name!r} is not known.{hint} "
            f"There are {', '.join(map(repr, ACTIVATIONS))}."
        )
    row = ACTIVATIONS[name]
    default = None if row is None else row.parameter
    if parameter is None:
        return name, default
    if default is None:
        raise ValueError(f"{name!r} has no parameter, got {parameter!r}.")
    kind, least = (Integral, 2) if row.pieces else (Real, 0)
    if isinstance(parameter, bool) or not isinstance(parameter, kind):
        wanted = "an integer" if row.pieces else "a number"
        raise TypeError(
            f"the parameter of {name!r} must be {wanted}, got {parameter!r}."
        )
    if not (math.isfinite(parameter) and parameter >= least):
        raise ValueError(
            f"the parameter of {name!r} must be at least {least} and finite, got "
            f"{parameter!r}."
        )
    return name, type(default)(parameter)


class Traits(NamedTuple):
    """What a layer's activation asks of the memory around it."""

    keeps_scores: bool = False
    slopes: bool = False  # one trained parameter per unit
    pieces: int = 1  # affine pieces per unit


def layer_traits(activations):
    """Return the `Traits` of each layer, the output layer included.

    Parameters
    ----------
    activations : tuple of (name, parameter)
        As `layer_activations` returns it.
    """
    traits = []
    for name, parameter in activations:
        row = ACTIVATIONS[name]
        if row is None:
            traits.append(Traits())
            continue
        trained = row.parameter_derivative is not None
        pieces = parameter if row.pieces else 1
        traits.append(Traits(row.keeps_scores, trained, pieces))
    return (*traits, Traits())


@cache
def forward_loop(name, dtype):
    """Compile an activation's loop over one panel, in place or from scores to outputs.

    ``forward(a, n, parameter)``: n scores at address a become values. With a parameter
    per unit, see `_forward_by_unit`, with pieces `_forward_by_pieces`.
    """
    row = ACTIVATIONS[name]
    if row.pieces:
        return _forward_by_pieces(dtype)
    if row.parameter_derivative is not None:
        return _forward_by_unit(name, dtype)
    value = row.value

    def forward(a, n, parameter):
        x = carray(pointer(a), (n,), dtype)
        setting = dtype(parameter)
        for i in range(n):
            x[i] = value(x[i], setting)

    signature = types.void(types.intp, types.intp, types.float64)
    return callback(forward, signature, own_name(value, "forward", name, dtype))


@cache
def backward_loop(name, dtype):
    """Compile ``backward(z, a, delta, n, parameter)``: delta *= derivative.

    With a parameter per unit, see `_backward_by_unit`, with pieces
    `_backward_by_pieces`.
    """
    row = ACTIVATIONS[name]
    if row.pieces:
        return _backward_by_pieces(dtype)
    if row.parameter_derivative is not None:
        return _backward_by_unit(name, dtype)
    derivative = row.derivative

    def backward(z, a, delta, n, parameter):
        scores = carray(pointer(z), (n,), dtype)
        values = carray(pointer(a), (n,), dtype)
        deltas = carray(pointer(delta), (n,), dtype)
        setting = dtype(parameter)
        for i in range(n):
            deltas[i] *= derivative(scores[i], values[i], setting)

    signature = types.void(*[types.intp] * 4, types.float64)
    return callback(backward, signature, own_name(derivative, "backward", name, dtype))


def _forward_by_unit(name, dtype):
    """Compile ``forward(a, parameters, rows, columns, width)`` with one per column.

    `rows` rows of `columns` scores at address a, `width` apart, become values.
    """
    value = ACTIVATIONS[name].value

    def forward(a, parameters, rows, columns, width):
        x = carray(pointer(a), (rows * width,), dtype)
        settings = carray(pointer(parameters), (columns,), dtype)
        for i in range(rows):
            for k in range(columns):
                x[i * width + k] = value(x[i * width + k], settings[k])

    signature = types.void(*[types.intp] * 5)
    return callback(forward, signature, own_name(value, "forward", name, dtype))


def _backward_by_unit(name, dtype):
    """Compile ``backward(z, a, delta, slope_delta, parameters, rows, columns, width)``.

    slope_delta = delta * derivative in the parameter, then delta *= derivative; beyond
    `columns` both stay as they are.
    """
    row = ACTIVATIONS[name]
    derivative, in_parameter = row.derivative, row.parameter_derivative

    def backward(z, a, delta, slope_delta, parameters, rows, columns, width):
        n = rows * width
        scores = carray(pointer(z), (n,), dtype)
        values = carray(pointer(a), (n,), dtype)
        deltas = carray(pointer(delta), (n,), dtype)
        slope_deltas = carray(pointer(slope_delta), (n,), dtype)
        settings = carray(pointer(parameters), (columns,), dtype)
        for i in range(rows):
            for k in range(columns):
                at = i * width + k
                delta_k, z_k, setting = deltas[at], scores[at], settings[k]
                slope_deltas[at] = delta_k * in_parameter(z_k, setting)
                deltas[at] = delta_k * derivative(z_k, values[at], setting)

    signature = types.void(*[types.intp] * 8)
    return callback(backward, signature, own_name(derivative, "backward", name, dtype))


def _forward_by_pieces(dtype):
    """Compile ``forward(z, a, n, pieces, jump)``: a = the largest piece, or NaN.

    Piece p of the n scores is at ``z + p * jump``, in elements.
    """

    def forward(z, a, n, pieces, jump):
        values = carray(pointer(a), (n,), dtype)
        scores = carray(pointer(z), ((pieces - 1) * jump + n,), dtype)
        for i in range(n):
            values[i] = scores[i]
        for at in range(jump, pieces * jump, jump):
            for i in range(n):
                z_i, largest = scores[at + i], values[i]
                values[i] = z_i if (z_i > largest) | (z_i != z_i) else largest

    signature = types.void(*[types.intp] * 5)
    return callback(forward, signature, f"forward-pieces-{dtype.__name__}")


def _backward_by_pieces(dtype):
    """Compile ``backward(z, a, rest, delta, n, pieces, jump)``.

    The n deltas at `rest` go to the first piece that has the value, the other pieces
    get 0; `rest` is overwritten. Pieces of z and delta are `jump` elements apart.
    """

    def backward(z, a, rest, delta, n, pieces, jump):
        size = (pieces - 1) * jump + n
        values = carray(pointer(a), (n,), dtype)
        scores = carray(pointer(z), (size,), dtype)
        left = carray(pointer(rest), (n,), dtype)
        deltas = carray(pointer(delta), (size,), dtype)
        zero = dtype(0)
        for at in range(0, pieces * jump, jump):
            for i in range(n):
                # Loaded whatever wins: nothing is left for a branch to decide.
                rest_i, wins = left[i], scores[at + i] == values[i]
                deltas[at + i] = rest_i if wins else zero
                left[i] = zero if wins else rest_i

    signature = types.void(*[types.intp] * 7)
    return callback(backward, signature, f"backward-pieces-{dtype.__name__}")


@jit
def _softmax(z, rows, w, scratch):
    """Softmax of each row.

    The largest score is taken off first, so that no exponential overflows.
    """
    width = z.size // rows
    shift_rows(z, rows, width)
    for k in range(z.size):
        z[k] = _math.exp(z[k])
    normalize_rows(z, rows, width, w, scratch)


@jit
def _exp(z, rows, w, scratch):
    for k in range(z.size):
        z[k] = _math.exp(z[k])


@jit
def _sigmoid(z, rows, w, scratch):
    for k in range(z.size):
        z[k] = _math.sigmoid(z[k])


class Output(NamedTuple):
    """One row of the table of output activations.

    The function takes scores as losses do, an array of ones and one to overwrite, both
    with an element per row; with `by_rows` the scores are padded as for a loss by rows.
    """

    function: object
    by_rows: bool = False


OUTPUTS = {
    "identity": None,
    "logistic": Output(_sigmoid),
    "softmax": Output(_softmax, by_rows=True),
    "exp": Output(_exp),
}


@cache
def output_loop(name, dtype):
    """Compile ``output(z, ones, scratch, rows, width)``: scores become predictions."""
    function = OUTPUTS[name].function

    def output(z, ones, scratch, rows, width):
        function(
            carray(pointer(z), (rows * width,), dtype),
            rows,
            carray(pointer(ones), (rows,), dtype),
            carray(pointer(scratch), (rows,), dtype),
        )

    signature = types.void(*[types.intp] * 5)
    return callback(output, signature, own_name(function, "output", name, dtype))
