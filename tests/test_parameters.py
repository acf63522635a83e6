"""Hints for parameters that are not valid, and those that others leave unused."""

import warnings

import pytest
from numpy.testing import assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError

from fastmlp import MLPClassifier, MLPRegressor
from tests.estimators import X, Y, both, make, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@both
@pytest.mark.parametrize(
    "name, value, hint",
    [
        ("init", "he_norml", "Did you mean 'he_normal'?"),
        ("learning_rate", "cosine_restart", "Did you mean 'cosine_restarts'?"),
        ("scoring", "neg_mean_sqared_error", "Did you mean 'neg_mean_squared_error'?"),
        ("solver", "adan", "Did you mean 'adam'?"),
        ("validation_ties", "lats", "Did you mean 'last'?"),
        ("batch_size", "fulll", "Did you mean 'full'?"),
        ("batch_size", -1, "For all rows in one step use batch_size='full'."),
        ("batch_size", 0, "For all rows in one step use batch_size='full'."),
    ],
)
def test_hints(Estimator, name, value, hint):
    with pytest.raises(InvalidParameterError) as error:
        make(Estimator, **{name: value}).fit(X, Y)
    assert str(error.value).startswith(
        f"The {name!r} parameter of {Estimator.__name__} must be"
    )
    assert str(error.value).endswith(f"Got {value!r} instead. {hint}")


@both
@pytest.mark.parametrize(
    "params",
    [
        {"init": "xyz"},
        {"init_scale": -1.0},
        {"learning_rate": 0.1},
        {"T_0": 0},
        {"T_0": 2.5},
        {"T_mult": 0},
        {"eta_min": -0.1},
        {"step_size": 0},
        {"gamma": 0.0},
        {"scoring": 3},
        {"validation_ties": None},
    ],
    ids=str,
)
def test_invalid_values(Estimator, params):
    with pytest.raises(InvalidParameterError, match=next(iter(params))) as error:
        make(Estimator, **params).fit(X, Y)
    assert str(error.value).endswith("instead.")


@both
@pytest.mark.parametrize(
    "params, message",
    [
        ({"T_0": 5}, "T_0=5 is not used by learning_rate='constant'."),
        (
            {"learning_rate": "cosine", "T_0": 5, "gamma": 0.5},
            "T_0=5 is not used by learning_rate='cosine'; "
            "gamma=0.5 is not used by learning_rate='cosine'.",
        ),
        (
            {"learning_rate": "adaptive", "step_size": 5},
            "learning_rate='adaptive' is not used by solver='adam'; "
            "step_size=5 is not used by solver='adam'.",
        ),
        (
            {"solver": "lbfgs", "learning_rate": "cosine", "eta_min": 0.1},
            "eta_min=0.1 is not used by solver='lbfgs'; "
            "learning_rate='cosine' is not used by solver='lbfgs'.",
        ),
        ({"momentum": 0.5}, "momentum=0.5 is not used by solver='adam'."),
        (
            {"momentum": 0.5, "solver": "lbfgs"},
            "momentum=0.5 is not used by solver='lbfgs'.",
        ),
        (
            {"solver": "sgd", "beta_1": 0.5},
            "beta_1=0.5 is not used by solver='sgd'.",
        ),
        ({"scoring": "loss"}, "scoring='loss' is not used without early_stopping=True"),
        (
            {"early_stopping": True, "scoring": "loss", "solver": "lbfgs"},
            "early_stopping=True is not used by solver='lbfgs'; "
            "scoring='loss' is not used by solver='lbfgs'.",
        ),
    ],
    ids=str,
)
def test_parameters_that_are_not_used_are_named_once(Estimator, params, message):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        make(Estimator, **params).fit(X, Y)
    texts = [str(each.message) for each in told if each.category is UserWarning]
    assert len(texts) == 1
    assert texts[0].startswith(message)


