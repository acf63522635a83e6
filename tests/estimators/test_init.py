"""Initial weights that `init` gives as arrays."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastmlp import MLPRegressor
from tests.estimators import X, Y, assert_same_model, both, make

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


ONES = np.ones((4, 5))


def _weights(units):
    rng = np.random.default_rng(0)
    coefs = [rng.normal(size=pair) for pair in pairwise(units)]
    return coefs, [rng.normal(size=n) for n in units[1:]]


@both
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_init_of_arrays_is_where_training_starts(Estimator, solver):
    """As a fit that goes on from these weights; the arrays are left alone."""
    init = _weights((4, 5, 1))
    before = copy.deepcopy(init)
    settings = {"solver": solver, "max_iter": 3, "shuffle": False}
    comp = make(Estimator, init=init, **settings).fit(X, Y)
    ref = make(Estimator, **settings, warm_start=True).fit(X, Y)
    ref.coefs_, ref.intercepts_ = copy.deepcopy(before)
    assert_same_model(comp, ref.fit(X, Y))
    for arrays, earlier in zip(init, before, strict=True):
        for array, other in zip(arrays, earlier, strict=True):
            assert_array_equal(array, other)
    assert_same_model(clone(comp).fit(X, Y), comp)


def test_init_of_arrays_of_any_kind():
    """Lists, integers and another dtype, with slopes and pieces."""
    coefs = [[[1.0, 2, 3, 4]] * 4, np.array([[1], [2]]), np.full((1, 1), 3, np.float32)]
    init = [coefs, ([0, 0, 0, 0.5], [1], [2])]
    layers = {"hidden_layer_sizes": (2, 1), "activation": ["maxout", "prelu"]}
    model = make(
        MLPRegressor, init=init, learning_rate_init=1e-300, solver="sgd",
        dtype="float32", **layers
    ).fit(X, Y)  # fmt: skip
    assert [W.dtype for W in model.coefs_] == [np.float32] * 3
    for comp, ref in zip(model.coefs_, coefs, strict=True):
        assert_array_equal(comp, ref)
    assert_array_equal(model.intercepts_[0], [0, 0, 0, 0.5])
    assert_array_equal(model.slopes_[1], [0.25])


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (_weights((4, 6, 1)), r"network of \(4, 6, 1\) units, but .* need \(4, 5, 1\)"),
        (_weights((3, 5, 1)), r"network of \(3, 5, 1\) units, but .* need \(4, 5, 1\)"),
        (_weights((4, 1)), r"network of \(4, 1\) units, but .* need \(4, 5, 1\)"),
        (([ONES, np.ones((6, 1))], [np.ones(5), [1]]), r"^init: coefs_\[1\] has shape"),
        (([ONES, np.ones((5, 1))], [np.ones(5)]), "2 weight matrices and 1 bias vect"),
        (([ONES, np.full((5, 1), np.nan)], [np.ones(5), [0]]), r"init\[0\]\[1\] cont"),
        ((ONES,), r"pair \(coefs, intercepts\) of lists of arrays, got 1"),
        ((1, 2), "lists of arrays, got 2 entries of types .'int', 'int'"),
        (("normal", 2), "lists of arrays, got 2 entries of types .'str', 'int'"),
    ],
)  # fmt: skip
def test_init_of_arrays_that_do_not_fit(init, message):
    model = make(MLPRegressor).fit(X, Y)
    before = model.coefs_[0].copy()
    with pytest.raises(ValueError, match=message):
        model.set_params(init=init).fit(X, Y)
    assert_array_equal(model.coefs_[0], before)
