"""Beside other libraries, of which each test needs one: skrub, MAPIE, Optuna, SHAP, ...

The extra `ecosystem` installs them.
"""

import re

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from tests.ecosystem.test_tools import X_IRIS, Y_IRIS, small_classifier
from tests.estimators import BEFORE_1_9
from tests.silent_callback import SilentCallback

RNG = np.random.default_rng(0)
N = 300
TABLE = pd.DataFrame(
    {
        "size": RNG.uniform(-1, 1, size=N),
        "noise": RNG.uniform(-1, 1, size=N),
        "letter": RNG.choice(list("abc"), size=N),
    }
)
Y = 2 * TABLE["size"] + (TABLE["letter"] == "a") + RNG.normal(size=N) * 0.1
LABELS = np.where(Y > 0.3, "high", "low")


def small(Estimator, **params):
    """Return an estimator for tables that trains in a moment."""
    defaults = {"n_networks": 2, "max_epochs": 20, "random_state": 0}
    return Estimator(hidden_layer_sizes=(16,), **defaults | params)


# -- skrub: tables with dates and texts ------------------------------------------------


@pytest.mark.parametrize("model", [small(TabularClassifier), small_classifier()])
def test_tabular_pipeline(model):
    skrub = pytest.importorskip("skrub")
    dates = pd.Timestamp("2020-01-01") + pd.to_timedelta(100 * Y.round(2), unit="D")
    table = TABLE.drop(columns="size").assign(visit=dates)
    table.loc[::20, "noise"] = np.nan
    pipeline = skrub.tabular_pipeline(model).fit(table, LABELS)
    # Only the date says how large Y is.
    assert pipeline.score(table, LABELS) > 0.9
    assert isinstance(pipeline[-1], type(model))


# -- MAPIE: conformal intervals and sets -----------------------------------------------

# It tries whether a model is fitted with an array of zeros, which a column of strings
# refuses: categories are coded as numbers.
without_names = pytest.mark.filterwarnings("ignore:X does not have valid feature names")
LETTERS = np.unique(TABLE["letter"])
CODED = TABLE.assign(letter=np.searchsorted(LETTERS, TABLE["letter"]))


def three_parts(X, y):
    """Return X and y in three parts: to train, to conformalize, to test."""
    X_train, X, y_train, y = train_test_split(X, y, train_size=0.4, random_state=0)
    halves = train_test_split(X, y, train_size=0.5, random_state=0)
    return (X_train, *halves[:2]), (y_train, *halves[2:])


@without_names
@pytest.mark.parametrize("prefit", [False, True])
def test_split_conformal_regressor(prefit):
    regression = pytest.importorskip("mapie.regression")
    X, y = three_parts(CODED, Y)
    model = small(TabularRegressor, categorical_features=["letter"])
    if prefit:
        model.fit(X[0], y[0])
    conformal = regression.SplitConformalRegressor(model, 0.8, prefit=prefit)
    if not prefit:
        conformal.fit(X[0], y[0])
    conformal.conformalize(X[1], y[1])
    points, intervals = conformal.predict_interval(X[2])
    ref = clone(model).fit(X[0], y[0]).predict(X[2])
    assert_allclose(points, ref)
    low, high = intervals[:, :, 0].T
    assert 0.65 < np.mean((low <= y[2]) & (y[2] <= high)) < 0.95
    assert_allclose(high - points, points - low)


def test_conformalized_quantiles():
    """Three networks, since MAPIE takes one quantile from each."""
    regression = pytest.importorskip("mapie.regression")
    x = RNG.uniform(0, 2, (1000, 1))
    X, y = three_parts(x, RNG.normal(scale=0.1 + x[:, 0]))
    networks = [
        MLPRegressor(
            ("quantile", level), learning_rate_init=0.01, tol=1e-3, random_state=0
        ).fit(X[0], y[0])
        for level in (0.1, 0.9, 0.5)
    ]
    conformal = regression.ConformalizedQuantileRegressor(networks, 0.8, prefit=True)
    conformal.conformalize(X[1], y[1])
    points, intervals = conformal.predict_interval(X[2])
    assert_array_equal(points, networks[2].predict(X[2]))
    low, high = intervals[:, :, 0].T
    assert 0.7 < np.mean((low <= y[2]) & (y[2] <= high)) < 0.9
    width, place = high - low, X[2][:, 0]
    assert width[place > 1.5].mean() > 2 * width[place < 0.5].mean()


