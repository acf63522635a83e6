"""Fits in rounds: those of `fit` with one replica, and the same on every executor."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.cluster import replicas
from fastmlp.cluster.blocks import Reading
from fastmlp.cluster.executors import ClusterError, Processes, Serial
from fastmlp.cluster.plan import make_replicas
from fastmlp.data import ArraySource
from tests.cluster.fits import (
    DIVIDED,
    RNG,
    SIZES,
    VARIED,
    Losing,
    X,
    Y,
    assert_same,
    cut,
    fit_in_rounds,
)
from tests.estimators import make
from tests.kernels.simd.test_bfloat16 import needed as bfloat16_is_needed

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Got `batch_size` less than 1",
)


EQUAL = (300,)
WEIGHT = RNG.randint(0, 3, 300).astype(float)


SETTINGS = [
    {},
    {"dtype": "float32"},
    pytest.param({"dtype": "bfloat16"}, marks=bfloat16_is_needed),
    {"solver": "sgd", "learning_rate": "adaptive", "max_iter": 40},
    {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.0},
    {"solver": "nadam", "learning_rate": "cosine", "dropout": 0.2},
    {"solver": "adamw", "learning_rate": "one_cycle", "l1": 0.1, "clip_norm": 1.0},
    {"batch_size": "full"},
    {"shuffle": False},
    {"solver": "lbfgs", "l1": 0.01},
]


@pytest.mark.parametrize("params", SETTINGS, ids=str)
@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
def test_one_replica_with_one_round_is_fit(Estimator, params):
    estimator = make(Estimator, **params)
    ref = clone(estimator).fit(X, Y)
    comp = fit_in_rounds(estimator, cut(X, Y, EQUAL), n_replicas=1)
    # A round sums the penalty of its first step in another order.
    assert_same(comp, ref, rtol=1e-11)
    assert comp.n_replicas_ == 1


@pytest.mark.parametrize("n_rounds", [1, 3, 100])
def test_weights_and_rounds_of_one_replica(n_rounds):
    estimator = make(MLPClassifier, class_weight="balanced")
    ref = clone(estimator).fit(X, Y, WEIGHT)
    chunks = cut(X, Y, EQUAL, WEIGHT)
    comp = fit_in_rounds(estimator, chunks, n_replicas=1, rounds_per_epoch=n_rounds)
    for one, other in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_array_equal(one, other)
    assert_allclose(comp.loss_curve_, ref.loss_curve_, rtol=1e-11)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_validation_rows(early_stopping):
    estimator = make(MLPClassifier, early_stopping=early_stopping, max_iter=30)
    validation = X[:50], Y[:50]
    ref = clone(estimator).fit(X, Y, X_val=X[:50], y_val=Y[:50])
    comp = fit_in_rounds(estimator, cut(X, Y, EQUAL), None, validation, n_replicas=1)
    assert_same(comp, ref, rtol=1e-11)
    assert comp.validation_loss_curve_ == ref.validation_loss_curve_
    assert comp.validation_scores_ == ref.validation_scores_


def test_early_stopping_holds_out_partitions():
    estimator = make(MLPClassifier, early_stopping=True, validation_fraction=0.3)
    comp = fit_in_rounds(estimator, cut(X, Y, [50] * 6), n_replicas=2)
    assert comp.t_ == comp.n_iter_ * 200
    assert len(comp.validation_scores_) == comp.n_iter_
    blocks = np.random.RandomState(0)
    _seeds_after_initial_weights(blocks, 3, n=0)
    held = np.sort(blocks.permutation(6)[:2])
    rows = np.concatenate([np.arange(50 * i, 50 * i + 50) for i in held])
    assert max(comp.validation_scores_) == comp.score(X[rows], Y[rows])


def test_lbfgs_does_not_use_early_stopping():
    estimator, chunks = make(MLPRegressor, solver="lbfgs", max_iter=3), cut(X, Y, SIZES)
    ref = fit_in_rounds(estimator, chunks, **DIVIDED)
    estimator.set_params(early_stopping=True)
    with pytest.warns(UserWarning, match="early_stopping=True is not used"):
        comp = fit_in_rounds(estimator, chunks, **DIVIDED)
    assert_same(comp, ref)


def test_rows_sorted_by_y_are_warned_of():
    order = np.argsort(Y)
    with pytest.warns(UserWarning, match=r"% of the variance of y lies between part"):
        fit_in_rounds(VARIED, cut(X[order], Y[order], [60] * 5), **DIVIDED)


def test_the_mean_of_two_fits():
    """A round of an epoch is a fit of each replica on its own rows."""
    params = {"dtype": "float64", "max_iter": 1, "solver": "sgd", "momentum": 0.0}
    estimator = make(MLPRegressor, **params)
    chunks = cut(X, Y, (200, 100))
    comp = fit_in_rounds(estimator, chunks, n_replicas=2, rounds_per_epoch=1)
    random_state = np.random.RandomState(0)
    start = make(MLPRegressor, max_iter=1, learning_rate_init=1e-300).fit(X, Y)
    fits = []
    for chunk, seed in zip(
        chunks, _seeds_after_initial_weights(random_state, 1), strict=True
    ):
        init = start.coefs_, start.intercepts_
        own = clone(estimator).set_params(
            init=init, random_state=np.random.RandomState(seed)
        )
        fits.append(own.fit(*chunk[:2]))
    for layer in range(2):
        both = [fit.coefs_[layer] for fit in fits]
        assert_allclose(
            comp.coefs_[layer], np.average(both, axis=0, weights=[200, 100]), rtol=1e-12
        )
    assert_allclose(comp.loss_, np.average([f.loss_ for f in fits], weights=[2, 1]))


def _seeds_after_initial_weights(random_state, n_outputs, n=2):
    for fan_in, fan_out in ((4, 5), (5, n_outputs)):
        random_state.uniform(size=fan_in * fan_out + fan_out)
    return random_state.randint(np.iinfo(np.int32).max, size=n)


@pytest.fixture(scope="module")
def processes():
    with Processes(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def varied():
    with pytest.warns(ConvergenceWarning):
        return fit_in_rounds(VARIED, cut(X, Y, SIZES, WEIGHT), **DIVIDED)


def test_processes_compute_the_same(processes, varied):
    chunks = cut(X, Y, SIZES, WEIGHT)
    assert_same(fit_in_rounds(VARIED, chunks, processes, **DIVIDED), varied)


def test_the_caller_takes_the_same_mean(monkeypatch, varied):
    monkeypatch.setattr("fastmlp.cluster.tasks.DIRECT_BYTES", 2**20)
    executor = Losing(lambda number, name: name == "train_replica" and number % 4 == 0)
    chunks = cut(X, Y, SIZES, WEIGHT)
    assert_same(fit_in_rounds(VARIED, chunks, executor, **DIVIDED), varied)
    assert "average" not in executor.functions


def test_threads_compute_the_same(varied):
    estimator = clone(VARIED).set_params(n_threads=2)
    assert_same(fit_in_rounds(estimator, cut(X, Y, SIZES, WEIGHT), **DIVIDED), varied)


class Passing:
    """An executor that leaves blocks of sources as they are."""

    def __init__(self, executor):
        self._executor = executor

    def __getattr__(self, name):
        return getattr(self._executor, name)

    def scatter(self, value):
        return value if isinstance(value, Reading) else self._executor.scatter(value)


def test_blocks_that_are_read_in_each_epoch_give_the_same(processes):
    source = ArraySource(X, Y, rows_per_block=50)
    blocks = [Reading(source, number) for number in range(6)]
    ref = fit_in_rounds(VARIED, cut(X, Y, [50] * 6), **DIVIDED)
    for executor in (Serial(), processes):
        assert_same(fit_in_rounds(VARIED, blocks, Passing(executor), **DIVIDED), ref)


def test_buffers_smaller_than_a_replica(monkeypatch, processes):
    """They change the order of the rows, and are the same everywhere."""
    monkeypatch.setattr("fastmlp.cluster.plan.BUFFER_BYTES", 50 * 4 * 8)
    chunks = cut(X, Y, [20] * 15)
    ref = fit_in_rounds(VARIED, chunks, **DIVIDED)
    assert_same(fit_in_rounds(VARIED, chunks, processes, **DIVIDED), ref)
    monkeypatch.undo()
    other = fit_in_rounds(VARIED, chunks, **DIVIDED)
    assert not np.array_equal(other.coefs_[0], ref.coefs_[0])


def test_lbfgs_minimises_the_loss_of_all_rows():
    chunks = cut(X, Y, SIZES, WEIGHT)
    convex = {"hidden_layer_sizes": (), "max_iter": 200, "alpha": 1.0, "tol": 1e-6}
    for params in ({"max_iter": 1, "l1": 0.1}, convex):
        estimator = make(MLPClassifier, solver="lbfgs", **params)
        ref = clone(estimator).fit(X, Y, WEIGHT)
        comp = fit_in_rounds(estimator, chunks, n_replicas=3)
        assert_allclose(comp.loss_, ref.loss_, rtol=1e-9)
        assert_allclose(comp.coefs_[0], ref.coefs_[0], rtol=1e-4)


def test_sparse_rows():
    few = sp.csr_matrix(np.where(RNG.rand(300, 4) < 0.1, X, 0))
    full = sp.csr_matrix(X)
    for sparse in (few, full, sp.vstack([few[:150], full[150:]]).tocsr()):
        comp = fit_in_rounds(VARIED, cut(sparse, Y, SIZES), **DIVIDED)
        ref = fit_in_rounds(VARIED, cut(sparse.toarray(), Y, SIZES), **DIVIDED)
        for one, other in zip(comp.coefs_, ref.coefs_, strict=True):
            assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_class_may_be_missing_in_a_block():
    order = np.argsort(Y, kind="stable")
    labels = np.array(["a", "b", "c"])[Y[order]]
    with pytest.warns(UserWarning, match="sorted by y"):
        comp = fit_in_rounds(VARIED, cut(X[order], labels, [100] * 3), **DIVIDED)
    assert comp.classes_.tolist() == ["a", "b", "c"]
    assert comp.predict_proba(X).shape == (300, 3)


def test_multilabel():
    labels = np.column_stack([Y == 0, Y == 1, Y == 2]).astype(int)
    comp = fit_in_rounds(VARIED, cut(X, labels, SIZES), **DIVIDED)
    assert comp.predict(X).shape == (300, 3)


def test_warm_start():
    estimator = clone(VARIED).set_params(warm_start=True, random_state=1)
    chunks = cut(X, Y, SIZES)
    fitted = fit_in_rounds(estimator, chunks, **DIVIDED)
    assert fitted.t_ == 4 * 300


def test_one_replica_draws_the_numbers_of_fit():
    (alone,) = make_replicas([5], 1, np.random.RandomState(4))
    ref = np.random.RandomState(4).randint(1000, size=5)
    assert_array_equal(alone.random_state.randint(1000, size=5), ref)
    several = make_replicas([5, 5], 2, np.random.RandomState(4))
    first, second = (each.random_state.randint(1000, size=5) for each in several)
    assert (first != second).any()


# -- failures --------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["train_replica", "average", "describe"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_lost_tasks_run_again(lost, solver):
    lost = {("train_replica", "lbfgs"): "average_gradients"}.get((lost, solver), lost)
    params = {} if solver == "lbfgs" else {"dropout": 0.1}
    estimator = make(MLPClassifier, max_iter=3, solver=solver, **params)
    chunks = cut(X, Y, SIZES)
    ref = fit_in_rounds(estimator, chunks, **DIVIDED)
    executor = Losing(lambda number, name: name == lost and number % 4 == 0)
    assert_same(fit_in_rounds(estimator, chunks, executor, **DIVIDED), ref)
    assert executor.functions.count(lost) > 3


def test_only_what_is_missing_runs_again():
    lost = []

    def loses(number, name):
        lost.append(name == "train_replica" and "train_replica" not in seen)
        seen.append(name)
        return lost[-1]

    seen = []
    executor = Losing(loses)
    fit_in_rounds(
        clone(VARIED).set_params(max_iter=1),
        cut(X, Y, SIZES),
        executor,
        **(DIVIDED | {"rounds_per_epoch": 1}),
    )
    assert executor.functions.count("train_replica") == 4


def test_a_replica_prefers_its_worker_until_it_has_lost_a_task():
    class Two(Losing):
        homes = ()

        def workers(self):
            return {"a": 1, "b": 2}

        def submit(self, function, *arguments, home=None):
            if function.__name__ == "train_replica":
                self.homes = (*self.homes, (arguments[1].number, home))
            return super().submit(function, *arguments)

    executor = Two(lambda number, name: name == "train_replica" and not losses.pop())
    losses = [True] * 50 + [False]
    limits = DIVIDED | {"rounds_per_epoch": 1}
    estimator = clone(VARIED).set_params(max_iter=2)
    fit_in_rounds(estimator, cut(X, Y, SIZES), executor, **limits)
    first, again, second = executor.homes[:3], executor.homes[3], executor.homes[4:]
    assert sorted(home for _, home in first) == ["a", "b", "b"]
    number, home = first[0]
    assert again == (number, "b" if home == "a" else "a")
    assert dict(second) == dict(first) | dict([again])


def test_too_many_losses_are_an_error_that_names_the_worker():
    executor = Losing(lambda number, name: name == "average")
    estimator = clone(VARIED)
    with pytest.raises(ClusterError, match=r"after 2 retries.*worker 7 died"):
        fit_in_rounds(
            estimator, cut(X, Y, SIZES), executor, max_round_retries=2, **DIVIDED
        )
    assert not hasattr(estimator, "coefs_")


def test_an_error_of_the_data_is_raised_at_once():
    executor, wrong = Serial(), X.copy()
    wrong[150] = np.inf
    with pytest.raises(ValueError, match=r"^Partition 4: Input X contains infinity"):
        fit_in_rounds(VARIED, cut(wrong, Y, SIZES), executor, **DIVIDED)


def kill_once(state, replica, blocks):
    """Train, after the first process that comes here has died."""
    try:
        Path(os.environ["FASTMLP_KILL"]).rmdir()
    except FileNotFoundError:
        return replicas.train_replica(state, replica, blocks)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed(tmp_path, monkeypatch, varied):
    folder = tmp_path / "alive"
    folder.mkdir()
    monkeypatch.setenv("FASTMLP_KILL", str(folder))
    monkeypatch.setattr("fastmlp.cluster.rounds.train_replica", kill_once)
    with Processes(1) as executor:
        comp = fit_in_rounds(VARIED, cut(X, Y, SIZES, WEIGHT), executor, **DIVIDED)
    assert_same(comp, varied)
    assert not folder.exists()


@pytest.mark.parametrize(
    "chunks, limits, params, message",
    [
        ((300,), {"n_replicas": 2}, {}, "n_replicas=2 needs as many partitions"),
        ((300,), {}, {"early_stopping": True}, "holds out whole partitions"),
    ],
)
def test_plans_that_do_not_work(chunks, limits, params, message):
    with pytest.raises(ValueError, match=message):
        fit_in_rounds(make(MLPClassifier, **params), cut(X, Y, chunks), **limits)


def test_no_rows_at_all():
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        fit_in_rounds(make(MLPRegressor), cut(X[:0], Y[:0], (0, 0)))


def test_all_weights_zero():
    chunks = cut(X, Y, SIZES, np.zeros(300))
    with pytest.raises(ValueError, match="at least one non-zero"):
        fit_in_rounds(make(MLPRegressor), chunks)


def test_divergence_is_reported_as_by_fit():
    estimator = make(MLPRegressor, solver="sgd", learning_rate_init=1e30)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        fit_in_rounds(estimator, cut(X, Y, SIZES), **DIVIDED)


def test_interrupt_keeps_the_epochs_done():
    def loses(number, name):
        if name == "train_replica" and number > 60:
            raise KeyboardInterrupt
        return False

    with pytest.warns(UserWarning, match="interrupted"):
        comp = fit_in_rounds(
            clone(VARIED).set_params(max_iter=100),
            cut(X, Y, SIZES),
            Losing(loses),
            **DIVIDED,
        )
    assert 0 < comp.n_iter_ < 30
    assert np.isfinite(comp.coefs_[0]).all()
