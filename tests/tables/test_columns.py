"""Codes of tables: any kind of table, missing and unknown values, refusals."""

import datetime
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import validate_data

from fastmlp.tables.columns import (
    CHUNK_SIZE,
    FEW_CATEGORIES,
    MAX_CATEGORIES,
    SAMPLE_SIZE,
    Category,
    Number,
    encode,
    fit_columns,
    quartiles,
)
from fastmlp.tables.sources import FEW_NUMBERS, FEW_ROWS, open_table

N = 60


def make_columns(n=N, seed=0):
    """Return columns of each kind as lists, with None where a value is missing."""
    rng = np.random.default_rng(seed)

    def with_none(values):
        return [None if rng.random() < 0.2 else value for value in values]

    return {
        "float": (rng.normal(size=n) * 3 + 1).round(2).tolist(),
        "float_missing": with_none(rng.exponential(size=n).round(2).tolist()),
        "int": rng.integers(-5, 90, size=n).tolist(),
        "int_missing": with_none(rng.integers(4, size=n).tolist()),
        "bool": (rng.random(n) < 0.3).tolist(),
        "bool_missing": with_none((rng.random(n) < 0.6).tolist()),
        "text": rng.choice(["red", "green", "blue", ""], size=n).tolist(),
        "text_missing": with_none(rng.choice(["b", "é", "a"], size=n).tolist()),
        "constant": [7.0] * n,
        "nothing": [None] * n,
    }


COLUMNS = make_columns()
NAMES = list(COLUMNS)
TEXTS = ["text", "text_missing"]
CODED = NAMES[:-2]


