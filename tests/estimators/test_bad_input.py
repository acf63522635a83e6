"""Bad input: scikit-learn's exception, a telling message, and the old model intact."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.utils._param_validation import InvalidParameterError

from fastmlp import MLPRegressor, TabularRegressor
from tests.comparing import COMPUTED, REFERENCE
from tests.estimators import BEFORE_1_9

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y_CLASS = np.arange(40) % 3
Y_REAL = X @ np.array([1.0, -2.0, 0.5])
ONES = np.ones(40)
PARAMS = {"hidden_layer_sizes": (5,), "random_state": 0}


def changed(array, value):
    """Return a float copy with one row replaced."""
    array = np.array(array, dtype=float)
    array[7] = value
    return array


def objects(array):
    array = array.astype(object)
    array[3, 1] = "three"
    return array


# What is passed for X and y, and a part of the message that tells what is wrong.
BOTH_DATA = {
    "NaN in X": (changed(X, np.nan), ..., "Input X contains NaN"),
    "inf in X": (changed(X, np.inf), ..., "Input X contains infinity"),
    "NaN in sparse X": (sp.csr_array(changed(X, np.nan)), ..., "contains NaN"),
    "inf in float32 X": (
        changed(X, -np.inf).astype(np.float32),
        ...,
        "Input X contains infinity",
    ),
    "fewer rows in X": (X[:-1], ..., "inconsistent numbers of samples: [39, 40]"),
    "fewer rows in y": (X, slice(-1), "inconsistent numbers of samples: [40, 39]"),
    "X of one dimension": (X[:, 0], ..., "Expected 2D array, got 1D array"),
    "X of three dimensions": (X[:, :, None], ..., "Found array with dim 3"),
    "no rows": (X[:0], slice(0), "Found array with 0 sample(s)"),
    "no features": (X[:, :0], ..., "Found array with 0 feature(s)"),
    "strings in X": (objects(X), ..., "could not convert string to float: 'three'"),
    "words for X": (X.astype(str), ..., None),  # numbers all the same: accepted
    "complex X": (X + 1j, ..., "Complex data not supported"),
    "X is None": (None, ..., "Expected 2D array, got scalar array"),
    "y is None": (X, None, "requires y to be passed, but the target y is None"),
}
CLASS_DATA = {
    "NaN in y": (X, changed(Y_CLASS, np.nan), "Input y contains NaN"),
    "continuous y": (X, Y_REAL, "Unknown label type"),
    "complex y": (X, Y_CLASS + 1j, "Complex data not supported"),
    "multioutput labels": (X, np.c_[Y_CLASS, Y_CLASS], None),
    "3-d y": (X, Y_CLASS[:, None, None], "Found array with dim 3"),
    "mixed labels": (X, np.array([0, "a", None] * 13 + [0], dtype=object), None),
}
REAL_DATA = {
    "NaN in y": (X, changed(Y_REAL, np.nan), "Input y contains NaN"),
    "inf in y": (X, changed(Y_REAL, np.inf), "Input y contains infinity"),
    "complex y": (X, Y_REAL + 1j, "Complex data not supported"),
    "words for y": (X, np.array(["a"] * 40, dtype=object), "could not convert string"),
    "3-d y": (X, Y_REAL[:, None, None], "Found array with dim 3"),
}
WEIGHTS = {
    "NaN weight": (changed(ONES, np.nan), "Input sample_weight contains NaN"),
    "inf weight": (changed(ONES, np.inf), "Input sample_weight contains infinity"),
    "all weights zero": (0 * ONES, "at least one non-zero number"),
    "fewer weights": (ONES[:-1], "sample_weight.shape == (39,), expected (40,)"),
    "weights in a matrix": (np.ones((40, 2)), "Sample weights must be 1D"),
    "words for weights": (np.array(["a"] * 40), "could not convert string to float"),
}
PARAMETERS = {
    "hidden_layer_sizes": [0, -1, (5, 0), (5, -1), "ten", None],
    "solver": ["newton", 3],
    "alpha": [-1.0, "much"],
    "batch_size": [0, -1, 2.5, "all"],
    "learning_rate": ["faster", 0.1],
    "learning_rate_init": [0.0, -1.0],
    "power_t": [-0.5],
    "max_iter": [0, -1, 2.5],
    "shuffle": ["yes", None],
    "random_state": ["seed", -3],
    "tol": [-1.0],
    "verbose": [-1, "loud"],
    "warm_start": ["yes"],
    "momentum": [-0.1, 1.1],
    "nesterovs_momentum": ["yes"],
    "early_stopping": ["yes"],
    "validation_fraction": [-0.1, 1.0],
    "beta_1": [-0.1, 1.0],
    "beta_2": [-0.1, 1.0],
    "epsilon": [0.0],
    "n_iter_no_change": [0, 2.5],
    "max_fun": [0],
}


# Each as 'activation' with two hidden layers, and the message about it.
ACTIVATIONS = {
    "relo": "'relo' is not known. Did you mean 'relu'? There are 'identity', 'log",
    ("tanh", "gellu"): "'gellu' is not known. Did you mean 'gelu'?",
    "ReLU": "'ReLU' is not known. Did you mean 'relu'?",
    "sigmoid": "'sigmoid' is not known. Did you mean 'logistic'?",
    ("tanh",): "it has 1 entries, but the number of hidden layers is 2: give one per "
    "hidden layer, or a name without a list for all.",
    ("tanh", "relu", "relu"): "it has 3 entries, but the number of hidden layers is 2",
    ("tanh", 1.0): "'tanh' has no parameter, got 1.0",
    ("tanh", ("selu", 1.0)): "'selu' has no parameter, got 1.0",
    ("elu", -1.0): "the parameter of 'elu' must be at least 0 and finite, got -1.0",
    ("leaky_relu", np.inf): "'leaky_relu' must be at least 0 and finite, got inf",
    ("leaky_relu", np.nan): "'leaky_relu' must be at least 0 and finite, got nan",
    ("elu", True): "the parameter of 'elu' must be a number, got True",
    (("elu", "1"), "relu"): "('elu', '1') is neither a name nor (name, parameter)",
    ("maxout", 2.0): "the parameter of 'maxout' must be an integer, got 2.0",
    ("maxout", 1): "the parameter of 'maxout' must be at least 2",
    (3, "relu"): "3 is neither a name nor (name, parameter)",
    (None, None): "None is neither a name nor (name, parameter)",
    None: "or an array-like. Got None instead. Did you mean 'identity'? There are 'id",
    np.tanh: "or an array-like. Got <ufunc 'tanh'> instead. Did you mean 'tanh'? Ther",
    3: "must be an instance of 'str' or an array-like. Got 3 instead. There are 'iden",
    "none": "'none' is not known. Did you mean 'identity'? There are 'identity', 'logi",
    "softmax": "'softmax' is not known. There are 'identity', 'logistic'",
    frozenset(["relu"]): "frozenset({'relu'}) is neither a name, nor (name, par",
}


def make(library, kind, **params):
    if kind == "classifier":
        return library.MLPClassifier(**PARAMS | params)
    return library.MLPRegressor(**PARAMS | params)


def fitted(library, kind, **params):
    """Return an estimator that is fitted and can go on, and its outputs on X."""
    estimator = make(library, kind, **params)
    if kind == "classifier":
        estimator.partial_fit(X, Y_CLASS, classes=[0, 1, 2])
    else:
        estimator.partial_fit(X, Y_REAL)
    return estimator, outputs(estimator)


def outputs(estimator):
    predict = getattr(estimator, "predict_proba", estimator.predict)
    return predict(X)


def raised_by(call):
    """Return what the call raises, None if nothing."""
    try:
        call()
    except Exception as error:
        return error
    return None


def words(error):
    """Return the message's words in an order that does not depend on a set's."""
    return sorted(re.findall(r"\w+", str(error)))


def compare(kind, call, message):
    """Compare what a call on a fitted estimator raises with scikit-learn's.

    Then the estimator must give the outputs it gave before, and train on.
    """
    ref_estimator, _ = fitted(REFERENCE, kind)
    with np.errstate(all="ignore"):
        ref = raised_by(lambda: call(ref_estimator))
    estimator, before = fitted(COMPUTED, kind)
    comp = raised_by(lambda: call(estimator))
    assert type(comp) is type(ref), comp
    if ref is not None:
        # There are more names to choose from, and hints.
        assert set(words(ref)) <= set(words(comp))
        np.testing.assert_array_equal(outputs(estimator), before)
    if message is not None:
        assert message in str(comp)
    go_on = estimator.partial_fit(X, Y_CLASS if kind == "classifier" else Y_REAL)
    assert np.isfinite(outputs(go_on)).all()


def target(kind, y):
    if y is None:
        return None
    if isinstance(y, slice) or y is ...:
        return (Y_CLASS if kind == "classifier" else Y_REAL)[y]
    return y


CASES = {
    ("classifier", name): case for name, case in (BOTH_DATA | CLASS_DATA).items()
} | {("regressor", name): case for name, case in (BOTH_DATA | REAL_DATA).items()}


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations(activation):
    """Refused with the error that scikit-learn has for a parameter."""
    sizes = {"hidden_layer_sizes": (3, 2)}
    estimator = make(COMPUTED, "classifier", **sizes, activation=activation)
    with pytest.raises(InvalidParameterError) as raised:
        estimator.fit(X, Y_CLASS)
    words = "The 'activation' parameter of MLPClassifier "
    assert str(raised.value).startswith(words)
    assert ACTIVATIONS[activation] in str(raised.value)
    assert set(vars(estimator)) == set(estimator.get_params())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind, name", CASES)
def test_data(kind, name, method):
    bad_X, bad_y, message = CASES[kind, name]
    bad_y = target(kind, bad_y)
    compare(kind, lambda estimator: getattr(estimator, method)(bad_X, bad_y), message)


@pytest.mark.parametrize("bad_X", [changed(X, np.nan), objects(X)], ids=["NaN", "str"])
def test_notes_on_missing_values_and_strings_name_the_estimators_for_tables(bad_X):
    error = raised_by(lambda: make(COMPUTED, "regressor").fit(bad_X, Y_REAL))
    assert "TabularRegressor" in "".join(error.__notes__)


@pytest.mark.parametrize("Estimator", [MLPRegressor, TabularRegressor])
def test_notes_on_strings_in_y_of_a_regressor_name_y(Estimator):
    bad_y = np.array([*"ab"] * 20, dtype=object)
    error = raised_by(lambda: Estimator().fit(X, bad_y))
    assert "could not convert string to float: 'a'" in str(error)
    [note] = error.__notes__
    assert note.startswith("The y of a regressor holds numbers.")


@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
def test_none_in_y_of_a_regressor_is_missing(params):
    bad_y = [None, *Y_REAL[1:]]
    estimator = make(COMPUTED, "regressor", **params)
    with pytest.raises(ValueError, match=r"^Input y contains NaN"):
        estimator.fit(X, bad_y)
    if not params:
        with pytest.raises(ValueError, match=r"^X_val, y_val: Input y contains NaN"):
            estimator.fit(X, Y_REAL, X_val=X, y_val=bad_y)


@pytest.mark.parametrize(
    "bad_y",
    [Y_REAL, np.array([*"ab" * 19, None, "a"], dtype=object)],
    ids=["float", "None"],
)
def test_notes_on_labels_say_which_are_possible(bad_y):
    error = raised_by(lambda: make(COMPUTED, "classifier").fit(X, bad_y))
    assert "all strings or all integers" in "".join(error.__notes__)


@pytest.mark.parametrize("method", ["predict", "score"])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("name", [name for name in BOTH_DATA if "y" not in name])
def test_data_of_predict(name, kind, method):
    bad_X, bad_y, message = BOTH_DATA[name]
    arguments = [bad_X] if method == "predict" else [bad_X, target(kind, bad_y)]
    if name == "fewer rows in X":  # no error to predict, and score counts y first
        message = None
    compare(kind, lambda estimator: getattr(estimator, method)(*arguments), message)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_nan_in_a_row_without_a_stride(kind):
    row = np.broadcast_to([1.0, np.nan, 1.0], (1, 3))
    compare(kind, lambda estimator: estimator.predict(row), "Input X contains NaN")


@pytest.mark.parametrize("method", ["partial_fit", "predict", "predict_proba"])
@pytest.mark.parametrize("n_features", [2, 4])
def test_other_number_of_features(method, n_features):
    bad_X = np.ones((40, n_features))
    arguments = [bad_X, Y_CLASS] if method == "partial_fit" else [bad_X]
    compare(
        "classifier",
        lambda estimator: getattr(estimator, method)(*arguments),
        f"X has {n_features} features, but MLPClassifier is expecting 3 features",
    )


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name, kind, method):
    if name == "all weights zero" and BEFORE_1_9:
        pytest.skip("scikit-learn divides by their sum")
    weights, message = WEIGHTS[name]
    y = target(kind, ...)
    compare(
        kind,
        lambda estimator: getattr(estimator, method)(X, y, sample_weight=weights),
        message,
    )


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_negative_weights(kind, method):
    # scikit-learn trains on them, uphill; refused here.
    estimator, before = fitted(COMPUTED, kind)
    with pytest.raises(ValueError, match="Negative values in `sample_weight`"):
        getattr(estimator, method)(
            X, target(kind, ...), sample_weight=changed(ONES, -1.0)
        )
    np.testing.assert_array_equal(outputs(estimator), before)


@pytest.mark.parametrize(
    "name, value",
    [(name, value) for name, values in PARAMETERS.items() for value in values],
)
def test_parameters(name, value):
    # Refused by fit, not before, and without a trace on the fitted model.
    compare(
        "classifier",
        lambda estimator: fit_with(estimator, Y_CLASS, **{name: value}),
        name if name != "random_state" else None,  # a seed of -3 is NumPy's to refuse
    )


def fit_with(estimator, y, **params):
    """Fit with other parameters, and set the earlier ones again whatever happens."""
    earlier = estimator.get_params()
    try:
        estimator.set_params(**params).fit(X, y)
    finally:
        estimator.set_params(**earlier)


def test_labels_unseen_by_partial_fit():
    compare(
        "classifier",
        lambda estimator: estimator.partial_fit(X, Y_CLASS + 1),
        "`y` has classes not in `self.classes_`",
    )


def test_other_classes_in_a_later_partial_fit():
    compare(
        "classifier",
        lambda estimator: estimator.partial_fit(X, Y_CLASS, classes=[0, 1]),
        "is not the same as on last call to partial_fit",
    )


def test_multilabel_after_multiclass():
    compare(
        "classifier",
        lambda estimator: estimator.partial_fit(X, np.eye(3, dtype=int)[Y_CLASS]),
        "multilabel",
    )


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_more_outputs_than_fit(method):
    # Only where training goes on: a plain fit starts with the new number of outputs.
    estimator, before = fitted(COMPUTED, "regressor", warm_start=True)
    with pytest.raises(ValueError, match=r"1 output|outputs"):
        getattr(estimator, method)(X, np.c_[Y_REAL, Y_REAL])
    np.testing.assert_array_equal(outputs(estimator), before)


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_validation_split_too_small(kind, fraction):
    params = {"early_stopping": True, "validation_fraction": fraction}
    y = target(kind, ...)
    compare(kind, lambda estimator: fit_with(estimator, y, **params), None)


def test_validation_split_of_a_class_with_one_row():
    y = (np.arange(40) == 5).astype(int)
    compare(
        "classifier",
        lambda estimator: fit_with(estimator, y, early_stopping=True),
        "least populated class",
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_one_class_only(solver):
    # Accepted, as by scikit-learn; there is nothing to tell apart.
    y = np.full(40, "only")
    ref, comp = (
        make(library, "classifier", solver=solver, max_iter=5).fit(X, y)
        for library in (REFERENCE, COMPUTED)
    )
    assert list(comp.classes_) == ["only"]
    np.testing.assert_array_equal(comp.predict(X), ref.predict(X))
    np.testing.assert_allclose(comp.predict_proba(X), ref.predict_proba(X), rtol=1e-4)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_not_fitted(kind):
    ref, comp = (
        raised_by(lambda lib=lib: make(lib, kind).predict(X))
        for lib in (REFERENCE, COMPUTED)
    )
    assert type(comp) is type(ref)
    assert str(comp) == str(ref)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_partial_fit_with_lbfgs(kind):
    estimator = make(COMPUTED, kind, solver="lbfgs")
    assert not hasattr(estimator, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as info:
        estimator.partial_fit(X, target(kind, ...))
    assert "only available for stochastic optimizers" in str(info.value.__cause__)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_divergence(solver, dtype):
    # Said as scikit-learn says it, and with the epoch and the remedy.
    huge = np.full((40, 3), 1e30 if dtype is np.float32 else 1e300, dtype=dtype)
    y = Y_REAL.astype(dtype)
    params = {"solver": solver, "learning_rate_init": 1.0}
    with warnings.catch_warnings(action="ignore"):
        ref = raised_by(lambda: make(REFERENCE, "regressor", **params).fit(huge, y))
    estimator, before = fitted(COMPUTED, "regressor")
    comp = raised_by(lambda: estimator.set_params(**params).fit(huge, y))
    assert type(comp) is type(ref) is ValueError
    assert str(comp).startswith(str(ref))
    assert "epoch 1" in str(comp)
    assert "learning_rate_init" in str(comp)
    np.testing.assert_array_equal(outputs(estimator), before)
