"""Data that need not fit in memory: sources of blocks of rows, for `fit_stream`.

- `ArraySource`: any array with slices, such as `numpy.memmap`, HDF5 and Zarr;
- `ParquetSource`, `ArrowSource`: columns of files, with pyarrow, the extra `arrow`;
- `Chunk`: the rows of a block; `Source`: the methods of a source, to write others;
- `shuffled`: the same rows in a random order, once and for all.

In reading order: `chunks`, `arrays`, `arrow`, `cache`, `iterables`, `buffers` (the
order in which rows are visited), `shuffling`.
"""

from fastmlp.data.arrays import ArraySource
from fastmlp.data.arrow import ArrowSource, ParquetSource
from fastmlp.data.chunks import Chunk
from fastmlp.data.chunks import Source as Source
from fastmlp.data.shuffling import shuffled

__all__ = [
    "ArraySource",
    "ArrowSource",
    "Chunk",
    "ParquetSource",
    "shuffled",
]
