"""Random numbers of training: Philox, dropout's masks and Gaussian noise on the inputs.

A counter-based generator: each number is a function of the seed and of where it is
needed (step, layer, row of the minibatch, column), so that threads need no common
state and every way to share out the work draws the same numbers.
"""

from functools import cache
from math import sqrt

import numpy as np
from numba import carray, types

from . import _math
from ._jit import callback, jit
from ._llvm import address, call, pointer

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


@cache
def drop_loop(dtype):
    """Compile inverted dropout of one panel's rows.

    ``drop(outputs, values, factors, rows, width, first, column, stream, step, seed,
    rate)``: the first three are addresses of `rows` x `width` elements, which belong to
    the rows from `first` and the columns from `column` on. Each factor is 0 with
    probability `rate`, else 1 / (1 - rate); outputs *= factors, and what they were is
    left in `values`, which may be `outputs`.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov,
    "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014;
    scaled in training rather than in prediction, as in section 10.
    """

    def drop(
        outputs, values, factors, rows, width, first, column, stream, step, seed, rate
    ):
        size = rows * width
        x = carray(pointer(outputs), (size,), dtype)
        kept = carray(pointer(values), (size,), dtype)
        f = carray(pointer(factors), (size,), dtype)
        bound = np.uint64(rate * 2.0**32)
        zero, scale = dtype(0), dtype(1 / (1 - rate))
        for i in range(rows):
            for block in range(width // _WORDS):
                to = i * width + block * _WORDS
                a, b, c, d = _words(
                    seed, step, stream, first + i, column // _WORDS + block
                )
                f[to] = zero if a < bound else scale
                f[to + 1] = zero if b < bound else scale
                f[to + 2] = zero if c < bound else scale
                f[to + 3] = zero if d < bound else scale
        for k in range(size):
            kept[k] = x[k]
            x[k] *= f[k]

    signature = types.void(*[types.intp] * 10, types.float64)
    return callback(drop, signature, f"drop-{dtype.__name__}")


@cache
def multiply_loop(dtype):
    """Compile ``multiply(x, factors, n)``: x *= factors, both by address."""

    def multiply(x, factors, n):
        values = carray(pointer(x), (n,), dtype)
        f = carray(pointer(factors), (n,), dtype)
        for k in range(n):
            values[k] *= f[k]

    return callback(
        multiply, types.void(*[types.intp] * 3), f"multiply-{dtype.__name__}"
    )


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


@cache
def noise_loop(dtype):
    """Compile ``noise(x, rows, width, first, column, step, seed, deviation)``.

    Adds normal numbers of that standard deviation to one panel's rows, see `drop_loop`;
    the same numbers in both precisions.
    """

    def noise(x, rows, width, first, column, step, seed, deviation):
        values = carray(pointer(x), (rows * width,), dtype)
        for i in range(rows):
            for block in range(width // _WORDS):
                to = i * width + block * _WORDS
                a, b, c, d = _words(
                    seed, step, _NOISE, first + i, column // _WORDS + block
                )
                e, f = _normal_pair(a, b)
                g, h = _normal_pair(c, d)
                values[to] += dtype(deviation * e)
                values[to + 1] += dtype(deviation * f)
                values[to + 2] += dtype(deviation * g)
                values[to + 3] += dtype(deviation * h)

    signature = types.void(*[types.intp] * 7, types.float64)
    return callback(noise, signature, f"noise-{dtype.__name__}")


# Streams: the inputs' noise, dropout of the inputs, and from 2 on of hidden layers.
_NOISE = 0
_INPUTS = 1
HIDDEN = 2


@jit
def disturb(plan, layer, memory, first, count, step):
    """Noise on the minibatch's inputs from row `first` on, then dropout of them."""
    width, stream = plan.width, np.int64(_INPUTS)
    for j in range(layer.in_panels):
        at = (j * plan.capacity + first) * width
        inputs, column = address(memory, layer.inputs + at), j * width
        if plan.input_noise != 0:
            call(
                plan.noise,
                (
                    inputs,
                    count,
                    width,
                    first,
                    column,
                    step,
                    plan.seed,
                    plan.input_noise,
                ),
            )
        if plan.input_factors >= 0:
            factors = address(memory, plan.input_factors + at)
            call(
                plan.drop,
                (
                    inputs, inputs, factors, count, width, first, column, stream, step,
                    plan.seed, plan.input_rate,
                ),
            )  # fmt: skip


@jit
def drop(plan, layer, memory, at, count, first, column, stream, step):
    """Dropout of the rows of one panel of a hidden layer's outputs, `at` in it."""
    call(
        plan.drop,
        (
            address(memory, layer.outputs + at), address(memory, layer.values + at),
            address(memory, layer.factors + at), count, plan.width, first, column,
            stream, step, plan.seed, layer.rate,
        ),
    )  # fmt: skip
