"""Codes of a table: how each column is coded, learned in `fit_columns`, and `encode`.

A number's code is its distance from the median in interquartile ranges, which then
bends smoothly towards ±3; a category's code is its position among the sorted
categories. Missing numbers and unknown categories are NaN, so that the network can give
them parameters of their own. Where numbers act like categories, their frequent values
have codes as well.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastmlp.tables.frequent import Frequent, encode_frequent, fit_frequent
from fastmlp.tables.table import Table, TableColumn, open_table

# In a column of more than FEW_CATEGORIES categories, only the MAX_CATEGORIES most
# frequent ones have a code of their own, and none that occurs once.
FEW_CATEGORIES = 32
MAX_CATEGORIES = 1024

# Quantiles of more values are estimated from so many that are drawn. The share of all
# values below the sample's median then has a standard deviation of 0.2 per cent.
SAMPLE_SIZE = 100_000

# The limit of a number's code, and a size at which its float32 code has reached it.
LIMIT = 3.0
FAR = 1e9

LARGEST = float(np.finfo(np.float64).max)

# Elements of X whose float64 intermediates fit into the second-level cache.
CHUNK_SIZE = 2**15


class Number(NamedTuple):
    """How a column of numbers is coded.

    ``u = (x - median) * scale`` has the code ``u / sqrt(1 + (u / 3)^2)``, NaN has NaN.

    Parameters
    ----------
    name : str
        Of the column, "x0", "x1", ... in an array.
    column : int
        Its index in X.
    median : float
    scale : float
        One over the interquartile range; two over the range if that is zero; zero if
        all values but missing ones are equal.
    missing : bool
        True if values were missing in fit.
    """

    name: str
    column: int
    median: float
    scale: float
    missing: bool


class Category(NamedTuple):
    """How a column of categories is coded.

    A category's code is its position in `values`; a missing one has the code
    ``len(values)`` if `missing` is True. All others are NaN.

    Parameters
    ----------
    name : str
        Of the column, "x0", "x1", ... in an array.
    column : int
        Its index in X.
    values : tuple
        The categories, sorted. Of more than 32, those that fit saw more than once, and
        of these the 1024 most frequent.
    missing : bool
        True if values were missing in fit.
    """

    name: str
    column: int
    values: tuple
    missing: bool


Column = Number | Category | Frequent


def fit_columns(
    X: Any,
    categorical_features: Any = "from_dtype",
    target: np.ndarray | None = None,
    warn: Callable[[str], object] = warnings.warn,
) -> tuple[Column, ...]:
    """Return how the columns of a table are coded.

    A column whose codes would all be equal is left out: it is constant, or has more
    than 32 categories of which each occurs once. Numbers act like categories where
    neighbours among them have other targets, as `neighbours` shows: amounts that recur
    in a column of which half is one number, or whole numbers that are codes, of shops
    for instance. Such a column has a `Frequent` beside its `Number`.

    Parameters
    ----------
    X : pandas or polars DataFrame, pyarrow Table or RecordBatch, array-like, or Table
        Of shape (n, n_columns). NaN, None and null are missing values.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        The columns that are categories: a boolean mask, indices or names. "from_dtype"
        takes those of strings, booleans and the tables' own categories, None takes
        none. Strings are categories in any case.
    target : (n,) int array, (n, k) float array or None, default=None
        Class indices, or values. None: no column has a `Frequent`.
    warn : callable, default=warnings.warn
        Takes the message of a warning.

    Returns
    -------
    columns : tuple of Number, Category and Frequent
        In the order of X.

    Raises
    ------
    TypeError
        If X is sparse, or a column holds dates, lists or other objects, or mixes
        strings with numbers.
    ValueError
        If X is empty, not two-dimensional, complex or infinite, or
        `categorical_features` does not fit it.

    Warns
    -----
    UserWarning
        If all strings of a column, more than 32 different ones, are numbers, and
        neither its type nor `categorical_features` says that they are categories.

    Examples
    --------
    >>> from fastmlp.tables.columns import encode, fit_columns
    >>> X = [[1.0, "red"], [2.0, "blue"], [4.0, "red"]]
    >>> columns = fit_columns(X)
    >>> for column in columns:
    ...     print(column)
    Number(name='x0', column=0, median=2.0, scale=0.6666666666666666, missing=False)
    Category(name='x1', column=1, values=('blue', 'red'), missing=False)
    >>> encode([[2.0, "red"], [None, "green"]], columns)
    array([[ 0.,  1.],
           [nan, nan]], dtype=float32)
    """
    table = open_table(X)
    chosen = _chosen(categorical_features, table.names, table.shape[1])
    columns: list[Column | None] = []
    for index in range(table.shape[1]):
        given = table.column(index)
        wanted = given.categorical if chosen is None else chosen[index]
        if wanted or not given.numeric:
            meant = given.is_category or (chosen is not None and chosen[index])
            columns.append(_fit_category(given, index, None if meant else warn))
        else:
            columns += _fit_numbers(given, index, target)
    return tuple(column for column in columns if column is not None)


def encode(X: Any, columns: Sequence[Column]) -> np.ndarray:
    """Return the codes of a table.

    Parameters
    ----------
    X : pandas or polars DataFrame, pyarrow Table or RecordBatch, array-like, or Table
        With the columns of the table that `columns` are from; other types may hold
        them.
    columns : sequence of Number, Category and Frequent
        See `fit_columns`.

    Returns
    -------
    codes : (n, len(columns)) float32 array, C-contiguous

    Raises
    ------
    TypeError
        See `fit_columns`.
    ValueError
        See `fit_columns`; or if numbers have become strings, or strings numbers.
    """
    table = open_table(X)
    codes = np.empty((table.shape[0], len(columns)), dtype=np.float32)
    numbers = [column for column in columns if isinstance(column, Number)]
    indices = [column.column for column in numbers]
    if table.numbers is not None and len(numbers) == len(columns):
        _encode_numbers(table.numbers, indices, numbers, codes)
        return codes
    few = codes.size <= CHUNK_SIZE
    if few:
        # A call of NumPy or pandas takes longer than the arithmetic of one column: all
        # columns of numbers are coded together.
        read = table.together(indices)
        values = np.empty((len(codes), len(numbers)))
        for i, index in enumerate(indices):
            values[:, i] = read[index] if index in read else _numbers(table, index)
        coded = np.empty(values.shape, dtype=np.float32)
        _encode_numbers(values, range(len(numbers)), numbers, coded)
        places = [i for i, column in enumerate(columns) if isinstance(column, Number)]
        codes[:, places] = coded
    for place, column in enumerate(columns):
        if isinstance(column, Category):
            codes[:, place] = _encode_category(table.column(column.column), column)
        elif isinstance(column, Frequent):
            codes[:, place] = encode_frequent(_numbers(table, column.column), column)
        elif not few:
            values = _numbers(table, column.column)[:, np.newaxis]
            _encode_numbers(values, [0], [column], codes[:, place : place + 1])
    return codes


def codes_by_column(columns: Sequence[Column]) -> dict[int, list[int]]:
    """Return the places of the codes of each column of X that has some."""
    places: dict[int, list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault(column.column, []).append(place)
    return places


def _chosen(categorical_features: Any, names: list | None, n_columns: int) -> Any:
    """Return the mask of the columns that are categories; None for "from_dtype".

    It means and refuses the same as in scikit-learn's HistGradientBoostingClassifier.
    """
    mask = np.zeros(n_columns, dtype=bool)
    if categorical_features is None:
        return mask
    if isinstance(categorical_features, str) and categorical_features == "from_dtype":
        return None
    chosen = np.asarray(categorical_features)
    if chosen.size == 0:
        return mask
    kind, found = chosen.dtype.kind, chosen.dtype.name
    if kind == "O":
        types = {type(item) for item in chosen}
        kind = "U" if types == {str} else "O"
        found = ", ".join(sorted(item.__name__ for item in types))
    if kind not in "ibU":
        raise ValueError(
            "categorical_features must be an array-like of bool, int or "
            f"str, got: {found}."
        )
    if kind == "b":
        if chosen.shape[0] != n_columns:
            raise ValueError(
                "categorical_features set as a boolean mask must have shape "
                f"(n_features,), got: {chosen.shape}"
            )
        return chosen
    if kind == "i":
        if chosen.max() >= n_columns or chosen.min() < 0:
            raise ValueError(
                "categorical_features set as integer indices must be in "
                "[0, n_features - 1]"
            )
        mask[chosen] = True
        return mask
    if names is None:
        raise ValueError(
            "categorical_features should be passed as an array of integers or as a "
            "boolean mask when the model is fitted on data without feature names."
        )
    for name in chosen:
        if name not in names:
            raise ValueError(
                f"categorical_features has an item value '{name}' which is not a valid "
                f"feature name of the training data. Observed feature names: {names}"
            )
        mask[names.index(name)] = True
    return mask


def _fit_numbers(
    given: TableColumn, index: int, target: np.ndarray | None
) -> list[Column]:
    """Return how numbers are coded; nothing if all have the same code."""
    values = given.numbers()
    there = ~np.isnan(values)
    present = values[there]
    number = _fit_number(present, given.name, index, present.size < values.size)
    if number is None:
        return []
    if target is None or number.scale == 0:
        return [number]
    frequent = fit_frequent(present, number.median, target[there], given.name, index)
    return [number] if frequent is None else [number, frequent]


def _fit_number(
    present: np.ndarray, name: str, index: int, missing: bool
) -> Number | None:
    """Return how numbers are coded; None if all have the same code.

    Parameters
    ----------
    present : (n,) float64 array
        The values that are not missing.
    name, index, missing : see `Number`
    """
    if not present.size:
        return None
    low, high = float(present.min()), float(present.max())
    if high - low > LARGEST:
        low, high = max(low, -LARGEST / 2), min(high, LARGEST / 2)
        present = present.clip(low, high)
    if low == high:
        return Number(name, index, low, 0.0, missing) if missing else None
    if present.size > SAMPLE_SIZE:
        # Equally spaced rows might be those of one time of the day.
        rows = np.random.RandomState(0).randint(present.size, size=SAMPLE_SIZE)
        present = present[rows]
    lower, median, upper = quartiles(present)
    spread = upper - lower or (high - low) / 2
    # One over a subnormal number may be infinite.
    scale = min(1 / spread, LARGEST)
    return Number(name, index, median, scale, missing)


def quartiles(values: np.ndarray) -> list[float]:
    """Return the three quartiles of numbers, those of ``np.quantile``.

    Of a thousand numbers it takes 60 µs, as long as all else for a column.

    Parameters
    ----------
    values : (n,) float64 array
        Finite.
    """
    places = [share * (values.size - 1) for share in (0.25, 0.5, 0.75)]
    below = [int(place) for place in places]
    above = [min(i + 1, values.size - 1) for i in below]
    ordered = np.partition(values, sorted({*below, *above}))
    found = []
    for place, i, j in zip(places, below, above, strict=True):
        low, high, share = float(ordered[i]), float(ordered[j]), place - i
        step = high - low
        # From the nearer of the two values, as np.quantile does, for the same rounding.
        found.append(low + step * share if share < 0.5 else high - step * (1 - share))
    return found


def _encode_numbers(
    X: np.ndarray,
    indices: Sequence[int],
    columns: Sequence[Number],
    codes_out: np.ndarray,
) -> None:
    """Write the codes of columns of an array.

    Parameters
    ----------
    X : (n, n_columns) array of numbers
    indices : sequence of int
        Of the columns in X.
    columns : sequence of Number
        How they are coded.
    codes_out : (n, len(columns)) float32 array, overwritten
    """
    median = np.array([column.median for column in columns])
    scale = np.array([column.scale for column in columns])
    all_in_order = list(indices) == list(range(X.shape[1]))
    step = max(1, CHUNK_SIZE // max(1, len(columns)))
    with np.errstate(over="ignore"):
        for start in range(0, len(X), step):
            rows = X[start : start + step]
            u = (rows if all_in_order else rows[:, indices]) - median
            u *= scale
            # The square of a larger one may be infinite.
            np.clip(u, -FAR, FAR, out=u)
            divisor = u / LIMIT
            divisor *= divisor
            divisor += 1
            u /= np.sqrt(divisor, out=divisor)
            codes_out[start : start + step] = u


def _numbers(table: Table, index: int) -> np.ndarray:
    """Return the values of a column that held numbers in fit."""
    given = table.column(index)
    if given.numeric:
        return given.numbers()
    positions, values = given.factorize()
    if values:
        raise ValueError(
            f"Column {given.name!r} held numbers in fit, but has the value "
            f"{values[0]!r} now: convert it to numbers, or fit on a table in which the "
            "column holds strings."
        )
    return np.full(len(positions), np.nan)


def _fit_category(
    given: TableColumn, index: int, warn: Callable[[str], object] | None
) -> Category | None:
    """Return how categories are coded; None if all have the same code.

    `warn`, unless it is None, gets a message if they are numbers as strings.
    """
    positions, values = given.factorize()
    try:
        order = sorted(range(len(values)), key=values.__getitem__)
    except TypeError as error:
        types = sorted({type(value).__name__ for value in values})
        raise TypeError(
            f"Column {given.name!r} mixes {types}, but categories must be uniformly "
            "strings or numbers: convert all of them to strings."
        ) from error
    missing = bool((positions < 0).any())
    kept = order
    if len(order) > FEW_CATEGORIES:
        counts = np.bincount(positions[positions >= 0], minlength=len(values))
        by_frequency = sorted(order, key=lambda i: -counts[i])[:MAX_CATEGORIES]
        frequent = {i for i in by_frequency if counts[i] > 1}
        kept = [i for i in order if i in frequent]
        if warn is not None and all(map(_is_number, values)):
            warn(
                f"Column {given.name!r} holds numbers as strings, and is taken as "
                "categories: convert it, for instance with astype(float), or list it "
                "in categorical_features."
            )
    rare = len(kept) < len(order)
    if len(kept) + missing + rare < 2:
        return None
    known = tuple(values[i] for i in kept)
    return Category(given.name, index, known, missing)


def _is_number(value: Any) -> bool:
    """Return whether a value is a string that `float` reads."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _encode_category(given: TableColumn, column: Category) -> np.ndarray:
    """Return the codes of a column that held categories in fit."""
    positions, values = given.factorize()
    codes = _codes_by_value(column.values)
    for value in values:
        if value not in codes and column.values and _differ(value, column.values[0]):
            raise ValueError(
                f"Column {given.name!r} held categories such as "
                f"{column.values[0]!r} in fit, but has the value {value!r} now: "
                "convert it to the type it had."
            )
    of_missing = len(column.values) if column.missing else np.nan
    # The last element is where -1 points to.
    by_position = [*(codes.get(value, np.nan) for value in values), of_missing]
    return np.array(by_position, dtype=np.float32)[positions]


@lru_cache(maxsize=256)
def _codes_by_value(values: tuple) -> dict[Any, int]:
    """Return the codes of categories: to list 1024 takes longer than to code a row."""
    return {value: code for code, value in enumerate(values)}


def _differ(value: Any, other: Any) -> bool:
    """Return whether one is a string and the other is not."""
    return isinstance(value, str) != isinstance(other, str)