def as_pandas(columns):
    frame = pd.DataFrame(columns)
    return frame.set_axis(np.arange(len(frame)) // 2)


def as_nullable(columns):
    dtypes = {"float": "Float64", "int": "Int64", "bool": "boolean", "text": "string"}
    frame = pd.DataFrame(columns)
    return frame.astype(
        {name: dtypes[name.split("_")[0]] for name in CODED if name in frame}
    )


def as_categorical(columns):
    levels = pd.CategoricalDtype(["unused", "red", "é", "green", "b", "a", "", "blue"])
    ordered = pd.CategoricalDtype(levels.categories, ordered=True)
    return as_pandas(columns).astype({"text": levels, "text_missing": ordered})


def as_polars(columns):
    return pl.DataFrame(columns)


def as_polars_categories(columns):
    levels = pl.Enum(["unused", "red", "green", "blue", ""])
    return as_polars(columns).with_columns(
        pl.col("text").cast(levels), pl.col("text_missing").cast(pl.Categorical)
    )


def as_arrow_chunks(columns):
    table = pa.table(columns)
    return pa.concat_tables([table.slice(0, 7), table.slice(7)])


def as_arrow_dictionaries(columns):
    table = pa.table(columns)
    for name in TEXTS:
        # Each chunk has a dictionary of its own.
        chunks = [part[name].chunk(0) for part in (table.slice(0, 9), table.slice(9))]
        encoded = pa.chunked_array(
            [chunk.dictionary_encode() for chunk in chunks],
            type=pa.dictionary(pa.int32(), pa.string()),
        )
        table = table.set_column(table.schema.get_field_index(name), name, encoded)
    return table


def as_objects(columns):
    return np.array(list(columns.values()), dtype=object).T


def as_lists(columns):
    return [list(row) for row in zip(*columns.values(), strict=True)]


KINDS = {
    "pandas": as_pandas,
    "pandas, nullable": as_nullable,
    "pandas, objects": lambda columns: pd.DataFrame(as_objects(columns), columns=NAMES),
    "pandas, categories": as_categorical,
    "pandas, string[python]": lambda c: as_pandas(c).astype(
        dict.fromkeys(TEXTS, pd.StringDtype("python"))
    ),
    "pandas, arrow": lambda columns: pa.table(columns).to_pandas(
        types_mapper=pd.ArrowDtype
    ),
    "polars": as_polars,
    "polars, categories": as_polars_categories,
    "pyarrow": pa.table,
    "pyarrow, batch": pa.RecordBatch.from_pydict,
    "pyarrow, chunks": as_arrow_chunks,
    "pyarrow, dictionaries": as_arrow_dictionaries,
    "objects": as_objects,
    "lists": as_lists,
}


def ref_number(values):
    """Return the codes of a column of numbers, by pandas."""
    x = pd.Series(values, dtype=float)
    lower, median, upper = x.quantile([0.25, 0.5, 0.75])
    spread = upper - lower if upper > lower else (x.max() - x.min()) / 2
    u = (x - median) / spread
    return (u / np.sqrt(1 + (u / 3) ** 2)).to_numpy()


def ref_category(values):
    """Return the codes of a column of categories, by pandas; missing ones are last."""
    category = pd.Categorical(values)
    return np.where(category.codes < 0, len(category.categories), category.codes)


def ref_codes(columns):
    return np.column_stack(
        [
            (ref_category if name.startswith(("text", "bool")) else ref_number)(values)
            for name, values in columns.items()
            if name in CODED
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_those_of_the_formulas(kind):
    X = KINDS[kind](COLUMNS)
    columns = fit_columns(X)
    codes = encode(X, columns)
    assert codes.dtype == np.float32
    assert codes.flags.c_contiguous
    assert [column.column for column in columns] == list(range(len(CODED)))
    assert_allclose(codes, ref_codes(COLUMNS), rtol=1e-6, atol=1e-7)
    if kind in ("objects", "lists"):
        names = [f"x{i}" for i in range(len(CODED))]
    else:
        names = CODED
    assert [column.name for column in columns] == names


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_table_is_coded_as_another_was_fitted(kind):
    ref_columns = fit_columns(as_polars(COLUMNS))
    columns = fit_columns(KINDS[kind](COLUMNS))
    for ref, comp in zip(ref_columns, columns, strict=True):
        assert comp._replace(name=ref.name) == ref
    other = make_columns(seed=1)
    comp = encode(KINDS[kind](other), ref_columns)
    assert_array_equal(comp, encode(as_polars(other), columns))


@pytest.mark.parametrize("most", [FEW_ROWS, CHUNK_SIZE // len(CODED)])
@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_few_and_many_rows(kind, most, more):
    values = make_columns(most + more)
    X = KINDS[kind](values)
    comp = encode(X, fit_columns(X))
    assert_allclose(comp, ref_codes(values), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_codes_of_a_row_do_not_depend_on_the_others(kind):
    X = KINDS[kind](make_columns(FEW_ROWS + 1))
    columns = fit_columns(X)
    ref = encode(X, columns)
    for i in range(20):
        row = X.slice(i, 1) if hasattr(X, "slice") else _safe_indexing(X, [i])
        assert_array_equal(encode(row, columns), ref[[i]])


def test_what_is_learned_is_readable_and_survives_a_pickle():
    columns = fit_columns(as_pandas(COLUMNS))
    assert pickle.loads(pickle.dumps(columns)) == columns
    by_name = {column.name: column for column in columns}
    assert by_name["text_missing"].values == ("a", "b", "é")
    assert by_name["bool"].values == (False, True)
    assert [by_name[name].missing for name in ("float", "float_missing")] == [0, 1]
    assert [by_name[name].missing for name in TEXTS] == [False, True]
    assert {type(v) for v in by_name["bool"]} == {str, int, tuple, bool}
    assert {type(v) for v in by_name["float"]} == {str, int, float, bool}
    floats = pd.Series(COLUMNS["float_missing"], dtype=float)
    assert by_name["float_missing"].median == floats.median()


# Arrays of numbers -------------------------------------------------------------------


def make_array(n=200, k=7):
    X = np.random.default_rng(0).normal(size=(n, k)) * 10.0 ** np.arange(k)
    X[::9, 2] = np.nan
    return X


ARRAYS = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "negative strides": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "pandas": pd.DataFrame,
    "objects": lambda X: X.astype(object),
    "list": lambda X: X.tolist(),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind):
    values = make_array()
    X = ARRAYS[kind](values)
    columns = fit_columns(X)
    ref = np.column_stack([ref_number(column) for column in values.T])
    assert_allclose(encode(X, columns), ref, rtol=1e-6, atol=1e-7)
    assert [column.missing for column in columns] == [i == 2 for i in range(7)]


@pytest.mark.parametrize("dtype", ["f2", "f4", "i1", "u1", "i4", "u8", "longdouble"])
def test_dtypes_of_numbers(dtype):
    X = np.random.default_rng(0).integers(100, size=(50, 3)).astype(dtype)
    columns = fit_columns(X)
    ref = np.column_stack([ref_number(column.astype(float)) for column in X.T])
    assert_allclose(encode(X, columns), ref, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n", [4095, 4096, 4097, 10000])
def test_chunks_of_rows(n):
    X = np.random.default_rng(0).normal(size=(n, 8))
    X[:, 3] = 0
    columns = fit_columns(X)
    assert [column.column for column in columns] == [0, 1, 2, 4, 5, 6, 7]
    ref = np.column_stack([ref_number(column) for column in np.delete(X, 3, 1).T])
    assert_allclose(encode(X, columns), ref, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n", [*range(1, 12), 1000, 1001])
def test_quartiles_are_those_of_numpy(n):
    """To the bit."""
    rng = np.random.default_rng(n)
    normal = rng.normal(size=n)
    for values in (normal, 1e300 * normal, rng.integers(0, 4, n).astype(float)):
        assert_array_equal(quartiles(values), np.quantile(values, [0.25, 0.5, 0.75]))


def test_quantiles_of_many_rows_are_those_of_a_sample():
    n = 3 * SAMPLE_SIZE
    X = np.arange(n)[:, np.newaxis] / n
    (column,) = fit_columns(X)
    assert abs(column.median - 0.5) < 0.01
    assert abs(column.scale - 2) < 0.05
    assert fit_columns(X) == (column,)
    # The extremes are those of all rows.
    X[:] = 0
    X[n // 2 + 1] = 5
    assert fit_columns(X) == (Number("x0", 0, 0.0, 2 / 5, False),)


def test_arrays_of_booleans_and_strings_are_categories():
    X = np.array([[True, False], [False, False], [True, True]])
    assert_array_equal(encode(X, fit_columns(X)), X)
    X = np.array([["b", "10"], ["a", "9"], ["b", "10"]])
    columns = fit_columns(X)
    assert [column.values for column in columns] == [("a", "b"), ("10", "9")]
    assert {type(value) for value in columns[0].values} == {str}
    assert_array_equal(encode(X, columns), [[1, 0], [0, 1], [1, 0]])


# Numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pd.DataFrame, np.array, pl.DataFrame])
@pytest.mark.parametrize("size", [1e300, 1e-300, 5e-324])
def test_extreme_numbers(kind, size):
    x = np.array([[-size], [0.0], [size], [size], [-size], [np.nan]])
    columns = fit_columns(kind(x))
    codes = encode(kind(x), columns)
    assert_array_equal(np.isnan(codes), np.isnan(x))
    assert_array_equal(np.sign(codes), np.sign(x))
    assert np.nanmax(abs(codes)) <= 3
    far = kind(np.array([[1e300], [-1e300]]))
    if size < 1:
        assert_array_equal(encode(far, columns), [[3], [-3]])


def test_numbers_of_few_distinct_values_are_scaled_by_their_range():
    X = np.zeros((100, 1))
    X[:3, 0] = -1, 1, 3
    (column,) = fit_columns(X)
    assert column == Number("x0", 0, 0.0, 0.5, False)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_constant_is_coded_where_some_are_missing(missing):
    X = pd.DataFrame({"a": pd.Series([2, missing, 2], dtype=object), "b": [1, 1, 1]})
    columns = fit_columns(X)
    assert columns == (Number("a", 0, 2.0, 0.0, True),)
    other = pd.DataFrame({"a": [2.0, 5.0, np.nan], "b": [0, 0, 0]})
    assert_array_equal(encode(other, columns), [[0], [0], [np.nan]])


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "objects"])
def test_numbers_that_are_missing_in_predict_only(kind):
    columns = fit_columns(as_pandas({"int": [1, 2, 3, 4]}))
    codes = encode(KINDS[kind]({"int": [1, None, 2, 3]}), columns)
    assert_array_equal(np.isnan(codes[:, 0]), [False, True, False, False])
    assert_array_equal(encode(KINDS[kind]({"int": [None]}), columns), [[np.nan]])


def test_a_column_of_strings_without_any_is_missing_numbers():
    columns = fit_columns(pd.DataFrame({"a": [1, 2, 3]}))
    X = pd.DataFrame({"a": pd.Series([None, None], dtype="string")})
    assert_array_equal(encode(X, columns), [[np.nan], [np.nan]])


# Categories --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["pandas", "pandas, nullable", "polars", "pyarrow", "lists"]
)
def test_unknown_and_missing_categories(kind):
    make = KINDS[kind]
    seen = {"text": ["b", "a", "b"], "text_missing": [None, "y", "x"]}
    new = {"text": ["a", "c", None], "text_missing": ["z", None, "y"]}
    columns = fit_columns(make(seen))
    ref = [[0, np.nan], [np.nan, 2], [np.nan, 1]]
    assert_array_equal(encode(make(new), columns), ref)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "lists"])
def test_a_column_without_values_is_missing_categories(kind):
    columns = fit_columns(as_pandas({"text": ["b", "a", None], "int": [1, 2, 3]}))
    X = KINDS[kind]({"text": [None, None], "int": [2, 2]})
    assert_array_equal(encode(X, columns), [[2, 0], [2, 0]])


def test_scalars_of_numpy_become_those_of_python():
    X = np.array([[np.str_("a"), np.bool_(True)], [np.str_("b"), False]], dtype=object)
    columns = fit_columns(X)
    assert columns[0].values == ("a", "b")
    assert columns[1].values == (False, True)
    assert {type(v) for column in columns for v in column.values} == {str, bool}


def test_the_codes_are_those_of_the_ordinal_encoder():
    X = pd.DataFrame({name: COLUMNS[name] for name in TEXTS})
    encoder = OrdinalEncoder(dtype=np.float32, encoded_missing_value=3).fit(X)
    assert_array_equal(encode(X, fit_columns(X)), encoder.transform(X))


def test_levels_that_do_not_occur_are_no_categories():
    values = pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"], ordered=True)
    (column,) = fit_columns(pd.DataFrame({"a": values}))
    assert column == Category("a", 0, ("a", "b"), False)


def test_categories_that_tell_nothing_have_no_code():
    X = pd.DataFrame({"same": ["a"] * 3, "none": pd.Series([None] * 3, dtype="string")})
    assert fit_columns(X) == ()
    assert encode(X, ()).shape == (3, 0)
    X = pd.DataFrame({"some": ["a", None, "a"]})
    assert fit_columns(X) == (Category("some", 0, ("a",), True),)


@pytest.mark.parametrize(
    "values",
    [[3, 1, 3, 2], [1.5, 0.5, 1.5, -0.0], [3, None, 1, 3], [np.nan, 0.5, None, 1.5]],
    ids=str,
)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table, as_objects])
def test_numbers_that_the_user_calls_categories(kind, values):
    X = kind({"a": values, "b": [1.0, 2.0, 3.0, 4.0]})
    columns = fit_columns(X, categorical_features=[0])
    assert [type(column) for column in columns] == [Category, Number]
    assert_array_equal(encode(X, columns)[:, 0], ref_category(values))
    # Types and missing values do not change what is equal.
    floats = np.array([values, [0.0] * 4], dtype=float).T
    assert_array_equal(encode(floats, columns)[:, 0], ref_category(values))


@pytest.mark.parametrize("dtype", [int, float, np.float32])
def test_numbers_in_arrays_that_the_user_calls_categories(dtype):
    X = np.random.default_rng(0).integers(5, size=(40, 3)).astype(dtype)
    columns = fit_columns(X, categorical_features=[True, False, True])
    assert [type(column) for column in columns] == [Category, Number, Category]
    assert_array_equal(encode(X, columns)[:, ::2], X[:, ::2])


@pytest.mark.parametrize("mask", [None, [], [False, False, False]])
def test_categories_that_the_user_calls_numbers(mask):
    X = pd.DataFrame(
        {
            "bool": [True, False, True],
            "level": pd.Categorical([3, None, 1]),
            "text": ["a", "b", "a"],
        }
    )
    columns = fit_columns(X, categorical_features=mask)
    assert [type(column) for column in columns] == [Number, Number, Category]
    ref = np.column_stack([ref_number([1, 0, 1]), ref_number([3, None, 1]), [0, 1, 0]])
    assert_allclose(encode(X, columns), ref, rtol=1e-6)


@pytest.mark.parametrize("chosen", [["b", "c"], [1, 2], [False, True, True]], ids=str)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_categories_by_name_index_and_mask(kind, chosen):
    X = kind({name: [1, 2, 3] for name in "abc"})
    for form in (chosen, np.array(chosen), tuple(chosen)):
        types = [type(column) for column in fit_columns(X, form)]
        assert types == [Number, Category, Category]


def test_rare_categories_are_unknown():
    often = [f"often {i:04}" for i in range(FEW_CATEGORIES)]
    once = ["once a", "once b"]
    X = pd.DataFrame({"a": often * 2 + once})
    (column,) = fit_columns(X)
    assert column.values == tuple(often)
    codes = encode(X, (column,))[:, 0]
    assert_array_equal(codes, [*list(range(len(often))) * 2, np.nan, np.nan])
    # Of few categories none is rare; of different ones all are.
    (column,) = fit_columns(X[-FEW_CATEGORIES:])
    assert len(column.values) == FEW_CATEGORIES
    assert fit_columns(pd.DataFrame({"a": [str(i) for i in range(100)]})) == ()


def test_the_most_frequent_of_many_categories_are_kept():
    n = MAX_CATEGORIES + 10
    counts = np.random.default_rng(0).permutation(n) + 2
    values = np.repeat([f"{i:05}" for i in range(n)], counts)
    (column,) = fit_columns(pd.DataFrame({"a": values}))
    assert column.values == tuple(f"{i:05}" for i in np.flatnonzero(counts >= 12))


# Refusals ----------------------------------------------------------------------------


def dates(n=3):
    return [datetime.date(2020, 1, day + 1) for day in range(n)]


REFUSED = {
    "pandas dates": lambda: pd.to_datetime(pd.Series(dates())),
    "pandas dates of a zone": lambda: pd.to_datetime(pd.Series(dates()), utc=True),
    "pandas timedeltas": lambda: pd.Series(pd.to_timedelta([1, 2, 3], unit="s")),
    "pandas periods": lambda: pd.Series(pd.period_range("2020", periods=3)),
    "objects: dates": lambda: pd.Series(dates(), dtype=object),
    "objects: lists": lambda: pd.Series([[1], [2], [3]]),
    "objects: dicts": lambda: pd.Series([{"a": 1}, 2, 3]),
    "objects: lists among strings": lambda: pd.Series(["a", [1], "b"]),
    "objects: complex": lambda: pd.Series([1j, 2, 3], dtype=object),
    "arrow dates": lambda: pd.Series(
        pa.array(dates()), dtype=pd.ArrowDtype(pa.date32())
    ),
    "polars dates": lambda: pl.Series(dates()),
    "polars durations": lambda: pl.Series([datetime.timedelta(1)] * 3),
    "polars lists": lambda: pl.Series([[1], [2], [3]]),
    "polars structs": lambda: pl.Series([{"a": 1}, {"a": 2}, {"a": 3}]),
    "pyarrow dates": lambda: pa.array(dates()),
    "pyarrow lists": lambda: pa.array([[1], [2], [3]]),
    "pyarrow structs": lambda: pa.array([{"a": 1}, {"a": 2}, {"a": 3}]),
}


def as_frame(column):
    if isinstance(column, pd.Series):
        return pd.DataFrame({"when": column})
    if isinstance(column, pl.Series):
        return pl.DataFrame({"when": column})
    return pa.table({"when": column})


@pytest.mark.parametrize("kind", REFUSED)
def test_columns_that_are_neither_numbers_nor_categories(kind):
    X = as_frame(REFUSED[kind]())
    with pytest.raises(TypeError, match=r"Column 'when' holds .*days since"):
        fit_columns(X)
    with pytest.raises(TypeError, match=r"Column 'when' holds .*days since"):
        encode(X, (Number("when", 0, 0.0, 1.0, False),))


@pytest.mark.parametrize("dtype", ["M8[s]", "m8[s]", "S3", "i4,f4"])
def test_arrays_that_are_neither_numbers_nor_categories(dtype):
    with pytest.raises(TypeError, match="Column 'x0' holds"):
        fit_columns(np.zeros((3, 2), dtype=dtype))


@pytest.mark.parametrize("kind", [np.array, pd.DataFrame])
def test_complex_numbers(kind):
    with pytest.raises(ValueError, match="Complex data not supported"):
        fit_columns(kind([[1j], [2.0], [3.0]]))


def test_strings_among_numbers():
    X = pd.DataFrame({"a": ["x", 1, 2.5]})
    with pytest.raises(TypeError, match=r"'a' mixes .'float', 'int', 'str'.*uniformly"):
        fit_columns(X)


@pytest.mark.parametrize(
    "kind", ["pandas", "pandas, nullable", "polars", "pyarrow", "objects", "array"]
)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values(kind, value):
    make = {
        **KINDS,
        "nullable": as_nullable,
        "array": lambda c: np.array([*c.values()]),
    }
    X = make[kind]({"float": [1.0, value, 2.0]})
    message = "^Input X contains infinity or a value too large for dtype"
    with pytest.raises(ValueError, match=message):
        fit_columns(X)
    with pytest.raises(ValueError, match=message):
        encode(X, (Number("x0", 0, 0.0, 1.0, False),))


@pytest.mark.parametrize("n", [1, FEW_NUMBERS, FEW_NUMBERS + 1])
def test_infinite_values_in_few_and_many_rows(n):
    X = np.zeros((n, 1))
    X[-1] = -np.inf
    with pytest.raises(ValueError, match=r"^Input X contains infinity"):
        open_table(X)
    frame = pd.DataFrame({"a": np.zeros(n), "b": X[:, 0]})
    columns = (Number("a", 0, 0.0, 1.0, False), Number("b", 1, 0.0, 1.0, False))
    with pytest.raises(ValueError, match=r"^Input X contains infinity .* 'b'"):
        encode(frame, columns)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "objects"])
