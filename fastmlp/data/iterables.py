"""Chunks that are made one after the other, as a source."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from fastmlp.data.chunks import Chunk, Source, read_y


class Chunks:
    """A re-iterable of chunks as a source: ``(X, y)`` or ``(X, y, sample_weight)``.

    It is read once to count the rows. A sequence is read in any order. Of another
    iterable, such as an object whose ``__iter__`` reads files, each block is the next
    one; to read an earlier one it is begun anew.

    Parameters
    ----------
    chunks : iterable of tuple
        Each ``iter(chunks)`` gives the same chunks.
    see : callable or None
        Called with y of each chunk when the rows are counted.

    Attributes
    ----------
    block_rows : list of int
    in_order : bool
        True if only the next block is read without the ones before it.
    """

    def __init__(
        self, chunks: Iterable[Any], see: Callable[[Any], None] | None
    ) -> None:
        self._chunks, self.in_order = chunks, not isinstance(chunks, Sequence)
        self._iterator: Iterator[Any] = iter(())
        self._next = 0
        self.block_rows: list[int] = []
        for each in chunks:
            y = _as_chunk(each).y
            self.block_rows.append(len(y))
            if see is not None:
                see(y)

    def read(self, block: int) -> Chunk:
        """Return the rows of a block."""
        if isinstance(self._chunks, Sequence):
            return _as_chunk(self._chunks[block])
        if block < self._next or self._next == 0:
            self._iterator, self._next = iter(self._chunks), 0
        skipped, self._next = block - self._next, block + 1
        chunk = next(islice(self._iterator, skipped, None), None)
        if chunk is None:
            raise ValueError(
                f"The source had {len(self.block_rows)} chunks at first and has fewer "
                "now: each iter(source) has to give the same chunks."
            )
        return _as_chunk(chunk)


class Once:
    """The chunks of an iterator as a source that is read once, block after block.

    Attributes
    ----------
    block_rows : list of int
        Of the blocks up to the one that is read next.
    in_order : bool
        True.
    """

    in_order = True

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self.block_rows: list[int] = []
        self._chunk = self._following()

    def _following(self):
        """Return the next chunk that has rows, or None."""
        for each in self._chunks:
            chunk = _as_chunk(each)
            self.block_rows.append(len(chunk.y))
            if self.block_rows[-1]:
                return chunk
        return None

    def read(self, block: int) -> Chunk:
        """Return the rows of the next block."""
        return self._chunk

    def numbers(self) -> Iterator[int]:
        """Yield the number of each block with rows, the one that is read next."""
        while self._chunk is not None:
            yield len(self.block_rows) - 1
            self._chunk = self._following()


def _as_chunk(item: Any) -> Chunk:
    """Return an item of an iterable as a `Chunk`."""
    if not (isinstance(item, tuple | list) and 2 <= len(item) <= 3):
        raise TypeError(
            "The items of source must be tuples (X, y) or (X, y, sample_weight), got "
            f"one of type {type(item).__name__}: arrays X and y that are in memory are "
            "for `fit`, or [(X, y)] as a source."
        )
    if item[1] is None:
        raise ValueError("The items of source must be tuples with y, but y is None.")
    return Chunk(*item)


def as_source(
    source: Any,
    see: Callable[[Any], None] | None = None,
    read_all: bool = False,
    n_times: int | None = None,
) -> Source:
    """Return a source, or a re-iterable of chunks as one.

    Parameters
    ----------
    source : Source or iterable of tuple
    see : callable, default=None
        Called with y of each block, in order.
    read_all : bool, default=False
        True: `see` is called for all sources. False: not for a source without `read_y`,
        whose blocks would have to be read whole.
    n_times : int, default=None
        How often the source will be read, by the user's choice. 1: an iterator will
        do; `see` is not called then. None: more than once, whatever the user chooses.

    Raises
    ------
    TypeError
        If it is neither, or an item is no such tuple.
    ValueError
        If it can be iterated once only.
    """
    if hasattr(source, "read") and hasattr(source, "block_rows"):
        if see is not None and (read_all or hasattr(source, "read_y")):
            for block in range(len(source.block_rows)):
                see(read_y(source, block))
        return source
    if not isinstance(source, Iterable):
        raise TypeError(
            "source must be a source of fastmlp.data or an iterable of (X, y) or (X, "
            f"y, sample_weight), got {type(source).__name__}."
        )
    if isinstance(source, Iterator):
        if n_times == 1:
            return Once(source)
        other = "" if n_times is None else "; or set epochs=1"
        raise ValueError(
            f"The source is a {type(source).__name__} and can be read only once, but "
            "it is read to count its rows and then again: pass an object whose "
            "__iter__ begins anew, such as a list of chunks, or of a class whose "
            f"__iter__ is a generator{other}."
        )
    return Chunks(source, see)
