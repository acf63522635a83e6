"""Per-sample losses and their derivative in the raw score; the table LOSSES.

Each function takes C-contiguous arrays flattened to one dimension and works in place:

z : (rows * width,) raw scores; overwritten with the derivative of the weighted loss
    in them. width is n_outputs, or for losses by rows that rounded up to whole vectors,
    where the padding is -inf.
y : (rows * columns,) targets: class indices (columns = 1) for softmax, one column per
    output elsewhere.
w : (rows,) sample weights.
loss_out : (rows,) weighted loss of each sample, overwritten.
scratch : (rows,) overwritten.
n_outputs : int
low, high : bounds of one term of a log-loss, see `limits`; infinite ones leave it as
    it is.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import carray, types

from . import _math
from ._jit import callback, jit, own_name
from ._llvm import pointer
from ._simd import normalize_rows, shift_rows


class Loss(NamedTuple):
    """One row of the table.

    With `by_rows` the target is a class index and the outputs of a sample depend on
    each other; `logarithmic` are those whose terms scikit-learn clips. The loss of an
    `averaged` one is a mean over the outputs, its derivative that of their sum.
    """

    function: object
    by_rows: bool = False
    logarithmic: bool = False
    averaged: bool = False


@jit
def _clip(x, low, high):
    """Clip to [low, high]; a NaN stays one."""
    above = low if x < low else x
    return high if above > high else above


@jit
def _softmax_log_loss(z, y, w, loss_out, scratch, n_outputs, low, high):
    """Cross-entropy of softmax(z): log(sum_k exp(z_k)) - z_y; softmax(z)_k - (k == y).

    The exponentials run over all samples at once, the only part that is worth a
    vector; the logarithm's argument lies in [1, n_outputs].
    """
    rows = w.size
    width = z.size // rows
    shift_rows(z, rows, width)
    for i in range(rows):
        loss_out[i] = -z[i * width + int(y[i])]
    for k in range(z.size):
        z[k] = _math.exp(z[k])
    normalize_rows(z, rows, width, w, scratch)
    for i in range(rows):
        loss = loss_out[i] + _math.log(scratch[i])
        loss_out[i] = _clip(loss, low, high) * w[i]
    for i in range(rows):
        z[i * width + int(y[i])] -= w[i]


@jit
def _logistic_log_loss(z, y, w, loss_out, scratch, n_outputs, low, high):
    """Cross-entropy of sigmoid(z), summed over outputs: log(1 + e^z) - y z; a - y.

    max(z, 0) - y z is exact for a target of 0 or 1, so that nothing cancels. Where the
    terms are bounded they are taken from the probability as it rounds, as scikit-learn
    does with targets of 0 and 1: for a score of 30 to 36 on the wrong side the two
    differ by up to 1 in 1000.
    """
    zero, one = type(low)(0), type(low)(1)
    bounded = high < np.inf
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            score = z[k]
            a = one / (one + _math.exp(-score))
            if bounded:
                term = -_math.log(a if y[k] != zero else one - a)
                loss += _clip(term, low, high)
            else:
                above = score if score > zero else zero
                tail = _math.log1p(_math.exp(-abs(score)))
                loss += tail + (above - y[k] * score)
            z[k] = (a - y[k]) * w[i]
        loss_out[i] = loss * w[i]


@jit
def _squared_error(z, y, w, loss_out, scratch, n_outputs, low, high):
    """Half the squared error, averaged over outputs; z - y, which is not.

    scikit-learn reports the average and steps along the gradient of the sum.
    """
    zero = type(low)(0)
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            error = z[k] - y[k]
            loss += error * error
            z[k] = error * w[i]
        loss_out[i] = loss * w[i] / type(low)(2 * n_outputs)


@jit
def _poisson(z, y, w, loss_out, scratch, n_outputs, low, high):
    """Half the Poisson deviance of exp(z), summed over outputs; exp(z) - y.

    y log(y / e^z) - y + e^z with 0 log 0 = 0.
    """
    zero = type(low)(0)
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            mean = _math.exp(z[k])
            entropy = y[k] * (_math.log(y[k]) - z[k]) if y[k] > 0 else zero
            loss += entropy - y[k] + mean
            z[k] = (mean - y[k]) * w[i]
        loss_out[i] = loss * w[i]


# Keyed by the output's activation and the loss, which are differentiated as one.
LOSSES = {
    ("softmax", "log_loss"): Loss(_softmax_log_loss, by_rows=True, logarithmic=True),
    ("logistic", "log_loss"): Loss(_logistic_log_loss, logarithmic=True),
    ("identity", "squared_error"): Loss(_squared_error, averaged=True),
    ("exp", "poisson"): Loss(_poisson),
}


def limits(loss, dtype):
    """Bounds of a log-loss that scikit-learn's clipped probabilities imply.

    It clips probabilities to [eps, 1 - eps] of the dtype before the logarithm, so that
    a single term lies between -log(1 - eps) and -log(eps).
    """
    if not loss.logarithmic:
        return -np.inf, np.inf
    eps = float(np.finfo(dtype).eps)
    return -np.log1p(-eps), -np.log(eps)


@cache
def loss_loop(out_activation, name, dtype):
    """Compile ``loss(z, y, w, loss_out, scratch, rows, n_outputs, width, low, high)``.

    All but the last five are addresses.
    """
    row = LOSSES[out_activation, name]
    function, by_rows = row.function, row.by_rows

    def loss(z, y, w, loss_out, scratch, rows, n_outputs, width, low, high):
        columns = 1 if by_rows else n_outputs
        function(
            carray(pointer(z), (rows * width,), dtype),
            carray(pointer(y), (rows * columns,), dtype),
            carray(pointer(w), (rows,), dtype),
            carray(pointer(loss_out), (rows,), dtype),
            carray(pointer(scratch), (rows,), dtype),
            n_outputs,
            dtype(low),
            dtype(high),
        )

    signature = types.void(*[types.intp] * 8, types.float64, types.float64)
    key = own_name(function, "loss", out_activation, name, dtype)
    return callback(loss, signature, key)
