"""Losses, output activations and smoothed labels as parameters of the estimators."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import hinge_loss, mean_pinball_loss, r2_score

from fastmlp import MLPClassifier, MLPRegressor, inspection
from fastmlp.estimators._fitted import goal_of
from fastmlp.estimators._pairings import CLASSIFICATION_LOSSES, paired
from tests.estimators import make, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
REAL = X[:, 0] - X[:, 1] / 2
CLASSES = {
    "binary": np.where(REAL > 0, "yes", "no"),
    "multiclass": np.digitize(REAL, [-0.5, 0.5]),
    "multilabel": np.c_[REAL > 0, X[:, 2] > 0.3, REAL < -0.5].astype(int),
}
LEVELS = [0.1, 0.5, 0.9]
REGRESSIONS = [
    {"loss": "squared_error"},
    {"loss": "absolute_error"},
    {"loss": "huber"},
    {"loss": ("huber", 0.3)},
    {"loss": "quantile"},
    {"loss": ("quantile", 0.4)},
    {"loss": ("quantile", LEVELS)},
    {"loss": "poisson"},
    {"loss": "gamma"},
    {"loss": "log_loss"},
    {"loss": "squared_error", "out_activation": "logistic"},
]
CLASSIFICATIONS = [
    *({"loss": loss} for loss in CLASSIFICATION_LOSSES),
    {"label_smoothing": 0.1},
]
QUANTILES = {"loss": ("quantile", LEVELS)}

by_setting = pytest.mark.parametrize("setting", REGRESSIONS, ids=str)
by_loss = pytest.mark.parametrize("setting", CLASSIFICATIONS, ids=str)
by_kind = pytest.mark.parametrize("kind", CLASSES)


def _targets(setting, y):
    """Return y, squeezed into [0, 1] where outputs are logistic, otherwise above 0."""
    y = y - y.min()
    logistic = setting["loss"] == "log_loss" or "out_activation" in setting
    return y / np.ptp(y) if logistic else y + 0.1


def _name(setting):
    loss = setting.get("loss", "log_loss")
    return loss if isinstance(loss, str) else loss[0]


# -- whatever trains, trains with every loss -------------------------------------------


STOPPING = {"early_stopping": True, "validation_fraction": 0.3}


@by_kind
@by_loss
@pytest.mark.parametrize(
    "solver, stopping",
    [("sgd", {}), ("sgd", STOPPING), ("adam", {}), ("adam", STOPPING), ("lbfgs", {})],
)
def test_classifier_trains(solver, stopping, setting, kind):
    y = CLASSES[kind]
    model = make(
        MLPClassifier, solver=solver, max_iter=80, learning_rate_init=0.05,
        n_iter_no_change=80, **stopping, **setting,
    )  # fmt: skip
    model.fit(X, y, sample_weight=np.linspace(0.5, 1.5, 60))
    assert model.score(X, y) > (0.6 if kind == "multilabel" else 0.8)
    assert [model.out_activation_] == list(paired(kind)[_name(setting)])
    if solver != "lbfgs":
        assert model.loss_curve_[-1] < model.loss_curve_[0]
    if stopping:
        assert 0 <= model.best_validation_score_ <= 1
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))


@by_setting
@pytest.mark.parametrize(
    "solver, stopping, n_outputs",
    [
        *[("sgd", {}, 1), ("sgd", STOPPING, 1), ("adam", {}, 1), ("lbfgs", {}, 1)],
        ("adam", STOPPING, 2),
    ],
)
def test_regressor_trains(solver, stopping, n_outputs, setting):
    if setting == QUANTILES and n_outputs > 1:
        pytest.skip("several levels are for one column")
    Y = np.c_[REAL, X[:, 2]][:, :n_outputs]
    y = _targets(setting, Y)
    model = make(
        MLPRegressor, solver=solver, max_iter=100, learning_rate_init=0.01,
        n_iter_no_change=100, hidden_layer_sizes=(10,), **stopping, **setting,
    )  # fmt: skip
    y = y.ravel() if n_outputs == 1 else y
    model.fit(X, y, sample_weight=np.linspace(0.5, 1.5, 60))
    assert model.score(X, y) > (-0.4 if setting == QUANTILES else 0.2)
    if solver != "lbfgs":
        assert model.loss_curve_[-1] < model.loss_curve_[0]
    shape = (60, 3) if setting == QUANTILES else (60,) if n_outputs == 1 else (60, 2)
    assert model.predict(X).shape == shape
    assert model.n_outputs_ == (3 if setting == QUANTILES else n_outputs)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))


def test_settings_survive_clone_partial_fit_and_warm_start():
    model = make(MLPRegressor, **QUANTILES, warm_start=True)
    assert clone(model).get_params() == model.get_params()
    y = REAL
    shape = model.fit(X, y).fit(X, y).partial_fit(X, y).predict(X).shape
    assert shape == (60, 3)
    assert_array_equal(model.quantiles_, LEVELS)
    model.set_params(loss="huber", warm_start=False).fit(X, y)
    assert not hasattr(model, "quantiles_")
    assert model.predict(X).shape == (60,)


# -- what each loss means --------------------------------------------------------------


def test_reported_losses_are_the_formulas():
    """Of the start: one step at a rate that changes nothing."""
    still = {"learning_rate_init": 1e-30, "solver": "sgd", "max_iter": 1, "alpha": 0.0}
    y, pick = np.abs(REAL) + 0.1, {"batch_size": 60}

    def reported(Estimator, y, **setting):
        model = make(Estimator, **still, **pick, **setting).fit(X, y)
        return model.loss_, model

    loss, model = reported(MLPRegressor, y, loss="absolute_error")
    assert_allclose(loss, np.abs(model.predict(X) - y).mean())
    loss, model = reported(MLPRegressor, y, loss="gamma")
    p = model.predict(X)
    assert_allclose(loss, (np.log(p / y) + y / p - 1).mean())
    loss, model = reported(MLPRegressor, y, loss=("quantile", 0.8))
    assert_allclose(loss, mean_pinball_loss(y, model.predict(X), alpha=0.8))
    share = y / y.max()
    loss, model = reported(MLPRegressor, share, loss="log_loss")
    p = model.predict(X)
    assert_allclose(loss, -(share * np.log(p) + (1 - share) * np.log(1 - p)).mean())
    for kind in ("binary", "multiclass"):
        y = CLASSES[kind]
        loss, model = reported(MLPClassifier, y, loss="hinge")
        assert_allclose(loss, hinge_loss(y, model.decision_function(X)))
        loss, model = reported(MLPClassifier, y, loss="squared_error")
        error = model.predict_proba(X) - (y[:, None] == model.classes_)
        counted = error[:, 1:] if kind == "binary" else error
        assert_allclose(loss, (counted**2).sum(axis=1).mean() / 2)
        loss, model = reported(MLPClassifier, y, label_smoothing=0.2)
        log_p = np.log(model.predict_proba(X))
        ref = -0.8 * log_p[y[:, None] == model.classes_] - 0.2 * log_p.mean(axis=1)
        assert_allclose(loss, ref.mean())


def test_smoothing_of_zero_is_no_smoothing():
    models = [
        make(MLPClassifier, label_smoothing=s).fit(X, CLASSES["multiclass"])
        for s in (0.0, 1e-300)
    ]
    # The second is not bounded as scikit-learn's is, which here changes no step.
    assert_allclose(parameters(models[0]), parameters(models[1]), rtol=1e-12)


def test_smoothing_keeps_probabilities_from_the_ends():
    """The best probabilities are the smoothed targets."""
    y = CLASSES["multiclass"]
    model = MLPClassifier(
        (30,), solver="lbfgs", alpha=0, max_iter=2000, label_smoothing=0.3,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    own = model.predict_proba(X)[np.arange(60), y]
    assert_allclose(own, 0.8, atol=0.01)


@by_kind
def test_hinge_predicts_by_its_scores(kind):
    y = CLASSES[kind]
    model = make(MLPClassifier, loss="hinge", max_iter=50).fit(X, y)
    scores = model.decision_function(X)
    if kind == "binary":
        assert scores.shape == (60,)
        ref = model.classes_[(scores > 0).astype(int)]
    else:
        assert scores.shape == (60, 3)
        by_label = kind == "multilabel"
        ref = (scores > 0).astype(int) if by_label else scores.argmax(axis=1)
    assert_array_equal(model.predict(X), ref)
    assert len(np.unique(ref)) > 1


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_hinge_has_no_probabilities(method):
    model = make(MLPClassifier, loss="hinge")
    for each in (model, clone(model).fit(X, CLASSES["binary"])):
        assert not hasattr(each, method)
        with pytest.raises(AttributeError, match=method) as caught:
            getattr(each, method)
        assert "loss='hinge'" in str(caught.value.__cause__)


def test_methods_are_those_of_the_loss_that_was_fitted():
    model = make(MLPClassifier).fit(X, CLASSES["binary"])
    assert not hasattr(model, "decision_function")
    model.set_params(loss="hinge")
    assert model.predict_proba(X).shape == (60, 2)
    model.fit(X, CLASSES["binary"])
    assert hasattr(model, "decision_function")


def test_quantiles_do_not_cross_and_cover():
    x = np.random.default_rng(1).uniform(-1, 1, (2000, 1))
    y = x[:, 0] + (1.2 + x[:, 0]) * np.random.default_rng(2).standard_normal(2000)
    model = MLPRegressor(
        ("quantile", LEVELS), (10,), learning_rate_init=0.01, random_state=0
    ).fit(x, y)
    predicted = model.predict(x)
    assert (np.diff(predicted, axis=1) >= 0).all()
    assert_allclose((y[:, None] <= predicted).mean(axis=0), LEVELS, atol=0.03)
    # Weights at random cross, predictions do not.
    rng = np.random.default_rng(3)
    model.coefs_ = [rng.standard_normal(W.shape) for W in model.coefs_]
    assert (np.diff(model._outputs(x), axis=1) < 0).any()
    assert (np.diff(model.predict(x), axis=1) >= 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_score_of_quantiles(weighted):
    weight = np.linspace(0, 1, 60) if weighted else None
    model = make(MLPRegressor, **QUANTILES).fit(X, REAL)
    predicted = model.predict(X)
    losses = [
        mean_pinball_loss(REAL, column, alpha=level, sample_weight=weight)
        for level, column in zip(LEVELS, predicted.T, strict=True)
    ]
    score = model.score(X, REAL, weight)
    assert_allclose(score, -np.mean(losses), rtol=1e-13)
    values = np.repeat(REAL[:, None], 3, axis=1)
    comp = goal_of(model).score(model._outputs(X), values, weight)
    assert_allclose(comp, score, rtol=1e-13)
    one = make(MLPRegressor, loss=("quantile", [0.3])).fit(X, REAL)
    ref = r2_score(REAL, one.predict(X), sample_weight=weight)
    assert one.score(X, REAL, weight) == ref


# -- what does not go together ---------------------------------------------------------


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"loss": "hubert"}, r"'huber'.* Got 'hubert'.* Did you mean 'huber'\?"),
        ({"loss": ("quantil", 0.5)}, r"Did you mean 'quantile'\?"),
        ({"loss": (9, 5)}, r"'loss'.*Did you mean hidden_layer_sizes=\(9, 5\)\?"),
        ({"loss": ("poisson", 2)}, r"which only \['huber', 'quantile'\] take"),
        ({"loss": ()}, "a name or a pair of a name and a parameter"),
        ({"loss": ("huber", 0)}, "delta must be a finite number above 0"),
        ({"loss": ("huber", np.inf)}, "delta must be a finite number above 0"),
        ({"loss": ("huber", "big")}, "delta must be a finite number above 0"),
        ({"loss": ("quantile", 1.0)}, "between 0 and 1, both excluded"),
        ({"loss": ("quantile", [])}, "between 0 and 1, both excluded"),
        ({"loss": ("quantile", [0.5, 0.1])}, "in increasing order"),
        ({"loss": ("quantile", [0.5, 0.5])}, "in increasing order"),
        ({"loss": ("quantile", np.nan)}, "between 0 and 1, both excluded"),
        ({"out_activation": "exp"}, "out_activation='exp' does not go with loss='squ"),
        ({"loss": "gamma", "out_activation": "identity"}, "out_activation='exp'"),
        ({"out_activation": "logit"}, r"Did you mean 'logistic'\?"),
        ({"loss": "hinge"}, "'loss' parameter of MLPRegressor must be"),
    ],
)
def test_regressor_refuses(setting, message):
    with pytest.raises(ValueError, match=message):
        make(MLPRegressor, **setting).fit(X, REAL)


@pytest.mark.parametrize(
    "setting, kind, message",
    [
        (
            {"loss": "hing"},
            "binary",
            r"'log_loss'.*Got 'hing'.* Did you mean 'hinge'\?",
        ),
        ({"loss": "poisson"}, "binary", "'loss' parameter of MLPClassifier must be"),
        ({"loss": "hinge", "out_activation": "softmax"}, "multiclass", "loss='hinge'"),
        ({"out_activation": "softmax"}, "binary", "'softmax' does not go with"),
        ({"out_activation": "logistic"}, "multiclass", "out_activation='softmax'"),
        ({"out_activation": "identity"}, "binary", "'identity' does not go with"),
        (
            {"loss": "hinge", "label_smoothing": 0.1},
            "binary",
            "label_smoothing=0.1 needs loss='log_loss', got loss='hinge'",
        ),
        ({"label_smoothing": 1.0}, "binary", r"range \[0.0, 1.0\)"),
        ({"label_smoothing": -0.1}, "binary", r"range \[0.0, 1.0\)"),
    ],
)
def test_classifier_refuses(setting, kind, message):
    with pytest.raises(ValueError, match=message):
        make(MLPClassifier, **setting).fit(X, CLASSES[kind])


@pytest.mark.parametrize(
    "Estimator, name, y",
    [(MLPClassifier, "exp", CLASSES["binary"]), (MLPRegressor, "softmax", REAL)],
)
def test_outputs_of_the_other_estimator_are_not_offered(Estimator, name, y):
    message = f"'out_activation' parameter of {Estimator.__name__} must be"
    with pytest.raises(ValueError, match=message) as error:
        make(Estimator, out_activation=name).fit(X, y)
    assert str(error.value).count(repr(name)) == 1


@pytest.mark.parametrize(
    "setting, kind",
    [
        ({"out_activation": "softmax"}, "multiclass"),
        ({"out_activation": "logistic"}, "multilabel"),
        ({"out_activation": "identity", "loss": "hinge"}, "binary"),
    ],
)
def test_what_is_paired_anyway_may_be_asked_for(setting, kind):
    comp = make(MLPClassifier, **setting).fit(X, CLASSES[kind])
    ref = make(MLPClassifier, loss=setting.get("loss", "log_loss"))
    ref.fit(X, CLASSES[kind])
    assert_array_equal(parameters(comp), parameters(ref))


@pytest.mark.parametrize(
    "setting, value, message",
    [
        ({"loss": "gamma"}, 0.0, r"not positive: loss='gamma'"),
        ({"loss": "poisson"}, -0.5, r"negative: loss='poisson'"),
        ({"loss": "log_loss"}, 1.5, r"outside \[0, 1\]: loss='log_loss'"),
        ({"out_activation": "logistic"}, -0.25, r"outside \[0, 1\]: loss='squared"),
    ],
)
def test_targets_outside_say_which_and_where(setting, value, message):
    y = np.full((60, 2), 0.5)
    y[7, 1] = value
    place = rf"{message}.* The first is {value} in row 7, column 1\."
    model = make(MLPRegressor, **setting).fit(X, np.full((60, 2), 0.5))
    before = parameters(model)
    with pytest.raises(ValueError, match=place):
        model.fit(X, y)
    assert_array_equal(parameters(model), before)


def test_targets_outside_name_only_parameters_that_matter():
    """`TabularRegressor` has no `out_activation`."""
    model = make(MLPRegressor, loss="poisson")
    with pytest.raises(ValueError, match="negative") as usual:
        model.fit(X, np.full(60, -1.0))
    assert "out_activation" not in str(usual.value)
    model.set_params(loss="squared_error", out_activation="logistic")
    with pytest.raises(ValueError, match="outside") as chosen:
        model.fit(X, np.full(60, -1.0))
    assert "'squared_error' with out_activation=None" in str(chosen.value)


UNDERFLOWS = r"not positive: .* is 1e-50, 0\.0 in float32, in row 7, column 0\."


def _tiny_target():
    y = np.full(60, 0.5)
    y[7] = 1e-50
    return y


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dtype", ["X", "parameter"])
def test_targets_are_judged_in_the_dtype_of_the_network(dtype, solver):
    y, single = _tiny_target(), X.astype(np.float32)
    rows, given = (single, None) if dtype == "X" else (X, "float32")
    model = make(MLPRegressor, loss="gamma", solver=solver, dtype=given)
    with pytest.raises(ValueError, match=UNDERFLOWS):
        model.fit(rows, y)
    assert not hasattr(model, "coefs_")
    model = make(MLPRegressor, loss="gamma", solver=solver).fit(X, y)
    assert np.isfinite(parameters(model)).all()
    smallest = np.maximum(y, np.finfo(np.float32).smallest_normal)
    model = make(MLPRegressor, loss="gamma", solver=solver, dtype=given)
    assert np.isfinite(model.fit(rows, smallest).loss_)


def test_targets_that_come_later_are_judged_in_that_dtype_too():
    y, single = _tiny_target(), X.astype(np.float32)
    model = make(MLPRegressor, loss="gamma").fit(single, y + 1)
    with pytest.raises(ValueError, match=UNDERFLOWS):
        model.partial_fit(single, y)
    # The network goes on in its own dtype, whichever that of X is.
    with pytest.raises(ValueError, match=UNDERFLOWS):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match=f"^y_val: .*{UNDERFLOWS}"):
        model.fit(single, y + 1, X_val=single, y_val=y)
    with pytest.raises(ValueError, match=UNDERFLOWS):
        inspection.sample_losses(model, single, y)


def test_several_levels_of_several_columns_are_refused():
    with pytest.raises(ValueError, match="of a y of one column, got 2 columns"):
        make(MLPRegressor, **QUANTILES).fit(X, X[:, :2])
