"""One activation per hidden layer, with parameters, through the estimators."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from fastmlp import MLPRegressor
from fastmlp.network.network import Network
from tests import naive
from tests.kernels_api import ACTIVATIONS, OPERATIONS
from tests.networks import MIXED

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
Y = X[:, 0] * X[:, 1] + 0.1 * RNG.standard_normal(60)


def make(activation, **params):
    """Return a regressor with two hidden layers that trains for three epochs."""
    defaults = {
        "hidden_layer_sizes": (7, 5),
        "activation": activation,
        "max_iter": 3,
        "tol": 0.0,
        "batch_size": 16,
        "random_state": 0,
    }
    return MLPRegressor(**defaults | params)


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def outputs(estimator, activation):
    """Return what the fitted attributes make of X, by the plain functions."""
    arrays = estimator.coefs_, estimator.intercepts_
    return naive.forward(X, *arrays, activation, "identity", estimator.slopes_)[-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("activation", MIXED, ids=str)
def test_fitted_attributes_are_the_network(activation, solver, dtype):
    estimator = make(activation, solver=solver, dtype=np.dtype(dtype).name).fit(X, Y)
    settings = naive.per_layer(activation, 2)
    shapes = naive.shapes((4, 7, 5, 1), activation)
    assert [W.shape for W in estimator.coefs_] == shapes[0]
    assert [b.shape for b in estimator.intercepts_] == shapes[1]
    assert [s if s is None else s.shape for s in estimator.slopes_] == shapes[2]
    for slopes, (name, _) in zip(estimator.slopes_, settings, strict=True):
        assert (slopes is None) == (name not in naive.SLOPE_DERIVATIVES)
        if slopes is not None:
            assert slopes.dtype == dtype
            assert (slopes != OPERATIONS[name].setting).any()
    # A few rows are predicted from the flat vector, many from panels.
    ref = outputs(estimator, activation)[:, 0]
    tolerance = 100 * np.finfo(dtype).eps
    for rows in (slice(1), slice(5), slice(None)):
        comp = estimator.predict(X.astype(dtype)[rows])
        assert_allclose(comp, ref[rows], rtol=0, atol=tolerance)
    assert_allclose(
        estimator.predict(np.tile(X, (4, 1))), np.tile(ref, 4), rtol=0, atol=tolerance
    )


def test_one_name_is_that_name_for_each_layer():
    for name in ("logistic", "elu", "prelu", "maxout"):
        row = ACTIVATIONS[name]
        parameter = row.setting if name in OPERATIONS else row.parameter
        ref = make(name).fit(X, Y).predict(X)
        for activation in ([name, name], (name, (name, parameter))):
            assert_array_equal(make(activation).fit(X, Y).predict(X), ref)


def test_initial_weights_follow_each_layers_activation():
    """With logistic the range is narrower; the output layer is drawn as the last."""
    for activation in (("logistic", "tanh"), ("tanh", "logistic"), "logistic", "elu"):
        rng, ref_rng = np.random.RandomState(3), np.random.RandomState(3)
        network = Network.initial((4, 7, 5, 1), activation, rng, np.float64)
        names = [name for name, _ in naive.per_layer(activation, 2)]
        for name, W in zip([*names, names[-1]], network.coefs, strict=True):
            bound = np.sqrt((2 if name == "logistic" else 6) / sum(W.shape))
            assert_array_equal(W, ref_rng.uniform(-bound, bound, W.shape))
            ref_rng.uniform(size=W.shape[1])


def test_each_piece_of_maxout_is_drawn_as_a_layer_of_its_own():
    rng, ref_rng = np.random.RandomState(3), np.random.RandomState(3)
    network = Network.initial((4, 7, 1), ("maxout", 3), rng, np.float64)
    for start in (0, 7, 14):
        bound = np.sqrt(6 / (4 + 7))
        W = ref_rng.uniform(-bound, bound, (4, 7))
        b = ref_rng.uniform(-bound, bound, 7)
        assert_array_equal(network.coefs[0][:, start : start + 7], W)
        assert_array_equal(network.intercepts[0][start : start + 7], b)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_slopes_start_from_the_parameter(solver):
    estimator = make(("prelu", 0.5), solver=solver, learning_rate_init=1e-9, tol=1e9)
    estimator.fit(X, Y)
    for slopes in estimator.slopes_:
        assert_allclose(slopes, 0.5, rtol=0, atol=1e-6)


def test_slopes_are_not_penalised():
    """With nothing but a penalty to follow, weights shrink and slopes stay."""
    y = np.zeros(60)
    estimator = make("prelu", alpha=10.0, solver="sgd").fit(0 * X, y)
    start = make("prelu", alpha=0.0, solver="sgd").fit(0 * X, y)
    assert abs(estimator.coefs_[0]).sum() < 0.99 * abs(start.coefs_[0]).sum()
    # Layer 0 sees only biases, whose deltas are small beside the penalty.
    assert_allclose(estimator.slopes_[0], start.slopes_[0], rtol=0, atol=1e-2)


@pytest.mark.parametrize("activation", ["prelu", ("maxout", 3), ("prelu", "maxout")])
def test_training_goes_on_where_it_was(activation):
    """Three calls of partial_fit are one fit of three epochs."""
    ref = make(activation, shuffle=False).fit(X, Y)
    estimator = make(activation, shuffle=False)
    for _ in range(3):
        estimator.partial_fit(X, Y)
    assert_array_equal(estimator.predict(X), ref.predict(X))
    for comp, array in zip(estimator.slopes_, ref.slopes_, strict=True):
        assert_array_equal(comp, array)
    warm = clone(ref).set_params(warm_start=True, max_iter=1)
    assert warm.fit(X, Y).loss_ > warm.fit(X, Y).loss_


def test_slopes_may_be_set():
    estimator = make(("prelu", "tanh")).fit(X, Y)
    before = estimator.predict(X)
    estimator.slopes_[0][:] = 1.0
    changed = estimator.predict(X)
    assert (changed != before).any()
    assert_allclose(changed, outputs(estimator, ("prelu", "tanh"))[:, 0], rtol=1e-12)
    estimator.slopes_ = [np.ones(7), None]
    assert_array_equal(estimator.predict(X), changed)
    assert_array_equal(estimator.predict(X[:1]), changed[:1])
    # The identity is what a slope of 1 makes of it.
    estimator.activation = ("identity", "tanh")
    assert_allclose(estimator.predict(X), changed, rtol=1e-12)
    estimator.activation = (("prelu", 0.1), "prelu")
    estimator.partial_fit(X, Y)
    assert [s.shape for s in estimator.slopes_] == [(7,), (5,)]


@pytest.mark.parametrize(
    "slopes, message",
    [
        ([np.ones(6), None], r"slopes_\[0\] must hold 7 real numbers, .* \(6,\)"),
        ([np.ones(7) * 1j, None], r"slopes_\[0\] .* dtype complex128"),
        ([np.ones(7)], "slopes_ has 1 entries and there are 2 hidden layers"),
    ],
)
def test_slopes_that_do_not_fit_are_refused(slopes, message):
    estimator = make(("prelu", "tanh")).fit(X, Y)
    estimator.slopes_ = slopes
    with pytest.raises(ValueError, match=message):
        estimator.predict(X)


def test_best_weights_of_early_stopping_bring_their_slopes():
    params = {"early_stopping": True, "max_iter": 100, "n_iter_no_change": 100}
    params |= {"learning_rate_init": 0.1, "validation_fraction": 0.3}
    estimator = make("prelu", **params).fit(X, Y)
    best = int(np.argmax(estimator.validation_scores_)) + 1
    assert best < 100
    ref = make("prelu", **params | {"max_iter": best}).fit(X, Y)
    for comp, array in zip(estimator.slopes_, ref.slopes_, strict=True):
        assert_array_equal(comp, array)


def test_coefs_that_do_not_fit_the_pieces_are_refused():
    estimator = make(("maxout", "tanh")).fit(X, Y)
    estimator.activation = (("maxout", 3), "tanh")
    with pytest.raises(ValueError, match=r"coefs_\[0\] .* 3 pieces needs a multiple"):
        estimator.predict(X)
    # Such a one can still be pickled, and fitted anew.
    comp = pickle.loads(pickle.dumps(estimator)).fit(X, Y)
    assert comp.coefs_[0].shape == (4, 21)
    estimator.activation = "tanh"
    with pytest.raises(ValueError, match=r"coefs_\[1\] has shape \(7, 5\) but"):
        estimator.partial_fit(X, Y)
