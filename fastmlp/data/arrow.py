"""Parquet and Arrow files as sources. They need pyarrow, the extra `arrow`."""

import os
import pickle
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp.data.cache import BlockCache
from fastmlp.data.chunks import BLOCK_BYTES, Chunk, check_step

Names = str | Sequence[str]


def _require_arrow() -> Any:
    """Return pyarrow, which takes a while to import."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "Parquet and Arrow files need pyarrow: pip install 'fastmlp[arrow]'."
        ) from error
    return pyarrow


class _ColumnSource(ABC):
    """Base of `ParquetSource` and `ArrowSource`."""

    def __init__(
        self,
        schema: Any,
        label: Names,
        weight: str | None,
        columns: Sequence[str] | None,
        filter: Any,
        dtype: Any,
    ) -> None:
        self.label, self.weight = label, weight
        self._labels = [label] if isinstance(label, str) else list(label)
        others = [*self._labels, *([] if weight is None else [weight])]
        if columns is None:
            columns = [name for name in schema.names if name not in others]
        self.columns, self.dtype = list(columns), np.dtype(dtype)
        self.n_features = len(self.columns)
        for name, count in Counter([*others, *self.columns]).items():
            if name not in schema.names:
                raise ValueError(
                    f"There is no column {name!r}: there are {', '.join(schema.names)}."
                )
            if count > 1:
                raise ValueError(
                    f"Column {name!r} is named twice in label, weight and columns: a "
                    "column is one of them, once."
                )
        if isinstance(filter, list):
            from pyarrow.parquet import filters_to_expression

            filter = filters_to_expression(filter)
        if self.dtype.kind != "f":
            raise ValueError(
                f"dtype must be a float type, got {self.dtype}: X is learned in floats."
            )
        self._filter, self._others = filter, others
        self._cache: BlockCache | None = None
        self.block_rows: list[int] = []

    def _keep_in(self, folder: str | os.PathLike | None, files: list[Path]) -> None:
        """Keep blocks in a folder, unless it is None."""
        if folder is None:
            return
        if not files:
            raise ValueError("A table in memory needs no cache: leave it out.")
        states = [
            (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
            for path in files
        ]
        key = (
            states,
            self.block_rows,
            self.columns,
            self.label if isinstance(self.label, str) else self._labels,
            self.weight,
            # Its text leaves out the middle of a long list of values.
            pickle.dumps(self._filter),
            self.dtype.str,
        )
        self._cache = BlockCache(
            folder, key, self.block_rows, self.n_features, self.dtype
        )

    @property
    def X(self) -> np.memmap | None:
        """X of the blocks that were read, if there is a cache."""
        return None if self._cache is None else self._cache.X

    @abstractmethod
    def _table(self, block: int, columns: list[str]) -> Any:
        """Return some columns of a block, filtered, as a pyarrow Table."""

    def read(self, block: int) -> Chunk:
        """Return the rows of a block, X as an array.

        Parameters
        ----------
        block : int
            Its number, from 0 on.

        Returns
        -------
        chunk : Chunk
        """
        chunk = None if self._cache is None else self._cache.get(block)
        if chunk is None:
            chunk = self._decoded(block)
            if self._cache is not None:
                chunk = self._cache.put(block, chunk)
        return chunk

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
        y = None if self._cache is None else self._cache.get_y(block)
        return self._targets(self._table(block, self._labels)) if y is None else y

    def read_table(self, block: int) -> Chunk:
        """Return the rows of a block, X as a pyarrow Table.

        Parameters
        ----------
        block : int
            Its number, from 0 on.

        Returns
        -------
        chunk : Chunk
        """
        table = self._table(block, [*self.columns, *self._others])
        return Chunk(table.select(self.columns), *self._beside(table))

    def _decoded(self, block):
        X, y, weight = self.read_table(block)
        numbers = np.empty((X.num_columns, X.num_rows), self.dtype)
        for row, name in zip(numbers, self.columns, strict=True):
            row[:] = _as_float(name, X.column(name), self.dtype)
        return Chunk(numbers.T, y, weight)

    def _beside(self, table):
        """Return targets and weights of a table."""
        weight = None
        if self.weight is not None:
            weight = _as_float(self.weight, table.column(self.weight), np.float64)
        return self._targets(table), weight

    def _targets(self, table):
        columns = [_labels_of(name, table.column(name)) for name in self._labels]
        return columns[0] if isinstance(self.label, str) else np.column_stack(columns)


def _as_float(name: str, column: Any, dtype: Any) -> np.ndarray:
    """Return a column of numbers or booleans; nulls are NaN."""
    pa = _require_arrow()
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    numeric = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    if not any(is_such(kind) for is_such in numeric):
        raise TypeError(
            f"Column {name!r} holds {kind}, no numbers: leave it out by columns=, or "
            "use TabularClassifier or TabularRegressor, which take categories."
        )
    if types.is_boolean(kind):
        column = column.cast(pa.uint8())
    return column.cast(pa.from_numpy_dtype(dtype), safe=False).to_numpy()


def _labels_of(name: str, column: Any) -> np.ndarray:
    """Return a column of targets; strings have NumPy's type for strings."""
    pa = _require_arrow()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise ValueError(
            f"Column {name!r}, the label, has missing values: leave these rows out by "
            f"filter=~pyarrow.compute.field({name!r}).is_null()."
        )
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values = column.to_numpy()
    return values.astype(str) if values.dtype == object else values


