"""Data that need not fit in memory: sources of blocks of rows, for `fit_stream`.

- `ArraySource`: any array with slices, such as `numpy.memmap`, HDF5 and Zarr;

In reading order: `chunks`, `arrays`, `buffers` (the order in which rows are visited).
"""

from fastmlp.data.arrays import ArraySource
from fastmlp.data.chunks import Chunk, Source

__all__ = ["ArraySource", "Chunk", "Source"]
