"""Blocks in files of NumPy's format, which need no decoding."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp.data.chunks import Chunk


class BlockCache:
    """A folder with a file for each array of each block.

    Parameters
    ----------
    folder : str or path-like
        It is made if it does not exist, and is the user's to remove.
    key : tuple
        Of plain values. Blocks that were written under another key are not found.
    """

    def __init__(self, folder: str | os.PathLike, key: tuple) -> None:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        # pyarrow takes no file of such a folder for data.
        self._folder = Path(folder) / f"_{name}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def _paths(self, block: int) -> list[Path]:
        """Return the files of a block, by fields of `Chunk`."""
        return [self._folder / f"{block:06d}-{name}.npy" for name in Chunk._fields]

    def get(self, block: int) -> Chunk | None:
        """Return a block, X as a view of its file, or None if it is not there."""
        X, *others = self._paths(block)
        if not X.exists():
            return None
        arrays = [np.load(path) if path.exists() else None for path in others]
        return Chunk(np.asarray(np.load(X, mmap_mode="r")), *arrays)

    def put(self, block: int, chunk: Chunk) -> None:
        """Write a block; X last, since it says that the others are there."""
        for path, array in reversed(list(zip(self._paths(block), chunk, strict=True))):
            if array is not None:
                _save(path, array)


def _save(path: Path, array: Any) -> None:
    """Write an array, in one step as others see it."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    partial.replace(path)
