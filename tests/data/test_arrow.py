"""Parquet and Arrow files as sources: columns, filters, caches."""

import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from fastmlp import MLPClassifier
from fastmlp.data import ArrowSource, ParquetSource

N = 230

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.fixture(scope="module")
def table():
    rng = np.random.RandomState(0)
    return pa.table(
        {
            "a": rng.randn(N),
            "label": pa.array(rng.choice(["no", "yes", "maybe"], N)),
            "b": rng.randint(100, size=N),
            "weight": rng.rand(N).astype(np.float32),
            "c": rng.rand(N) < 0.5,
            "year": np.arange(N) // 100,
            "kind": pa.array(rng.choice(["u", "v"], N)).dictionary_encode(),
        }
    )


@pytest.fixture
def folder(table, tmp_path):
    """Two files, row groups of 50 rows."""
    for name, part in {"0": table[:120], "1": table[120:]}.items():
        pq.write_table(part, tmp_path / f"{name}.parquet", row_group_size=50)
    return tmp_path


def all_rows(source):
    chunks = [source.read(block) for block in range(len(source.block_rows))]
    assert [len(chunk.X) for chunk in chunks] == source.block_rows
    for block, chunk in enumerate(chunks):
        assert_array_equal(source.read_y(block), chunk.y)
    return [
        None if parts[0] is None else np.concatenate(parts)
        for parts in zip(*chunks, strict=True)
    ]


def columns_of(table, *names):
    return np.column_stack([table.column(name).to_numpy() for name in names])


def test_row_groups_are_blocks(folder, table):
    source = ParquetSource(folder, "label", weight="weight", columns=["b", "a", "c"])
    assert source.block_rows == [50, 50, 20, 50, 50, 10]
    assert source.n_features == 3
    X, y, weight = all_rows(source)
    assert_array_equal(X, columns_of(table, "b", "a", "c").astype(np.float32))
    assert X.dtype == np.float32
    assert_array_equal(y, table.column("label").to_numpy())
    assert_array_equal(weight, table.column("weight").to_numpy())
    files = [str(folder / "1.parquet"), folder / "0.parquet"]
    first = ParquetSource([str(f) for f in files], ["a", "b"], columns=["c"]).read(0)
    assert first.y.shape == (50, 2)
    assert_array_equal(first.y, columns_of(table[120:170], "a", "b"))
    assert first.sample_weight is None


def test_arrow_files_and_tables(tmp_path, table):
    path = tmp_path / "table.arrow"
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table, max_chunksize=64)
    options = {"label": "b", "columns": ["a", "year"], "dtype": "float64"}
    of_file = ArrowSource(path, **options)
    assert of_file.block_rows == [64, 64, 64, 38]
    of_table = ArrowSource(table, rows_per_block=100, **options)
    assert of_table.block_rows == [100, 100, 30]
    assert ArrowSource(table, **options).block_rows == [N]
    for source in (of_file, of_table):
        X, y, weight = all_rows(source)
        assert_array_equal(X, columns_of(table, "a", "year"))
        assert X.dtype == np.float64
        assert_array_equal(y, table.column("b"))
        assert weight is None


@pytest.mark.parametrize(
    "rule",
    [[("year", ">=", 1), ("c", "==", True)], (pc.field("year") >= 1) & pc.field("c")],
)
def test_rows_are_filtered(folder, table, rule):
    kept = table.filter((pc.field("year") >= 1) & pc.field("c"))
    for source in (
        ParquetSource(folder, "b", columns=["a"], filter=rule),
        ArrowSource(table, "b", columns=["a"], filter=rule, rows_per_block=30),
    ):
        X, y, _ = all_rows(source)
        assert_array_equal(X[:, 0], kept.column("a").to_numpy().astype(np.float32))
        assert_array_equal(y, kept.column("b"))


