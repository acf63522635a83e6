"""Codes of tables: any kind of table, missing and unknown values."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils import _safe_indexing

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
from fastmlp.tables.table import FEW_ROWS
from tests.tables.kinds import (
    CODED,
    COLUMNS,
    KINDS,
    TEXTS,
    as_objects,
    as_pandas,
    as_polars,
    make_columns,
    ref_category,
    ref_codes,
    ref_number,
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


def make_array():
    X = np.random.default_rng(0).normal(size=(200, 7)) * 10.0 ** np.arange(7)
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
@pytest.mark.parametrize("size", [1.7e308, 1e300, 1e-300, 5e-324])
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
    assert fit_columns(pd.DataFrame({"a": [f"id {i}" for i in range(100)]})) == ()


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_numbers_as_strings_are_warned_of(kind, repeats):
    numbers = [str(i / 8) for i in range(FEW_CATEGORIES + 1)]
    X = kind({"a": numbers * repeats})
    with pytest.warns(UserWarning, match="Column 'a' holds numbers as strings"):
        columns = fit_columns(X)
    assert len(columns) == repeats - 1
    # Neither where they are meant, nor few, nor where one is none.
    fit_columns(X, categorical_features=[0])
    fit_columns(kind({"a": numbers[1:]}))
    fit_columns(kind({"a": [*numbers, "?"]}))
    frame = pd.DataFrame({"a": numbers}, dtype="category")
    of_kind = {pd.DataFrame: frame, pl.DataFrame: pl.from_pandas(frame)}
    fit_columns(of_kind.get(kind, pa.Table.from_pandas(frame)))


def test_the_most_frequent_of_many_categories_are_kept():
    n = MAX_CATEGORIES + 10
    counts = np.random.default_rng(0).permutation(n) + 2
    values = np.repeat([f"id {i:05}" for i in range(n)], counts)
    (column,) = fit_columns(pd.DataFrame({"a": values}))
    assert column.values == tuple(f"id {i:05}" for i in np.flatnonzero(counts >= 12))
