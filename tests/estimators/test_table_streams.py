"""`fit_stream` of the estimators for tables."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.data import ArrowSource, ParquetSource
from fastmlp.estimators import _table_streams
from tests.estimators.streams import OnDisk
from tests.tables.test_frequent import amounts

N = 1200


def rows(seed=0, n=N):
    """Return a table of two numbers and two categories, labels, numbers, weights."""
    rng = np.random.RandomState(seed)
    X = pd.DataFrame(
        {
            "a": rng.randn(n),
            "b": np.where(rng.rand(n) < 0.1, np.nan, 10 * rng.rand(n)),
            "c": rng.choice(["u", "v", "w"], n),
            "d": rng.rand(n) < 0.5,
        }
    )
    z = X["a"] + (X["c"] == "u") * 2 - X["d"]
    return X, np.where(z > 0, "yes", "no"), z.to_numpy(), rng.rand(n)


def chunked(X, *others, size=100):
    return [
        (X.iloc[i : i + size], *(a[i : i + size] for a in others))
        for i in range(0, len(X), size)
    ]


def make(kind, **settings):
    return kind(n_networks=3, max_epochs=6, random_state=0, **settings)


def target(kind, labels, numbers):
    return labels if kind is TabularClassifier else numbers


both = pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])


def assert_same(comp, ref):
    for a, b in zip(comp._ensemble.parameters, ref._ensemble.parameters, strict=True):
        assert_array_equal(a, b)
    assert comp.columns_ == ref.columns_
    assert comp.oof_score_ == ref.oof_score_
    assert_array_equal(comp.feature_names_in_, ref.feature_names_in_)


@both
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", ["pandas", "polars", "arrow"])
def test_fit_with_all_rows_in_the_buffer(kind, weighted, form):
    X, labels, numbers, weight = rows(n=400)
    y = target(kind, labels, numbers)
    ref = make(kind).fit(X, y, weight if weighted else None)
    chunks = chunked(X, y, weight) if weighted else chunked(X, y)
    convert = {"pandas": lambda X: X, "polars": pl.from_pandas}.get(
        form, lambda X: pa.Table.from_pandas(X, preserve_index=False)
    )
    assert_same(make(kind).fit_stream([(convert(X), *o) for X, *o in chunks]), ref)


@both
def test_rows_on_disk_are_as_good_as_in_memory(kind):
    X, labels, numbers, weight = rows()
    y = target(kind, labels, numbers)
    chunks = chunked(X, y, weight)
    settings = {"max_epochs": 30}
    ref = make(kind).set_params(**settings).fit(X, y, weight)
    comp = make(kind).set_params(**settings).fit_stream(chunks, buffer_rows=300)
    assert comp.columns_ == ref.columns_
    X_test, labels, numbers, _ = rows(seed=1)
    y = target(kind, labels, numbers)
    assert abs(comp.score(X_test, y) - ref.score(X_test, y)) < 0.03
    assert abs(comp.oof_score_ - ref.oof_score_) < 0.03
    assert comp.oof_predictions_ is None
    assert_array_equal(
        comp.feature_importances_.argsort(), ref.feature_importances_.argsort()
    )
    assert list(comp.feature_names_in_) == list("abcd")
    if kind is TabularRegressor:
        assert comp.predict_interval(X_test).shape == (N, 2)
    else:
        assert abs(comp.temperature_ - ref.temperature_) < 0.3


@both
def test_numbers_that_act_like_categories(kind):
    x, on = amounts(N)
    X, y = pd.DataFrame({"gain": x}), on.astype(int)
    ref = make(kind).set_params(max_epochs=1).fit(X, y)
    assert len(ref.columns_) == 2
    comp = make(kind).set_params(max_epochs=1).fit_stream(chunked(X, y), buffer_rows=99)
    assert comp.columns_ == ref.columns_


@both
def test_each_network_trains_on_the_rows_of_the_other_folds(kind, monkeypatch):
    X, labels, numbers, weight = rows()
    weight[::7] = 0
    seen, held, kept, plan = [], [], [], _table_streams.plan_networks

    def spy(problem, splits, n_trained, rows_of, make_steps):
        for number, split in enumerate(splits):
            parts = rows_of(number, 50).parts(np.random.RandomState(1))
            orders = [order.copy() for _, order in parts]
            assert {len(order) % 50 for order in orders[:-1]} <= {0}
            order = np.concatenate(orders)
            assert len(order) == n_trained[number] == len(np.unique(order))
            assert (np.diff(order) < 0).any()
            seen.append(order)
            held.append(problem.validation.codes[split.judged()])
            assert set(split.trained()) <= set(order)
        # The file is removed at the end of the fit.
        kept.append(problem.data.X.copy())
        return plan(problem, splits, n_trained, rows_of, make_steps)

    monkeypatch.setattr(_table_streams, "plan_networks", spy)
    y = target(kind, labels, numbers)
    make(kind).set_params(max_epochs=1).fit_stream(
        chunked(X, y, weight), buffer_rows=200
    )
    counted = np.flatnonzero(weight)
    for order, judged in zip(seen, held, strict=True):
        others = np.setdiff1d(counted, order)
        assert_array_equal(judged, kept[0][others])
        assert abs(len(others) - len(counted) / 3) < 60
    assert_array_equal(np.sort(np.concatenate(seen)), np.repeat(counted, 2))


@both
def test_validation_rows(kind):
    X, labels, numbers, _ = rows()
    y = target(kind, labels, numbers)
    comp = make(kind).fit_stream(
        chunked(X[:900], y[:900]),
        eval_source=chunked(X[900:], y[900:]),
        buffer_rows=300,
    )
    ref = make(kind).fit(X[:900], y[:900], X_val=X[900:], y_val=y[900:])
    assert comp.oof_score_ is None
    gap = np.ravel(comp.validation_scores_)[-1] - np.ravel(ref.validation_scores_)[-1]
    assert abs(gap) < 0.2


def test_files(tmp_path):
    X, labels, _, _ = rows()
    table = pa.Table.from_pandas(X.assign(y=labels), preserve_index=False)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=200)
    ref = make(TabularClassifier).fit_stream(
        ArrowSource(table, "y", rows_per_block=200), buffer_rows=400
    )
    comp = make(TabularClassifier).fit_stream(
        ParquetSource(tmp_path / "rows.parquet", "y"), buffer_rows=400, folder=tmp_path
    )
    assert_same(comp, ref)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize("buffer_rows", [300, 5000])
def test_classes(buffer_rows):
    X, labels, _, _ = rows()
    chunks = chunked(X, labels)
    ref = make(TabularClassifier).fit_stream(chunks, buffer_rows=buffer_rows)
    comp = make(TabularClassifier).fit_stream(
        chunks, classes=["yes", "no"], buffer_rows=buffer_rows
    )
    assert_same(comp, ref)
    with pytest.raises(ValueError, match=r"not in `self.classes_`"):
        comp.fit_stream(chunks, classes=["no", "maybe"], buffer_rows=buffer_rows)
    balanced = make(TabularClassifier, class_weight="balanced")
    balanced.fit_stream(chunks, buffer_rows=buffer_rows)
    with pytest.raises(ValueError, match="classes are for a classifier"):
        make(TabularRegressor).fit_stream(chunks, classes=[0, 1])


def test_scorers_and_several_quantiles():
    X, labels, numbers, weight = rows()
    comp = make(TabularClassifier, scoring="accuracy")
    comp.fit_stream(chunked(X, labels, weight), buffer_rows=300)
    assert 0.5 < np.max(comp.validation_scores_) <= 1.0
    regr = make(TabularRegressor, loss=("quantile", [0.1, 0.9]))
    regr.fit_stream(chunked(X, numbers), buffer_rows=300)
    assert regr.predict(X).shape == (N, 2)
    two = make(TabularRegressor).fit_stream(
        chunked(X, np.column_stack([numbers, -numbers])), buffer_rows=300
    )
    assert_allclose(two.predict(X).sum(axis=1).mean(), 0, atol=0.3)


def test_errors_name_the_block():
    X, labels, numbers, _ = rows()
    chunks = chunked(X, numbers)
    chunks[4] = (X[["a", "c", "b", "d"]].iloc[:100], numbers[:100])
    with pytest.raises(ValueError, match="block 4 of the source, rows 400 to 499"):
        make(TabularRegressor).fit_stream(chunks, buffer_rows=300)
    chunks = chunked(X, numbers.copy())
    chunks[4][1][7] = np.nan
    model = make(TabularRegressor)
    with pytest.raises(ValueError, match="row 407 has a number that is not finite"):
        model.fit_stream(chunks, buffer_rows=300)
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(ValueError, match=r"is a generator\.$"):
        model.fit_stream((chunk for chunk in chunks), epochs=1)
    with pytest.raises(ValueError, match="no rows"):
        model.fit_stream([])
    mixed = [*chunked(X, labels), *chunked(X, labels, np.ones(N))]
    with pytest.raises(ValueError, match="either all blocks have sample weights"):
        make(TabularClassifier).fit_stream(mixed, buffer_rows=300)
    weight = np.r_[np.ones(200), -np.ones(N - 200)]
    negative = chunked(X, labels, weight)
    with pytest.raises(ValueError, match=r"block 2 .* rows 200 to 299: Negative"):
        make(TabularClassifier).fit_stream(negative, buffer_rows=300)


@pytest.mark.parametrize("size, columns", [(50, "abcd"), (100, "abc")])
def test_a_source_with_other_rows_when_they_are_coded(size, columns):
    X, _, numbers, _ = rows()

    class Changes:
        n_times = 0

        def __iter__(self):
            self.n_times += 1
            if self.n_times < 3:
                return iter(chunked(X, numbers))
            return iter(chunked(X[list(columns)], numbers, size=size))

    with pytest.raises(ValueError, match="block 0 of the source has the shape"):
        make(TabularRegressor).fit_stream(Changes(), buffer_rows=300)


def test_blocks_whose_weights_are_zero():
    X, labels, _, weight = rows()
    weight[:250] = 0
    chunks = chunked(X, labels, weight)
    comp = make(TabularClassifier).fit_stream(chunks, buffer_rows=300)
    assert np.isfinite(comp.validation_scores_[-1]).all()
    with pytest.raises(ValueError, match="at least one non-zero"):
        comp.fit_stream(chunked(X, labels, np.zeros(N)), buffer_rows=300)


@pytest.mark.parametrize("form", ["pandas", "polars", "arrow", "array"])
@both
def test_rows_without_weight_do_not_code_columns(kind, form):
    X, labels, numbers, weight = rows()
    y, weight = target(kind, labels, numbers), 1.0 * (weight < 0.7)
    if form == "array":
        X = X[["a", "b"]]
    ref = make(kind).set_params(max_epochs=1).fit(X[weight > 0], y[weight > 0])
    X.loc[weight == 0, "a"] = 1e6
    convert = {
        "pandas": lambda table: table,
        "polars": pl.from_pandas,
        "arrow": pa.Table.from_pandas,
        "array": lambda table: table.to_numpy(),
    }[form]
    chunks = [(convert(part), *others) for part, *others in chunked(X, y, weight)]
    comp = clone(ref).fit_stream(chunks, buffer_rows=99)
    assert [each[2:] for each in comp.columns_] == [each[2:] for each in ref.columns_]


def test_rows_of_a_class_without_weight_do_not_code_columns():
    X, labels, _, weight = rows()
    kept = weight < 0.7
    ref = make(TabularClassifier).set_params(max_epochs=1).fit(X[kept], labels[kept])
    X.loc[~kept, ["a", "c"]] = 1e6, "none"
    comp = clone(ref).set_params(class_weight={"neither": 0})
    comp.fit_stream(chunked(X, np.where(kept, labels, "neither")), buffer_rows=99)
    assert comp.columns_ == ref.columns_


@pytest.mark.parametrize("seed", range(4))
def test_few_rows_with_a_weight(seed):
    """Each network holds out some of them, whatever the order of the others."""
    X, _, numbers, weight = rows(n=400)
    weight[:] = 0
    weight[[3, 4, 5]] = 1
    model = make(TabularRegressor).set_params(random_state=seed)
    model.fit_stream(chunked(X, numbers, weight), buffer_rows=60)
    assert len(model.best_epochs_) == 3
    weight[[4, 5]] = 0
    with pytest.raises(ValueError, match="All sample weights but one are zero"):
        model.fit_stream(chunked(X, numbers, weight), buffer_rows=60)


def test_more_networks_than_rows_to_hold_out():
    X, labels, _, _ = rows(n=9)
    labels = np.array(["no", "yes", "no", "yes", "no", "yes", "no", "yes", "no"])
    model = make(TabularClassifier).set_params(n_networks=8)
    with pytest.raises(ValueError, match="too few for n_networks=8"):
        model.fit_stream(chunked(X, labels, size=3), buffer_rows=3)


def test_sorted_rows_are_noticed():
    X, labels, _, _ = rows()
    order = np.argsort(labels)
    chunks = chunked(X.iloc[order], labels[order])
    with pytest.warns(UserWarning, match="sorted by y"):
        make(TabularClassifier).fit_stream(chunks, buffer_rows=300)
    with warnings.catch_warnings(action="error"):
        make(TabularClassifier).fit_stream(chunks, buffer_rows=3000)


def test_earlier_fit_stays_and_copies_work():
    X, labels, _, _ = rows()
    model = clone(make(TabularClassifier)).fit_stream(
        chunked(X, labels), epochs=2, buffer_rows=300
    )
    assert max(map(len, model.loss_curve_)) == 2
    assert model.max_epochs == 6


@both
def test_fit_to_an_array_that_can_be_sliced(kind):
    X, labels, numbers, weight = rows(n=400)
    X, y = X[["a", "b"]].to_numpy(), target(kind, labels, numbers)
    options = {"X_val": X[:50], "y_val": y[:50], "sample_weight_val": weight[:50]}
    ref = make(kind).fit(X, y, weight, **options)
    comp = make(kind).fit(OnDisk(X), OnDisk(y), weight, **options)
    for a, b in zip(comp._ensemble.parameters, ref._ensemble.parameters, strict=True):
        assert_array_equal(a, b)
    assert comp.columns_ == ref.columns_
