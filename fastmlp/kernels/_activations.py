"""Value and derivative of each activation as scalar functions; the table ACTIVATIONS.

An eleventh activation joins by one row. Its loops over arrays are compiled when a
network first uses it and reach the kernels as addresses.
"""

from functools import cache
from typing import NamedTuple

from numba import carray, types

from . import _math
from ._jit import callback, jit, own_name
from ._llvm import pointer
from ._simd import normalize_rows, shift_rows


class Activation(NamedTuple):
    """One row of the table.

    ``value(z, parameter)`` and ``derivative(z, a, parameter)`` take and return scalars
    of one dtype, a being the value at z. Unless `keeps_scores` is set, the score z is
    not kept and the derivative is handed a in its place.
    """

    value: object
    derivative: object
    keeps_scores: bool = False
    parameter: float = 0.0


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


ACTIVATIONS = {
    "identity": None,
    "logistic": Activation(_logistic, _logistic_derivative),
    "tanh": Activation(_tanh, _tanh_derivative),
    "relu": Activation(_relu, _relu_derivative),
}


@cache
def forward_loop(name, dtype):
    """Compile ``forward(a, n, parameter)``: n scores at address a become values."""
    value = ACTIVATIONS[name].value

    def forward(a, n, parameter):
        x = carray(pointer(a), (n,), dtype)
        setting = dtype(parameter)
        for i in range(n):
            x[i] = value(x[i], setting)

    signature = types.void(types.intp, types.intp, types.float64)
    return callback(forward, signature, own_name(value, "forward", name, dtype))


@cache
def backward_loop(name, dtype):
    """Compile ``backward(z, a, delta, n, parameter)``: delta *= derivative."""
    derivative = ACTIVATIONS[name].derivative

    def backward(z, a, delta, n, parameter):
        scores = carray(pointer(z), (n,), dtype)
        values = carray(pointer(a), (n,), dtype)
        deltas = carray(pointer(delta), (n,), dtype)
        setting = dtype(parameter)
        for i in range(n):
            deltas[i] *= derivative(scores[i], values[i], setting)

    signature = types.void(*[types.intp] * 4, types.float64)
    return callback(backward, signature, own_name(derivative, "backward", name, dtype))


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
