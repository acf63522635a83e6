"""Estimators that are trained step by step."""

import warnings

import numpy as np
import pytest

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.playground import learners
from fastmlp.playground.learners import Epochs, Iterations

X = np.random.RandomState(0).normal(size=(40, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
ROWS = X, Y
KEYS = {"classes": [0, 1]}
SMALL = {"hidden_layer_sizes": (3,), "batch_size": 8}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*failed to converge")
        yield


def test_epochs_are_those_of_partial_fit():
    learner = Epochs(MLPClassifier, SMALL, 3, ROWS, KEYS)
    ref = MLPClassifier(**SMALL, random_state=np.random.RandomState(3))
    for _ in range(3):
        assert learner.step(ROWS)
        ref.partial_fit(*ROWS, **KEYS)
        np.testing.assert_array_equal(learner.model.coefs_[0], ref.coefs_[0])


def test_epochs_go_on_after_a_step_that_diverges():
    """With the same random numbers, as if there had been none."""
    parameters = SMALL | {"solver": "sgd", "learning_rate_init": 0.1}
    pair = [Epochs(MLPRegressor, parameters, 0, (X, X[:, 0]), {}) for _ in range(2)]
    for learner in pair:
        learner.step((X, X[:, 0]))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="non-finite"):
        pair[0].step((X, 1e200 * X[:, 0]))
    for learner in pair:
        learner.step((X, X[:, 0]))
    comp, ref = (learner.model.coefs_[0] for learner in pair)
    np.testing.assert_array_equal(comp, ref)


@pytest.mark.parametrize("ahead", [1, 4, 64])
def test_iterations_are_those_of_fit(monkeypatch, ahead):
    monkeypatch.setattr(learners, "LOOK_AHEAD", ahead)
    parameters = {"hidden_layer_sizes": (3,), "solver": "lbfgs", "alpha": 1.0}
    learner = Iterations(MLPClassifier, parameters, 3, ROWS, KEYS)
    n = 0
    while learner.step(ROWS):
        n += 1
        ref = MLPClassifier(**parameters, max_iter=n, random_state=3).fit(*ROWS)
        np.testing.assert_array_equal(learner.model.coefs_[0], ref.coefs_[0])
        np.testing.assert_array_equal(learner.model.predict(X), ref.predict(X))
        assert learner.model.get_params() == ref.get_params()
        assert learner.model.n_iter_ == n
    ref = MLPClassifier(**parameters, random_state=3).fit(*ROWS)
    assert ref.n_iter_ == n
    assert not learner.step(ROWS)


def test_iterations_of_a_minimum():
    parameters = {"hidden_layer_sizes": (3,), "solver": "lbfgs", "tol": 1e3}
    learner = Iterations(MLPClassifier, parameters, 0, ROWS, KEYS)
    before = learner.model.coefs_[0].copy()
    assert not learner.step(ROWS)
    np.testing.assert_array_equal(learner.model.coefs_[0], before)
