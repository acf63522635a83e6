"""Estimators on two workers: results, arguments, tables, searches."""

import asyncio
import inspect
import pickle
import threading
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dask import delayed
from distributed import Client
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV

from fastmlp import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from fastmlp.cluster.replicas import BUFFER_BYTES
from fastmlp.dask import (
    DaskMLPClassifier,
    DaskMLPRegressor,
    DaskTabularClassifier,
    DaskTabularRegressor,
)
from fastmlp.dask._executor import DaskExecutor
from fastmlp.data import ArraySource
from tests.cluster.fits import RNG, cut, fit_in_rounds
from tests.dask.conftest import make_client
from tests.dask.data import (
    CHUNKS,
    DIVIDED,
    FIT,
    FRAME,
    X,
    Y,
    assert_same,
    fit,
    on_cluster,
    ref_fit,
)
from tests.ecosystem.test_tools import X_IRIS, Y_IRIS, small_classifier
from tests.estimators import make
from tests.silent_callback import SilentCallback

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Got `batch_size` less than 1",
)

PAIRS = [
    (DaskMLPClassifier, MLPClassifier),
    (DaskMLPRegressor, MLPRegressor),
    (DaskTabularClassifier, TabularClassifier),
    (DaskTabularRegressor, TabularRegressor),
]
OWN = {
    "client",
    "n_replicas",
    "rounds_per_epoch",
    "round_timeout",
    "worker_timeout",
    "max_round_retries",
    "checkpoint_dir",
}


# -- signatures ------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator, Local", PAIRS)
def test_the_constructor_is_the_local_one_and_more(Estimator, Local):
    comp = inspect.signature(Estimator).parameters
    ref = inspect.signature(Local).parameters
    assert list(comp)[: len(ref)] == list(ref)
    assert all(comp[name] == ref[name] for name in ref)
    assert {*comp} - {*ref} == {name for name in OWN if name in comp}
    assert "client" in comp
    assert set(Estimator().get_params()) == {*comp}


@pytest.mark.parametrize("Estimator, Local", PAIRS)
def test_methods_take_what_the_local_ones_take(Estimator, Local):
    for name in ("fit", "fit_stream", "predict", "score", "predict_proba", "transform"):
        if hasattr(Estimator(), name):
            comp = inspect.signature(getattr(Estimator, name)).parameters
            assert [*comp] == [*inspect.signature(getattr(Local, name)).parameters]


def test_parameters_are_checked(client):
    with pytest.raises(ValueError, match="n_replicas"):
        fit(client, n_replicas=0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        DaskMLPClassifier(n_workers=2)


def test_what_only_the_local_ones_do():
    assert not hasattr(DaskMLPClassifier(), "partial_fit")
    for Estimator in (DaskTabularClassifier, DaskTabularRegressor):
        assert not hasattr(Estimator(), "set_callbacks")
        with pytest.raises(AttributeError, match="no fit_stream: use to_local"):
            Estimator().fit_stream(None)


def test_clone_and_pickle(client, fitted):
    assert clone(fitted).client is client
    restored = pickle.loads(pickle.dumps(fitted))
    assert restored.client is None
    assert_array_equal(restored.predict(X), fitted.predict(X))


def test_to_local(fitted):
    local = fitted.to_local()
    assert type(local) is MLPClassifier
    assert not OWN & {*vars(local)}
    assert_array_equal(local.predict_proba(X), fitted.predict_proba(X))
    clone(local).fit(X, Y)


# -- fits ------------------------------------------------------------------------------


def test_a_cluster_computes_what_one_process_computes(fitted):
    assert_same(fitted, ref_fit())
    assert fitted.n_replicas_ == 3


class Scorer:
    """A scorer that cannot be pickled."""

    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, estimator, X, y):
        return estimator.score(X, y)


def test_scorers_stay_with_the_client(client):
    x, y = on_cluster(X, Y)
    fits = [
        clone(FIT)
        .set_params(client=client, early_stopping=True, scoring=scoring)
        .fit(x, y, X_val=X, y_val=Y)
        for scoring in ("accuracy", Scorer())
    ]
    assert_same(*fits)
    assert fits[0].validation_scores_ == fits[1].validation_scores_
    assert fits[0].score(x, y) == fits[1].score(x, y)


