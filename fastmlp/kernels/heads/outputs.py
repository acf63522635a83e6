"""Output activations: raw scores become predictions; the table OUTPUTS."""

from typing import Any, NamedTuple

from numba import types

from ..compile.options import callback, compiled_once, jit, own_name
from ..math import functions
from ..ops.base import round_up
from ..simd.llvm import array_at, caller
from ..simd.tiles import lanes
from ..simd.vectors import normalize_rows, shift_rows


@jit
def _softmax(z, rows, w, scratch):
    """Softmax of each row.

    The largest score is taken off first, so that no exponential overflows.
    """
    width = z.size // rows
    shift_rows(z, rows, width)
    for k in range(z.size):
        z[k] = functions.exp(z[k])
    normalize_rows(z, rows, width, w, scratch)


@jit
def _exp(z, rows, w, scratch):
    for k in range(z.size):
        z[k] = functions.exp(z[k])


@jit
def _sigmoid(z, rows, w, scratch):
    for k in range(z.size):
        z[k] = functions.sigmoid(z[k])


class Output(NamedTuple):
    """One row of the table of output activations.

    The function takes scores as losses do, an array of ones and one to overwrite, both
    with an element per row; with `by_rows` the scores are padded as for a loss by rows.
    """

    function: Any
    by_rows: bool = False


OUTPUTS = {
    "identity": None,
    "logistic": Output(_sigmoid),
    "softmax": Output(_softmax, by_rows=True),
    "exp": Output(_exp),
}


def row_width(out_activation: str, n_outputs: int, dtype: type) -> int:
    """Return the elements of a row of scores, with its padding."""
    row = OUTPUTS[out_activation]
    by_rows = row is not None and row.by_rows
    return round_up(n_outputs, lanes(dtype)) if by_rows else n_outputs


OUTPUT = types.void(*[types.intp] * 5)
call_output = caller(OUTPUT)


@compiled_once
def compile_output(name: str, dtype: type) -> Any:
    """Compile ``output(z, ones, scratch, rows, width)``: scores become predictions."""
    row = OUTPUTS[name]
    assert row is not None
    function = row.function

    def output(z, ones, scratch, rows, width):
        function(
            array_at(z, rows * width, dtype),
            rows,
            array_at(ones, rows, dtype),
            array_at(scratch, rows, dtype),
        )

    return callback(output, OUTPUT, own_name(function, "output", name, dtype))
