"""The session that waits for the next `partial_fit` changes nothing but the time."""

import copy
import gc
import multiprocessing
import pickle
import sys
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.kernels import Trainer, bfloat16_unit, space
from tests.estimators import X, Y, both, make, parameters
from tests.watched import in_threads

FIRST, SECOND = slice(0, 20), slice(20, 40)


def begin(Estimator, **params):
    """Return an estimator after two calls of `partial_fit`, with 20 rows each."""
    model = make(Estimator, **{"n_threads": 1} | params)
    first = {"classes": [0, 1]} if Estimator is MLPClassifier else {}
    model.partial_fit(X[FIRST], Y[FIRST], **first)
    return model.partial_fit(X[SECOND], Y[SECOND])


def numbers(model):
    """Return all that training sets, without the session."""
    state = model.__getstate__()
    optimizer = state.pop("_optimizer")
    return pickle.dumps((state, optimizer, parameters(model)))


def assert_goes_on(model, X=X[FIRST], Y=Y[FIRST]):
    """Two more calls are those of copies, which have no session."""
    for _ in range(2):
        ref = copy.deepcopy(model)
        assert "_session" not in vars(ref)
        assert numbers(model.partial_fit(X, Y)) == numbers(ref.partial_fit(X, Y))


def falling(x):
    return 1 - x / 2


SETTINGS = [
    {},
    {"solver": "sgd", "learning_rate": "invscaling"},
    {"solver": "nadam", "learning_rate": "cosine", "max_iter": 3},
    {"solver": "sgd", "learning_rate": falling},
    {"solver": "adamw", "l1": 0.1, "max_norm": 0.5},
    {"dropout": 0.5, "input_noise": 0.1, "clip_norm": 0.1},
    {"dtype": "float32", "hidden_layer_sizes": (5, 4), "activation": "prelu"},
    {"batch_size": 7, "shuffle": False},
    {"random_state": np.random.RandomState(0)},
]


@both
@pytest.mark.filterwarnings("ignore:The schedule")
@pytest.mark.parametrize("params", SETTINGS, ids="-".join)
def test_a_call_is_that_of_an_estimator_without_a_session(Estimator, params):
    assert_goes_on(begin(Estimator, **params))


def test_quantiles_are_compared():
    model = begin(MLPRegressor, loss=("quantile", [0.1, 0.9]))
    session = model._session
    assert_goes_on(model)
    assert model._session is session
    model.set_params(loss=("quantile", [0.2, 0.9]))
    assert_goes_on(model)
    assert model._session is not session


@pytest.mark.skipif(bfloat16_unit() is None, reason="this CPU has no bfloat16")
def test_bfloat16_ends_with_another_dtype():
    model = begin(MLPClassifier, dtype="bfloat16")
    assert_goes_on(model)
    assert_goes_on(model.set_params(dtype="float32"))


@both
def test_calls_that_are_alike_share_a_session(Estimator):
    model = begin(Estimator)
    session = model._session
    model.set_params(alpha=0.1, tol=0.1).partial_fit(X[SECOND], Y[SECOND])
    model.coefs_[0][:] = 0.5
    model.intercepts_ = [np.zeros(5), np.zeros(1)]
    assert_goes_on(model)
    assert model._session is session


@both
@pytest.mark.parametrize(
    "change",
    [
        {"solver": "sgd"},
        {"batch_size": 8},
        {"dropout": 0.5},
        {"n_threads": None},
        {"dtype": "float32"},
        {"l1": 0.1},
        {"activation": "tanh"},
        {"X": X[:11]},
        {"X": np.float32(X)},
        {"X": sp.csr_array(X)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_calls_have_another_session(Estimator, change):
    model, change = begin(Estimator, batch_size="auto"), dict(change)
    session, rows = model._session, change.pop("X", X[FIRST])
    model.set_params(**change)
    assert_goes_on(model, rows, Y[: rows.shape[0]])
    assert model._session is not session


@both
def test_weights_of_another_shape_have_another_session(Estimator):
    model = begin(Estimator, hidden_layer_sizes=(3,))
    other = begin(Estimator, hidden_layer_sizes=(4,))
    session, model.coefs_ = model._session, other.coefs_
    model.intercepts_ = other.intercepts_
    model.slopes_ = other.slopes_
    assert_goes_on(model.set_params(hidden_layer_sizes=(4,)))
    assert model._session is not session


@both
def test_it_is_not_copied(Estimator):
    model = begin(Estimator)
    others = copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    for other in (*others, clone(model)):
        assert "_session" not in vars(other)


@both
@pytest.mark.parametrize("warm_start", [True, False])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_ends_with_a_fit(Estimator, warm_start):
    model = begin(Estimator).set_params(warm_start=warm_start).fit(X, Y)
    assert "_session" not in vars(model)
    assert_goes_on(model)


@both
def test_a_failed_call_changes_nothing(Estimator, monkeypatch):
    model = begin(Estimator)
    before = numbers(model)
    monkeypatch.setattr(Trainer, "finite", lambda self: False)
    with pytest.raises(ValueError, match="non-finite"):
        model.partial_fit(X[FIRST], Y[FIRST])
    monkeypatch.undo()
    assert numbers(model) == before
    assert_goes_on(model)


@both
@pytest.mark.parametrize("when", ["before", "within"])
def test_an_interrupted_call_may_be_followed(Estimator, when, monkeypatch):
    model, run = begin(Estimator), Trainer._train

    def interrupted(self, *arguments):
        if when == "within":
            run(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_train", interrupted)
    with pytest.warns(match="interrupted by user"):
        model.partial_fit(X[FIRST], Y[FIRST])
    monkeypatch.undo()
    assert_goes_on(model)


@both
def test_a_call_within_a_call_has_a_session_of_its_own(Estimator, monkeypatch):
    """As in two threads that train the same estimator."""
    model, run, sessions = begin(Estimator), Trainer._train, [None]

    def nested(self, *arguments):
        monkeypatch.undo()
        assert "_session" not in vars(model)
        model.partial_fit(X[SECOND], Y[SECOND])
        sessions[0] = model._session
        run(self, *arguments)

    ref = copy.deepcopy(model).partial_fit(X[FIRST], Y[FIRST])
    monkeypatch.setattr(Trainer, "_train", nested)
    model.partial_fit(X[FIRST], Y[FIRST])
    assert model._session is not sessions[0]
    # The later of the two is published, but for the curves, which both append to.
    assert_array_equal(parameters(model), parameters(ref))
    assert_goes_on(model)


def test_estimators_stream_side_by_side():
    ref = numbers(begin(MLPClassifier).partial_fit(X, Y))

    def stream():
        return [numbers(begin(MLPClassifier).partial_fit(X, Y)) for _ in range(9)]

    assert in_threads(3, stream) == [[ref] * 9] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_goes_on():
    model = begin(MLPClassifier)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=assert_goes_on, args=(model,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert_goes_on(model)


@both
def test_it_keeps_no_rows_alive(Estimator):
    model, rows = begin(Estimator), X[FIRST].copy()
    model.partial_fit(rows, Y[FIRST])
    alive = weakref.ref(rows)
    del rows
    gc.collect()
    assert alive() is None


def test_large_networks_and_teams_keep_none(monkeypatch):
    assert "_session" not in vars(begin(MLPClassifier, n_threads=2, batch_size="auto"))
    model = begin(MLPClassifier)
    monkeypatch.setattr(space, "_MOST_BYTES", 100)
    model.partial_fit(X[FIRST], Y[FIRST])
    assert "_session" not in vars(model)
    assert_goes_on(model)
