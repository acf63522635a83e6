"""Arrays as sources: slices of anything that has a shape and slices."""

import mmap
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from fastmlp._platform import forget_pages, read_ahead
from fastmlp.data.chunks import BLOCK_BYTES, Chunk, check_step


class ArraySource:
    """Blocks of neighbouring rows of an array that may be on disk.

    A pickle of a memory map in C order holds the file's name, not its numbers. That of
    a copy-on-write map holds its numbers, since the file does not have its changes.

    Parameters
    ----------
    X : object of shape (n_samples, n_features)
        With `shape`, `dtype` and slices: `numpy.memmap`, an HDF5 or Zarr array, an
        ndarray.
    y : array-like or object of shape (n_samples,) or (n_samples, n_outputs)
        The targets; an array in memory or an object as X.
    sample_weight : as y, of shape (n_samples,), default=None
        None: all 1.
    rows_per_block : int, default=None
        None: as many as fill 4 MiB, rounded up to whole chunks of an X that has
        `chunks`.

    Attributes
    ----------
    n_features : int
    block_rows : list of int
        Rows of each block.

    Raises
    ------
    TypeError
        If X has no `shape` and `dtype`, as a DataFrame or a list.
    ValueError
        If X is not two-dimensional, X, y and the weights have not as many rows, or
        `rows_per_block` is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.data import ArraySource
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> source = ArraySource(X, X[:, 0] > 4, rows_per_block=4)
    >>> source.block_rows
    [4, 4, 2]
    >>> source.read(2).X
    array([[16., 17.],
           [18., 19.]])
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        rows_per_block: int | None = None,
    ) -> None:
        check_step(rows_per_block)
        if not (hasattr(X, "shape") and hasattr(X, "dtype")):
            raise TypeError(
                f"X must have shape, dtype and slices, got {type(X).__name__}: pass "
                "X.to_numpy() of a DataFrame, numpy.asarray(X) of a list; or use "
                "[(X, y)] as the source, whose X is any that `fit` takes."
            )
        if len(X.shape) != 2:
            raise ValueError(
                f"X must have the shape (n_samples, n_features), got {X.shape}: "
                "reshape it."
            )
        self.X, self.y, self.sample_weight = X, _sliceable(y), _sliceable(sample_weight)
        n_rows, self.n_features = X.shape
        for name in ("y", "sample_weight"):
            each = getattr(self, name)
            if each is not None and each.shape[0] != n_rows:
                raise ValueError(
                    f"X has {n_rows} rows, but {name} has {each.shape[0]}: they must "
                    "be the same."
                )
        self._step = rows_per_block or _choose_rows(X)
        self.block_rows = [
            min(self._step, n_rows - first) for first in range(0, n_rows, self._step)
        ]

    def read(self, block: int) -> Chunk:
        """Return the rows of a block.

        Parameters
        ----------
        block : int
            Its number, from 0 on.

        Returns
        -------
        chunk : Chunk
        """
        rows, weight = self._rows(block), self.sample_weight
        weight = None if weight is None else np.asarray(weight[rows])
        return Chunk(np.asarray(self.X[rows]), self.read_y(block), weight)

    def read_y(self, block: int) -> np.ndarray:
        """Return the targets of a block.

        Parameters
        ----------
        block : int
            Its number, from 0 on.

        Returns
        -------
        y : array of shape (n,) or (n, n_outputs)
        """
        return np.asarray(self.y[self._rows(block)])

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes; of memory maps the file's name."""
        return {name: _pickled(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes that `__getstate__` returned; files are opened."""
        for name, value in state.items():
            setattr(self, name, value.open() if isinstance(value, _Mapped) else value)

    def _rows(self, block):
        return slice(block * self._step, (block + 1) * self._step)


class _Mapped(NamedTuple):
    """The place of an array in C order in a file, in the place of a pickled map."""

    filename: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    def open(self) -> np.memmap:
        """Return the array, read-only."""
        return np.memmap(
            self.filename, self.dtype, "r", offset=self.offset, shape=self.shape
        )


def _pickled(array: Any) -> Any:
    """Return the form in which an array is pickled."""
    if (
        not is_mapped(array)
        or array.filename is None
        or array.mode == "c"
        or not array.flags.c_contiguous
    ):
        return array
    # The map begins at a multiple of the granularity before `offset`.
    start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    place = start + _place_in_map(array)
    return _Mapped(str(array.filename), place, array.dtype, array.shape)


def _place_in_map(X: np.memmap) -> int:
    """Return the bytes of the map before the array's first element."""
    return X.ctypes.data - np.frombuffer(_map_of(X), np.uint8).ctypes.data


def _map_of(X: np.memmap) -> mmap.mmap:
    return X._mmap  # type: ignore[attr-defined]


def is_mapped(X: Any) -> TypeGuard[np.memmap]:
    """Return whether an array is in a file; a copy of one is of the same class."""
    return isinstance(X, np.memmap) and _map_of(X) is not None


def fetch(X: np.memmap, rows: slice) -> None:
    """Ask the system to read rows of a mapped array in C order, without waiting."""
    of_array = _place_in_map(X)
    begin, end = (of_array + row * X.strides[0] for row in (rows.start, rows.stop))
    read_ahead(_map_of(X), begin, end)


def forget(X: np.memmap) -> None:
    """Release the memory of the rows that were read from a read-only mapped array.

    Later they are read again, from the file or from the system's cache of it.
    """
    if not X.flags.writeable:
        forget_pages(_map_of(X))


def _sliceable(array: Any) -> Any:
    """Return the array if it has a shape and slices, else a copy that has."""
    return array if array is None or hasattr(array, "shape") else np.asarray(array)


def _choose_rows(X: Any) -> int:
    """Return the rows of a block."""
    rows = max(1, BLOCK_BYTES // max(1, X.shape[1] * np.dtype(X.dtype).itemsize))
    chunks = getattr(X, "chunks", None)
    if chunks and isinstance(chunks[0], int):
        rows = -(-rows // chunks[0]) * chunks[0]
    return rows
