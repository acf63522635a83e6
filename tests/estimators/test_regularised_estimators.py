"""Solvers and regularisation through the estimators: real sets, refusals, going on."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor
from tests.estimators import X, Y, both, make, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Of each: settings of a network that learns the digits, and another value to try.
GRIDS = {
    "adamw": ({"solver": "adamw"}, {"weight_decay": [0.01, 1.0]}),
    "rmsprop": ({"solver": "rmsprop"}, {"beta_2": [0.9, 0.99]}),
    "nadam": ({"solver": "nadam"}, {"beta_1": [0.8, 0.9]}),
    "weight_decay": ({"solver": "sgd"}, {"weight_decay": [0.0, 0.01]}),
    "l1": ({}, {"l1": [0.0, 0.01]}),
    "clip_norm": ({"solver": "sgd"}, {"clip_norm": [None, 1.0]}),
    "max_norm": ({}, {"max_norm": [None, 2.0]}),
    "dropout": ({}, {"dropout": [0.1, (0.1, 0.2)]}),
    "input_noise": ({}, {"input_noise": [0.0, 0.1]}),
}


@pytest.mark.parametrize("name", GRIDS)
def test_digits_in_a_pipeline_under_grid_search(name):
    settings, grid = GRIDS[name]
    digits, labels = load_digits(return_X_y=True)
    mlp = MLPClassifier(
        (64,), max_iter=20, random_state=0, learning_rate_init=0.01,
        dtype="float32", n_threads=1, **settings,
    )  # fmt: skip
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mlp),
        {f"mlpclassifier__{key}": values for key, values in grid.items()},
        cv=3,
    )
    search.fit(digits[:1200], labels[:1200])
    assert search.cv_results_["mean_test_score"].min() > 0.8
    assert search.score(digits[1200:], labels[1200:]) > 0.88


def test_l1_makes_weights_small_in_number():
    """Those of features that are noise, while those that matter stay."""
    noise = np.random.RandomState(0).randn(200, 9)
    target = noise[:, 0]
    plain, sparse = (
        MLPRegressor(
            hidden_layer_sizes=(), solver="lbfgs", alpha=0, l1=l1, random_state=0
        )
        .fit(noise, target)
        .coefs_[0]
        for l1 in (0.0, 20.0)
    )
    assert abs(sparse[0]) > 0.8
    assert abs(sparse[1:]).max() < 1e-3
    assert abs(plain[0] - 1) < 1e-4


@both
def test_dropout_of_zero_draws_nothing(Estimator):
    ref = parameters(make(Estimator).fit(X, Y))
    for settings in ({"dropout": 0.0}, {"dropout": [0, 0]}, {"input_noise": 0}):
        comp = parameters(make(Estimator, **settings).fit(X, Y))
        np.testing.assert_array_equal(comp, ref)
    other = parameters(make(Estimator, dropout=0.5).fit(X, Y))
    assert (other != ref).mean() > 0.9


@both
def test_one_rate_is_that_of_the_hidden_layers(Estimator):
    sizes = {"hidden_layer_sizes": (5, 4)}
    ref = parameters(make(Estimator, dropout=0.3, **sizes).fit(X, Y))
    rates = np.array([0.0, 0.3, 0.3])
    comp = parameters(make(Estimator, dropout=rates, **sizes).fit(X, Y))
    np.testing.assert_array_equal(comp, ref)


def test_partial_fit_draws_new_masks():
    """Without a step that changes anything, losses differ by what was dropped."""
    mlp = make(
        MLPRegressor, solver="sgd", dropout=0.5, learning_rate_init=1e-300,
        shuffle=False,
    )  # fmt: skip
    for _ in range(4):
        mlp.partial_fit(X, Y)
    assert len(set(mlp.loss_curve_)) == 4


def test_sparse_input_is_disturbed_as_dense_is():
    few = np.where(abs(X) > 1.5, X, 0)
    ref, comp = (
        make(MLPClassifier, dropout=[0.2, 0.3], input_noise=0.1).fit(rows, Y)
        for rows in (few, sp.csr_array(few))
    )
    np.testing.assert_array_equal(parameters(comp), parameters(ref))


@both
def test_max_norm_holds_for_every_unit(Estimator):
    mlp = make(Estimator, max_norm=0.25, learning_rate_init=0.1).fit(X, Y)
    for W in mlp.coefs_:
        norms = np.linalg.norm(W, axis=0)
        assert norms.max() <= 0.25 * (1 + 1e-12)
        assert norms.max() > 0.24


@both
@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.5},
        {"dropout": [0.1, 0.0]},
        {"clip_norm": 1.0},
        {"max_norm": 1.0},
        {"input_noise": 0.1},
        {"weight_decay": 0.1},
    ],
    ids=str,
)
def test_lbfgs_refuses_what_needs_minibatches(Estimator, settings):
    [(name, value)] = settings.items()
    message = re.escape(f"{name}={value!r} cannot be used with solver='lbfgs'")
    with pytest.raises(ValueError, match=message):
        make(Estimator, solver="lbfgs", **settings).fit(X, Y)


def test_lbfgs_names_all_that_it_refuses():
    with pytest.raises(ValueError, match=r"leave out clip_norm and max_norm\."):
        make(MLPClassifier, solver="lbfgs", clip_norm=1.0, max_norm=2.0).fit(X, Y)


@both
def test_lbfgs_takes_what_is_zero(Estimator):
    settings = {"solver": "lbfgs", "tol": 0.1, "l1": 0.1}
    zeros = {"dropout": 0.0, "input_noise": 0.0, "weight_decay": 0.0}
    comp = make(Estimator, **settings, **zeros).fit(X, Y)
    ref = make(Estimator, **settings).fit(X, Y)
    np.testing.assert_array_equal(comp.coefs_[0], ref.coefs_[0])


@both
@pytest.mark.parametrize("rates", [[], [0.1], [0.1, 0.2, 0.3]])
def test_dropout_of_another_number_of_layers(Estimator, rates):
    message = f"dropout has {len(rates)} rates, but the network with 1 hidden .* 2:"
    with pytest.raises(ValueError, match=message):
        make(Estimator, dropout=rates).fit(X, Y)


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), "0.2", None])
def test_dropout_rates_out_of_range(rate):
    with pytest.raises(ValueError, match=r"dropout must hold rates in \[0, 1\)"):
        make(MLPClassifier, dropout=[0.1, rate]).fit(X, Y)
