"""Predictions and scores of Dask collections: lazy, by partitions, also of no rows."""

import cloudpickle
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask import delayed
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastmlp.dask import DaskMLPRegressor, DaskTabularClassifier
from fastmlp.dask._collections import predict_lazily
from tests.dask.data import CHUNKS, FIT, FRAME, X, Y, on_cluster
from tests.estimators import make

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Got `batch_size` less than 1",
)

TABLES = DaskTabularClassifier(n_networks=2, max_epochs=2)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_predictions_of_arrays_are_lazy(fitted, method):
    (x,) = on_cluster(X)
    comp = getattr(fitted, method)(x)
    ref = getattr(fitted, method)(X)
    assert comp.chunks[0] == CHUNKS
    assert comp.dtype == ref.dtype
    assert comp.shape == ref.shape
    assert_array_equal(comp.compute(), ref)


def test_predictions_need_arrays_or_frames_of_two_dimensions(fitted):
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        fitted.predict(da.zeros(8))
    with pytest.raises(TypeError, match=r"X must be a Dask array.*Delayed"):
        fitted.predict(delayed(X))


def test_arrays_of_different_lengths_are_refused(client):
    estimator = clone(FIT).set_params(client=client)
    x, y = da.from_array(X, chunks=(40, -1)), da.from_array(Y[:-90], chunks=40)
    with pytest.raises(ValueError, match="they need the same number of rows"):
        estimator.fit(x, y)


def test_x_and_y_of_a_mask_are_computed_by_the_same_tasks(client, caplog):
    x, y = on_cluster(X, Y)
    kept = x[:, 0] > 0
    clone(FIT).set_params(client=client).fit(x[kept], y[kept])
    # The scheduler warns of keys that have two tasks.
    assert "run_spec" not in caplog.text


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predictions_of_empty_partitions(fitted, method):
    (x,) = on_cluster(X)
    comp = getattr(fitted, method)(x[x[:, 0] > 2.0]).compute()
    assert_array_equal(comp, getattr(fitted, method)(X[X[:, 0] > 2.0]))
    none = getattr(fitted, method)(x[x[:, 0] > 1e9]).compute()
    assert len(none) == 0


def test_predictions_of_frames(client):
    frame = dd.from_pandas(FRAME.assign(y=Y), npartitions=4)
    x = frame[list("abcd")]
    estimator = clone(FIT).set_params(client=client).fit(x, frame.y)
    assert estimator.feature_names_in_.tolist() == list("abcd")
    local = estimator.to_local()
    comp = estimator.predict(x)
    ref = pd.Series(local.predict(FRAME), index=FRAME.index)
    assert comp.dtype == ref.dtype
    pd.testing.assert_series_equal(comp.compute(), ref, check_names=False)
    comp = estimator.predict_proba(x)
    assert list(comp.columns) == [0, 1, 2]
    assert_array_equal(comp.compute().to_numpy(), local.predict_proba(FRAME))
    few = x[x.a > 2.0]
    assert_array_equal(estimator.predict(few).compute(), ref[FRAME.a > 2.0])


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", object])
@pytest.mark.parametrize("estimator", [FIT, TABLES], ids=["mlp", "table"])
def test_predictions_of_columns_that_may_hold_missing_values(client, estimator, dtype):
    frame = (FRAME > 0).astype(int)
    x, y = (
        dd.from_pandas(each, npartitions=3)
        for each in (frame, pd.Series(Y, frame.index))
    )
    x, frame = x.astype(dtype), frame.astype(dtype)
    clf = clone(estimator).set_params(client=client).fit(x, y)
    local = clf.to_local()
    assert_array_equal(clf.predict_proba(x).compute(), local.predict_proba(frame))
    assert clf.score(x, y) == local.score(frame, Y)


KINDS = {
    "numbers": X[:, 2],
    "nullable": pd.array(np.arange(300), dtype="Int64"),
    "strings": np.where(X[:, 2] > 0, "u", "v"),
    "categories": pd.Categorical(np.where(X[:, 2] > 0, "u", "v")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_of_tables_with_empty_partitions(client, kind):
    """Their columns are of any kind, as are those of an object array."""
    frame = FRAME.assign(c=KINDS[kind])
    x = dd.from_pandas(frame, npartitions=4)
    y = dd.from_pandas(pd.Series(Y, frame.index, name="y"), npartitions=4)
    x, y = (
        each.map_partitions(lambda part: part[part.index < 1160]) for each in (x, y)
    )
    clf = clone(TABLES).set_params(client=client).fit(x, y)
    for method in ("predict", "predict_proba"):
        comp = getattr(clf, method)(x)
        ref = getattr(clf.to_local(), method)(frame[:160])
        assert_array_equal(comp.compute().to_numpy(), ref)
        assert_array_equal(comp.compute().index, frame.index[:160])
    array = da.from_array(frame.to_numpy(object), chunks=(100, 4))
    if kind != "nullable":
        comp = clf.fit(array, da.from_array(Y, chunks=100)).predict(array)
        assert_array_equal(comp.compute(), clf.to_local().predict(frame.to_numpy()))
        few = array[da.from_array(np.arange(300) < 90, chunks=100)]
        assert_array_equal(clf.predict(few).compute(), comp[:90].compute())


def test_nothing_is_computed_before_compute(fitted):
    def fails(block):
        raise OSError("read")

    (x,) = on_cluster(X)
    x = x.map_blocks(fails, dtype=float, meta=X[:0])
    comp = fitted.predict(x)
    with pytest.raises(OSError, match="read"):
        comp.compute()


def test_the_model_is_once_in_the_graph_of_predictions():
    (x,) = on_cluster(X)
    wide = clone(FIT).set_params(hidden_layer_sizes=(20_000,), max_iter=1)
    wide = wide.to_local().fit(X, Y)
    graph = dict(predict_lazily(wide, "predict", x).dask)
    sizes = [len(cloudpickle.dumps(task)) for task in graph.values()]
    assert sum(sizes) < 1.1 * len(cloudpickle.dumps(wide))


def test_scores_are_those_of_the_local_estimator(fitted):
    """Also where chunks have unknown sizes or y has others."""
    x, y = on_cluster(X, Y)
    local, kept = fitted.to_local(), X[:, 0] > 0
    comp = fitted.score(x[x[:, 0] > 0], y[x[:, 0] > 0])
    assert comp == local.score(X[kept], Y[kept])
    weight = np.arange(300.0)
    comp = fitted.score(x, da.from_array(Y, chunks=77), weight)
    assert comp == local.score(X, Y, weight) == fitted.score(X, Y, weight)


def test_scores_of_a_regressor(client):
    y = X[:, 0] - X[:, 1]
    regr = make(DaskMLPRegressor, client=client, solver="lbfgs", n_replicas=2)
    regr.fit(*on_cluster(X, y))
    assert regr.score(*on_cluster(X, y)) == pytest.approx(regr.to_local().score(X, y))
    regr.set_params(loss=("quantile", [0.1, 0.9]), solver="adam")
    regr.fit(*on_cluster(X, y))
    assert regr.score(*on_cluster(X, y)) == pytest.approx(regr.to_local().score(X, y))