class ParquetSource(_ColumnSource):
    """The row groups of Parquet files as blocks.

    Files with row groups of 4 to 16 MiB suit it, for 100 numbers 10,000 to 40,000 rows:
    whole row groups are decoded, and at least 20 should fit in the buffer.

    Parameters
    ----------
    path : str, path-like or list of these
        A file, a list of files, or one folder of files with the same columns.
    label : str or list of str
        The column of y; several make a y of several columns.
    weight : str, default=None
        The column of sample weights. None: all 1.
    columns : list of str, default=None
        The columns of X, which hold numbers or booleans. None: all others.
    filter : pyarrow.compute.Expression or list, default=None
        The rows that are read, as ``pyarrow.compute.field("year") > 2000``, or as
        pyarrow's list of tuples.
    dtype : numpy dtype, default="float32"
        Of X, a float type.
    cache : str or path-like, default=None
        A folder in which each block is kept as it was read, X in `dtype`, so that it is
        decoded once only, also by later runs with the same unchanged files. It is yours
        to remove. None: blocks are decoded in each epoch.

    Attributes
    ----------
    block_rows : list of int
        Rows of each block, after the filter.
    n_features : int
    columns : list of str

    Raises
    ------
    ImportError
        If pyarrow, the extra `arrow`, is not installed.
    FileNotFoundError
        If there are no files.
    ValueError
        If there is no such column, it is named twice, the label has missing values, or
        dtype is no float type.
    TypeError
        If a column of X holds no numbers.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from fastmlp import MLPRegressor
    >>> from fastmlp.data import ParquetSource
    >>> from pyarrow import parquet
    >>> rides = pa.table({"distance": [1.0, 5.0, 2.0], "tip": [0.5, 2.0, 1.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     parquet.write_table(rides, f"{folder}/rides.parquet", row_group_size=2)
    ...     source = ParquetSource(folder, label="tip")
    ...     regr = MLPRegressor(tol=10.0).fit_stream(source)
    >>> source.block_rows
    [2, 1]
    """

    def __init__(
        self,
        path: Any,
        label: Names,
        *,
        weight: str | None = None,
        columns: Sequence[str] | None = None,
        filter: Any = None,
        dtype: Any = "float32",
        cache: str | os.PathLike | None = None,
    ) -> None:
        _require_arrow()
        from pyarrow.dataset import dataset

        data = dataset(path, format="parquet", partitioning="hive")
        self._schema = data.schema
        files = [Path(name) for name in data.files]
        if not files:
            raise FileNotFoundError(f"There are no Parquet files in {path}.")
        super().__init__(data.schema, label, weight, columns, filter, dtype)
        self._fragments = [
            group
            for fragment in data.get_fragments(self._filter)
            for group in fragment.split_by_row_group(self._filter, data.schema)
        ]
        # `count_rows` counts the whole file where no value decides, and knows no column
        # that is in the name of a folder.
        self.block_rows = [
            fragment.row_groups[0].num_rows
            if self._filter is None
            else len(self._table(block, []))
            for block, fragment in enumerate(self._fragments)
        ]
        self._keep_in(cache, files)

    def _table(self, block: int, columns: list[str]) -> Any:
        return self._fragments[block].to_table(
            schema=self._schema, columns=columns, filter=self._filter
        )


