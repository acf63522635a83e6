"""Fits that callbacks watch: what they are shown, how they stop, what they break."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.estimators import _callbacks
from tests.estimators import X, Y, both, make, parameters
from tests.watched import count_threads

callback = pytest.importorskip(
    "sklearn.callback", reason="callbacks came with scikit-learn 1.9"
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """Keeps what it is shown, and acts in chosen hooks.

    Parameters
    ----------
    **actions : callable
        By name of the hook; takes the context and returns what the hook does.
    """

    def __init__(self, **actions):
        self.actions, self.calls, self.models = actions, [], []

    def _note(self, hook, context):
        self.calls.append((hook, context.task_name, context.task_id))
        return self.actions.get(hook, lambda context: None)(context)

    def setup(self, estimator, context):
        self._note("setup", context)

    def teardown(self, estimator, context):
        self._note("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        self.models.append(("begin", context.task_name, fitted_estimator))
        self._note("begin", context)

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator
    ):
        self.shown = X, y, metadata
        self.models.append(("end", context.task_name, fitted_estimator))
        return self._note("end", context)

    def models_at(self, hook, name):
        """Return the fitted estimators of such tasks, None where there was none."""
        return [model for *place, model in self.models if place == [hook, name]]


class Everywhere(Recorder):
    """One that a Pipeline or a search hands down to its estimators."""

    max_propagation_depth = None


def in_step(i, act):
    """Return an action that acts in the epoch or iteration number i."""

    def action(context):
        return act() if context.parent is not None and context.task_id == i else None

    return action


def give(error):
    raise error


def assert_same_fit(comp, ref):
    assert_array_equal(parameters(comp), parameters(ref))
    assert_array_equal(comp.predict(X), ref.predict(X))
    assert (comp.n_iter_, comp.t_, comp.loss_) == (ref.n_iter_, ref.t_, ref.loss_)
    names = ("loss_curve_", "lr_curve_", "validation_scores_", "validation_loss_curve_")
    for name in names:
        assert getattr(comp, name, None) == getattr(ref, name, None)


SOLVERS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "invscaling"},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.1},
    "float32": {"dtype": "float32"},
    "float32 lbfgs": {"dtype": "float32", "solver": "lbfgs"},
    "slopes": {"activation": ["prelu"], "dropout": 0.2},
}
every_solver = pytest.mark.parametrize("params", SOLVERS.values(), ids=SOLVERS)


def step_name(estimator):
    return "iteration" if estimator.solver == "lbfgs" else "epoch"


# -- what callbacks are shown ----------------------------------------------------------


@both
@every_solver
def test_estimator_shown_is_that_of_a_fit_of_so_many_steps(Estimator, params):
    recorder = Recorder()
    comp = make(Estimator, **params).set_callbacks(recorder).fit(X, Y)
    name = step_name(comp)
    begun, ended = (recorder.models_at(hook, name) for hook in ("begin", "end"))
    assert len(begun) == len(ended) == 3
    for i, model in enumerate(ended, start=1):
        assert_same_fit(model, make(Estimator, max_iter=i, **params).fit(X, Y))
    for before, after in zip(ended, begun[1:], strict=False):
        assert_same_fit(after, before)
    assert begun[0].n_iter_ == 0
    assert_same_fit(comp, ended[-1])
    assert_same_fit(recorder.models_at("end", "fit")[0], comp)
    assert_same_fit(comp, make(Estimator, **params).fit(X, Y))


@both
def test_estimator_shown_can_be_trained_on(Estimator):
    recorder = Recorder()
    make(Estimator).set_callbacks(recorder).fit(X, Y)
    comp = recorder.models_at("end", "epoch")[1].partial_fit(X, Y)
    ref = make(Estimator, max_iter=2).fit(X, Y).partial_fit(X, Y)
    assert_same_fit(comp, ref)


@both
@every_solver
def test_warm_start_shows_what_goes_on(Estimator, params):
    recorder = Recorder()
    comp = make(Estimator, warm_start=True, **params).fit(X, Y)
    ref = pickle.loads(pickle.dumps(comp)).set_params(max_iter=1).fit(X, Y)
    comp.set_callbacks(recorder).fit(X, Y)
    assert_same_fit(recorder.models_at("end", step_name(comp))[0], ref)


@every_solver
def test_tasks_begin_and_end_in_pairs(params):
    recorder = Recorder()
    make(MLPClassifier, **params).set_callbacks(recorder).fit(X, Y)
    name = "iteration" if params.get("solver") == "lbfgs" else "epoch"
    steps = [(hook, name, i) for i in range(3) for hook in ("begin", "end")]
    whole = [("setup", "fit", 0), ("begin", "fit", 0)]
    assert recorder.calls == [*whole, *steps, ("end", "fit", 0), ("teardown", "fit", 0)]


@pytest.mark.parametrize("max_fun", [1, 2, 3, 5, 8])
def test_iterations_cut_short_by_evaluations_end_too(max_fun):
    recorder = Recorder()
    estimator = make(MLPRegressor, solver="lbfgs", max_iter=20, max_fun=max_fun)
    estimator.set_callbacks(recorder).fit(X, 10 * Y)
    hooks = [call[0] for call in recorder.calls if call[1] == "iteration"]
    assert hooks == ["begin", "end"] * (len(hooks) // 2)
    models = recorder.models_at("end", "iteration")
    assert len([model for model in models if model is not None]) == estimator.n_iter_


@both
@pytest.mark.parametrize("form", [np.asarray, np.float32, sp.csr_matrix, pd.DataFrame])
@pytest.mark.parametrize("weights", [None, np.linspace(0, 1, 60)])
def test_callbacks_are_shown_the_users_own_data(Estimator, form, weights):
    recorder, data = Recorder(), form(X)
    if isinstance(data, pd.DataFrame):
        data.columns = list("abcd")
    make(Estimator).set_callbacks(recorder).fit(data, Y, sample_weight=weights)
    X_shown, y_shown, metadata = recorder.shown
    assert X_shown is data
    assert y_shown is Y
    assert metadata is None if weights is None else metadata["sample_weight"] is weights
    # A warning about names of features would be an error.
    recorder.models_at("end", "epoch")[0].predict(data)


def test_labels_may_be_words():
    words = np.array(["no", "yes"])[Y]
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = make(MLPClassifier).set_callbacks(monitor).fit(X, words)
    assert monitor.get_logs().data[-1]["accuracy"] == clf.score(X, words)


@every_solver
def test_scores_of_a_monitor(params):
    monitor = callback.ScoringMonitor(scoring="r2")
    estimator = make(MLPRegressor, **params).set_callbacks(monitor)
    estimator.fit(X, Y, sample_weight=np.linspace(1, 2, 60))
    log = monitor.get_logs().data
    assert [row["task_name"] for row in log] == ["fit"] + 3 * [step_name(estimator)]
    weights = np.linspace(1, 2, 60)
    ref = r2_score(Y, estimator.predict(X), sample_weight=weights)
    assert log[0]["r2"] == log[-1]["r2"] == ref
    assert len({row["r2"] for row in log}) > 1


# -- how they stop a fit ---------------------------------------------------------------


@both
@every_solver
def test_callback_stops_training_without_a_warning(Estimator, params):
    recorder = Recorder(end=in_step(1, lambda: True))
    estimator = make(Estimator, max_iter=20, **params).set_callbacks(recorder)
    with warnings.catch_warnings(action="error"):
        estimator.fit(X, Y)
    assert_same_fit(estimator, make(Estimator, max_iter=2, **params).fit(X, Y))
    assert [call[0] for call in recorder.calls[-2:]] == ["end", "teardown"]


def test_stop_in_the_last_epoch_is_no_lack_of_convergence():
    with warnings.catch_warnings(action="error", category=ConvergenceWarning):
        recorder = Recorder(end=in_step(2, lambda: True))
        clf = make(MLPClassifier).set_callbacks(recorder).fit(X, Y)
    assert clf.n_iter_ == clf.max_iter == 3


@both
@every_solver
@pytest.mark.parametrize("hook", ["begin", "end"])
def test_interrupt_in_a_callback_returns_the_model_so_far(Estimator, params, hook):
    interrupted = in_step(2, lambda: give(KeyboardInterrupt))
    recorder = Recorder(**{hook: interrupted})
    comp = make(Estimator, max_iter=20, **params).set_callbacks(recorder)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        comp.fit(X, Y)
    steps = 2 if hook == "begin" else 3
    assert_same_fit(comp, make(Estimator, max_iter=steps, **params).fit(X, Y))
    begun = [call[1:] for call in recorder.calls if call[0] == "begin"]
    ended = [call[1:] for call in recorder.calls if call[0] == "end"]
    assert sorted(begun) == sorted(ended)


# -- what they break -------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "hook, params",
    [
        *((hook, {}) for hook in ("setup", "begin", "last end", "teardown")),
        *(("end", params) for params in (*SOLVERS.values(), {"warm_start": True})),
    ],
)
def test_error_in_a_callback_leaves_the_old_model(Estimator, params, hook):
    estimator = make(Estimator, n_threads=2, **params).fit(X, Y)
    before, threads = pickle.dumps(estimator), count_threads()
    predicted, curve = estimator.predict(X), getattr(estimator, "loss_curve_", ())
    n_losses = len(curve)
    error = OSError("The disk is full.")

    def in_whole(context):
        return give(error) if context.parent is None else None

    action = {
        "begin": in_step(1, lambda: give(error)),
        "end": in_step(1, lambda: give(error)),
        "last end": in_whole,
    }.get(hook, lambda context: give(error))
    hook = hook.removeprefix("last ")
    recorder = Recorder(**{hook: action})
    estimator.set_callbacks(recorder)
    with pytest.raises(OSError, match="The disk is full") as raised:
        estimator.fit(-X, 1 - Y)
    assert raised.value is error
    assert recorder.calls[-1][0] == "teardown"
    assert count_threads() == threads
    assert pickle.dumps(estimator.set_callbacks()) == before
    assert (estimator.predict(X) == predicted).all()
    assert len(curve) == n_losses
    ref = make(Estimator, **params)
    if ref.warm_start:
        ref.fit(X, Y)
    assert_same_fit(estimator.fit(-X, 1 - Y), ref.fit(-X, 1 - Y))


def test_diverged_epoch_shows_no_model():
    recorder = Recorder()
    estimator = make(MLPRegressor, solver="sgd", learning_rate_init=1e6, max_iter=50)
    estimator.set_callbacks(recorder)
    with (
        pytest.raises(ValueError, match="diverged in epoch"),
        np.errstate(all="ignore"),
    ):
        estimator.fit(X, Y)
    *earlier, last = recorder.models_at("end", "epoch")
    assert last is None
    assert all(np.isfinite(parameters(model)).all() for model in earlier)
    assert recorder.calls[-1][0] == "teardown"


# -- where callbacks are not called ----------------------------------------------------


@both
def test_nothing_watches_where_no_callback_is_set(Estimator, monkeypatch):
    monkeypatch.setattr(_callbacks, "Watch", None)
    estimator = make(Estimator).fit(X, Y)
    with pytest.raises(TypeError, match="NoneType"):
        estimator.set_callbacks(Recorder()).fit(X, Y)
    estimator.set_callbacks().fit(X, Y)


@both
def test_partial_fit_calls_none(Estimator):
    recorder = Recorder()
    make(Estimator).fit(X, Y).set_callbacks(recorder).partial_fit(X, Y)
    assert recorder.calls == []


# -- copies and pickles ----------------------------------------------------------------


@both
def test_callbacks_are_no_parameters(Estimator):
    recorder = Recorder()
    estimator = make(Estimator)
    assert estimator.set_callbacks(recorder) is estimator
    assert estimator.get_params() == make(Estimator).get_params()
    # As scikit-learn has it, one callback watches all clones.
    clone(estimator).fit(X, Y)
    assert recorder.calls


@both
@every_solver
def test_model_saved_in_a_callback_is_whole(Estimator, params):
    """It can be loaded, predicts, and may be fitted with and without callbacks."""
    saved = []

    class Saving(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            fitted_estimator.set_callbacks()
            saved.append(pickle.dumps(fitted_estimator))

    make(Estimator, **params).set_callbacks(Saving()).fit(X, Y)
    ref = make(Estimator, **params).fit(X, Y)
    for i, data in enumerate(saved, start=1):
        loaded = pickle.loads(data)
        assert not {name for name in vars(loaded) if "callback" in name}
        if i <= 3:
            assert_same_fit(loaded, make(Estimator, max_iter=i, **params).fit(X, Y))
        assert_same_fit(loaded.fit(X, Y), ref)
        recorder = Recorder()
        assert_same_fit(loaded.set_callbacks(recorder).fit(X, Y), ref)
        assert recorder.calls


# -- inside other estimators -----------------------------------------------------------


@every_solver
def test_pipeline_hands_callbacks_down(params):
    recorder = Everywhere()
    pipeline = make_pipeline(StandardScaler(), make(MLPClassifier, **params))
    pipeline.set_callbacks(recorder).fit(X, Y)
    name = step_name(pipeline[-1])
    hooks = [call[0] for call in recorder.calls if call[1] == name]
    assert hooks == ["begin", "end"] * 3
    assert [call[0] for call in recorder.calls].count("setup") == 1
    assert not {name for name in vars(pipeline[-1]) if "callback" in name}


def test_pipeline_hands_them_to_a_transformer():
    recorder = Everywhere()
    features = make(MLPClassifier)
    make_pipeline(features, LogisticRegression()).set_callbacks(recorder).fit(X, Y)
    assert ("end", "epoch", 2) in recorder.calls


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scores_of_a_grid_search(n_jobs):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    mlp = make(MLPClassifier, n_threads=1).set_callbacks(monitor)
    search = GridSearchCV(mlp, {"alpha": [1e-3, 1.0]}, cv=2, n_jobs=n_jobs)
    search.fit(X, Y)
    log = monitor.get_logs()
    assert log.estimator_name == "GridSearchCV"
    rows = [row for row in log.data if row["task_name"] == "epoch"]
    # Two values, two folds, and the best once more; three epochs each.
    assert len(rows) == 5 * 3
    best = [row for row in rows if len(row["task_id_path"]) == 3]
    assert [row["task_id"] for row in best] == [0, 1, 2]
    assert best[-1]["accuracy"] == search.score(X, Y)


def test_progress_bars_of_a_pipeline_in_a_search(capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), make(MLPClassifier))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-3, 1.0]}, cv=2)
    bar = callback.ProgressBar(max_propagation_depth=None)
    search.set_callbacks(bar).fit(X, Y)
    out = capsys.readouterr().out
    assert "GridSearchCV - fit" in out
    assert "MLPClassifier - fit" in out
