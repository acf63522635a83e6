"""Columns of any kind of table, read in the same two ways: as numbers, as categories.

pandas, polars and pyarrow are used only where the user's table comes from them.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils._missing import is_scalar_nan

# Rows up to which a loop in Python finds the distinct values, in 0.1 µs each: the
# tables' own functions take some 30 µs.
FEW_ROWS = 64

# Elements up to which an array is looked at before scikit-learn's validation, which
# takes longer than several networks for one row.
FEW_NUMBERS = 4096


class TableColumn(ABC):
    """A column of the user's table.

    Parameters
    ----------
    name : str
    values : array or series
    categorical : bool
        True if its type makes it a category: strings, booleans, categories.
    numeric : bool
        True if its values can be read as numbers.

    Attributes
    ----------
    is_category : bool
        True if the table's type for categories holds it.
    """

    is_category = False

    def __init__(
        self, name: str, values: Any, categorical: bool, numeric: bool
    ) -> None:
        self.name = name
        self.values = values
        self.categorical = categorical
        self.numeric = numeric

    @abstractmethod
    def _as_float(self) -> np.ndarray:
        """Return the values as (n,) float64 array, those that are missing as NaN."""

    def _as_list(self) -> list:
        """Return the values, of Python's types where the table has no others."""
        return self.values.tolist()

    @abstractmethod
    def _positions(self) -> tuple[np.ndarray, list]:
        """Return the same as `factorize`, where values may also hold missing ones."""

    def _positions_of(self, items: list) -> tuple[np.ndarray, list]:
        """Return the same as `_positions`, given the values as a list."""
        found: dict[Any, int] = {}
        try:
            positions = np.fromiter(
                (found.setdefault(item, len(found)) for item in items),
                dtype=np.intp,
                count=len(items),
            )
        except TypeError as error:
            raise _refuse(self.name, "objects", f" ({error})") from error
        return positions, list(found)

    def numbers(self) -> np.ndarray:
        """Return the values of a numeric column, those that are missing as NaN.

        Returns
        -------
        values : (n,) float64 array

        Raises
        ------
        ValueError
            If one is infinite in float64.
        """
        try:
            values = self._as_float()
        except OverflowError:  # Python's integers have no bound.
            values = np.array([np.inf])
        if np.isinf(values).any():
            raise ValueError(
                "Input X contains infinity or a value too large for dtype('float64'), "
                f"in column {self.name!r}."
            )
        return values

    def factorize(self) -> tuple[np.ndarray, list]:
        """Return the distinct values and where they are.

        Returns
        -------
        positions : (n,) int array
            Of each value in `values`, -1 where it is missing.
        values : list
            Distinct, in any order, of Python's types where they are NumPy's.
        """
        if len(self.values) <= FEW_ROWS:
            positions, values = self._positions_of(self._as_list())
        else:
            positions, values = self._positions()
        present = np.array([not is_missing(value) for value in values], dtype=bool)
        if not present.all():
            # The last element is where -1 points to.
            moved = np.append(np.where(present, present.cumsum() - 1, -1), -1)
            positions = moved[positions]
            values = [value for value in values if not is_missing(value)]
        plain = [v.item() if isinstance(v, np.generic) else v for v in values]
        return positions, plain


class Table(NamedTuple):
    """The user's table, opened.

    Parameters
    ----------
    names : list or None
        The names of the columns as the user gave them; None if they have none.
    shape : (int, int)
    column : callable
        ``column(index)`` returns a `TableColumn`.
    numbers : (n, n_columns) array or None
        The table itself where it is an array of numbers, finite or NaN.
    together : callable
        ``together(indices)`` returns, by index, the float64 values of those columns
        that are read faster together than one by one. They are finite or NaN.
    """

    names: list | None
    shape: tuple[int, int]
    column: Callable[[int], TableColumn]
    numbers: np.ndarray | None = None
    together: Callable[[Sequence[int]], dict[int, np.ndarray]] = lambda indices: {}


def open_table(X: Any) -> Table:
    """Return the user's X as `Table`.

    An estimator opens X before `validate_data` compares its columns with those in fit,
    which has no clear message for an X that is not two-dimensional.

    Parameters
    ----------
    X : pandas or polars DataFrame, pyarrow Table or RecordBatch, array-like, or Table

    Raises
    ------
    TypeError
        If X is sparse. Its columns raise it where they hold neither numbers nor
        categories.
    ValueError
        If X is empty, not two-dimensional, complex, or an array with infinite values.
    """
    if isinstance(X, Table):
        return X
    if _is_from("pandas", X, "DataFrame"):
        return _open_pandas(X)
    if _is_from("polars", X, "DataFrame"):
        names = list(X.columns)

        def column(i: int) -> TableColumn:
            return _polars_column(names[i], X.to_series(i))

    elif _is_from("pyarrow", X, "Table", "RecordBatch"):
        names = list(X.schema.names)

        def column(i: int) -> TableColumn:
            return _ArrowColumn(names[i], X.column(i))

    else:
        return _open_array(X)
    return Table(names, _shape_of(X), column)