def test_numbers_that_have_become_strings(kind):
    columns = fit_columns(as_pandas({"int": [1, 2, 3]}))
    X = KINDS[kind]({"int": ["4", "many", None]})
    with pytest.raises(ValueError, match=r"'(int|x0)' held numbers .* '(4|many)' now"):
        encode(X, columns)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "objects"])
def test_strings_that_have_become_numbers(kind):
    columns = fit_columns(as_pandas({"int": ["01234", "56789"]}))
    X = KINDS[kind]({"int": [1234, 56789]})
    with pytest.raises(ValueError, match=r"such as '01234' in fit, but .* value (1|5)"):
        encode(X, columns)


def test_sparse_matrices():
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense"):
        fit_columns(sp.csr_array(np.eye(3)))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_empty_tables(kind):
    with pytest.raises(ValueError, match=r"0 sample\(s\) \(shape=\(0, 1\)\)"):
        fit_columns(kind({"a": []}))
    with pytest.raises(ValueError, match=r"0 (feature|sample)\(s\)"):
        fit_columns(kind({}))


def test_empty_and_flat_arrays():
    with pytest.raises(ValueError, match=r"0 feature\(s\) \(shape=\(3, 0\)\)"):
        fit_columns(np.empty((3, 0)))
    for X in (np.ones(3), [1, 2, 3], ["a", "b"], pl.Series([1, 2])):
        with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
            fit_columns(X)
    with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
        fit_columns(pd.Series([1, 2]))


