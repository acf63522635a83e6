"""Schedules and initial weights in the estimators: what is used, kept and continued."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.network.initializers import INITIALIZERS
from fastmlp.training.schedules import SCHEDULES
from tests.estimators import X, Y, both, make, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PER_STEP = ["cosine", "cosine_restarts", "one_cycle"]
NEW = [*PER_STEP, "step", "exponential"]


def halved(progress):
    return 1.0 if progress < 0.5 else 0.5


@both
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_curve_holds_the_rate_of_each_epochs_first_step(Estimator, solver):
    comp = make(Estimator, solver=solver, learning_rate="cosine_restarts", T_0=2)
    comp.set_params(max_iter=5, learning_rate_init=0.01, eta_min=0.002).fit(X, Y)
    assert_allclose(comp.lr_curve_, [0.01, 0.006, 0.01, 0.006, 0.01])
    comp.set_params(learning_rate=halved, max_iter=4, T_0=None, eta_min=None)
    assert_allclose(comp.fit(X, Y).lr_curve_, [0.01, 0.01, 0.005, 0.005])


def test_a_callable_may_raise_for_epochs_that_are_not_reached():
    def rate(progress):
        if progress > 0.5:
            raise RuntimeError
        return 1.0

    params = {"learning_rate": rate, "tol": 1.0, "n_iter_no_change": 9}
    model = make(MLPRegressor, solver="sgd", max_iter=100, **params).fit(X, Y)
    assert model.n_iter_ < 50
    with pytest.raises(RuntimeError):
        model.set_params(tol=0.0, n_iter_no_change=100).fit(X, Y)


@both
def test_curve_of_scikit_learns_schedules(Estimator):
    comp = make(Estimator, solver="sgd", learning_rate="invscaling").fit(X, Y)
    ref = 0.001 / np.sqrt([1, 61, 121])
    assert_allclose(comp.lr_curve_, ref)
    comp = make(Estimator).fit(X, Y)
    assert comp.lr_curve_ == [0.001] * 3
    assert not hasattr(make(Estimator, solver="lbfgs").fit(X, Y), "lr_curve_")


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_callable_of_one_is_the_constant_rate(solver):
    comp = make(MLPRegressor, solver=solver, learning_rate=lambda x: 1).fit(X, Y)
    ref = make(MLPRegressor, solver=solver).fit(X, Y)
    assert_array_equal(parameters(comp), parameters(ref))


def until_the_end(progress):
    return 1.0 if progress < 1 else 0.0


def from_zero(progress):
    return progress


@pytest.mark.parametrize("learning_rate", [*NEW, "constant", until_the_end, from_zero])
def test_a_stream_whose_rate_has_come_to_zero_warns_once(learning_rate):
    comp = make(MLPRegressor, learning_rate=learning_rate, max_iter=4)
    rates, warned = [], []
    for call in range(7):
        with warnings.catch_warnings(record=True, action="always") as record:
            before = parameters(comp) if call else None
            rates.append(comp.partial_fit(X, Y).lr_curve_[-1])
        warned += [(call, str(each.message)) for each in record]
        assert (call < 4 or rates[-1] > 0) or (parameters(comp) == before).all()
    ended = learning_rate in ("cosine", until_the_end)
    assert [call for call, _ in warned] == [4] * ended
    assert all("ended after max_iter=4 calls" in message for _, message in warned)
    assert (rates[-1] == 0) == ended


@both
@pytest.mark.parametrize("learning_rate", [*NEW, halved])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_in_the_schedule(Estimator, solver, learning_rate):
    params = {"solver": solver, "learning_rate": learning_rate, "shuffle": False}
    params |= {"max_iter": 4, "learning_rate_init": 0.01}
    ref = make(Estimator, **params).fit(X, Y)
    comp = make(Estimator, **params)
    classes = {"classes": [0, 1]} if Estimator is MLPClassifier else {}
    for _ in range(2):
        comp.partial_fit(X, Y, **classes)
    comp = pickle.loads(pickle.dumps(comp))
    for _ in range(2):
        comp.partial_fit(X, Y)
    assert_array_equal(comp.lr_curve_, ref.lr_curve_)
    assert_array_equal(parameters(comp), parameters(ref))


def test_schedule_starts_anew_with_fit():
    comp = make(MLPRegressor, learning_rate="exponential", gamma=0.5, warm_start=True)
    comp.fit(X, Y).fit(X, Y)
    assert_allclose(comp.lr_curve_, np.tile([1, 0.5, 0.25], 2) * 1e-3)


@both
@pytest.mark.parametrize("learning_rate", NEW)
def test_plateau_ends_training_whatever_the_schedule(Estimator, learning_rate):
    comp = make(Estimator, learning_rate=learning_rate, max_iter=50, tol=1e9)
    assert comp.set_params(n_iter_no_change=2).fit(X, Y).n_iter_ < 10


@both
@pytest.mark.parametrize("init", INITIALIZERS)
def test_init_reaches_the_network(Estimator, init):
    comp = make(Estimator, init=init, init_scale=0.5, learning_rate_init=1e-12)
    comp.set_params(max_iter=1).fit(X, Y)
    ref = INITIALIZERS[init](np.random.RandomState(0), 4, 5, "relu")
    assert_allclose(comp.coefs_[0], 0.5 * ref[0], atol=1e-9)
    assert_allclose(comp.intercepts_[0], ref[1], atol=1e-9)


def test_every_schedule_and_scheme_in_a_grid_on_real_data():
    X_real, y_real = load_breast_cancer(return_X_y=True)
    mlp = MLPClassifier((8,), learning_rate_init=0.02, max_iter=20, random_state=0)
    pipeline = make_pipeline(StandardScaler(), mlp)
    grid = [
        {"mlpclassifier__learning_rate": [*NEW, halved]},
        {"mlpclassifier__init": list(INITIALIZERS)},
        {"mlpclassifier__class_weight": ["balanced", {0: 2.0}]},
        {
            "mlpclassifier__early_stopping": [True],
            "mlpclassifier__scoring": ["loss", "roc_auc"],
        },
    ]
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(X_real, y_real)
    assert search.cv_results_["mean_test_score"].min() > 0.9


def test_adding_a_schedule_is_one_row(monkeypatch):
    class Toy(SCHEDULES["constant"]):
        sgd_only = False

        def before_epoch(self, rate, epoch, n_steps):
            return self.learning_rate_init / (1 + epoch)

    monkeypatch.setitem(SCHEDULES, "toy", Toy)
    comp = make(MLPRegressor, learning_rate="toy", learning_rate_init=0.06).fit(X, Y)
    assert_allclose(comp.lr_curve_, [0.06, 0.03, 0.02])