@both
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"learning_rate": "cosine", "eta_min": 1e-4},
        {"learning_rate": "cosine_restarts", "T_0": 2, "T_mult": 2, "eta_min": 1e-4},
        {"learning_rate": "step", "step_size": 2, "gamma": 0.5},
        {"learning_rate": "exponential", "gamma": 0.5},
        {"learning_rate": "one_cycle"},
        {"learning_rate": "adaptive", "solver": "sgd", "momentum": 0.5},
        {"learning_rate": "invscaling", "solver": "sgd", "power_t": 0.3},
        {"power_t": 0.3},
        {"beta_1": 0.5, "epsilon": 1e-3},
        {"early_stopping": True, "scoring": "loss", "validation_fraction": 0.2},
    ],
    ids=str,
)
def test_parameters_that_are_used_are_not_named(Estimator, params):
    make(Estimator, **params).fit(X, Y)


@both
def test_fraction_beside_own_rows(Estimator):
    estimator = make(Estimator, early_stopping=True, validation_fraction=0.3)
    with pytest.warns(UserWarning, match="validation_fraction=0.3 .* where X_val is"):
        estimator.fit(X, Y, X_val=X, y_val=Y)


def test_partial_fit_names_them_in_the_first_call_only():
    estimator = make(MLPRegressor, momentum=0.5)
    with pytest.warns(UserWarning, match="momentum=0.5"):
        estimator.partial_fit(X, Y)
    estimator.partial_fit(X, Y)


@both
def test_full_batches(Estimator):
    comp = make(Estimator, batch_size="full").fit(X, Y)
    ref = make(Estimator, batch_size=60).fit(X, Y)
    assert_array_equal(parameters(comp), parameters(ref))
    # One step per epoch.
    assert comp._optimizer.t == 3


def test_full_batches_of_what_early_stopping_leaves():
    comp = make(MLPClassifier, batch_size="full", early_stopping=True).fit(X, Y)
    ref = make(MLPClassifier, batch_size=54, early_stopping=True).fit(X, Y)
    assert_array_equal(parameters(comp), parameters(ref))


def test_class_weight_is_no_parameter_of_a_regressor():
    with pytest.raises(TypeError, match="class_weight"):
        MLPRegressor(class_weight="balanced")


@both
def test_activations_with_a_parameter_that_no_float_can_hold(Estimator):
    estimator = make(Estimator, activation=("elu", 10**400))
    with pytest.raises(InvalidParameterError, match="The 'activation' parameter of"):
        estimator.fit(X, Y)


@both
@pytest.mark.parametrize("name, value", [("alpha", ("elu", 1)), ("momentum", 2.0)])
def test_partial_fit_validates_what_was_set_between(name, value, Estimator):
    estimator = make(Estimator).fit(X, Y).partial_fit(X, Y)
    before = estimator.coefs_
    estimator.set_params(**{name: value})
    with pytest.raises(InvalidParameterError, match=f"^The '{name}' parameter of"):
        estimator.partial_fit(X, Y)
    assert estimator.coefs_ is before


@both
@pytest.mark.parametrize("method", ["predict", "transform"])
@pytest.mark.parametrize(
    "name, value", [("n_threads", ("a", 1)), ("n_threads", -1), ("dtype", "adm")]
)
def test_what_prediction_reads_may_be_set_wrongly(name, value, method, Estimator):
    estimator = make(Estimator).fit(X, Y)
    estimator.set_params(**{name: value})
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of"):
        getattr(estimator, method)(X)


def test_subclass_with_fewer_parameters():
    class Quiet(MLPClassifier):
        def __init__(self, max_iter=3, momentum=0.9):
            super().__init__((5,), max_iter=max_iter, momentum=momentum)

    Quiet().fit(X, Y)
    with pytest.warns(UserWarning, match=r"^momentum=0\.5 is not used by solver='adam"):
        Quiet(momentum=0.5).fit(X, Y)
