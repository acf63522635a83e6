"""Calls that go on where others ended, fail, are interrupted, or follow a pickle."""

import copy
import inspect
import io
import itertools
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from fastmlp import MLPClassifier
from fastmlp.estimators._learning import new_optimizer, with_random_numbers
from fastmlp.kernels import Objective, Trainer
from tests.estimators import X, Y, assert_same_model, both, make, parameters, sklearns

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# -- sequences of calls ----------------------------------------------------------------

STEPS = {
    "adam": ("fit", {"solver": "adam"}),
    "sgd": ("fit", {"solver": "sgd"}),
    "lbfgs": ("fit", {"solver": "lbfgs"}),
    "stopped": ("fit", {"solver": "adam", "early_stopping": True}),
    "partial adam": ("partial_fit", {"solver": "adam"}),
    "partial sgd": ("partial_fit", {"solver": "sgd"}),
}


@both
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("steps", list(itertools.permutations(STEPS, 2)), ids="-".join)
def test_every_transition(Estimator, warm_start, steps):
    estimator = make(Estimator, warm_start=warm_start)
    t = 0
    for step in (*steps, *steps):
        method, params = STEPS[step]
        estimator.set_params(**{"early_stopping": False} | params)
        kwargs = (
            {"classes": [0, 1]}
            if "classes" in inspect.signature(getattr(estimator, method)).parameters
            else {}
        )
        getattr(estimator, method)(X, Y, **kwargs)
        anew = method == "fit" and not warm_start
        n_iter = 1 if method == "partial_fit" else 3
        if params["solver"] == "lbfgs":
            t = 0 if anew else t
        else:
            t = (0 if anew else t) + n_iter * (54 if step == "stopped" else 60)
            assert len(estimator.loss_curve_) >= n_iter
            assert (estimator.best_loss_ is None) == (step == "stopped")
            assert (estimator.validation_scores_ is None) == (step != "stopped")
            assert (estimator.best_validation_score_ is None) == (step != "stopped")
        assert estimator.t_ == t
        assert estimator.n_iter_ == n_iter
        assert np.isfinite(estimator.predict(X)).all()


@both
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_where_fit_ended(Estimator, solver):
    # Without shuffling an epoch depends on nothing but parameters and moments.
    comp = make(Estimator, solver=solver, shuffle=False, max_iter=2).fit(X, Y)
    comp.partial_fit(X, Y)
    ref = make(Estimator, solver=solver, shuffle=False, max_iter=3).fit(X, Y)
    assert_array_equal(parameters(comp), parameters(ref))
    assert comp.loss_curve_ == ref.loss_curve_


@both
def test_partial_fit_keeps_the_settings_of_its_optimizer(Estimator):
    pairs = [make(cls) for cls in (Estimator, sklearns(Estimator))]
    for estimator in pairs:
        estimator.fit(X, Y).set_params(learning_rate_init=0.5, beta_1=0.1)
        estimator.partial_fit(X, Y)
    assert_same_model(*pairs)


@both
def test_early_stopped_fit_may_be_followed_by_partial_fit(Estimator):
    # scikit-learn 1.9 raises a TypeError: best_loss_ is None.
    estimator = make(Estimator, early_stopping=True).fit(X, Y)
    ref = make(Estimator).fit(X, Y)
    ref.coefs_ = [W.copy() for W in estimator.coefs_]
    ref.intercepts_ = [b.copy() for b in estimator.intercepts_]
    ref._optimizer = new_optimizer(make(Estimator))
    estimator.set_params(early_stopping=False).partial_fit(X, Y)
    assert_array_equal(parameters(estimator), parameters(ref.partial_fit(X, Y)))
    assert estimator.best_loss_ == estimator.loss_
    assert estimator.validation_scores_ is None


@both
def test_warm_start_with_lbfgs_forgets_what_epochs_left(Estimator):
    """Scores and curves would be those of other weights."""
    params = {"early_stopping": True, "warm_start": True}
    estimator = make(Estimator, **params).fit(X, Y)
    t = estimator.t_
    estimator.set_params(solver="lbfgs", early_stopping=False).fit(X, Y)
    for name in ("loss_curve_", "validation_scores_", "best_validation_score_"):
        assert not hasattr(estimator, name)
    assert estimator.t_ == t
    estimator.set_params(solver="adam", early_stopping=True).fit(X, Y)
    assert len(estimator.loss_curve_) == estimator.n_iter_
    assert estimator.best_validation_score_ == max(estimator.validation_scores_)