@pytest.mark.parametrize(
    "chosen", [[0.5], ["d"], [3], [-1], [True], ["a", 1], [["a"]]], ids=str
)
@pytest.mark.parametrize("named", [True, False])
def test_wrong_categorical_features_are_refused_as_in_scikit_learn(chosen, named):
    X = pd.DataFrame({name: [1, 2, 3] for name in "abc"})
    X = X if named else X.to_numpy()
    chosen = np.array(chosen, dtype=object) if chosen == ["a", 1] else chosen
    reference = HistGradientBoostingClassifier(categorical_features=chosen)
    try:
        reference.fit(X, [0, 1, 0])
    except (TypeError, ValueError, IndexError) as error:
        with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"):
            fit_columns(X, categorical_features=chosen)
    else:
        fit_columns(X, categorical_features=chosen)


def test_an_opened_table_stands_for_X():
    X = as_pandas(COLUMNS)
    columns = fit_columns(open_table(X))
    assert columns == fit_columns(X)
    assert_array_equal(encode(open_table(X), columns), encode(X, columns))


# Beside scikit-learn, and without the other libraries --------------------------------


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("objects", "lists")])
def test_names_are_those_of_scikit_learn(kind):
    X = KINDS[kind](COLUMNS)
    estimator = BaseEstimator()
    assert validate_data(estimator, X, skip_check_array=True) is X
    assert estimator.n_features_in_ == len(NAMES)
    names = getattr(estimator, "feature_names_in_", NAMES)
    assert [names[c.column] for c in fit_columns(X)] == [c.name for c in fit_columns(X)]


CODE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
{made}
from fastmlp.tables.columns import encode, fit_columns
print(encode(X, fit_columns(X)).tolist())
"""
MADE = {
    "import pandas; X = pandas.DataFrame({table})": ["polars", "pyarrow"],
    "import polars; X = polars.DataFrame({table})": ["pandas", "pyarrow"],
    "import pyarrow; X = pyarrow.table({table})": ["pandas", "polars"],
    "X = [list(row) for row in zip(*{table}.values())]": [
        "pandas",
        "polars",
        "pyarrow",
    ],
}


@pytest.mark.parametrize("made", MADE)
def test_none_of_the_libraries_needs_another(made):
    table = {"a": [1.0, None, 3.0], "b": ["x", None, "y"], "c": [True, False, None]}
    code = CODE.format(absent=MADE[made], made=made.format(table=table))
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    ref = encode(pd.DataFrame(table), fit_columns(pd.DataFrame(table)))
    assert found.stdout.strip() == str(ref.tolist())