class StopAtSecond(SilentCallback):
    """A callback that ends a fit after two epochs or iterations; not picklable."""

    def __init__(self):
        self.models = []
        self.lock = threading.Lock()

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        assert X is None
        assert y is None
        self.models.append(fitted_estimator)
        return fitted_estimator.n_iter_ == 2


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks(client, solver):
    pytest.importorskip("sklearn.callback")
    callback, params = StopAtSecond(), {"solver": solver, "dropout": None}
    estimator = clone(FIT).set_params(client=client, **params)
    x, y = on_cluster(X, Y)
    estimator.set_callbacks(callback).fit(x, y)
    # Of the last step, and of the whole fit.
    assert [each.n_iter_ for each in callback.models] == [1, 2, 2]
    for shown, max_iter in zip(callback.models, (1, 2, 2), strict=True):
        ref = ref_fit(max_iter=max_iter, **params)
        assert_array_equal(shown.coefs_[0], ref.coefs_[0])
    assert_array_equal(estimator.coefs_[0], ref.coefs_[0])
    assert_array_equal(estimator.predict(x).compute(), ref.predict(X))


class Died(Exception):
    """Stands for the death of the client."""


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_client_dies_in_a_fit(client, solver, tmp_path, monkeypatch):
    """The next one, of another client, has the result of one that went through."""
    gathered = []

    def gather(self, *arguments):
        gathered.append(arguments)
        if len(gathered) == 6:
            raise Died
        return gather_all(self, *arguments)

    gather_all = DaskExecutor.gather
    params = {"solver": solver, "dropout": None, "checkpoint_dir": tmp_path}
    monkeypatch.setattr(DaskExecutor, "gather", gather)
    with Client(client.scheduler.address) as own, pytest.raises(Died):
        fit(own, **params)
    assert list(tmp_path.iterdir())
    comp, ref = fit(client, **params), ref_fit(solver=solver, dropout=None)
    for one, other in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_array_equal(one, other)
    assert not list(tmp_path.iterdir())


def test_the_placement_changes_nothing(client, fitted):
    data = client.persist(on_cluster(X, Y), workers=[min(client.nthreads())])
    assert_same(clone(FIT).set_params(client=client).fit(*data), fitted)


def test_the_first_fit_fixes_the_replicas(client):
    estimator = clone(FIT).set_params(client=client, n_replicas=None)
    assert estimator.fit(*on_cluster(X, Y)).n_replicas_ == 2
    estimator.n_replicas_ = 3
    assert estimator.fit(*on_cluster(X, Y)).n_replicas_ == 3


def test_weights_and_validation_rows(client):
    weight = np.arange(300) % 3
    params = {"early_stopping": True, "max_iter": 3}
    estimator = clone(FIT).set_params(client=client, **params)
    lazy = estimator.fit(*on_cluster(X, Y, weight), X_val=X[:50], y_val=Y[:50])
    X_val, y_val = on_cluster(X[:50], Y[:50], chunks=(30, 20))
    given = clone(estimator).fit(*on_cluster(X, Y, weight), X_val=X_val, y_val=y_val)
    assert_same(lazy, given)
    assert len(lazy.validation_scores_) == 3
    with pytest.raises(TypeError, match="X_val= and y_val="):
        estimator.fit(*on_cluster(X, Y), eval_set=(X, Y))


def test_chunks_of_y_columns_and_unknown_sizes(client, fitted):
    x, y = on_cluster(X, Y)
    odd = da.from_array(Y, chunks=77)
    columns = x.rechunk({1: 2})
    estimator = clone(FIT).set_params(client=client)
    assert_same(estimator.fit(columns, odd), fitted)
    kept = x[:, 0] > -10
    assert np.isnan(x[kept].shape[0])
    assert_same(estimator.fit(x[kept], y[kept]), fitted)
    with pytest.raises(ValueError, match=r"\[5, 4\] partitions"):
        estimator.fit(x[kept], odd)


def test_y_is_a_column(client, fitted):
    x, y = on_cluster(X, Y)
    frame = dd.from_pandas(FRAME.assign(y=Y), npartitions=3)
    columns, estimator = frame[list("abcd")], clone(FIT).set_params(client=client)
    with pytest.warns(DataConversionWarning, match=r"Pass y\[:, 0\]"):
        assert_same(estimator.fit(x, y[:, None]), fitted)
    with pytest.warns(DataConversionWarning):
        comp = clone(estimator).fit(columns, frame[["y"]])
    assert_same(comp, estimator.fit(columns, frame.y))
    with pytest.raises(ValueError, match="the target y is None"):
        estimator.fit(x, None, y)


