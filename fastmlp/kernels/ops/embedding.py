"""Categories as learned vectors: y = E[code], a row of E for each category.

A code that is NaN or has no row counts as a vector of zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ..compile.options import callback, compiled_once
from ..simd.llvm import array_at, reader
from . import base

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [
    ("vectors", np.int64),  # place of E
    ("vectors_row", np.int64),  # elements from one row of it to the next
    ("vectors_jump", np.int64),  # bytes from one panel of it to the next
    ("n_categories", np.int64),
    ("n_columns", np.int64),
    ("source", np.int64),  # column of x
    ("target", np.int64),  # the first column of y that it writes
]
embedding_at = reader(base.record_type(FIELDS))


class Categories(NamedTuple):
    """A column of categories, and where its vectors go.

    Parameters
    ----------
    source : int
        Column of x.
    n_categories, n_columns : int
        Rows and columns of E.
    n_out : int
        Columns of y, the operation's before it.
    target : int
        The first of `n_columns` columns of y.
    """

    source: int
    n_categories: int
    n_columns: int
    n_out: int
    target: int


@compiled_once
def compile_forward(numbers: base.Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = base.context_at(context), embedding_at(op)
        n = (count - 1) * width + 1
        source = base.column(run, this.x, this.source, first, width, size)
        codes = array_at(source, n, dtype)
        end = dtype(this.n_categories)
        for k in range(this.n_columns):
            place = base.column(run, this.y, this.target + k, first, width, size)
            y = array_at(place, n, dtype)
            at = this.vectors + k // width * this.vectors_jump + k % width * size
            n_vectors = (this.n_categories - 1) * this.vectors_row + 1
            vectors = array_at(run.parameters + at, n_vectors, dtype)
            for i in range(0, n, width):
                known = codes[i] >= 0 and codes[i] < end  # NaN is neither
                row = np.int64(codes[i]) if known else 0
                y[i] = vectors[row * this.vectors_row] if known else dtype(0)

    return callback(forward, base.FORWARD, f"embedding-forward-{numbers.key}")


@compiled_once
def compile_gradient(numbers: base.Numbers) -> Any:
    """Compile ``gradient(context, block, n, tile, spare)`` of some categories.

    A block's `x` is the place of the codes, `dy` that of all deltas, `first` its first
    category, `target` its first column of the deltas.
    """
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def gradient(context, block, n, tile, spare):
        run, this = base.context_at(context), base.block_at(block)
        codes = array_at(run.memory + this.x, n * width, dtype)
        out = array_at(tile, this.rows * width, dtype)
        begin, end = dtype(this.first), dtype(this.first + this.rows)
        for k in range(this.rows * width):
            out[k] = dtype(0)
        for i in range(0, n * width, width):
            if codes[i] >= begin and codes[i] < end:
                to = (np.int64(codes[i]) - this.first) * width
                for k in range(this.columns):
                    column = this.target + k
                    place = base.column(run, this.dy, column, 0, width, size)
                    out[to + k] += array_at(place + i * size, 1, dtype)[0]

    return callback(gradient, base.GRADIENT, f"embedding-gradient-{numbers.key}")


class Embedding(base.Operation):
    """A learned vector for each category of a column, beside other columns.

    Parameters
    ----------
    n : int
        Columns of x.
    categories : Categories
    numbers : Numbers
    """

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward}
    beside = True

    def __init__(self, n: int, categories: Categories, numbers: base.Numbers):
        super().__init__(n, categories.n_out)
        self._categories = categories
        shape = (categories.n_categories, categories.n_columns)
        self.parameters = (base.Parameter("vectors", shape, None),)

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        [vectors] = program.places(self)
        record["vectors"], record["vectors_row"] = vectors.place, vectors.row
        record["vectors_jump"] = vectors.jump
        for name in ("n_categories", "n_columns", "source", "target"):
            record[name] = getattr(self._categories, name)

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """Return a block for each panel's width of categories and of columns."""
        [vectors], this = program.places(self), self._categories
        width = program.numbers.width
        shape = self.parameters[0].shape
        sources = np.full(-(-this.n_categories // width), this.source)
        group = program.group(self, "vectors")
        blocks = base.column_blocks(
            record, vectors, shape, width, sources, group, program
        )
        blocks["gradient"] = compile_gradient(program.numbers).address
        blocks["target"] = this.target + blocks["panel"] // sources.size * width
        return blocks