def _shape_of(X: Any) -> tuple[int, int]:
    """Return the shape of a table that is not an array; refuse an empty one."""
    if 0 in X.shape:
        check_array(np.empty(X.shape))
    return X.shape


def _open_pandas(X: Any) -> Table:
    names, dtypes = X.columns.tolist(), X.dtypes.tolist()
    ArrowDtype = sys.modules["pandas"].ArrowDtype
    # A series of each column takes longer than all values of a few rows.
    few = X.to_numpy(dtype=object) if X.shape[0] <= FEW_ROWS else None

    def column(i: int) -> TableColumn:
        name, dtype = str(names[i]), dtypes[i]
        if few is not None:
            if isinstance(dtype, np.dtype) and dtype.kind in "fiubO":
                return _ArrayColumn(name, few[:, i].astype(dtype))
            if dtype.kind == "O" and not isinstance(dtype, ArrowDtype):
                return _PandasColumn(name, dtype, few[:, i])
        return _pandas_column(name, X.iloc[:, i])

    def together(indices: Sequence[int]) -> dict[int, np.ndarray]:
        if few is None:
            return {}
        plain = [i for i in indices if _is_plain(dtypes[i])]
        values = few[:, plain].astype(np.float64)
        # `TableColumn.numbers` names the column that is infinite.
        return {} if np.isinf(values).any() else dict(zip(plain, values.T, strict=True))

    return Table(names, _shape_of(X), column, together=together)


def _is_plain(dtype: Any) -> bool:
    """Return whether a dtype is one of NumPy's for integers or floats."""
    return isinstance(dtype, np.dtype) and dtype.kind in "fiu"