@without_names
@pytest.mark.parametrize(
    "model, X, y",
    [
        (small(TabularClassifier, categorical_features=["letter"]), CODED, LABELS),
        (small_classifier(), X_IRIS, Y_IRIS),
    ],
)
def test_conformal_sets(model, X, y):
    classification = pytest.importorskip("mapie.classification")
    X, y = three_parts(X, y)
    conformal = classification.SplitConformalClassifier(model.fit(X[0], y[0]), 0.9)
    conformal.conformalize(X[1], y[1])
    labels, sets = conformal.predict_set(X[2])
    assert_array_equal(labels, model.predict(X[2]))
    columns = np.searchsorted(model.classes_, y[2])
    assert sets[np.arange(len(labels)), columns, 0].mean() > 0.8


# -- Optuna: trials pruned after any epoch ---------------------------------------------


class Pruning(SilentCallback):
    """A callback that reports each epoch's score to a trial of Optuna."""

    def __init__(self, trial, X, y):
        self._trial, self._X, self._y = trial, X, y

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        import optuna

        if context.task_name == "epoch":
            score = fitted_estimator.score(self._X, self._y)
            self._trial.report(score, context.task_id)
            if self._trial.should_prune():
                raise optuna.TrialPruned


RATES = [0.01, 1e-6]


def score_of(trial):
    """Return the score of a network, one of whose rates is too small."""
    X, y = load_digits(return_X_y=True)
    X, X_val, y, y_val = train_test_split(X / 16, y, random_state=0)
    rate = RATES[trial.suggest_int("rate", 0, 1)]
    network = MLPClassifier(learning_rate_init=rate, max_iter=8, random_state=0)
    network.set_callbacks(Pruning(trial, X_val, y_val))
    return network.fit(X, y).score(X_val, y_val)


def study_in(storage):
    """Return a study that first tries the better rate; made if it is not there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="rates",
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.GridSampler({"rate": [0, 1]}),
        pruner=optuna.pruners.PercentilePruner(50, n_startup_trials=1),
    )


def assert_one_is_pruned(study):
    good, bad = study.trials
    assert good.state.name == "COMPLETE"
    assert len(good.intermediate_values) == 8
    assert good.intermediate_values[7] == good.value
    assert bad.state.name == "PRUNED"
    assert len(bad.intermediate_values) < 8


@pytest.mark.skipif(BEFORE_1_9, reason="callbacks came with scikit-learn 1.9")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_optuna_prunes_after_an_epoch():
    pytest.importorskip("optuna")
    study = study_in(None)
    study.enqueue_trial({"rate": 0})
    study.enqueue_trial({"rate": 1})
    study.optimize(score_of, n_trials=2)
    assert_one_is_pruned(study)


def storage_in(path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def try_one(path):
    """Run the next trial of a study in a file, on a worker."""
    import warnings

    warnings.simplefilter("ignore")
    study_in(storage_in(path)).optimize(score_of, n_trials=1)


@pytest.mark.timeout(120)
@pytest.mark.skipif(BEFORE_1_9, reason="callbacks came with scikit-learn 1.9")
def test_optuna_prunes_by_the_trials_of_other_workers(tmp_path):
    pytest.importorskip("optuna")
    path = tmp_path / "study"
    study = study_in(storage_in(path))
    study.enqueue_trial({"rate": 0})
    study.enqueue_trial({"rate": 1})
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(**options) as client:
        for address in client.nthreads():
            client.submit(try_one, path, workers=[address], pure=False).result()
    assert_one_is_pruned(study)


# -- SHAP ------------------------------------------------------------------------------


def test_shap_of_probabilities():
    shap = pytest.importorskip("shap")
    model = small_classifier().fit(X_IRIS, Y_IRIS)
    explainer = shap.explainers.Permutation(model.predict_proba, X_IRIS[::10], seed=0)
    found = explainer(X_IRIS[:5])
    assert found.values.shape == (5, 4, 3)
    total = found.base_values + found.values.sum(axis=1)
    assert_allclose(total, model.predict_proba(X_IRIS[:5]), atol=1e-6)
    assert_allclose(
        found.base_values[0], model.predict_proba(X_IRIS[::10]).mean(axis=0), atol=1e-6
    )


def test_shap_by_kernel_finds_the_coefficients_of_a_linear_network():
    shap = pytest.importorskip("shap")
    X = RNG.normal(size=(100, 3))
    model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", max_iter=1000)
    model.fit(X, X @ [3.0, -1.0, 0.0] + 5)
    found = shap.KernelExplainer(model.predict, X[:20]).shap_values(X[20:23])
    ref = (X[20:23] - X[:20].mean(axis=0)) * [3, -1, 0]
    assert_allclose(found, ref, atol=0.02)


@pytest.mark.parametrize("kind", ["permutation", "kernel"])
def test_shap_of_mixed_tables(kind):
    """SHAP's masks are arrays: categories go in as codes, and come back as names."""
    shap = pytest.importorskip("shap")
    model = small(TabularClassifier).fit(TABLE, LABELS)
    coded = CODED.to_numpy()

    def high(X):
        table = pd.DataFrame(X, columns=TABLE.columns)
        table["letter"] = LETTERS[table["letter"].astype(int)]
        return model.predict_proba(table)[:, 0]

    if kind == "permutation":
        found = shap.explainers.Permutation(high, coded[:40], seed=0)(coded[40:60])
        values, base = found.values, found.base_values[0]
    else:
        explainer = shap.KernelExplainer(high, coded[:40])
        values, base = explainer.shap_values(coded[40:60]), explainer.expected_value
    assert_allclose(base + values.sum(axis=1), high(coded[40:60]), atol=1e-5)
    importances = abs(values).mean(axis=0)
    assert importances.argmax() == 0
    assert importances.argmin() == 1
    is_a = TABLE["letter"][40:60] == "a"
    assert values[is_a, 2].min() > values[~is_a, 2].max() - 0.1