@both
def test_best_weights_survive_a_warm_start_that_finds_none_better(Estimator):
    # scikit-learn 1.9 trains on the very arrays that it keeps as the best.
    estimator = make(Estimator, max_iter=50, solver="lbfgs", warm_start=True).fit(X, Y)
    estimator.set_params(early_stopping=True, validation_fraction=0.3)
    estimator.set_params(solver="sgd", max_iter=1, learning_rate_init=1e-9).fit(X, Y)
    best, score = parameters(estimator).copy(), estimator.best_validation_score_
    estimator.set_params(max_iter=5, learning_rate_init=0.3, alpha=300.0).fit(X, Y)
    assert len(estimator.validation_scores_) > 1
    assert np.nanmax(estimator.validation_scores_) <= score
    assert_array_equal(parameters(estimator), best)
    assert estimator.best_validation_score_ == score


# -- sample weights --------------------------------------------------------------------


@both
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_minibatches_of_weight_zero_are_passed_over(Estimator, solver):
    # scikit-learn 1.9 raises a ZeroDivisionError.
    weight = np.ones(60)
    weight[32:48] = 0
    estimator = make(Estimator, solver=solver, shuffle=False)
    estimator.fit(X, Y, sample_weight=weight)
    assert np.isfinite(parameters(estimator)).all()
    if solver == "sgd":
        kept = np.r_[0:32, 48:60]
        ref = make(Estimator, solver=solver, shuffle=False).fit(X[kept], Y[kept])
        assert_same_model(estimator, ref)


# -- failures --------------------------------------------------------------------------

FAILING = {
    "NaN in X": lambda e: e.fit(np.full_like(X, np.nan), Y),
    "rows": lambda e: e.fit(X, Y[:-1]),
    "other width": lambda e: e.partial_fit(X[:, :2], Y),
    "inf in weights": lambda e: e.fit(X, Y, np.full(60, np.inf)),
    "early stopping": lambda e: e.set_params(early_stopping=True).partial_fit(X, Y),
    "small split": lambda e: e.set_params(
        early_stopping=True, validation_fraction=0.01
    ).fit(X, Y),
    "divergence": lambda e: e.set_params(learning_rate_init=1e300).fit(X[:, :3], Y),
    "divergence of partial_fit": lambda e: e.set_params(alpha=np.inf).partial_fit(X, Y),
    "divergence of lbfgs": lambda e: e.set_params(solver="lbfgs").fit(X * 1e300, Y),
    "warnings as errors": lambda e: e.set_params(max_iter=1).fit(X[:, :3], Y),
    "one hidden unit too few": lambda e: e.set_params(hidden_layer_sizes=(0,)).fit(
        X[:, :3], Y
    ),
}


