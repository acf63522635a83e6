"""Random numbers of training: Philox, dropout's masks and Gaussian noise on the inputs.

A counter-based generator: each number is a function of the seed and of where it is
needed (step, layer, row of the minibatch, column), so that threads need no common
state and every way to share out the work draws the same numbers.
"""

from math import sqrt

import numpy as np
from numba import carray, types

from . import _math
from ._jit import callback, compiled_once, jit
from ._layout import LAYER, PLAN
from ._llvm import caller, pointer
from ._simd import panel_width

# What numbers are for, in the counter: noise on the inputs, dropout of them, and from
# HIDDEN_STREAM on dropout of each hidden layer.
_NOISE, _INPUTS, HIDDEN_STREAM = 0, 1, 2

# Words of one call of the generator, for as many consecutive columns.
_WORDS = 4

# In uint64, whose vector multiplication of the lower halves is one instruction.
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@jit
def philox(a, b, c, d, key, other_key):
    """Philox4x32-10: four 32-bit words from a counter of four and a key of two.

    All are uint64 below 2**32.

    References
    ----------
    J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as
    easy as 1, 2, 3", SC 2011, section 3.3.
    """
    for _ in range(10):
        first, second = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = (
            (second >> _HALF) ^ b ^ key,
            second & _LOW,
            (first >> _HALF) ^ d ^ other_key,
            first & _LOW,
        )
        key = (key + _WEYL[0]) & _LOW
        other_key = (other_key + _WEYL[1]) & _LOW
    return a, b, c, d


@jit
def _words(seed, step, stream, row, block):
    """Words for the columns of one block: (block, row, stream, step), the seed the key.

    Bits of the step beyond 32 lie above the stream's 16.
    """
    seed, step = np.uint64(seed), np.uint64(step)
    high = (step >> _HALF) << np.uint64(16)
    return philox(
        np.uint64(block),
        np.uint64(row),
        (np.uint64(stream) + high) & _LOW,
        step & _LOW,
        seed & _LOW,
        seed >> _HALF,
    )


