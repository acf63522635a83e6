"""Rows to train on that are read block by block."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from fastmlp.data.arrays import fetch
from fastmlp.data.buffers import Buffers, read_ahead
from fastmlp.data.chunks import Chunk
from fastmlp.estimators._blocks import CheckedBlocks, EncodedBlocks
from fastmlp.kernels import Data


class RowsInPlace:
    """The numbers of the rows of an array's blocks, as a source.

    Kernels read the rows of a mapped array where they are: a buffer holds only their
    numbers.

    Parameters
    ----------
    encoded : EncodedBlocks
    blocks : (n,) int64 array
        Those that will be read.
    X : (n_rows, n_features) memmap of floats
        All rows of the source.
    n_columns : int
        Of the targets.
    dtype : numpy dtype
        Of the network.

    Attributes
    ----------
    block_rows : (n_blocks,) int64 array
    data : Data
        All rows. The targets of a block are there once it was read.
    """

    def __init__(
        self,
        encoded: EncodedBlocks,
        blocks: np.ndarray,
        X: np.memmap,
        n_columns: int,
        dtype: DTypeLike,
    ) -> None:
        self._encoded, self._X, self.block_rows = encoded, X, encoded.block_rows
        self._first = np.concatenate([[0], np.cumsum(self.block_rows)])
        self._y = np.zeros((len(X), n_columns), dtype)
        self._weight = np.zeros(len(X), dtype) if encoded.weighted else None
        self._known: set[int] = set()
        if encoded.weighted:
            # `Data` converts the weights at once: those of all rows have to be there.
            for block in blocks.tolist():
                self.read(block)
        self.data = Data(np.asarray(X), self._y, self._weight)

    def read(self, block: int) -> Chunk:
        """Return the numbers of the rows of a block, which are checked or fetched."""
        rows = slice(self._first[block], self._first[block + 1])
        if block in self._known:
            fetch(self._X, rows)
        else:
            _, self._y[rows], weight = self._encoded.read(block)
            if self._weight is not None:
                self._weight[rows] = weight
            self._known.add(block)
        return Chunk(np.arange(rows.start, rows.stop), None)


class BlockRows:
    """Rows of blocks to train on: `training.rows.Rows`.

    An epoch draws one permutation of the blocks, unless they are to be read in order,
    and one of the rows in each buffer.

    Parameters
    ----------
    encoded : EncodedBlocks
    blocks : (n,) int64 array
    n_rows : int
        Of these blocks.
    checked : CheckedBlocks
        Says how they are to be read.
    buffer_rows, batch_size : int
        As for `data.buffers.Buffers`.
    in_place : RowsInPlace or None
    """

    def __init__(
        self,
        encoded: EncodedBlocks,
        blocks: np.ndarray,
        n_rows: int,
        checked: CheckedBlocks,
        buffer_rows: int,
        batch_size: int,
        in_place: RowsInPlace | None,
    ) -> None:
        self._encoded, self._blocks, self.n_rows = encoded, blocks, n_rows
        self._once, self._in_order = checked.once, checked.in_order
        self._in_place = in_place
        self._buffers = Buffers(encoded.block_rows, buffer_rows, batch_size)

    def parts(
        self, random_state: np.random.RandomState | None
    ) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield data and order of each buffer; a thread reads the next one."""
        blocks = self._blocks
        if random_state is not None and not self._in_order:
            blocks = random_state.permutation(blocks)
        source = self._in_place or self._encoded
        numbers = self._once.numbers() if self._once else blocks.tolist()
        filled = self._buffers.visit(source, numbers, random_state)
        data = None if self._in_place is None else self._in_place.data
        yield from read_ahead(
            (Data(*chunk), order) if data is None else (data, chunk.X[order])
            for chunk, order in filled
        )
        if not self._encoded.counts:
            raise ValueError(
                "The weights of all rows are zero: at least one has to count."
            )