@both
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("failure", list(FAILING))
def test_a_failed_call_leaves_the_model_as_it_was(Estimator, failure, warm_start):
    estimator = make(Estimator, warm_start=warm_start).fit(X, Y)
    params = estimator.get_params()
    before, predicted = pickle.dumps(estimator), estimator.predict(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises((ValueError, ConvergenceWarning)):
            FAILING[failure](estimator)
    estimator.set_params(**params)
    assert pickle.dumps(estimator) == before
    assert_array_equal(estimator.predict(X), predicted)


@both
def test_a_failed_first_call_leaves_the_estimator_unfitted(Estimator):
    estimator = make(Estimator, learning_rate_init=1e300)
    before = set(vars(estimator))
    with pytest.raises(ValueError, match="non-finite"):
        estimator.fit(X, Y)
    assert set(vars(estimator)) == before


@both
def test_divergence_keeps_the_best_validation_score(Estimator):
    estimator = make(Estimator, early_stopping=True, warm_start=True).fit(X, Y)
    best = parameters(estimator).copy()
    n_scores = len(estimator.validation_scores_)
    estimator.set_params(learning_rate_init=1e300)
    with pytest.warns(ConvergenceWarning, match=r"epoch 1: .* best validation score"):
        estimator.fit(X, Y)
    assert_array_equal(parameters(estimator), best)
    assert np.isnan(estimator.validation_scores_[-1])
    assert len(estimator.validation_scores_) == n_scores + 1
    assert estimator.n_iter_ == 1


@both
def test_first_epoch_may_not_diverge_with_early_stopping(Estimator):
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        make(Estimator, early_stopping=True, learning_rate_init=1e300).fit(X, Y)


@both
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}])
@pytest.mark.parametrize("when", ["before", "within"])
def test_keyboard_interrupt_of_an_epoch(
    Estimator, when, params, n_threads, monkeypatch
):
    """Compiled code is not interrupted: Python says so when the epoch has ended."""

    class Interrupted(Trainer):
        epochs_at_once = 1

        def _train(self, *arguments):
            last = self._optimizer.t >= 8
            if last and when == "before":
                raise KeyboardInterrupt
            super()._train(*arguments)
            if last:
                raise KeyboardInterrupt

    params = {"n_threads": n_threads, **params}
    n_epochs = 2 if when == "before" else 3
    ref = make(Estimator, max_iter=n_epochs, **params).fit(X, Y)
    monkeypatch.setattr("fastmlp.estimators._learning.Trainer", Interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        comp = make(Estimator, max_iter=50, **params).fit(X, Y)
    monkeypatch.undo()
    assert comp.n_iter_ == n_epochs
    for name in ("loss_curve_", "validation_scores_", "lr_curve_", "t_"):
        assert getattr(comp, name) == getattr(ref, name)
    assert_array_equal(parameters(comp), parameters(ref))
    if not comp.early_stopping:
        comp.partial_fit(X, Y), ref.partial_fit(X, Y)
        assert_array_equal(parameters(comp), parameters(ref))


@both
@pytest.mark.parametrize("which", [5, 6])
def test_keyboard_interrupt_while_sums_are_read(Estimator, which, monkeypatch):
    """They are read twice in an epoch: the loss of the third would be 0, the best."""

    class Interrupted(Trainer):
        epochs_at_once, n_read = 1, 0

        @property
        def last_sums(self):
            self.n_read += 1
            if self.n_read == which:
                raise KeyboardInterrupt
            return super().last_sums

    ref = make(Estimator, max_iter=3).fit(X, Y)
    monkeypatch.setattr("fastmlp.estimators._learning.Trainer", Interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        comp = make(Estimator, max_iter=50).fit(X, Y)
    for name in ("loss_curve_", "best_loss_", "t_", "n_iter_"):
        assert getattr(comp, name) == getattr(ref, name)
    assert_array_equal(parameters(comp), parameters(ref))


@both
def test_keyboard_interrupt_of_several_epochs_in_one_run(Estimator, monkeypatch):
    class Interrupted(Trainer):
        epochs_at_once = 4

        def _train(self, *arguments):
            super()._train(*arguments)
            if self._optimizer.t:  # the second run
                raise KeyboardInterrupt

    monkeypatch.setattr("fastmlp.estimators._learning.Trainer", Interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        comp = make(Estimator, max_iter=50).fit(X, Y)
    monkeypatch.undo()
    ref = make(Estimator, max_iter=8).fit(X, Y)
    assert (comp.n_iter_, comp.loss_curve_) == (8, ref.loss_curve_)
    assert_array_equal(parameters(comp), parameters(ref))


@both
def test_orders_of_a_run_that_did_not_begin_are_taken_back(Estimator, monkeypatch):
    class Interrupted(Trainer):
        epochs_at_once = 4

        def _train(self, *arguments):
            if self._optimizer.t:  # the second run
                raise KeyboardInterrupt
            super()._train(*arguments)

    states = [np.random.RandomState(0) for _ in range(2)]
    ref = make(Estimator, max_iter=4, random_state=states[0]).fit(X, Y)
    monkeypatch.setattr("fastmlp.estimators._learning.Trainer", Interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        comp = make(Estimator, max_iter=50, random_state=states[1]).fit(X, Y)
    assert_array_equal(parameters(comp), parameters(ref))
    assert states[0].randint(1 << 30) == states[1].randint(1 << 30)


def halved(progress):
    return 1.0 if progress < 0.5 else 0.5


# Of them "adaptive" lowers its rate, and all end before `max_iter` but the last.
IN_RUNS = [
    {},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2},
    {"solver": "sgd", "learning_rate": "invscaling", "tol": 1e-2},
    {"learning_rate": "cosine_restarts", "T_0": 3, "shuffle": False, "tol": 1e-2},
    {"learning_rate": halved, "n_iter_no_change": np.inf},
]


@both
@pytest.mark.parametrize("params", IN_RUNS)
def test_epochs_in_runs_are_as_one_by_one(Estimator, params, monkeypatch):
    models = []
    for n in (1, 3, 1000):
        monkeypatch.setattr(Trainer, "epochs_at_once", n)
        random_state = np.random.RandomState(4)
        model = make(Estimator, max_iter=40, random_state=random_state, **params)
        model.fit(X, Y)
        model.partial_fit(X, Y)
        models.append((model, random_state.randint(1 << 30)))
    (ref, drawn), *others = models
    for comp, number in others:
        assert number == drawn
        assert_array_equal(parameters(comp), parameters(ref))
        for name in (
            "n_iter_",
            "t_",
            "loss_curve_",
            "lr_curve_",
            "best_loss_",
            "_no_improvement_count",
        ):
            assert getattr(comp, name) == getattr(ref, name)
        assert comp._optimizer.learning_rate == ref._optimizer.learning_rate


@both
@pytest.mark.parametrize("n_epochs", [1, 3, 1000])
def test_rate_that_raises_once_in_an_epoch_of_a_run(Estimator, n_epochs, monkeypatch):
    """The function is not called a second time for the epoch of its error."""
    monkeypatch.setattr(Trainer, "epochs_at_once", n_epochs)
    calls = []

    def rate(progress):
        calls.append(progress)
        if len(calls) == 5 * n_steps:
            raise ArithmeticError("in the fifth epoch")
        return 1.0

    n_steps = -(-len(X) // 50)
    params = {"learning_rate": rate, "batch_size": 50, "n_iter_no_change": np.inf}
    with pytest.raises(ArithmeticError, match="in the fifth epoch"):
        make(Estimator, max_iter=20, **params).fit(X, Y)
    assert len(calls) == 5 * n_steps
    calls.clear()
    assert make(Estimator, max_iter=4, **params).fit(X, Y).n_iter_ == 4


@both
def test_rate_is_computed_when_its_epoch_begins(Estimator, monkeypatch):
    """Ahead, a function would draw before the shuffling, and for epochs too many."""
    found = []
    for n in (1, 3, 1000):
        monkeypatch.setattr(Trainer, "epochs_at_once", n)
        random_state, calls = np.random.RandomState(0), []

        def rate(progress, random_state=random_state, calls=calls):
            calls.append(progress)
            return random_state.uniform(0.5, 1.0)

        params = {"learning_rate": rate, "random_state": random_state, "tol": 0.1}
        model = make(Estimator, max_iter=50, n_iter_no_change=2, batch_size=60)
        model.set_params(**params).fit(X, Y)
        assert len(calls) == model.n_iter_ < 50
        found.append((model.loss_curve_, model.lr_curve_, random_state.randint(1000)))
    assert found == [found[0]] * 3


@both
@pytest.mark.parametrize("n_epochs", [1, 3, 1000])
def test_rates_that_end_in_an_epoch_of_a_run(Estimator, n_epochs, monkeypatch):
    monkeypatch.setattr(Trainer, "epochs_at_once", n_epochs)
    params = {"n_iter_no_change": np.inf, "batch_size": 60}
    states = [np.random.RandomState(0) for _ in range(2)]
    ref = make(Estimator, max_iter=5, random_state=states[0], **params).fit(X, Y)
    rates = iter([1.0] * 5)
    comp = make(Estimator, max_iter=9, random_state=states[1], **params)
    with pytest.raises(StopIteration):
        comp.set_params(learning_rate=lambda progress: next(rates)).fit(X, Y)
    assert states[0].randint(1 << 30) == states[1].randint(1 << 30)

    def interrupted(progress):
        if progress > 0.5:
            raise KeyboardInterrupt
        return 1.0

    comp.set_params(learning_rate=interrupted, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        comp.fit(X, Y)
    assert comp.loss_curve_ == ref.loss_curve_


@both
def test_divergence_names_the_epoch_in_a_run_of_several(Estimator, monkeypatch):
    messages = set()
    for n in (1, 1000):
        monkeypatch.setattr(Trainer, "epochs_at_once", n)
        diverges = make(Estimator, solver="sgd", max_iter=50, learning_rate_init=1e30)
        with pytest.raises(ValueError, match="diverged in epoch") as caught:
            diverges.fit(X, Y)
        messages.add(str(caught.value))
    assert len(messages) == 1


@both
def test_keyboard_interrupt_of_lbfgs(Estimator, monkeypatch):
    class Interrupted(Objective):
        n_evaluations = 0

        def loss_gradient(self, data, alpha, gradient):
            self.n_evaluations += 1
            if self.n_evaluations > 10:
                raise KeyboardInterrupt
            return super().loss_gradient(data, alpha, gradient)

    monkeypatch.setattr("fastmlp.estimators._learning.Objective", Interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        comp = make(Estimator, solver="lbfgs", max_iter=50).fit(X, Y)
    monkeypatch.undo()
    assert 0 < comp.n_iter_ < 10
    ref = make(Estimator, solver="lbfgs", max_iter=comp.n_iter_).fit(X, Y)
    assert_array_equal(parameters(comp), parameters(ref))
    assert comp.loss_ == ref.loss_


# -- pickles ---------------------------------------------------------------------------


def test_unpicklable_things_are_not_there():
    estimator = make(MLPClassifier).fit(X, Y)
    allowed = ("numpy", "sklearn", "fastmlp.estimators.classifier")

    class Checked(pickle.Unpickler):
        def find_class(self, module, name):
            assert module.startswith(allowed), f"{module}.{name}"
            return super().find_class(module, name)

    loaded = Checked(io.BytesIO(pickle.dumps(estimator))).load()
    assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))


@both
@pytest.mark.parametrize(
    "params, n_vectors",
    [
        ({"solver": "adam"}, 3),
        ({"solver": "sgd"}, 2),
        ({"solver": "sgd", "momentum": 0}, 1),
        ({"solver": "lbfgs"}, 1),
        ({"solver": "adam", "early_stopping": True}, 1),
    ],
    ids=str,
)
def test_pickle_holds_the_weights_once_and_only_moments_of_use(
    Estimator, params, n_vectors
):
    sizes = {"hidden_layer_sizes": (400,), "max_iter": 1}
    estimator = make(Estimator, **sizes, **params).fit(X, Y)
    n_bytes = n_vectors * parameters(estimator).nbytes
    assert n_bytes < len(pickle.dumps(estimator)) < n_bytes + 6000


@both
def test_a_copy_is_not_trained_along(Estimator):
    estimator = make(Estimator).fit(X, Y)
    other = copy.copy(estimator)
    before = parameters(other).copy()
    other_predicted = other.predict(X)
    other.partial_fit(X, Y)
    assert_array_equal(parameters(estimator), before)
    assert_array_equal(estimator.predict(X), other_predicted)


def test_random_numbers_are_those_of_check_random_state():
    for seed in (0, np.int64(7), 2**32 - 1):
        ref = check_random_state(seed)

        def outer_call(outer, seed=seed, ref=ref):
            def inner_call(inner):
                assert inner is not outer
                inner.normal()  # keeps a second number, which seeding has to forget

            with_random_numbers(seed, inner_call)
            assert outer.uniform() == ref.uniform()

        with_random_numbers(seed, outer_call)
        normal = with_random_numbers(seed, lambda again: again.normal())
        assert normal == check_random_state(seed).normal()
    for given in (None, np.random.RandomState(0)):
        found = with_random_numbers(given, lambda found: found)
        assert found is check_random_state(given)
    for wrong in (-1, 2**32):
        with pytest.raises(ValueError, match="between 0 and"):
            with_random_numbers(wrong, lambda unused: None)
