"""The interface of an operation: its record, its callbacks' signatures, its memory.

A network is a list of operations. Each takes rows of x to rows of y and the deltas dy
(the loss's derivative in y) back to dx; its parameters' gradient is summed by blocks.
Compiled code needs only the address of an operation's record, which begins with the
fields of `HEADER`; `step.run_epoch` calls the addresses there, whatever the kind.

Rows lie in panels, see `program`. All places are bytes: those of x, y, dx and dy from
``context.memory`` on, those of parameters from ``context.parameters`` on. A callback
that takes the rows ``first`` to ``first + count`` of a minibatch may read and write up
to `count` rounded up to whole tiles, but no rows of other threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numba import types

from ..compile.options import callback, compiled_once, jit
from ..simd.bfloat16 import bfloat16
from ..simd.llvm import array_at, caller, reader
from ..simd.tiles import TILE_PARTS, panel_width
from ..simd.vectors import sum_rows, sum_squares

if TYPE_CHECKING:
    from ..program import Place, PlacedGroup, Program


def round_up(n: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `n`."""
    return -(-n // multiple) * multiple


class Numbers(NamedTuple):
    """Number formats of a network, NumPy's scalar types.

    Parameters
    ----------
    storage : type
        Of activations and deltas in memory.
    compute : type
        Of the operands of products; sums are of `storage`.
    master : type
        Of the parameters that are updated, and of the optimizer's moments.
    width : int
        Columns of a panel.
    size : int
        Bytes of an element in memory.
    """

    storage: type
    compute: type
    master: type
    width: int
    size: int

    @property
    def rounds(self) -> bool:
        """True if the operands of products are rounded."""
        return self.compute is not self.storage

    @property
    def plain(self) -> Numbers:
        """The formats of all that is no product."""
        return self._replace(compute=self.storage)

    @property
    def key(self) -> str:
        """Name for the cache of compiled code."""
        return "-".join(kind.__name__ for kind in self[:3])


@cache
def numbers_of(dtype: Any) -> Numbers:
    """Return the formats of a network of a dtype: float32, float64 or "bfloat16"."""
    rounds = isinstance(dtype, str) and dtype == bfloat16.__name__
    dtype = np.dtype(np.float32 if rounds else dtype)
    kind = dtype.type
    compute = bfloat16 if rounds else kind
    return Numbers(kind, compute, kind, panel_width(kind), dtype.itemsize)


# Memory, data and minibatch of one run. Each thread has a copy of its own, since some
# fields change from minibatch to minibatch, and threads change them at their own time.
CONTEXT = np.dtype(
    [
        # Addresses of the memory in which operations have their places, and of the
        # parameters: the same memory, or a flat vector, see `program.Program`.
        ("memory", np.int64),
        ("parameters", np.int64),
        ("jump", np.int64),  # bytes from one panel to the next
        ("zeros", np.int64),  # place of a panel's width of zeros
        # Addresses of the compiled product and transpose of `simd.panels`.
        ("product", np.int64),
        ("transpose", np.int64),
        # Those of `simd.bfloat16`.
        ("multiply", np.int64),
        ("pack", np.int64),
        # The minibatch: its rows are order[begin], order[begin + 1], ... of X. Address
        # of int64 indices; 0: order[i] is i.
        ("order", np.int64),
        ("begin", np.int64),
        ("n", np.int64),  # how many rows; set in training alone
        ("inputs", np.int64),  # address of an `inputs.INPUTS`
        # Addresses of the targets and of the rows' weights in float64; 0: all are 1.
        ("targets", np.int64),
        ("sample_weight", np.int64),
        # Dropout's random numbers depend on both.
        ("step", np.int64),  # number of the minibatch since training began
        ("row", np.int64),  # number of the row that memory's first row stands for
        ("dropout", np.float64),  # factor of the rates of dropout
    ],
    align=True,
)

# The first fields of the record of every operation.
HEADER_FIELDS = [
    # Addresses of compiled callbacks; 0: there is nothing to do.
    ("forward", np.int64),
    ("backward", np.int64),
    ("prepare", np.int64),
    ("x", np.int64),
    ("y", np.int64),
    ("dx", np.int64),  # -1: nothing below needs it
    ("dy", np.int64),
    ("n_in", np.int64),  # columns of x and dx
    ("n_out", np.int64),  # columns of y and dy
    ("ends_layer", np.int64),  # whether y is a layer's output
]


def record_type(fields: list[tuple[str, Any]]) -> np.dtype:
    """Return the type of an operation's record: the header's fields, then these."""
    return np.dtype(HEADER_FIELDS + fields, align=True)


HEADER = record_type([])

# A block of parameters: rows of one panel, up to its width or all of a number's waves,
# whose gradient fits a tile and whose update is one thread's.
BLOCK = np.dtype(
    [
        ("gradient", np.int64),  # addresses of compiled callbacks
        ("finish", np.int64),  # 0: nothing is left to do after an update
        ("place", np.int64),  # of its first element
        ("rows", np.int64),
        ("columns", np.int64),
        ("padding", np.int64),  # parts of vectors of the panel that are padding
        ("x", np.int64),  # place of the columns of x that its rows belong to, if any
        ("dy", np.int64),  # the panel of deltas that its columns belong to
        ("first", np.int64),  # the first column of x that its rows belong to
        ("target", np.int64),  # the first column of the deltas, where `dy` is of all
        ("transposed", np.int64),  # place of the transposed copy; -1: none
        ("packed", np.int64),  # place of the copy in bfloat16, if there is one
        ("number", np.int64),  # among the blocks of the network
        # The first block of its panel, and how many follow each other there.
        ("panel", np.int64),
        ("n_panel", np.int64),
        ("group", np.int64),  # address of its `groups.GROUP`
        # Rows of a product whose gradient takes as long; 0: as many as its own.
        ("work", np.int64),
        ("joined", np.int64),  # 1: the thread of the block before has it too
        ("sums", np.int64),  # place of sums that its gradient adds to, or takes
    ],
    align=True,
)

# forward(context, op, first, count): x -> y. backward(context, op, first, count):
# dy -> dx, and whatever the gradient needs. prepare(context, op, n): once per
# minibatch of n rows, in one thread, between backward and gradient.
FORWARD = types.void(*[types.intp] * 4)
PREPARE = types.void(*[types.intp] * 3)
# gradient(context, block, n, tile, spare): the sum over n rows, written to the address
# `tile` in rows of a panel's width. Whole parts of vectors that are padding are left as
# they are, 0; a tile serves blocks of one padding. `spare` is the address of memory of
# the same size.
GRADIENT = types.void(*[types.intp] * 5)
# finish(context, block, penalty): after the update. Writes the sum of squares of the
# block's weights to the float64 address `penalty`.
FINISH = types.void(*[types.intp] * 3)
call_forward, call_prepare = caller(FORWARD), caller(PREPARE)
call_gradient, call_finish = caller(GRADIENT), caller(FINISH)

context_at, header_at, block_at = reader(CONTEXT), reader(HEADER), reader(BLOCK)


def make_record(dtype: np.dtype, **fields: Any) -> np.ndarray:
    """Return a (1,) array of a record; fields that are not given are 0.

    All at once: one field after the other takes several times as long.
    """
    assert dtype.names is not None
    return np.array([tuple(map(fields.get, dtype.names, repeat(0)))], dtype)


@jit
def column(run: Any, matrix: int, j: int, first: int, width: int, size: int) -> int:
    """Return the address of element (first, j) of the matrix at a place."""
    return (
        run.memory + matrix + j // width * run.jump + (first * width + j % width) * size
    )


class Parameter(NamedTuple):
    """A trained array of an operation, in scikit-learn's packing.

    Parameters
    ----------
    name : str
        "weights", "biases", or the operation's own word. It names the group, see
        `groups`.
    shape : tuple of int
        (rows, columns), or (columns,).
    start : float or None
        Where each element starts; None: drawn like the weights.
    pieces : int
        Equal parts of the columns, each of which begins at a panel in memory.
    """

    name: str
    shape: tuple[int, ...]
    start: float | None = None
    pieces: int = 1

    @property
    def columns(self) -> int:
        """Columns of one piece."""
        return self.shape[-1] // self.pieces

    @property
    def rows(self) -> int:
        """Rows; 1 of a vector."""
        return self.shape[0] if len(self.shape) == 2 else 1


def packing_rank(parameter: Parameter) -> int:
    """Return the rank in scikit-learn's packing: weights, biases, everything else."""
    return {"weights": 0, "biases": 1}.get(parameter.name, 2)


class Operation:
    """One step of a network; the base of all kinds.

    A kind states its record, its parameters and its compiled callbacks; `Program`
    gives it places. An instance belongs to one program.

    Parameters
    ----------
    n_in, n_out : int
        Columns of x and of y.

    Attributes
    ----------
    record_fields : list
        Of the kind: fields of its record behind those of `HEADER`.
    builders : dict
        Of the kind: by the header's field, a function of `Numbers` that compiles its
        callback.
    in_place : bool
        Of the kind: whether dx is dy, and y may be x where nothing needs x later.
    beside : bool
        Of the kind: whether x and y are those of the operation before it, of whose y it
        writes columns that no other does.
    setting : float, int or None
        Of the kind: default of the number that it may be given, which starts its
        parameters or counts its pieces. None: it takes none.
    least : int
        Smallest setting.
    parameters : tuple of Parameter
    layer : int or None
        Number of the layer that it belongs to; None: to the inputs.
    row_deltas : str or None
        Of the kind: field of its record with the place of the derivative of each row's
        loss in its parameter, a matrix of rows.
    summed_behind : bool
        True: the operation behind it has the blocks of its parameters, and needs no dx.
    """

    record_fields: ClassVar[list[tuple[str, Any]]] = []
    builders: ClassVar[dict[str, Callable[[Numbers], Any]]] = {}
    in_place = False
    beside = False
    setting: float | int | None = None
    least = 0
    parameters: tuple[Parameter, ...] = ()
    layer: int | None = None
    row_deltas: str | None = None
    summed_behind = False

    def __init__(self, n_in: int, n_out: int):
        self.n_in, self.n_out = int(n_in), int(n_out)

    @classmethod
    def pieces(cls, setting: Any) -> int:
        """Return the affine pieces per unit that it takes as the layer's operation."""
        return 1

    def callbacks(self, numbers: Numbers, training: bool) -> dict[str, Any]:
        """Return the compiled callbacks of the header's fields that it has."""
        return {
            name: build(numbers)
            for name, build in self.builders.items()
            if training or name == "forward"
        }

    def fill(self, record: np.ndarray, program: Program) -> None:
        """Write its own fields; reserve the memory that it needs."""

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """Return the blocks that its parameters are made of, an array of BLOCK."""
        return np.zeros(0, BLOCK)

    def copy_parameters(self, context: np.ndarray, record: np.ndarray) -> None:
        """Copy its parameters as its blocks' finish does after an update.

        The copies of `Program.pack_transposed` are already there.

        Parameters
        ----------
        context : (1,) array of CONTEXT
        record : (1,) array, its own
        """


def squares_address(group: PlacedGroup, program: Program) -> int:
    """Return the address of a finish that only sums squares; 0 without L2 penalty."""
    return compile_squares(program.numbers).address if group.settings.l2 else 0


def vector_blocks(
    place: int, columns: int, deltas: int, group: PlacedGroup, program: Program
) -> np.ndarray:
    """Return the blocks of a vector whose gradient is the sum of the deltas' rows.

    Parameters
    ----------
    place : int
        Of the vector.
    columns : int
        Its elements.
    deltas : int
        Place of the deltas' first panel.
    group : PlacedGroup
    """
    width = program.numbers.width
    panels = np.arange(-(-columns // width))
    blocks = np.zeros(panels.size, BLOCK)
    blocks["gradient"] = compile_column_sums(program.numbers).address
    blocks["place"] = place + panels * width * program.numbers.size
    blocks["rows"], blocks["n_panel"] = 1, 1
    blocks["columns"] = np.minimum(width, columns - panels * width)
    blocks["padding"] = (width - blocks["columns"]) // (width // TILE_PARTS)
    blocks["x"] = blocks["transposed"] = -1
    blocks["dy"] = deltas + panels * program.jump
    blocks["panel"], blocks["group"] = panels, group.address
    blocks["finish"] = squares_address(group, program)
    return blocks


def column_blocks(
    record: np.ndarray,
    parameter: Place,
    shape: tuple[int, ...],
    height: int,
    sources: np.ndarray,
    group: PlacedGroup,
    program: Program,
) -> np.ndarray:
    """Return the blocks of a matrix whose rows belong to single columns of x.

    A block has up to `height` rows. Its `x` is the place of its column of x, its `dy`
    that of all deltas; `gradient` and `target` are the caller's.

    Parameters
    ----------
    record : an operation's
    parameter : Place
        Of the matrix.
    shape : tuple of int
        Its rows and columns.
    height : int
    sources : (ceil(rows / height),) int64 array
        The column of x of each block of rows.
    group : PlacedGroup
    """
    (rows, columns), numbers = shape, program.numbers
    width, size, n = numbers.width, numbers.size, len(sources)
    panel, k = (axis.ravel() for axis in np.mgrid[: -(-columns // width), :n])
    blocks = np.zeros(panel.size, BLOCK)
    blocks["place"] = parameter.place + panel * parameter.jump
    blocks["place"] += k * height * width * size
    blocks["rows"] = np.minimum(height, rows - k * height)
    blocks["columns"] = np.minimum(width, columns - panel * width)
    blocks["padding"] = (width - blocks["columns"]) // (width // TILE_PARTS)
    blocks["x"] = record["x"] + sources[k] // width * program.jump
    blocks["x"] += sources[k] % width * size
    blocks["dy"], blocks["transposed"] = record["dy"], -1
    blocks["first"] = k * height
    blocks["panel"], blocks["n_panel"] = panel * n, n
    blocks["group"] = group.address
    blocks["finish"] = squares_address(group, program)
    return blocks


# Rows that one sum of a gradient runs over before it is added to the total. It bounds
# the rounding error of large minibatches.
CHUNK_DEPTH = 512


@compiled_once
def compile_squares(numbers: Numbers) -> Any:
    """Compile a finish that is the sum of squares alone, see `FINISH`."""
    width, dtype = numbers.width, numbers.master

    def squares(context, block, penalty):
        this, run = block_at(block), context_at(context)
        n = this.rows * width
        values = array_at(run.parameters + this.place, n, dtype)
        array_at(penalty, 1, np.float64)[0] = sum_squares(values, 0, n)

    return callback(squares, FINISH, f"squares-{numbers.key}")


@compiled_once
def compile_column_sums(numbers: Numbers) -> Any:
    """Compile a gradient that is the sum of the deltas' rows.

    Rows are summed CHUNK_DEPTH at a time, as in `dense`.
    """
    width, dtype = numbers.width, numbers.storage

    def column_sums(context, block, n, tile, spare):
        this, run = block_at(block), context_at(context)
        parts = TILE_PARTS - this.padding
        deltas = array_at(run.memory + this.dy, n * width, dtype)
        out = array_at(tile, width, dtype)
        start = array_at(run.memory + run.zeros, width, dtype)
        for k in range(0, n, CHUNK_DEPTH):
            count = (min(CHUNK_DEPTH, n - k), parts)
            sum_rows(count, deltas, (k * width, width), start, out)
            start = out

    return callback(column_sums, GRADIENT, f"column-sums-{numbers.key}")
