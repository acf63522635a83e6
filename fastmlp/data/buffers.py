"""The order in which rows of a source are visited: CorgiPile.

An epoch visits the blocks in a random order. They fill a buffer, and the rows in it are
visited in a random order, while the next buffer is read. Source: L. Xu et al.,
"In-database machine learning with CorgiPile: stochastic gradient descent without full
data shuffle", SIGMOD 2022.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from fastmlp.data.chunks import Chunk, Source

Item = TypeVar("Item")


class Buffer:
    """Rows of several chunks, in arrays that are used again.

    Parameters
    ----------
    capacity : int
        Rows to reserve memory for; more are moved to larger arrays.
    """

    def __init__(self, capacity: int) -> None:
        self.n_rows, self._capacity = 0, capacity
        self._arrays: list[np.ndarray | None] = []

    def append(self, chunk: Chunk) -> None:
        """Copy the rows of a chunk, of the first one's types, behind the others."""
        begin, end = self.n_rows, self.n_rows + len(chunk.X)
        if end > self._capacity or not self._arrays:
            self._reserve(chunk, max(end, self._capacity))
        for array, rows in zip(self._arrays, chunk, strict=True):
            if array is not None:
                array[begin:end] = rows
        self.n_rows = end

    def _reserve(self, chunk, capacity):
        arrays = [
            None if rows is None else np.empty((capacity, *rows.shape[1:]), rows.dtype)
            for rows in chunk
        ]
        for array, old in zip(arrays, self._arrays, strict=False):
            if array is not None and old is not None:
                array[: self.n_rows] = old[: self.n_rows]
        self._arrays, self._capacity = arrays, capacity

    def chunk(self) -> Chunk:
        """Return the rows, views of the arrays."""
        return Chunk(*(a if a is None else a[: self.n_rows] for a in self._arrays))

    def clear(self) -> None:
        """Forget the rows."""
        self.n_rows = 0


class RowNumbers:
    """The numbers of rows, counted through all blocks, as a source.

    Parameters
    ----------
    block_rows : sequence of int
        How many rows each block has.
    """

    def __init__(self, block_rows: Sequence[int] | np.ndarray) -> None:
        self.block_rows = block_rows
        self._ends = np.cumsum(block_rows)

    def read(self, block: int) -> Chunk:
        """Return the numbers of the rows of a block."""
        end = self._ends[block]
        return Chunk(np.arange(end - self.block_rows[block], end), None)


class Buffers:
    """Two buffers that are filled in turn with the rows of a source.

    They are used again in each visit: new memory costs more than the rows that are
    copied into it.

    Parameters
    ----------
    block_rows : sequence of int
        Of the source.
    buffer_rows : int
        Blocks are read into a buffer until it has so many rows, and a minibatch.
    batch_size : int
        All parts but the last have a multiple of these rows; the others of a buffer
        are the first of the next.
    """

    def __init__(
        self,
        block_rows: Sequence[int] | np.ndarray,
        buffer_rows: int,
        batch_size: int,
    ) -> None:
        self._enough, self._batch_size = max(buffer_rows, batch_size), batch_size
        largest = int(max(block_rows, default=0))
        capacity = min(int(sum(block_rows)), self._enough + largest)
        self._pair = Buffer(capacity), Buffer(capacity)

    def visit(
        self,
        source: Source,
        blocks: Iterable[int],
        random_state: np.random.RandomState | None,
    ) -> Iterator[tuple[Chunk, np.ndarray]]:
        """Yield the rows of some blocks, buffer by buffer.

        Parameters
        ----------
        source : Source
            Its chunks are arrays, of the same types in all blocks.
        blocks : iterable of int
            In the order in which they are read.
        random_state : numpy.random.RandomState or None
            One permutation is drawn for each buffer. None: rows stay in order.

        Yields
        ------
        chunk : Chunk
            The rows of the buffer. Its arrays are overwritten by the buffer after the
            next.
        order : (n,) int64 array
            The rows to visit, as indices of `chunk`.
        """
        batch_size, (filled, spare) = self._batch_size, self._pair
        filled.clear()
        spare.clear()
        chunks = (source.read(block) for block in blocks if source.block_rows[block])
        chunk = next(chunks, None)
        while chunk is not None:
            while chunk is not None and filled.n_rows < self._enough:
                filled.append(chunk)
                chunk = next(chunks, None)
            order = np.arange(filled.n_rows)
            if random_state is not None:
                random_state.shuffle(order)
            n = len(order) if chunk is None else len(order) // batch_size * batch_size
            rows = filled.chunk()
            yield rows, order[:n]
            spare.clear()
            if n < len(order):
                spare.append(Chunk(*(a if a is None else a[order[n:]] for a in rows)))
            filled, spare = spare, filled


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items; a thread makes the next one while one is in use."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item
