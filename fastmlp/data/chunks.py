"""Rows in blocks: the form of a source of data."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple, Protocol

import numpy as np

# Bytes of a block where a source may choose: a disk reads so many at full speed.
BLOCK_BYTES = 4 * 2**20

# Bytes of a buffer. It is up to twice as large if it would hold fewer blocks than
# BUFFER_BLOCKS.
BUFFER_BYTES = 256 * 2**20
BUFFER_BLOCKS = 20


class Chunk(NamedTuple):
    """Some rows.

    Attributes
    ----------
    X : array of shape (n, n_features)
    y : array of shape (n,) or (n, n_outputs)
    sample_weight : array of shape (n,) or None, default=None
        None: all 1.
    """

    X: Any
    y: Any
    sample_weight: Any = None


class Source(Protocol):
    """Rows in blocks that can be read in any order, again and again.

    A source may also have a method ``read_y(block)`` that returns the targets of a
    block without its X. An attribute `X` that is a `numpy.memmap` has the rows of all
    blocks, in order, once they were read: training reads them there.

    Parameters
    ----------
    block_rows : sequence of int
        Rows of each block, known without reading it.
    """

    @property
    def block_rows(self) -> Sequence[int] | np.ndarray:
        """Rows of each block."""

    def read(self, block: int) -> Chunk:
        """Return the rows of a block, by its number from 0 on."""


def read_y(source: Source, block: int) -> Any:
    """Return the targets of a block."""
    read = getattr(source, "read_y", None)
    return Chunk(*source.read(block)).y if read is None else read(block)


def check_step(rows_per_block: Any) -> None:
    """Refuse a size of blocks that is neither None nor a positive integer."""
    if rows_per_block is None:
        return
    if not isinstance(rows_per_block, Integral) or rows_per_block < 1:
        raise ValueError(
            "rows_per_block must be an integer of at least 1, or None, got "
            f"{rows_per_block!r}."
        )


def check_shape(X: Any, n_rows: int, n_features: int, block: int) -> None:
    """Refuse X of a block that has not the shape that the source's blocks had first."""
    if np.shape(X) != (n_rows, n_features):
        raise ValueError(
            f"X of block {block} of the source has the shape {np.shape(X)}, but "
            f"{n_rows, n_features} was announced or read before: a source has to give "
            "the same rows each time."
        )


def choose_buffer_rows(block_rows: Sequence[int] | np.ndarray, row_bytes: int) -> int:
    """Return the rows of a buffer of `BUFFER_BYTES`, or up to twice as large."""
    rows = BUFFER_BYTES // max(1, row_bytes)
    wanted = BUFFER_BLOCKS * int(max(block_rows, default=0))
    return max(1, rows, min(wanted, 2 * rows))