def test_partitions_of_every_size(client):
    few = X[:, 0] > 1.5
    x, y = on_cluster(X, Y, chunks=(1, 1, 100, 198))
    estimator = clone(FIT).set_params(client=client, n_replicas=None)
    assert estimator.fit(x, y).n_replicas_ == 2
    some = da.from_array(few, chunks=(x.chunks[0],))
    estimator.fit(x[some], y[some])
    assert estimator.t_ == 4 * few.sum()


@pytest.mark.parametrize("dtype", [np.float16, np.int8, bool])
def test_types_of_numbers(client, dtype):
    few = (2 * X).astype(dtype)
    x, y = on_cluster(few, Y)
    comp = clone(FIT).set_params(client=client, dtype=None).fit(x, y)
    ref = clone(comp).fit(x.astype(np.float64), y)
    assert_same(comp, ref)
    assert_array_equal(comp.predict(x).compute(), ref.to_local().predict(few))


def test_partitions_whose_weights_are_zero(client):
    weight = np.repeat([0.0, 1.0, 0.0], 100)
    x, y, w = on_cluster(X, Y, weight)
    comp = clone(FIT).set_params(client=client).fit(x, y, w)
    ref = fit_in_rounds(comp.to_local(), cut(X, Y, CHUNKS, weight), **DIVIDED)
    assert_same(comp, ref)
    with pytest.raises(ValueError, match="at least one non-zero"):
        comp.fit(x, y, 0 * w)


def test_sparse_blocks(client):
    (x, y), full = on_cluster(X, Y), np.where(X > 1, X, 0)
    x = da.from_array(full, chunks=(CHUNKS, 4)).map_blocks(sp.csr_matrix)
    comp = clone(FIT).set_params(client=client).fit(x, y)
    ref = clone(FIT).set_params(client=client).fit(*on_cluster(full, Y))
    assert_allclose(comp.coefs_[0], ref.coefs_[0], rtol=1e-3, atol=1e-5)


def test_sources_that_workers_read(client):
    source = ArraySource(X, Y, rows_per_block=60)
    ref = clone(FIT).set_params(client=client)
    ref.fit(*on_cluster(X, Y, chunks=(60,) * 5))
    estimator = clone(FIT).set_params(client=client, max_iter=100)
    comp = estimator.fit_stream(source, epochs=4)
    assert_same(comp, ref)
    assert estimator.max_iter == 100
    estimator.set_params(early_stopping=True)
    few = ArraySource(X[:50], Y[:50], rows_per_block=30)
    estimator.fit_stream(source, [0, 1, 2, 3], epochs=2, eval_source=few)
    assert len(estimator.validation_scores_) == 2
    assert estimator.classes_.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"not in `self.classes_`"):
        estimator.fit_stream(source, [0, 1])
    with pytest.raises(TypeError, match="block_rows and read"):
        estimator.fit_stream([(X, Y)])
    with pytest.raises(ValueError, match=r"epochs == 0, must be >= 1"):
        estimator.fit_stream(source, epochs=0)


