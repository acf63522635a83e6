"""Files that blocks are kept in: arrays of NumPy's format, mapped into memory."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastmlp.data.chunks import Chunk


def create_map(
    path: str | os.PathLike, dtype: DTypeLike, shape: tuple[int, ...]
) -> np.memmap:
    """Return a new array in a file.

    Raises
    ------
    OSError
        If the disk has no room for it. Without this check the process would be killed
        when it writes to the array.
    """
    array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
    size = Path(path).stat().st_size
    with Path(path).open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return array


class BlockCache:
    """Files of blocks: one for X of all, and for each block one of y and of weights.

    Several processes may use a folder at once.

    Parameters
    ----------
    folder : str or path-like
        It is made if it does not exist, and is the user's to remove.
    key : tuple
        Of plain values. Blocks that were written under another key are not found.
    block_rows : sequence of int
    n_features : int
    dtype : numpy dtype
        Of X.

    Attributes
    ----------
    X : (n_rows, n_features) memmap
        The rows of a block are there once it was put in.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        key: tuple,
        block_rows: Sequence[int],
        n_features: int,
        dtype: DTypeLike,
    ) -> None:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        # pyarrow reads no files of a folder whose name begins with an underscore.
        self._folder = Path(folder) / f"_{name}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._first = np.concatenate([[0], np.cumsum(block_rows, dtype=np.int64)])
        path = self._folder / "X.npy"
        if not path.exists():
            shape = int(self._first[-1]), n_features
            np.lib.format.open_memmap(_partial(path), "w+", np.dtype(dtype), shape)
            # Another process's file stays: it may hold blocks already.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(_partial(path))
            _partial(path).unlink()
        self.X = self._mapped()

    def _mapped(self):
        return np.load(self._folder / "X.npy", mmap_mode="r")

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without X."""
        return {name: value for name, value in vars(self).items() if name != "X"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes and open the file of X."""
        vars(self).update(state)
        self.X = self._mapped()

    def _paths(self, block: int) -> tuple[Path, Path]:
        """Return the files of y and of the weights of a block."""
        names = f"{block:06d}-y.npy", f"{block:06d}-sample_weight.npy"
        return self._folder / names[0], self._folder / names[1]

    def _rows(self, block: int) -> np.ndarray:
        return np.asarray(self.X[self._first[block] : self._first[block + 1]])

    def get(self, block: int) -> Chunk | None:
        """Return a block, X as a view of the file, or None if it is not there."""
        y, weight = self.get_y(block), self._paths(block)[1]
        if y is None:
            return None
        weights = np.load(weight) if weight.exists() else None
        return Chunk(self._rows(block), y, weights)

    def get_y(self, block: int) -> np.ndarray | None:
        """Return y of a block, or None if it is not there."""
        y, _ = self._paths(block)
        return np.load(y) if y.exists() else None

    def put(self, block: int, chunk: Chunk) -> Chunk:
        """Write a block and return it. y is last: `get` takes its file as complete."""
        y, weight = self._paths(block)
        with (self._folder / "X.npy").open("r+b") as file:
            # Written through the map, pages would be small, and a full disk fatal.
            file.seek(self.X.offset + self._first[block] * self.X.strides[0])
            file.write(np.ascontiguousarray(chunk.X, self.X.dtype).data)
        if chunk.sample_weight is not None:
            _save(weight, chunk.sample_weight)
        _save(y, chunk.y)
        return chunk._replace(X=self._rows(block))


def _partial(path: Path) -> Path:
    """Return a name of this thread for a file that is being written."""
    return path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")


def _save(path: Path, array: Any) -> None:
    """Write an array; other processes find the whole file or none."""
    with _partial(path).open("wb") as file:
        np.save(file, array, allow_pickle=False)
    _partial(path).replace(path)
