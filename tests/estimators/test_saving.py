"""Saved models: in which formats, which version wrote them, and wrong states."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.estimators._saving import VERSION
from fastmlp.inspection import loss_gradient
from tests.estimators import X, Y, both, make, parameters
from tests.kernels_api import Data, Engine, NetworkSpec, Optimizer, Trainer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WORDS = np.array(["no", "yes"])[Y]
NAMES = np.array(["no", "yes"], dtype=object)[Y]
LABELS = np.c_[Y, 1 - Y, Y]
TARGETS = {
    "classifier": (MLPClassifier, Y),
    "words": (MLPClassifier, WORDS),
    "objects": (MLPClassifier, NAMES),
    "multilabel": (MLPClassifier, LABELS),
    "regressor": (MLPRegressor, X[:, 0]),
    "two outputs": (MLPRegressor, X[:, :2]),
}
SETTINGS = {
    "sgd": {"solver": "sgd"},
    "adam": {},
    "adamw": {"solver": "adamw", "learning_rate": "cosine", "eta_min": 1e-4},
    "rmsprop": {"solver": "rmsprop", "dropout": 0.1},
    "nadam": {"solver": "nadam", "dtype": "float32"},
    "lbfgs": {"solver": "lbfgs", "max_iter": 3},
    "early stopping": {"early_stopping": True},
    "regularised": {"l1": 0.1, "clip_norm": 0.1, "max_norm": 0.5, "input_noise": 0.1},
    "slopes and pieces": {
        "activation": ["prelu", ("maxout", 3)],
        "hidden_layer_sizes": [4, 3],
    },
    "random state": {"random_state": np.random.RandomState(0)},
    "arrays as parameters": {
        "hidden_layer_sizes": np.array([4, 3]),
        "alpha": np.float32(0.01),
        "dropout": np.array([0.0, 0.1, 0.1]),
    },
}


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_skops(model):
    return skops.io.loads(skops.io.dumps(model), trusted=[type(model)])


FORMATS = {"pickle": through_pickle, "skops": through_skops, "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "target, settings",
    [
        *((target, "adam") for target in TARGETS),
        *(("classifier", settings) for settings in SETTINGS if settings != "adam"),
    ],
)
@pytest.mark.parametrize("through", FORMATS)
def test_predicts_and_trains_on_bit_for_bit(through, target, settings, dtype):
    (Estimator, y), params, x = TARGETS[target], SETTINGS[settings], X.astype(dtype)
    model = make(Estimator, **copy.deepcopy(params)).fit(x, y)
    loaded = FORMATS[through](model)
    assert_array_equal(loaded.predict(x), model.predict(x))
    assert_array_equal(parameters(loaded), parameters(model))
    if model.solver != "lbfgs" and not model.early_stopping:
        for each in (loaded, model):
            each.partial_fit(x, y)
    assert parameters(loaded).dtype == parameters(model).dtype
    assert_array_equal(parameters(loaded), parameters(model))
    assert loaded.loss_ == model.loss_


@pytest.mark.parametrize("target", TARGETS)
def test_skops_is_asked_to_trust_the_estimator_and_nothing_else(target):
    Estimator, y = TARGETS[target]
    name = f"{Estimator.__module__}.{Estimator.__name__}"
    for params in SETTINGS.values() if target == "classifier" else [{}]:
        model = make(Estimator, **params).fit(X, y)
        assert skops.io.get_untrusted_types(data=skops.io.dumps(model)) == [name]
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    assert skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)) == [name]


# -- versions --------------------------------------------------------------------------


@both
def test_another_version_is_warned_of_as_scikit_learn_does(Estimator, monkeypatch):
    model = make(Estimator).fit(X, Y)
    with monkeypatch.context() as patch:
        patch.setattr(fastmlp, "__version__", "0.0.7")
        saved, other = pickle.dumps(model), skops.io.dumps(model)
    with pytest.warns(InconsistentVersionWarning) as caught:
        loaded = pickle.loads(saved)
    warning = caught[0].message
    assert warning.estimator_name == Estimator.__name__
    assert warning.original_sklearn_version == "0.0.7"
    assert warning.current_sklearn_version == fastmlp.__version__
    assert f"{Estimator.__name__}, saved by fastmlp 0.0.7, with" in str(warning)
    assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.warns(InconsistentVersionWarning, match=r"fastmlp 0\.0\.7"):
        skops.io.loads(other, trusted=[Estimator])


def without_version(model, **changes):
    """Return an estimator loaded from a state of before there were versions."""
    state = model.__getstate__() | changes
    del state[VERSION]
    loaded = type(model)()
    with pytest.warns(InconsistentVersionWarning, match="saved by fastmlp unknown"):
        loaded.__setstate__(state)
    return loaded


@both
def test_a_pickle_without_a_version_still_loads(Estimator):
    model = make(Estimator).fit(X, Y)
    loaded = without_version(model)
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert VERSION not in vars(loaded)


@both
def test_weights_stay_in_the_file_that_joblib_maps(Estimator, tmp_path):
    model = make(Estimator).fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    loaded = joblib.load(tmp_path / "model", mmap_mode="r")
    assert all(isinstance(W, np.memmap) for W in loaded.coefs_)
    assert_array_equal(loaded.predict(X), model.predict(X))
    for each in (loaded, model):
        each.partial_fit(X, Y)
    assert_array_equal(parameters(loaded), parameters(model))


# -- states that do not fit ------------------------------------------------------------


WRONG = {
    "rows": {"coefs_": [np.ones((3, 5)), np.ones((5, 1))]},
    "columns": {"coefs_": [np.ones((4, 6)), np.ones((5, 1))]},
    "dimensions": {"coefs_": [np.ones(20), np.ones((5, 1))]},
    "nothing": {"coefs_": [np.ones((4, 0)), np.ones((0, 1))]},
    "words": {"coefs_": [np.full((4, 5), "a"), np.ones((5, 1))]},
    "complex": {"coefs_": [np.ones((4, 5)), np.ones((5, 1), complex)]},
    "objects": {"coefs_": [np.full((4, 5), None), np.ones((5, 1))]},
    "layers": {"coefs_": [np.ones((4, 1))]},
    "biases": {"intercepts_": [np.ones(4), np.ones(1)]},
    "slopes": {"slopes_": [np.ones(4)]},
    "number of slopes": {"slopes_": []},
    "activation": {"activation": "rely"},
    "pieces": {"activation": ("maxout", 3)},
    "output": {"out_activation_": "relu"},
    "dtype": {"dtype": "float16"},
    "features": {"n_features_in_": 3},
}


@both
@pytest.mark.parametrize("wrong", WRONG)
def test_a_state_that_does_not_fit_is_refused_at_first_use(Estimator, wrong):
    model = make(Estimator, activation="prelu").fit(X, Y)
    loaded = without_version(model, **WRONG[wrong])
    with pytest.raises(ValueError, match=r"\w"):
        loaded.predict(X)


@both
def test_a_state_brings_no_network_of_its_own(Estimator):
    model = make(Estimator, hidden_layer_sizes=(300,)).fit(X, Y)
    other = make(Estimator, hidden_layer_sizes=(30,)).fit(X, Y)
    wrong = model.__getstate__() | {"batch_size": -1, "_network": other._network}
    wrong["_validated"] = [wrong.get(name) for name in model._parameter_constraints]
    loaded = type(model)()
    loaded.__setstate__(wrong)
    assert loaded._network.units == (4, 300, 1)
    assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="'batch_size' parameter"):
        loaded.partial_fit(X, Y)


@pytest.mark.parametrize("moments", [(np.ones(3),), (np.ones((31, 2)),), "ab"])
def test_moments_that_do_not_fit_never_train(moments):
    model = make(MLPRegressor).fit(X, X[:, 0])
    loaded = without_version(model)
    loaded._optimizer.moments = moments
    try:
        loaded.partial_fit(X, X[:, 0])
    except (AttributeError, ValueError):
        return
    assert loaded._optimizer.t == 4  # started anew


def test_the_kernels_are_handed_the_moments_and_targets_they_read():
    rows = Data(X, np.zeros((60, 1)))
    with Engine((4, 3), "relu", "identity", "squared_error", np.float64) as engine:
        engine.load(np.zeros(15))
        with pytest.raises(ValueError, match=r"targets of shape \(n, 3\), got"):
            engine.loss_gradient(rows, 0.0, np.zeros(15))
        with pytest.raises(ValueError, match=r"targets of shape \(n, 3\), got"):
            next(engine.trace(rows))
    for wrong in (-1.0, 3.0, np.nan):
        rows = Data(X, np.full((60, 1), wrong))
        with Engine((4, 3), "relu", "softmax", "log_loss", np.float64) as engine:
            engine.load(np.zeros(15))
            with pytest.raises(ValueError, match="class indices from 0 to 2"):
                engine.loss_gradient(rows, 0.0, np.zeros(15))
    adam = Optimizer("adam", learning_rate=0.1)
    kinds = ("identity", "squared_error", np.float64, rows.form)
    with (
        Trainer(NetworkSpec((4, 1), ()), *kinds, optimizer=adam) as trainer,
        pytest.raises(ValueError, match="'adam' has 2 moments, got 3"),
    ):
        trainer.load(np.zeros(5), [np.zeros(5)] * 3)


@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    "pairing",
    [
        ("softmax", "log_loss", {}),
        ("identity", "quantile", {"parameter": [0.1, 0.5]}),
        ("identity", "none", {}),
    ],
    ids=str,
)
def test_a_loss_that_does_not_fit_never_reaches_the_kernels(Estimator, pairing):
    y = np.arange(60) % 3
    model = make(Estimator).fit(X, y)
    wrong = {"_pairing": pairing, "classes_": np.arange(4)}
    loaded = without_version(model, **wrong)
    y = y if Estimator is MLPClassifier else 1e6 + y
    with pytest.raises((KeyError, ValueError)):
        loss_gradient(loaded, X, y)


def test_labels_that_are_not_sorted_never_reach_the_kernels():
    y = np.arange(60) % 3
    model = make(MLPClassifier).fit(X, y)
    loaded = without_version(model, classes_=np.array([2, 1, 0]))
    with pytest.raises(ValueError, match="classes_ must be sorted"):
        loaded.partial_fit(X, y)