class ArrowSource(_ColumnSource):
    """The record batches of an Arrow file, or slices of a table, as blocks.

    Parameters
    ----------
    data : pyarrow.Table, str or path-like
        A table, or a file in Arrow's IPC format (Feather), which is mapped and not read
        whole.
    label, weight, columns, filter, dtype, cache : see `ParquetSource`
        A table in memory has no cache.
    rows_per_block : int, default=None
        Of a table. None: as many as fill 4 MiB.

    Attributes
    ----------
    block_rows : list of int
        Rows of each block, after the filter.
    n_features : int
    columns : list of str

    Raises
    ------
    ImportError
        As `ParquetSource`.
    TypeError
        As `ParquetSource`; or if `data` is neither a Table nor a path.
    FileNotFoundError
        If there is no such file.
    ValueError
        As `ParquetSource`; or if the file is not in Arrow's format, a table in memory
        has a cache, or `rows_per_block` is not a positive integer.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from fastmlp.data import ArrowSource
    >>> table = pa.table({"a": [1, 2, 3], "b": [4.0, 5.0, 6.0], "y": list("uvu")})
    >>> source = ArrowSource(table, label="y", filter=[("a", ">", 1)])
    >>> source.read(0)
    Chunk(X=array([[2., 5.],
           [3., 6.]], dtype=float32), y=array(['v', 'u'], dtype='<U1'), \
sample_weight=None)
    """

    def __init__(
        self,
        data: Any,
        label: Names,
        *,
        weight: str | None = None,
        columns: Sequence[str] | None = None,
        filter: Any = None,
        dtype: Any = "float32",
        cache: str | os.PathLike | None = None,
        rows_per_block: int | None = None,
    ) -> None:
        pa = _require_arrow()
        check_step(rows_per_block)
        if not isinstance(data, pa.Table | str | os.PathLike):
            raise TypeError(
                "data must be a pyarrow.Table or a path, got "
                f"{type(data).__name__}: pass pyarrow.Table.from_pandas(frame) of a "
                "pandas DataFrame, frame.to_arrow() of polars'."
            )
        self._data: Any = data
        files: list[Path] = []
        if not isinstance(data, pa.Table):
            self._path = os.fspath(data)
            self._data = _open(self._path)
            files = [Path(data)]
        super().__init__(self._data.schema, label, weight, columns, filter, dtype)
        if isinstance(data, pa.Table):
            row_bytes = max(1, data.nbytes // max(1, len(data)))
            self._step = rows_per_block or max(1, BLOCK_BYTES // row_bytes)
            n_blocks = -(-len(data) // self._step)
        else:
            n_blocks = self._data.num_record_batches
        self.block_rows = [len(self._table(block, [])) for block in range(n_blocks)]
        self._keep_in(cache, files)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes; of a file its name."""
        state = dict(vars(self))
        if "_path" in state:
            del state["_data"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes that `__getstate__` returned; the file is opened."""
        vars(self).update(state)
        if "_path" in state:
            self._data = _open(self._path)

    def _table(self, block: int, columns: list[str]) -> Any:
        pa = _require_arrow()
        if isinstance(self._data, pa.Table):
            table = self._data.slice(block * self._step, self._step)
        else:
            table = pa.Table.from_batches([self._data.get_batch(block)])
        if self._filter is not None:
            table = table.filter(self._filter)
        return table.select(columns)


def _open(path: str) -> Any:
    """Return an Arrow file, mapped."""
    pa = _require_arrow()
    return pa.ipc.open_file(pa.memory_map(path))