def _is_from(module: str, X: Any, *classes: str) -> bool:
    """Return whether X is of one of the classes of a module that may be absent."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(
        X, tuple(getattr(loaded, name) for name in classes)
    )


def _open_array(X: Any) -> Table:
    if isinstance(X, list | tuple):
        # NumPy's own choice would make strings of numbers beside strings.
        X = np.array(X, dtype=object)
    valid = (
        type(X) is np.ndarray
        and X.ndim == 2
        and 0 < X.size <= FEW_NUMBERS
        and _is_plain(X.dtype)
        and not np.isinf(X).any()
    )
    if not valid:
        X = check_array(X, dtype=None, ensure_all_finite="allow-nan", input_name="X")
    return Table(
        None,
        X.shape,
        lambda i: _ArrayColumn(f"x{i}", X[:, i]),
        X if _is_plain(X.dtype) else None,
    )


def _pandas_na() -> Any:
    """Return pandas.NA, or None where pandas is not imported."""
    return getattr(sys.modules.get("pandas"), "NA", None)


def is_missing(value: Any) -> bool:
    """Return whether a value is None, pandas.NA or NaN."""
    return value is None or value is _pandas_na() or is_scalar_nan(value)


def _refuse(name: str, kind: Any, reason: str = "") -> TypeError:
    return TypeError(
        f"Column {name!r} holds {kind}, neither numbers nor categories{reason}: turn "
        "it into numbers, a date for instance into days since another, month and "
        "weekday; turn it into strings to have categories; or leave the column out."
    )


class _ArrayColumn(TableColumn):
    """A column of a NumPy array."""

    def __init__(self, name: str, values: np.ndarray) -> None:
        kind = values.dtype.kind
        if kind not in "fiubUO":
            raise _refuse(name, values.dtype)
        super().__init__(name, values, kind in "bU", kind in "fiubO")
        if kind == "O":
            types = set(map(type, values))
            if any(issubclass(item, str) for item in types):
                self.categorical, self.numeric = True, False
            elif types & {bool, np.bool_}:
                _, distinct = self.factorize()
                self.categorical = all(isinstance(item, bool) for item in distinct)

    def _as_float(self) -> np.ndarray:
        if self.values.dtype.kind != "O":
            return self.values.astype(np.float64)
        values, NA = self.values.copy(), _pandas_na()
        values[[value is NA for value in values]] = None
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise _refuse(self.name, "objects", f" ({error})") from error

    def _positions(self) -> tuple[np.ndarray, list]:
        if self.values.dtype.kind in "fiub":
            distinct, positions = np.unique(self.values, return_inverse=True)
            return positions, distinct.tolist()
        return self._positions_of(self._as_list())


def _pandas_column(name: str, series: Any) -> TableColumn:
    if series.dtype == object:
        return _ArrayColumn(name, series.to_numpy())
    if isinstance(series.dtype, sys.modules["pandas"].ArrowDtype):
        arrow = sys.modules["pyarrow"]
        return _ArrowColumn(name, arrow.array(series.array))
    return _PandasColumn(name, series.dtype, series)


class _PandasColumn(TableColumn):
    """A column of a pandas DataFrame that neither holds objects nor is pyarrow's.

    Its values are a series; of few rows, if strings or categories, an array of objects.
    """

    def __init__(self, name: str, dtype: Any, values: Any) -> None:
        pandas = sys.modules["pandas"]
        types = pandas.api.types
        self.is_category = isinstance(dtype, pandas.CategoricalDtype)
        if self.is_category:
            dtype = dtype.categories.dtype
        if dtype.kind == "c":
            raise ValueError(f"Complex data not supported\ncolumn {name!r}")
        numeric = types.is_numeric_dtype(dtype)
        by_values = types.is_bool_dtype(dtype) or types.is_string_dtype(dtype)
        categorical = self.is_category or by_values
        if not (numeric or categorical):
            raise _refuse(name, dtype)
        super().__init__(name, values, categorical, numeric)

    def _as_float(self) -> np.ndarray:
        if self.is_category:
            positions, values = self.factorize()
            return np.array([*values, np.nan], dtype=np.float64)[positions]
        return self.values.to_numpy(dtype=np.float64, na_value=np.nan)

    def _positions(self) -> tuple[np.ndarray, list]:
        positions, values = self.values.factorize()
        return positions, values.tolist()


def _polars_column(name: str, series: Any) -> TableColumn:
    if series.dtype == sys.modules["polars"].Object:
        return _ArrayColumn(name, series.to_numpy())
    return _PolarsColumn(name, series)


class _PolarsColumn(TableColumn):
    """A column of a polars DataFrame that does not hold objects."""

    def __init__(self, name: str, series: Any) -> None:
        polars = sys.modules["polars"]
        dtype = series.dtype
        texts = (polars.String, polars.Categorical, polars.Enum)
        numeric = dtype.is_numeric() or dtype in (polars.Boolean, polars.Null)
        categorical = dtype in (polars.Boolean, *texts)
        if not (numeric or categorical):
            raise _refuse(name, dtype)
        self.is_category = dtype in (polars.Categorical, polars.Enum)
        values = series if numeric else series.cast(polars.String)
        super().__init__(name, values, categorical, numeric)

    def _as_float(self) -> np.ndarray:
        return self.values.cast(sys.modules["polars"].Float64).to_numpy()

    def _as_list(self) -> list:
        return self.values.to_list()

    def _positions(self) -> tuple[np.ndarray, list]:
        polars = sys.modules["polars"]
        values = self.values.unique()
        positions = self.values.replace_strict(
            values, polars.int_range(len(values), eager=True)
        )
        return positions.to_numpy(), values.to_list()


class _ArrowColumn(TableColumn):
    """A column of a pyarrow Table or RecordBatch, or of pandas if pyarrow holds it."""

    def __init__(self, name: str, values: Any) -> None:
        arrow = sys.modules["pyarrow"]
        types = arrow.types
        if isinstance(values, arrow.ChunkedArray):
            values = values.combine_chunks()
        dtype = values.type
        is_dictionary = types.is_dictionary(dtype)
        if is_dictionary:
            dtype = dtype.value_type
            # A dictionary may have equal values and nulls.
            values = values.cast(dtype)
        numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
        texts = (types.is_string, types.is_large_string, types.is_string_view)
        is_boolean = types.is_boolean(dtype)
        is_text = any(is_such(dtype) for is_such in texts)
        numeric = is_boolean or any(is_such(dtype) for is_such in numbers)
        if not (numeric or is_text):
            raise _refuse(name, dtype)
        self.is_category = is_dictionary
        categorical = is_dictionary or is_boolean or is_text
        super().__init__(name, values, categorical, numeric)

    def _as_float(self) -> np.ndarray:
        double = self.values.cast(sys.modules["pyarrow"].float64(), safe=False)
        return double.to_numpy(zero_copy_only=False)

    def _as_list(self) -> list:
        return self.values.to_pylist()

    def _positions(self) -> tuple[np.ndarray, list]:
        encoded = self.values.dictionary_encode()
        positions = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return positions, encoded.dictionary.to_pylist()


def concatenate(tables: Sequence[Any]) -> Any:
    """Return the rows of several tables, columns or matrices of one kind as one."""
    first = tables[0]
    if len(tables) == 1:
        return first
    if isinstance(first, list | tuple):
        return [row for table in tables for row in table]
    if _is_from("pandas", first, "DataFrame", "Series"):
        return sys.modules["pandas"].concat(tables, ignore_index=True)
    if _is_from("polars", first, "DataFrame"):
        return sys.modules["polars"].concat(tables)
    if _is_from("pyarrow", first, "Table", "RecordBatch"):
        arrow = sys.modules["pyarrow"]
        return arrow.concat_tables(
            each if isinstance(each, arrow.Table) else arrow.Table.from_batches([each])
            for each in tables
        )
    if sparse.issparse(first):
        return sparse.vstack(tables, format="csr")
    return np.concatenate([np.asarray(each) for each in tables])
