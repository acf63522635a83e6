"""Searches on a cluster: successive halving, and trials that Optuna prunes."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV

from fastmlp import MLPClassifier
from tests.cluster.fits import X, Y
from tests.estimators import BEFORE_1_9, make

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


class Prune:
    """The callback of the guide."""

    def __init__(self, trial, X_val, y_val):
        self.trial, self.X_val, self.y_val, self.epoch = trial, X_val, y_val, 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name != "epoch":
            return False
        self.epoch += 1
        score = fitted_estimator.score(self.X_val, self.y_val)
        self.trial.report(score, self.epoch)
        return self.trial.should_prune()


def test_the_guide_has_this_callback():
    import inspect

    from tests.test_docs import ROOT

    page = (ROOT / "docs" / "guide" / "cluster.md").read_text("utf-8")
    body = inspect.getsource(Prune).split('callback of the guide."""\n\n')[1]
    assert body.replace("    ", "        ", 1).strip()[:40] in page
    for line in body.splitlines():
        assert line.strip() in page


@pytest.mark.skipif(BEFORE_1_9, reason="callbacks came with scikit-learn 1.9")
def test_optuna_prunes_trials():
    """Those with a rate that learns nothing end early."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    epochs = {}

    def objective(trial):
        rate = trial.suggest_categorical("learning_rate_init", [0.01, 1e-7])
        clf = make(MLPClassifier, learning_rate_init=rate, max_iter=30)
        clf.set_callbacks(Prune(trial, X[200:], Y[200:])).fit(X[:200], Y[:200])
        epochs.setdefault(rate, []).append(clf.n_iter_)
        if trial.should_prune():
            raise optuna.TrialPruned
        return clf.score(X[200:], Y[200:])

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.GridSampler({"learning_rate_init": [0.01, 1e-7]}, 0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=3),
    )
    study.enqueue_trial({"learning_rate_init": 0.01})
    study.enqueue_trial({"learning_rate_init": 1e-7})
    study.optimize(objective, n_trials=2)
    assert study.best_params == {"learning_rate_init": 0.01}
    assert np.max(epochs[1e-7]) < 30
