"""Tables that are read: what is refused, and that no library needs another."""

import datetime
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.validation import validate_data

from fastmlp.tables.columns import Number, encode, fit_columns
from fastmlp.tables.table import FEW_NUMBERS, open_table
from tests.tables.kinds import COLUMNS, KINDS, NAMES, as_pandas


def dates():
    return [datetime.date(2020, 1, day) for day in (1, 2, 3)]


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
    make = {**KINDS, "array": lambda c: np.array([*c.values()])}
    X = make[kind]({"float": [1.0, value, 2.0]})
    message = "^Input X contains infinity or a value too large for dtype"
    with pytest.raises(ValueError, match=message):
        fit_columns(X)
    with pytest.raises(ValueError, match=message):
        encode(X, (Number("x0", 0, 0.0, 1.0, False),))


def test_an_integer_too_large_for_floats():
    X = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series([1, 10**400], dtype=object)})
    with pytest.raises(ValueError, match=r"a value too large for dtype.* column 'b'"):
        fit_columns(X)


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
