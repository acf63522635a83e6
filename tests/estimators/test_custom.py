"""Registered activations and losses as parameters: searches, pickles, other processes.

The names that this file registers are its own: see the fixture `registered`.
"""

import copy
import pickle

import numpy as np
import pytest
import skops.io
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fastmlp import (
    MLPClassifier,
    MLPRegressor,
    inspection,
    register_activation,
    register_loss,
)
from fastmlp.kernels import ACTIVATIONS, CUSTOM
from tests.custom_functions import (
    log_cosh,
    log_cosh_derivative,
    softsign,
    softsign_derivative,
)
from tests.estimators import X, Y, both, make
from tests.fresh import run_python

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Prints a prediction of each of some pickled estimators, or the error.
LOAD = """
import pickle, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        try:
            print(pickle.load(file).predict([[0.5, -0.5, 1.0, 0.0]])[0])
        except ValueError as error:
            print(error)
"""


@both
def test_an_activation_is_an_estimators(Estimator):
    register_activation("softsign_1", softsign, softsign_derivative)
    model = make(
        Estimator, activation=["tanh", "softsign_1"], hidden_layer_sizes=(6, 5)
    )
    model.fit(X, Y)
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    z = hidden @ model.coefs_[1] + model.intercepts_[1]
    assert_allclose(model.transform(X), z / (1 + abs(z)), rtol=1e-10)
    assert inspection.check_gradient(model, X, Y).max_relative_error < 1e-6
    for again in (clone(model).fit(X, Y), copy.deepcopy(model)):
        assert_array_equal(again.predict(X), model.predict(X))
    register_activation("softsign_2", softsign, softsign_derivative)
    with pytest.raises(ValueError, match=r"Did you mean 'softsign_2'\?"):
        make(Estimator, activation="softsin_2").fit(X, Y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_loss_is_a_regressors(solver):
    name = f"log_cosh_{solver}"
    register_loss(name, log_cosh, log_cosh_derivative)
    y = np.stack([X[:, 0], 2 * X[:, 1]], axis=1)
    model = make(MLPRegressor, loss=name, solver=solver, max_iter=300, alpha=0.0)
    model.fit(X, y)
    assert model.score(X, y) > 0.5
    losses = np.log(np.cosh(model.predict(X) - y)).sum(axis=1)
    comp = inspection.sample_losses(model, X, y)
    assert_allclose(comp, losses, rtol=1e-10, atol=1e-15)
    with pytest.raises(ValueError, match="'loss' parameter of MLPClassifier must be"):
        make(MLPClassifier, loss=name).fit(X, Y)
    with pytest.raises(ValueError, match=r"\('huber', 1\.0\)"):
        make(MLPRegressor, loss=(name, 1.0)).fit(X, y)


def test_a_search_in_processes():
    """The workers get the functions with the estimator, from their module.

    The one of the grid, too, which no parameter names before.
    """
    register_activation("softsign_3", softsign, softsign_derivative)
    register_loss("log_cosh_3", log_cosh, log_cosh_derivative)
    model = make(MLPRegressor, loss="log_cosh_3")
    grid = {"activation": ["relu", "softsign_3"]}
    ref = GridSearchCV(model, grid, cv=2).fit(X, X[:, 0])
    with parallel_config("loky", inner_max_num_threads=1):
        comp = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X, X[:, 0])
    for fold in ("split0_test_score", "split1_test_score"):
        assert_allclose(comp.cv_results_[fold], ref.cv_results_[fold], rtol=1e-12)


def load_elsewhere(models, folder):
    """Return what a new process prints of each estimator, see `LOAD`."""
    paths = [folder / f"{i}" for i in range(len(models))]
    for path, model in zip(paths, models, strict=True):
        path.write_bytes(pickle.dumps(model))
    done = run_python(LOAD, *paths)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pickles_bring_functions_of_a_module(tmp_path):
    """Those of no module's top level another process would not find."""
    register_activation("softsign_4", softsign, softsign_derivative)
    register_activation("square", lambda z: z * z, lambda z, a: 2 * z)
    register_loss("biased", lambda y, p: (p - y) ** 2, lambda y, p: 2 * (p - y))
    settings = (
        {"activation": ["softsign_4", ("elu", 2.0)]},
        {"activation": ["tanh", "square"]},
        {"loss": "biased"},
    )
    models = [
        make(MLPRegressor, hidden_layer_sizes=(5, 4), **params).fit(X, Y)
        for params in settings
    ]
    for model in models:
        here = pickle.loads(pickle.dumps(model))
        assert_array_equal(here.predict(X), model.predict(X))
    comp, *errors = load_elsewhere(models, tmp_path)
    ref = models[0].predict([[0.5, -0.5, 1.0, 0.0]])[0]
    assert float(comp) == pytest.approx(ref)
    lacking = ("activation", "square"), ("loss", "biased")
    for error, (kind, name) in zip(errors, lacking, strict=True):
        assert error.startswith(
            f"{kind} '{name}' is not registered in this process: call "
            f"fastmlp.register_{kind} before loading"
        )


def test_fitted_estimators_bring_only_what_they_need():
    """Others would have to find the module."""
    register_activation("softsign_7", softsign, softsign_derivative)
    model = make(MLPRegressor)
    assert b"custom_functions" in pickle.dumps(model)
    assert b"custom_functions" not in pickle.dumps(model.fit(X, Y))


def test_other_functions_of_a_saved_name_are_refused():
    register_activation("softsign_8", softsign, softsign_derivative)
    model = make(MLPRegressor, activation="softsign_8").fit(X, Y)
    saved = pickle.dumps(model)
    for table in (ACTIVATIONS, CUSTOM):
        table.pop("softsign_8", table.pop(("activation", "softsign_8"), None))
    register_activation("softsign_8", lambda z: 5.0 * z, lambda z, a: 5.0)
    with pytest.raises(ValueError, match="'softsign_8' was saved with other functions"):
        pickle.loads(saved)


def test_skops_is_asked_to_trust_the_functions():
    register_activation("softsign_6", softsign, softsign_derivative)
    model = make(MLPRegressor, activation="softsign_6").fit(X, Y)
    saved = skops.io.dumps(model)
    functions = softsign, softsign_derivative
    names = [f"tests.custom_functions.{each.__name__}" for each in functions]
    assert {*names} <= {*skops.io.get_untrusted_types(data=saved)}
    again = skops.io.loads(saved, trusted=[MLPRegressor, *names])
    assert_array_equal(again.predict(X), model.predict(X))