# -- skops: a card beside the file -----------------------------------------------------


@pytest.mark.parametrize("model", [small(TabularClassifier), small_classifier()])
def test_model_card(tmp_path, model):
    card = pytest.importorskip("skops.card")
    model.fit(TABLE if isinstance(model, TabularClassifier) else X_IRIS[:, :3],
              LABELS if isinstance(model, TabularClassifier) else Y_IRIS)  # fmt: skip
    written = card.Card(model)
    written.add_metrics(accuracy=0.9)
    written.save(tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text("utf-8")
    for name, value in model.get_params().items():
        assert re.search(rf"\| +{name} +\| +{re.escape(str(value))} +\|", text)
    assert re.search(r"\| +accuracy +\| +0.9 +\|", text)


# -- emlearn: C for microcontrollers ---------------------------------------------------


@pytest.fixture
def emlearn(tmp_path, monkeypatch):
    """Return the package, whose import has NumPy raise where it else rounds to 0."""
    monkeypatch.chdir(tmp_path)  # it compiles in a folder `tmp`
    with np.errstate():
        yield pytest.importorskip("emlearn")


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
def test_emlearn_classifier(emlearn, activation, tmp_path):
    model = small_classifier(activation=activation, dtype="float32")
    model.fit(X_IRIS, Y_IRIS)
    converted = emlearn.convert(model, method="inline")
    comp = converted.predict(X_IRIS)
    assert np.mean(comp == model.predict(X_IRIS)) > 0.98
    code = converted.save(name="iris", file=tmp_path / "iris.h")
    assert "iris_predict" in code


def test_emlearn_regressor(emlearn):
    y = X_IRIS @ [1.0, -1.0, 0.5, 0.0]
    model = make_pipeline(
        StandardScaler(), MLPRegressor(solver="lbfgs", max_iter=500, random_state=0)
    ).fit(X_IRIS, y)
    converted = emlearn.convert(model[-1], return_type="regressor")
    X = model[0].transform(X_IRIS)
    assert_allclose(converted.predict(X), model[-1].predict(X), atol=1e-3)
