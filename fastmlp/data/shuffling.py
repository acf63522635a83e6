"""A shuffle of all rows on disk."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp.data.arrays import ArraySource
from fastmlp.data.cache import create_map
from fastmlp.data.chunks import BUFFER_BYTES, Chunk, Source, check_shape
from fastmlp.data.iterables import as_source


def shuffled(
    source: Any, folder: str | os.PathLike, random_state: int | None = None
) -> ArraySource:
    """Write the rows of a source in a random order, and return them as a source.

    Each order is as likely as any other. Needed where rows are sorted by y or by
    anything that goes with it: a buffer mixes the rows of its blocks only. X is read
    once, written, read and written again; y, the weights and 16 bytes for each row are
    in memory meanwhile.

    Parameters
    ----------
    source : fastmlp.data source or iterable of tuple
        As for `fit_stream`.
    folder : str or path-like
        For the files "X.npy" and, unless y are objects, "y.npy" and
        "sample_weight.npy". They replace those of an earlier shuffle, which may be the
        source. The folder is made if it does not exist, and is yours to remove.
    random_state : int, default=None
        The same integer gives the same order.

    Returns
    -------
    shuffled : ArraySource
        X is mapped, y and the weights are in memory.

    Raises
    ------
    ValueError
        If there are no rows, blocks have other columns than the first, or the source
        can be iterated once only.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastmlp.data import ArraySource, shuffled
    >>> X, y = np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source = shuffled(ArraySource(X, y), folder, random_state=0)
    ...     source.read(0).X.sum(axis=1)
    array([13.,  9.,  1.,  5.])
    """
    source, folder = as_source(source), Path(folder)
    n_rows = int(sum(source.block_rows))
    if n_rows == 0:
        raise ValueError("The source has no rows: there is nothing to shuffle.")
    position = np.random.RandomState(random_state).permutation(n_rows)
    folder.mkdir(parents=True, exist_ok=True)
    # Maps of an earlier X.npy keep its numbers, also those of this source.
    path, new = folder / "X.npy", folder / "X.npy.new"
    try:
        y, weight = _write(source, position, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    X = np.load(path, mmap_mode="r")
    for name, array in (("y", y), ("sample_weight", weight)):
        path = folder / f"{name}.npy"
        if array is not None and array.dtype != object:
            np.save(path, array)
        else:
            path.unlink(missing_ok=True)
    return ArraySource(X, y, weight)


def _write(source: Source, position: np.ndarray, path: Path) -> tuple[Any, Any]:
    """Write X to a file, each row to its position; return y and weights alike.

    In two passes, which read and write neighbouring rows: first each row goes anywhere
    into the bucket that its position lies in, then each bucket is put in order.
    """
    n_rows, begin = len(position), 0
    blocks = np.flatnonzero(source.block_rows).tolist()
    first = source.read(blocks[0])[0]
    names, rows = _names_of(first), np.asarray(first)
    dtype = rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float64)
    X = create_map(path, dtype, (n_rows, rows.shape[1]))
    size = max(1, BUFFER_BYTES // max(1, rows.shape[1] * dtype.itemsize))
    fill, written = np.arange(0, n_rows, size), np.empty_like(position)
    y = weight = None
    for block in blocks:
        chunk = Chunk(*source.read(block))
        if (own := _names_of(chunk.X)) != names:
            raise ValueError(
                f"Block {block} has the columns {own}, but the first one has {names}: "
                "give all blocks the same columns in the same order."
            )
        rows = np.asarray(chunk.X)
        check_shape(rows, source.block_rows[block], X.shape[1], block)
        end = begin + len(rows)
        place = position[begin:end]
        order = np.argsort(place // size, kind="stable")
        buckets, counts = np.unique(place // size, return_counts=True)
        for bucket, some in zip(
            buckets, np.split(order, np.cumsum(counts)[:-1]), strict=True
        ):
            to = slice(fill[bucket], fill[bucket] + len(some))
            X[to], written[to] = rows[some], place[some]
            fill[bucket] = to.stop
        y = _placed(y, chunk.y, place, n_rows)
        if begin > 0 and (chunk.sample_weight is None) != (weight is None):
            raise ValueError(
                f"Either all blocks have sample weights or none, unlike block {block} "
                "and those before it: use weights of 1."
            )
        if chunk.sample_weight is not None:
            weight = _placed(weight, chunk.sample_weight, place, n_rows)
        begin = end
    for start in range(0, n_rows, size):
        to = slice(start, start + size)
        X[to] = X[to][np.argsort(written[to])]
    X.flush()
    return y, weight


def _names_of(X: Any) -> list | None:
    """Return the names of a frame's columns; None if X has none."""
    # `columns` of pyarrow are the arrays themselves.
    names = getattr(X, "column_names", getattr(X, "columns", None))
    return None if names is None else list(names)


def _placed(array: np.ndarray | None, values: Any, place: np.ndarray, n: int) -> Any:
    """Write values to their places in an array of n, which is made where it is None."""
    values = np.asarray(values)
    if len(values) != len(place):
        raise ValueError(
            f"The parts of a block have {len(place)} and {len(values)} rows: X, y and "
            "sample_weight must have as many."
        )
    if array is None:
        array = np.empty((n, *values.shape[1:]), values.dtype)
    # Strings of a later block may be longer.
    wider = np.promote_types(array.dtype, values.dtype)
    array = array.astype(wider, copy=False)
    array[place] = values
    return array