def test_partitions_of_folders_are_columns(tmp_path, table):
    pq.write_to_dataset(table, tmp_path, partition_cols=["year"])
    X, y, _ = all_rows(ParquetSource(tmp_path, "b", columns=["year", "a"]))
    assert_array_equal(np.bincount(X[:, 0].astype(int)), [100, 100, 30])
    order = np.argsort(X[:, 1])
    ref = np.argsort(table.column("a").to_numpy().astype(np.float32))
    assert_array_equal(y[order], table.column("b").to_numpy()[ref])


def test_a_cache_is_read_in_place_of_the_files(folder, table, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    options = {"weight": "weight", "columns": ["a", "b"]}
    ref = all_rows(ParquetSource(folder, "label", **options))
    source = ParquetSource(folder, "label", cache=cache, **options)
    first = all_rows(source)
    monkeypatch.setattr(ParquetSource, "_table", None)  # not called from here on
    again = ParquetSource(folder, "label", cache=cache, **options)
    for second in (all_rows(source), all_rows(again)):
        for arrays in zip(ref, first, second, strict=True):
            for array in arrays[1:]:
                assert array.dtype == arrays[0].dtype
                assert_array_equal(array, arrays[0])
    assert type(again.read(0).X) is np.ndarray
    monkeypatch.undo()
    # Other columns, another filter, changed files: other blocks.
    for changed in ({"columns": ["b", "a"]}, {"dtype": "float64"}, {"weight": None}):
        changed = options | changed
        X, _, _ = all_rows(ParquetSource(folder, "label", cache=cache, **changed))
        assert_array_equal(X, columns_of(table, *changed["columns"]).astype(X.dtype))
    pq.write_table(table[:3], folder / "0.parquet")
    X, _, _ = all_rows(ParquetSource(folder, "label", cache=cache, **options))
    assert len(X) == 113


def test_a_cache_tells_long_filters_apart(tmp_path):
    """The text of an expression leaves out the middle of its values."""
    pq.write_table(pa.table({"a": np.arange(200), "y": np.arange(200)}), tmp_path / "0")
    ends = [*range(10), *range(90, 100)]
    for kept in (range(40, 50), range(60, 70)):
        values = sorted([*ends, *kept])
        source = ParquetSource(
            tmp_path / "0", "y", filter=pc.field("a").isin(values), cache=tmp_path / "c"
        )
        assert_array_equal(all_rows(source)[1], values)


def test_a_cache_tells_labels_and_weights_apart(folder, tmp_path):
    shapes = []
    for label, weight in (("a", "weight"), (["a", "weight"], None), (["a"], None)):
        options = {"weight": weight, "columns": ["b"], "cache": tmp_path / "cache"}
        _, y, weights = all_rows(ParquetSource(folder, label, **options))
        shapes.append((y.shape, weights is None))
    assert shapes == [((N,), False), ((N, 2), True), ((N, 1), True)]


def test_filters_that_no_value_decides(folder):
    ref = ParquetSource(folder, "label", columns=["b"])
    comp = ParquetSource(folder, "label", columns=["b"], filter=pc.scalar(True))
    assert comp.block_rows == ref.block_rows == [50, 50, 20, 50, 50, 10]
    assert_array_equal(all_rows(comp)[1], all_rows(ref)[1])


def test_filter_by_the_name_of_a_folder(tmp_path):
    for part in (1, 2):
        (tmp_path / f"part={part}").mkdir()
        numbers = pa.table({"a": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0 * part]})
        path = tmp_path / f"part={part}" / "0.parquet"
        pq.write_table(numbers, path, row_group_size=2)
    source = ParquetSource(tmp_path, "y", filter=[("part", "==", 2)], columns=["a"])
    assert source.block_rows == [2, 1]
    assert_array_equal(all_rows(source)[1], [1, 2, 6])


def test_missing_labels_among_the_values_of_a_dictionary():
    y = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None]))
    source = ArrowSource(pa.table({"a": [1.0, 2.0], "y": y}), "y")
    with pytest.raises(ValueError, match="the label, has missing values"):
        source.read(0)


def test_a_decimal_label_is_a_number():
    y = pa.array([0.0, 1.0, 2.0, 3.0]).cast(pa.decimal128(20, 2))
    source = ArrowSource(pa.table({"a": [1.0, 2.0, 3.0, 4.0], "y": y}), "y")
    assert source.read(0).y.dtype == np.float64
    assert_array_equal(source.read(0).y, [0, 1, 2, 3])


