"""Hints for parameters that are not valid, and those that others leave unused."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from fastmlp import (
    MLPClassifier,
    MLPRegressor,
    TabularClassifier,
    TabularRegressor,
)
from fastmlp.estimators._fitted import plain_network
from fastmlp.estimators._parameters import (
    ALIASES,
    MLP_HINTS,
    OF_CLASSIFIERS,
    OF_REGRESSORS,
    PARAMETERS,
    TABULAR_HINTS,
    parameter_defaults,
)
from fastmlp.kernels import RULES
from fastmlp.training.schedules import SCHEDULES, schedule_settings
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
        ("scoring", "roc-auc", "Did you mean 'roc_auc'?"),
        ("scoring", "r2_score", "Did you mean 'r2'?"),
        ("scoring", "rmse", "Did you mean 'neg_root_mean_squared_error'?"),
        ("init", "he", "Did you mean 'he_uniform'?"),
        ("init", "Xavier", "Did you mean 'glorot_uniform'?"),
        ("loss", "bce", "Did you mean 'log_loss'?"),
        ("loss", "mse", "Did you mean 'squared_error'?"),
        ("out_activation", "sigmoid", "Did you mean 'logistic'?"),
        ("dtype", "float16", "Did you mean 'float32'?"),
        ("dtype", np.float16, "Did you mean 'float32'?"),
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


@pytest.mark.parametrize("loss", ["mae", ("mae", 1.0), "MAE"], ids=str)
def test_aliases_of_what_the_estimator_has_only(loss):
    """A classifier has no absolute error, and nothing is near to it."""
    with pytest.raises(InvalidParameterError) as error:
        make(MLPClassifier, loss="mae").fit(X, Y)
    assert str(error.value).endswith("Got 'mae' instead.")
    hint = "" if isinstance(loss, tuple) else " Did you mean 'absolute_error'?"
    with pytest.raises(InvalidParameterError) as error:
        make(MLPRegressor, loss=loss).fit(X, Y)
    assert str(error.value).endswith(f"Got {loss!r} instead.{hint}")


def test_other_names_of_scorers():
    assert {*ALIASES["scoring"].values()} <= {*get_scorer_names()}


@both
def test_scorers_are_not_listed(Estimator):
    with pytest.raises(InvalidParameterError) as error:
        make(Estimator, scoring="roc-auc").fit(X, Y)
    assert "'loss', a name of sklearn.metrics.get_scorer_names(), a callable or" in str(
        error.value
    )
    assert len(str(error.value)) < 200


@both
def test_all_activations_are_listed(Estimator):
    with pytest.raises(InvalidParameterError) as error:
        make(Estimator, activation=5).fit(X, Y)
    for name in ("relu", "prelu", "maxout", "scale"):
        assert repr(name) in str(error.value)


@both
def test_a_dict_is_no_sequence_of_activations(Estimator):
    with pytest.raises(
        InvalidParameterError, match=r"{'name': 'relu'} is neither a name, nor"
    ):
        make(Estimator, activation={"name": "relu"}).fit(X, Y)


@both
@pytest.mark.parametrize("name", ["eval_set", "validation_data"])
def test_other_names_of_validation_rows(name, Estimator):
    message = (
        rf"{Estimator.__name__}\.fit\(\) got an .* '{name}': use X_val= and y_val="
    )
    with pytest.raises(TypeError, match=message):
        make(Estimator).fit(X, Y, **{name: (X, Y)})


@pytest.mark.parametrize(
    ("Estimator", "name", "meant"),
    [
        (Estimator, *hint)
        for Estimators, hints in (
            ((MLPClassifier, MLPRegressor), MLP_HINTS),
            ((TabularClassifier, TabularRegressor), TABULAR_HINTS),
        )
        for Estimator in Estimators
        for hint in hints.items()
    ],
)
def test_other_libraries_names_of_parameters(Estimator, name, meant):
    message = rf"__init__\(\) got an unexpected keyword argument '{name}': use {meant}"
    with pytest.raises(TypeError, match=message):
        Estimator(**{name: 2})
    assert meant.removesuffix("=") in Estimator().get_params()


def test_n_jobs_of_a_subclass():
    class Parallel(MLPClassifier):
        def __init__(self, n_jobs=1):
            super().__init__(n_threads=n_jobs)
            self.n_jobs = n_jobs

    assert clone(Parallel(n_jobs=2)).n_threads == 2


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
        {"n_threads": 0},
        {"n_threads": -2},
        {"n_threads": 1.5},
        {"l1": -0.1},
        {"weight_decay": -0.1},
        {"max_norm": 0.0},
        {"clip_norm": -1.0},
        {"clip_norm": "1"},
        {"input_noise": -1.0},
        {"dropout": 1.0},
        {"dropout": "0.5"},
    ],
    ids=str,
)
def test_invalid_values(Estimator, params):
    with pytest.raises(InvalidParameterError, match=next(iter(params))) as error:
        make(Estimator, **params).fit(X, Y)
    assert str(error.value).endswith("instead.")


def warnings_of(estimator):
    """Return the UserWarnings of a fit."""
    with warnings.catch_warnings(record=True, action="always") as record:
        estimator.fit(X, Y)
    return [str(each.message) for each in record if each.category is UserWarning]


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
        ({"power_t": 0.3}, "power_t=0.3 is not used by learning_rate='constant'."),
        (
            {"solver": "lbfgs", "batch_size": 32, "learning_rate_init": 0.1}
            | {"shuffle": False, "n_iter_no_change": 3, "power_t": 0.3},
            "batch_size=32 is not used by solver='lbfgs'; "
            "learning_rate_init=0.1 is not used by solver='lbfgs'; "
            "n_iter_no_change=3 is not used by solver='lbfgs'; "
            "power_t=0.3 is not used by solver='lbfgs'; "
            "shuffle=False is not used by solver='lbfgs'.",
        ),
        ({"momentum": 0.5}, "momentum=0.5 is not used by solver='adam'."),
        (
            {"momentum": 0.5, "solver": "lbfgs"},
            "momentum=0.5 is not used by solver='lbfgs'.",
        ),
        ({"solver": "sgd", "beta_1": 0.5}, "beta_1=0.5 is not used by solver='sgd'."),
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
    [text] = warnings_of(make(Estimator, **params))
    assert text.startswith(message)


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
        {"beta_1": 0.5, "epsilon": 1e-3},
        {"early_stopping": True, "scoring": "loss", "validation_fraction": 0.2},
    ],
    ids=str,
)
def test_parameters_that_are_used_are_not_named(Estimator, params):
    assert warnings_of(make(Estimator, **params)) == []


@both
def test_fraction_beside_own_rows(Estimator):
    estimator = make(Estimator, early_stopping=True, validation_fraction=0.3)
    with pytest.warns(UserWarning, match="validation_fraction=0.3 .* where X_val is"):
        estimator.fit(X, Y, X_val=X, y_val=Y)


def test_a_search_names_them_once_for_each_estimator_and_set():
    grid = {"solver": ["adam", "sgd"], "momentum": [0.5, 0.6, 0.9]}
    for Estimator in (MLPClassifier, MLPRegressor):
        assert warnings_of(GridSearchCV(make(Estimator), grid, cv=2)) == [
            "momentum=0.5 is not used by solver='adam'."
        ]
        assert len(warnings_of(make(Estimator, momentum=0.5, max_fun=3))) == 1
        assert len(warnings_of(make(Estimator, momentum=0.5, max_fun=3))) == 0


def test_a_warning_that_is_an_error_is_one_each_time():
    for _ in range(2):
        with pytest.raises(UserWarning, match="momentum"):
            make(MLPClassifier, momentum=0.5).fit(X, Y)


@both
def test_a_fit_does_not_inspect_its_own_signature(Estimator, monkeypatch):
    estimator, inspected, signature = make(Estimator).fit(X, Y), [], inspect.signature

    def spy(of, *arguments, **options):
        inspected.append(of)
        return signature(of, *arguments, **options)

    monkeypatch.setattr(inspect, "signature", spy)
    estimator.fit(X, Y).partial_fit(X, Y)
    assert Estimator not in inspected
    assert Estimator.__init__ not in inspected


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


TYPES = ["f4", "single", np.float32, np.dtype("float32")]
DOUBLES = ["f8", "double", float, np.float64, np.dtype("float64")]


@both
@pytest.mark.parametrize("dtype", TYPES + DOUBLES, ids=repr)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_types_by_other_names(dtype, solver, Estimator):
    name = "float32" if dtype in TYPES else "float64"
    other = X.astype("float64" if name == "float32" else "float32")
    comp, ref = (make(Estimator, dtype=d, solver=solver) for d in (dtype, name))
    comp.fit(other, Y)
    ref.fit(other, Y)
    assert comp.coefs_[0].dtype == name
    assert get_tags(comp).transformer_tags.preserves_dtype == [name]
    assert_array_equal(parameters(comp), parameters(ref))
    for rows in (X.astype("float32"), X, X[:, ::-1][:, ::-1]):
        assert_array_equal(comp.predict(rows), ref.predict(rows))
        assert comp.transform(rows).dtype == name
    again = clone(pickle.loads(pickle.dumps(comp)))
    assert again.get_params()["dtype"] is again.dtype
    assert again.dtype == dtype
    assert type(again.dtype) is type(dtype)
    if solver == "adam":
        assert comp.partial_fit(other, Y).coefs_[0].dtype == name


@both
def test_plain_arrays_are_predicted_at_once_whatever_names_the_type(Estimator):
    for dtype in TYPES:
        comp = make(Estimator, dtype=dtype).fit(X, Y)
        assert plain_network(comp, X) is None
        rows = X.astype("float32")
        assert plain_network(comp, rows) is comp._network
        assert_array_equal(comp._outputs(rows), comp._outputs(X))


@both
def test_all_cores(Estimator):
    comp, ref = (make(Estimator, n_threads=n).fit(X, Y) for n in (-1, 1))
    assert_array_equal(parameters(comp), parameters(ref))
    assert_array_equal(comp.predict(X), ref.predict(X))


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
    "name, value", [("n_threads", ("a", 1)), ("n_threads", -2), ("dtype", "adm")]
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


@both
def test_the_table_and_the_signature_agree(Estimator):
    table = OF_CLASSIFIERS if Estimator is MLPClassifier else OF_REGRESSORS
    assert {name: row.default for name, row in table.items()} == parameter_defaults(
        Estimator
    )


def test_the_table_and_those_who_read_agree():
    read = {row.read: set() for row in PARAMETERS.values()}
    for name, row in PARAMETERS.items():
        read[row.read].add(name)
    assert read["rule"] == {name for row in RULES.values() for name in row.parameters}
    assert read["schedule"] == {
        name for each in SCHEDULES for name in schedule_settings(each)
    }