@jit
def _draw_factors(factors, rows, width, first, column, stream, step, seed, rate):
    """Dropout's factors of one panel's rows: 0 with probability `rate`, 1/(1 - rate).

    They belong to the rows from `first` and the columns from `column` on.
    """
    bound = np.uint64(rate * 2.0**32)
    real = factors.dtype.type
    zero, kept = real(0), real(1 / (1 - rate))
    for i in range(rows):
        for block in range(width // _WORDS):
            to = i * width + block * _WORDS
            a, b, c, d = _words(seed, step, stream, first + i, column // _WORDS + block)
            factors[to] = zero if a < bound else kept
            factors[to + 1] = zero if b < bound else kept
            factors[to + 2] = zero if c < bound else kept
            factors[to + 3] = zero if d < bound else kept


DROP = types.void(*[types.intp] * 7)
MULTIPLY = types.void(*[types.intp] * 3)
DISTURB = types.void(*[types.intp] * 6)
call_drop, call_multiply, call_disturb = map(caller, (DROP, MULTIPLY, DISTURB))


@compiled_once
def drop_loop(dtype):
    """Compile ``drop(layer, memory, at, j, first, rows, step)``: inverted dropout.

    `layer` is the address of a LAYER, `memory` that of the block. Rows from `first` on
    of panel `j` of the outputs, `at` elements behind their place, are multiplied by
    random factors; these, and what the outputs were, are kept.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov,
    "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014;
    scaled in training rather than in prediction, as in section 10.
    """
    width = panel_width(dtype)
    size = np.dtype(dtype).itemsize

    def drop(layer, memory, at, j, first, rows, step):
        this = carray(pointer(layer), (1,), LAYER)[0]
        n = rows * width
        outputs = carray(pointer(memory + (this.outputs + at) * size), (n,), dtype)
        values = carray(pointer(memory + (this.values + at) * size), (n,), dtype)
        factors = carray(pointer(memory + (this.factors + at) * size), (n,), dtype)
        _draw_factors(
            factors, rows, width, first, j * width, this.stream, step, this.seed,
            this.rate,
        )  # fmt: skip
        for k in range(n):
            values[k] = outputs[k]
            outputs[k] *= factors[k]

    return callback(drop, DROP, f"drop-{dtype.__name__}")


@compiled_once
def multiply_loop(dtype):
    """Compile ``multiply(x, factors, n)``: x *= factors, both by address."""

    def multiply(x, factors, n):
        values = carray(pointer(x), (n,), dtype)
        f = carray(pointer(factors), (n,), dtype)
        for k in range(n):
            values[k] *= f[k]

    return callback(multiply, MULTIPLY, f"multiply-{dtype.__name__}")


# Taylor series of cos(x) - 1 and sin(x) / x - 1 in x**2, highest power first. At pi/4
# what is left out is below 1e-16.
_COS = tuple(
    (-1.0) ** k / float(np.prod(np.arange(1.0, 2 * k + 1))) for k in range(8, 0, -1)
)
_SIN = tuple(
    (-1.0) ** k / float(np.prod(np.arange(1.0, 2 * k + 2))) for k in range(8, 0, -1)
)


@jit
def _circle(word):
    """Cosine and sine of (word + 1/2) / 2**32 turns.

    The nearest quarter turn is taken off in integers, exactly.
    """
    quarter = np.int64(word + np.uint64(1 << 29)) >> 30
    x = (np.int64(word) - (quarter << 30) + 0.5) * (2 * np.pi / 2.0**32)
    z = x * x
    c, s = 0.0, 0.0
    for k in range(len(_COS)):
        c, s = (c + _COS[k]) * z, (s + _SIN[k]) * z
    c, s = c + 1.0, s * x + x
    odd = (quarter & 1) != 0
    cosine, sine = s if odd else c, c if odd else s
    left = ((quarter + 1) & 2) != 0
    below = (quarter & 2) != 0
    return -cosine if left else cosine, -sine if below else sine


@jit
def _normal_pair(a, b):
    """Two standard normal numbers from two words, by Box & Muller (1958)."""
    radius = sqrt(-2.0 * _math.log((np.float64(a) + 0.5) * 2.0**-32))
    cosine, sine = _circle(b)
    return radius * cosine, radius * sine


@jit
def _add_noise(values, rows, width, first, column, step, seed, deviation):
    """Add normal numbers to one panel's rows; the same ones in both precisions."""
    real = values.dtype.type
    for i in range(rows):
        for block in range(width // _WORDS):
            to = i * width + block * _WORDS
            a, b, c, d = _words(seed, step, _NOISE, first + i, column // _WORDS + block)
            e, f = _normal_pair(a, b)
            g, h = _normal_pair(c, d)
            values[to] += real(deviation * e)
            values[to + 1] += real(deviation * f)
            values[to + 2] += real(deviation * g)
            values[to + 3] += real(deviation * h)


@compiled_once
def disturb_loop(dtype):
    """Compile ``disturb(plan, layer, memory, first, rows, step)``.

    Adds noise to the minibatch's inputs from row `first` on, then drops some of them;
    `plan` and `layer` are the addresses of a PLAN and of the first LAYER. The layer's
    outputs, which come later, are overwritten.
    """
    width = panel_width(dtype)
    size = np.dtype(dtype).itemsize

    def disturb(plan, layer, memory, first, rows, step):
        settings = carray(pointer(plan), (1,), PLAN)[0]
        this = carray(pointer(layer), (1,), LAYER)[0]
        n, unused = rows * width, this.outputs + first * width
        factors = carray(pointer(memory + unused * size), (n,), dtype)
        for j in range(this.in_panels):
            at = this.inputs + (j * settings.capacity + first) * width
            x = carray(pointer(memory + at * size), (n,), dtype)
            where = rows, width, first, j * width
            if settings.input_noise != 0:
                _add_noise(x, *where, step, settings.seed, settings.input_noise)
            if settings.input_rate != 0:
                rate, seed = settings.input_rate, settings.seed
                _draw_factors(factors, *where, _INPUTS, step, seed, rate)
                for k in range(n):
                    x[k] *= factors[k]

    return callback(disturb, DISTURB, f"disturb-{dtype.__name__}")