@pytest.mark.parametrize("form", ["plain", "cache", "arrow"])
def test_fit_is_that_of_the_arrays(folder, table, tmp_path, form):
    columns = ["a", "b", "c"]
    X = columns_of(table, *columns).astype(np.float32)
    y = table.column("label").to_numpy().astype(str)
    ref = MLPClassifier((8,), max_iter=3, random_state=0).fit(X, y)
    if form == "arrow":
        source = ArrowSource(table, "label", columns=columns, rows_per_block=50)
    else:
        cache = tmp_path / "cache" if form == "cache" else None
        source = ParquetSource(folder, "label", columns=columns, cache=cache)
    comp = MLPClassifier((8,), max_iter=3, random_state=0).fit_stream(source)
    for a, b in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_array_equal(a, b)
    small = MLPClassifier((8,), max_iter=3, random_state=0)
    small.fit_stream(source, buffer_rows=100)
    assert (small.coefs_[0] != ref.coefs_[0]).any()


def test_folder_without_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no Parquet files in {tmp_path}"):
        ParquetSource(tmp_path, "label")


def test_errors_name_the_column(table, folder):
    with pytest.raises(ValueError, match="no column 'z': there are a, label"):
        ParquetSource(folder, "z")
    with pytest.raises(ValueError, match="no column 'z'"):
        ArrowSource(table, "label", columns=["a", "z"])
    with pytest.raises(ValueError, match="'label' is named twice in label, weight and"):
        ParquetSource(folder, "label", columns=["a", "label"])
    for name, kind in (("kind", "string"), ("label", "string")):
        with pytest.raises(
            TypeError, match=f"'{name}' holds {kind}.*TabularClassifier"
        ):
            ArrowSource(table, "b", columns=[name]).read(0)
    with pytest.raises(ValueError, match="must be a float type, got int32"):
        ArrowSource(table, "label", columns=["a"], dtype="int32")
    with pytest.raises(ValueError, match="needs no cache"):
        ArrowSource(table, "b", cache="somewhere")
    holes = pa.table({"x": [1.0, None, 3.0], "y": ["a", None, "b"]})
    with pytest.raises(ValueError, match="'y', the label, has missing values"):
        ArrowSource(holes, "y").read(0)
    with pytest.raises(ValueError, match="row 1 has a number that is not finite"):
        MLPClassifier().fit_stream(
            ArrowSource(holes.set_column(1, "y", [[1, 2, 1]]), "y")
        )


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_table_of_another_library(kind):
    frame = kind({"a": [1.0, 2.0], "y": [0, 1]})
    with pytest.raises(TypeError, match=r"got DataFrame: .*Table\.from_pandas"):
        ArrowSource(frame, "y")


@pytest.mark.parametrize("rows", [0, -1, 1.5, "all"])
def test_rows_per_block_are_a_number(table, rows):
    with pytest.raises(ValueError, match="rows_per_block must be an integer"):
        ArrowSource(table, "label", rows_per_block=rows)


def test_a_missing_library_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"fastmlp\[arrow\]"):
        ParquetSource(folder, "label")


def test_tables_keep_their_columns(table):
    source = ArrowSource(table, "label", columns=["kind", "a"], rows_per_block=100)
    chunk = source.read_table(1)
    assert chunk.X.schema.names == ["kind", "a"]
    assert len(chunk.X) == len(chunk.y) == 100


def test_pickles_open_the_same_files(folder, table):
    path = folder / "table.arrow"
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table, max_chunksize=64)
    for source in (
        ParquetSource(folder / "0.parquet", "b", columns=["a"], cache=folder / "cache"),
        ArrowSource(path, "b", columns=["a"]),
        ArrowSource(table, "b", columns=["a"], rows_per_block=64),
    ):
        comp = pickle.loads(pickle.dumps(source))
        assert comp.block_rows == source.block_rows
        assert_array_equal(comp.read(1).X, source.read(1).X)
