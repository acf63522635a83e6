"""Numbers as learned waves: an embedding of each number in a few columns.

    y_k = sum_h c_kh cos(2 pi f_h x + p_h),   k = 0, 1, 2

with trained frequencies f, phases p and coefficients c of each number of their own: the
periodic embedding "PBLD" of RealMLP (Holzmüller, Grinsztajn & Steinwart, "Better by
default", NeurIPS 2024, arXiv 2407.04491) without its offset, which is the next layer's
bias. A missing number counts as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ..compile.options import callback, compiled_once
from ..math.functions import sine_of_turns
from ..simd.llvm import array_at, reader
from . import base

if TYPE_CHECKING:
    from ..program import Program

# Frequencies and columns of each number. The kernels are written out for three
# columns.
N_FREQUENCIES, N_WAVES = 16, 3

# Rows of the parameters of a number: frequencies, phases, coefficients of each column.
N_ROWS = 2 + N_WAVES

FIELDS = [
    ("waves", np.int64),  # place of the parameters
    ("waves_row", np.int64),  # elements from one row of them to the next
    ("waves_jump", np.int64),  # bytes from one panel of them to the next
    ("sources", np.int64),  # address of the numbers' columns in x, int64
    ("n_sources", np.int64),
    ("target", np.int64),  # the first column of y that it writes
    ("sums", np.int64),  # place of N_WAVES + 1 numbers for each row
]
periodic_at = reader(base.record_type(FIELDS))

_QUARTER, _RADIAN = 0.25, 0.15915494309189535  # in turns

# See `base.BLOCK`: measured with 64 rows, update included.
_WORK = 32


class Waves(NamedTuple):
    """Which numbers become waves, and where.

    Parameters
    ----------
    sources : tuple of int
        Columns of x.
    n_out : int
        Columns of y, the operation's before it.
    target : int
        The first of N_WAVES columns of y for each source.
    """

    sources: tuple[int, ...]
    n_out: int
    target: int


@compiled_once
def compile_forward(numbers: base.Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage
    quarter, radian, zero = dtype(_QUARTER), dtype(_RADIAN), dtype(0)

    def forward(context, op, first, count):
        run, this = base.context_at(context), periodic_at(op)
        sources = array_at(this.sources, this.n_sources, np.int64)
        sums = run.memory + this.sums + first * (N_WAVES + 1) * size
        # Of one number at a time, all rows follow each other.
        x = array_at(sums, count, dtype)
        a = array_at(sums + count * size, count, dtype)
        b = array_at(sums + 2 * count * size, count, dtype)
        c = array_at(sums + 3 * count * size, count, dtype)
        n = (count - 1) * width + 1
        for s in range(this.n_sources):
            place = base.column(run, this.x, sources[s], first, width, size)
            codes = array_at(place, n, dtype)
            for i in range(count):
                code = codes[i * width]
                x[i] = code if code == code else zero
                a[i] = b[i] = c[i] = zero
            for h in range(N_FREQUENCIES):
                at = s * N_ROWS * this.waves_row + h % width
                at = this.waves + h // width * this.waves_jump + at * size
                row = this.waves_row
                wave = array_at(run.parameters + at, 4 * row + 1, dtype)
                frequency, phase = wave[0], wave[row] * radian + quarter
                ca, cb, cc = wave[2 * row], wave[3 * row], wave[4 * row]
                for i in range(count):
                    cosine = sine_of_turns(frequency * x[i] + phase)
                    a[i] += ca * cosine
                    b[i] += cb * cosine
                    c[i] += cc * cosine
            for k in range(N_WAVES):
                column = this.target + s * N_WAVES + k
                place = base.column(run, this.y, column, first, width, size)
                y = array_at(place, n, dtype)
                sum_ = array_at(sums + (k + 1) * count * size, count, dtype)
                for i in range(count):
                    y[i * width] = sum_[i]

    return callback(forward, base.FORWARD, f"periodic-forward-{numbers.key}")


@compiled_once
def compile_gradient(numbers: base.Numbers) -> Any:
    """Compile ``gradient(context, block, n, tile, spare)`` of a number's parameters.

    A block's `x` is the place of the number's column, `dy` that of all deltas, and
    `target` the first of its columns there.
    """
    width, size, dtype = numbers.width, numbers.size, numbers.storage
    radian, quarter, zero = dtype(_RADIAN), dtype(_QUARTER), dtype(0)
    turn = dtype(1 / _RADIAN)
    most = min(width, N_FREQUENCIES)
    alike = N_FREQUENCIES % most == 0  # all panels

    def gradient(context, block, n, tile, spare):
        run, this = base.context_at(context), base.block_at(block)
        wave = array_at(run.parameters + this.place, N_ROWS * width, dtype)
        out = array_at(tile, N_ROWS * width, dtype)
        x = array_at(run.memory + this.x, n * width, dtype)
        at_a = base.column(run, this.dy, this.target, 0, width, size)
        at_b = base.column(run, this.dy, this.target + 1, 0, width, size)
        at_c = base.column(run, this.dy, this.target + 2, 0, width, size)
        da = array_at(at_a, n * width, dtype)
        db = array_at(at_b, n * width, dtype)
        dc = array_at(at_c, n * width, dtype)
        # A length that the compiler knows saves a sixth of the time.
        columns = most if alike else this.columns
        for k in range(N_ROWS * width):
            out[k] = zero
        for i in range(0, n * width, width):
            number = x[i] if x[i] == x[i] else zero
            a, b, c = da[i], db[i], dc[i]
            for k in range(columns):
                turns = wave[k] * number + wave[width + k] * radian
                sine, cosine = sine_of_turns(turns), sine_of_turns(turns + quarter)
                out[2 * width + k] += a * cosine
                out[3 * width + k] += b * cosine
                out[4 * width + k] += c * cosine
                delta = a * wave[2 * width + k] + b * wave[3 * width + k]
                delta = -(delta + c * wave[4 * width + k]) * sine
                out[width + k] += delta
                out[k] += delta * (number * turn)

    return callback(gradient, base.GRADIENT, f"periodic-gradient-{numbers.key}")


class Periodic(base.Operation):
    """Numbers as waves, beside other columns, see the module.

    Parameters
    ----------
    n : int
        Columns of x.
    waves : Waves
    numbers : Numbers
    """

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward}
    beside = True

    def __init__(self, n: int, waves: Waves, numbers: base.Numbers):
        super().__init__(n, waves.n_out)
        self._sources = np.array(waves.sources, np.int64)
        self._target = waves.target
        shape = (N_ROWS * self._sources.size, N_FREQUENCIES)
        self.parameters = (base.Parameter("waves", shape, None),)

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        [waves] = program.places(self)
        record["waves"], record["waves_row"] = waves.place, waves.row
        record["waves_jump"] = waves.jump
        record["sources"] = self._sources.ctypes.data
        record["n_sources"], record["target"] = self._sources.size, self._target
        record["sums"] = program.reserve((N_WAVES + 1) * program.capacity)

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """Return a block for each number and panel."""
        [waves], group = program.places(self), program.group(self, "waves")
        shape = self.parameters[0].shape
        blocks = base.column_blocks(
            record, waves, shape, N_ROWS, self._sources, group, program
        )
        blocks["gradient"] = compile_gradient(program.numbers).address
        blocks["target"] = self._target + blocks["first"] // N_ROWS * N_WAVES
        blocks["work"] = _WORK
        return blocks
