"""Random numbers of training: Philox, and normal numbers made of its words.

A counter-based generator: each number is a function of the seed and of where it is
needed (step, layer, row of the minibatch, column), so that threads need no common
state and every way to share out the work draws the same numbers.
"""

from math import sqrt

import numpy as np

from ..compile.options import inlined, jit
from . import functions

# Words of one call of the generator, for as many consecutive columns.
WORDS = 4

WORD_BYTES = 4

# In uint64, whose vector multiplication of the lower halves is one instruction.
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@jit
def philox(
    a: np.uint64,
    b: np.uint64,
    c: np.uint64,
    d: np.uint64,
    key: np.uint64,
    other_key: np.uint64,
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Philox4x32-10: four 32-bit words from a counter of four and a key of two.

    All are uint64 below 2**32.

    References
    ----------
    J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as
    easy as 1, 2, 3", SC 2011, section 3.3.
    """
    for _ in range(10):
        # Only the lower halves of words and keys count, and the vector multiplication
        # reads no other: the two masks here cost nothing.
        first = _MULTIPLIERS[0] * (a & _LOW)
        second = _MULTIPLIERS[1] * (c & _LOW)
        a, b, c, d = (
            (second >> _HALF) ^ b ^ key,
            second,
            (first >> _HALF) ^ d ^ other_key,
            first,
        )
        key, other_key = key + _WEYL[0], other_key + _WEYL[1]
    return a & _LOW, b & _LOW, c & _LOW, d & _LOW


@jit
def words_of(
    seed: np.uint64, step: np.uint64, stream: int, row: int, block: int
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
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


@inlined
def draw_words(
    words: np.ndarray,
    rows: int,
    width: int,
    first: int,
    column: int,
    stream: int,
    step: int,
    seed: int,
) -> None:
    """Write a word for each element of one panel's rows, see `words_of`.

    One loop over all blocks becomes vector instructions, a loop over rows with one over
    blocks in it does not. The words go to memory because float64 results, four to a
    block, would halve the vectors.

    Parameters
    ----------
    words : (rows * width,) uint32 array, overwritten
    rows, width : int
    first, column : int
        Row of the minibatch and column of the first element.
    stream, step, seed : int
    """
    blocks = width // WORDS
    for k in range(rows * blocks):
        a, b, c, d = words_of(
            seed, step, stream, first + k // blocks, column // WORDS + k % blocks
        )
        words[WORDS * k] = np.uint32(a)
        words[WORDS * k + 1] = np.uint32(b)
        words[WORDS * k + 2] = np.uint32(c)
        words[WORDS * k + 3] = np.uint32(d)


# Taylor series of cos(x) - 1 and sin(x) / x - 1 in x**2, highest power first. At pi/4
# the terms left out are below 1e-16.
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


@inlined
def normal_pair(a: int, b: int) -> tuple[float, float]:
    """Two standard normal numbers from two words, by Box & Muller (1958)."""
    radius = sqrt(-2.0 * functions.log((np.float64(a) + 0.5) * 2.0**-32))
    cosine, sine = _circle(b)
    return radius * cosine, radius * sine