def peak_memory():
    """Return the most bytes that this process has had in memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_memory_of_a_worker(client):
    """X is held once; beside it there are two buffers and a few partitions."""
    address = min(client.nthreads())
    estimator = clone(FIT).set_params(client=client, max_iter=1, n_replicas=2)
    estimator.fit(*on_cluster(X, Y))
    before = client.run(peak_memory, workers=[address])[address]
    # 20 partitions of 10 MB on each of two workers.
    x = da.zeros((1_000_000, 100), chunks=(25_000, 100), dtype=np.float32)
    x = (x + da.arange(100)).astype(np.float32)
    y = da.arange(1_000_000, chunks=25_000) % 2
    held = x.nbytes / 2
    estimator.set_params(batch_size=5000).fit(x, y)
    grown = client.run(peak_memory, workers=[address])[address] - before
    assert grown < held + 2 * BUFFER_BYTES + 8 * 10e6 + 50e6


def test_memory_of_a_worker_that_reads_a_file(tmp_path):
    """It grows by less than a quarter of the file."""
    shape = (1_000_000, 100)
    np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, shape)
    np.save(tmp_path / "y.npy", np.arange(shape[0]) % 2)
    X, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xy")
    estimator = clone(FIT).set_params(max_iter=1, batch_size=5000)

    def peak(n):
        source = ArraySource(X[:n], y[:n])
        estimator.fit_stream(source, buffer_rows=5_000)
        return max(estimator.client.run(peak_memory).values())

    with make_client(1) as estimator.client:
        before = peak(120_000)
        grown = peak(len(X)) - before
    assert estimator.t_ == len(X)
    assert grown < X.nbytes / 4


def test_a_user_error_in_a_task_is_raised(client):
    def fit_nothing():
        clone(FIT).fit(*on_cluster(X * np.nan, Y))

    with pytest.raises(ValueError, match="contains NaN"):
        client.submit(fit_nothing, pure=False).result()


def test_what_is_not_on_a_cluster_is_refused(client):
    estimator = clone(FIT).set_params(client=client)
    x, y = on_cluster(X, Y)
    with pytest.raises(TypeError, match=r"X must be a Dask array.*ndarray"):
        estimator.fit(X, Y)
    with pytest.raises(TypeError, match=r"y must be a Dask array.*ndarray"):
        estimator.fit(x, Y)
    with pytest.raises(TypeError, match=r"X must be a Dask array.*Delayed"):
        estimator.fit(delayed(X), y)
    with pytest.raises(TypeError, match=r"X must be a Dask array.*NoneType"):
        estimator.fit(None, y)


def test_an_error_of_a_partition(client):
    wrong = X.copy()
    wrong[150, 2] = np.nan
    estimator = clone(FIT).set_params(client=client)
    with pytest.raises(ValueError, match=r"^Partition 2: Input X contains NaN"):
        estimator.fit(*on_cluster(wrong, Y))
    with pytest.raises(ValueError, match=r"^Partition 0: Unknown label type"):
        estimator.fit(*on_cluster(X, X[:, 0]))
    assert not hasattr(estimator, "coefs_")


def test_data_are_computed_by_the_client_of_the_estimator(client, fitted):
    """And not by another one, which is the current one."""
    data = client.persist(on_cluster(X, Y))
    with Client(processes=False, dashboard_address=":0"):
        estimator = clone(FIT).set_params(client=client)
        comp = estimator.fit(*data, X_val=data[0], y_val=data[1])
        assert comp.score(*data) == fitted.score(X, Y)
    assert_same(comp, fitted)


def test_two_fits_at_once_from_two_clients(client, fitted):
    results = {}

    def run(number):
        with Client(client.cluster) as own:
            results[number] = fit(own)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in results.values():
        assert_same(each, fitted)
    assert len(results) == 2


def fit_in_task():
    return clone(FIT).fit(*on_cluster(X, Y)).to_local()


def test_a_fit_in_a_task(client, fitted):
    assert_same(client.submit(fit_in_task, pure=False).result(), fitted)


def test_an_asynchronous_client(client, fitted):
    """Its event loop is not blocked; in a thread it is a client as any other."""
    x, y = on_cluster(X, Y)

    async def use():
        async with Client(client.scheduler.address, asynchronous=True) as own:
            estimator = clone(FIT).set_params(client=own)
            table = DaskTabularClassifier(client=own)
            for fit in (estimator.fit, table.fit, clone(FIT).fit):
                with pytest.raises(ValueError, match=r"to_thread\(estimator.fit, X, y"):
                    fit(x, y)
            data = own.persist([x, y])
            await asyncio.to_thread(estimator.fit, *data)
            predicted = await own.compute(estimator.predict(x))
            return estimator, predicted, await asyncio.to_thread(estimator.score, x, y)

    comp, predicted, score = asyncio.run(use())
    assert_same(comp, fitted)
    assert_array_equal(predicted, fitted.predict(X))
    assert score == fitted.to_local().score(X, Y)


def test_the_threads_are_those_of_the_worker(client):
    """And not those of the variables that the nanny sets, or of the machine."""
    from fastmlp.dask._executor import run_on_worker
    from fastmlp.kernels import available_cores

    assert client.submit(run_on_worker, available_cores).result() == 1


# -- tables ----------------------------------------------------------------------------

TABLE = pd.DataFrame(X, columns=list("abcd")).assign(
    colour=RNG.choice(["red", "green", None], 300)
)


def fits_of_tables(client, Estimator, Local, y, **params):
    """Return a fit on the cluster and the local one."""
    frame = dd.from_pandas(TABLE.assign(y=y), npartitions=3)
    params = {"n_networks": 3, "max_epochs": 3, "random_state": 0} | params
    comp = Estimator(client=client, **params)
    comp.fit(frame.drop(columns="y"), frame.y)
    return comp, Local(**params).fit(TABLE, pd.Series(y, name="y")), frame


def test_classifier_of_tables(client):
    comp, ref, frame = fits_of_tables(
        client, DaskTabularClassifier, TabularClassifier, Y
    )
    for one, other in zip(
        comp._ensemble.parameters, ref._ensemble.parameters, strict=True
    ):
        assert_array_equal(one, other)
    for name in ("oof_predictions_", "feature_importances_", "validation_scores_"):
        assert_array_equal(getattr(comp, name), getattr(ref, name))
    assert {k for k in vars(comp) if k.endswith("_")} == {
        k for k in vars(ref) if k.endswith("_")
    }
    lazy = comp.predict_proba(frame.drop(columns="y"))
    assert_array_equal(lazy.compute().to_numpy(), ref.predict_proba(TABLE))
    assert type(comp.to_local()) is TabularClassifier
    assert clone(comp).client is client


def test_regressor_of_tables(client):
    y = X[:, 0] - np.where(TABLE.colour == "red", 1.0, 0.0)
    comp, ref, _ = fits_of_tables(client, DaskTabularRegressor, TabularRegressor, y)
    assert_array_equal(comp.predict(TABLE), ref.predict(TABLE))
    assert_array_equal(comp.predict_interval(TABLE), ref.predict_interval(TABLE))


@pytest.mark.parametrize("own", [True, False])
def test_the_second_fit_of_a_table_draws_other_numbers(client, own):
    """From the user's own RandomState or NumPy's."""
    params = {"n_networks": 2, "max_epochs": 1}
    data, probas = on_cluster(X, Y), []
    for cls, args in ((TabularClassifier, (X, Y)), (DaskTabularClassifier, data)):
        random_state = np.random.RandomState(0) if own else None
        np.random.seed(0)
        model = cls(**params, random_state=random_state)
        probas.append([model.fit(*args).predict_proba(X) for _ in range(2)])
        assert model.random_state is random_state
    assert_array_equal(*probas)
    assert (probas[0][0] != probas[0][1]).any()


def test_networks_of_a_wide_table_read_the_columns_that_the_local_ones_do(client):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        rng.normal(size=(200, 90)), columns=[f"n{i}" for i in range(90)]
    )
    y = table.n3 - table.n7
    frame = dd.from_pandas(table.assign(y=y), npartitions=3)
    params = {"n_networks": 3, "max_epochs": 40, "random_state": 0}
    comp = DaskTabularRegressor(client=client, **params)
    comp.fit(frame.drop(columns="y"), frame.y)
    ref = TabularRegressor(**params).fit(table, y)
    assert len(ref.columns_) < 90
    assert comp.columns_ == ref.columns_
    assert_array_equal(comp.predict(table), ref.predict(table))


def test_validation_rows_and_more_networks_than_rows(client):
    frame = dd.from_pandas(TABLE[:6].assign(y=[0, 1] * 3), npartitions=2)
    clf = DaskTabularClassifier(client=client, n_networks=8, max_epochs=1)
    clf.fit(frame.drop(columns="y"), frame.y)
    assert len(clf.validation_scores_) == 6
    clf.fit(frame.drop(columns="y"), frame.y, X_val=TABLE[:4], y_val=[0, 1, 0, 1])
    assert clf.oof_predictions_ is None


def test_errors_of_tables_are_those_of_the_local_estimator(client):
    frame = dd.from_pandas(TABLE.assign(y=1), npartitions=2)
    clf = DaskTabularClassifier(client=client)
    with pytest.raises(ValueError, match="y has one class only"):
        clf.fit(frame.drop(columns="y"), frame.y)
    assert not hasattr(clf, "classes_")


# -- searches --------------------------------------------------------------------------


def test_successive_halving_of_epochs(client):
    space = {"alpha": [1e-4, 1.0, 1e4], "learning_rate_init": [0.001, 0.01, 0.1]}
    search = HalvingRandomSearchCV(
        make(MLPClassifier, batch_size=32),
        space,
        n_candidates=9,
        resource="max_iter",
        min_resources=1,
        max_resources=9,
        cv=2,
        random_state=0,
    )
    with joblib.parallel_config("dask", client=client):
        comp = search.fit(X, Y).cv_results_
    assert search.n_resources_ == [1, 3, 9]
    ref = search.fit(X, Y).cv_results_
    assert_array_equal(comp["mean_test_score"], ref["mean_test_score"])


def test_grid_search_in_two_threads_of_a_worker():
    search = GridSearchCV(small_classifier(), {"alpha": [1.0, 1e4]}, cv=3)
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with Client(processes=False, **options), joblib.parallel_config("dask"):
        comp = search.fit(X_IRIS, Y_IRIS).cv_results_["mean_test_score"]
    ref = search.fit(X_IRIS, Y_IRIS).cv_results_["mean_test_score"]
    assert_array_equal(comp, ref)
    assert comp[0] > 0.9
