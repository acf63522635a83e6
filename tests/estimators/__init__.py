"""Small estimators, their data and how they are compared."""

import numpy as np
import pytest
import sklearn
import sklearn.neural_network
from numpy.testing import assert_allclose

from fastmlp import MLPClassifier, MLPRegressor

both = pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])

# Where 1.9 mended something in scikit-learn's MLP, 1.8 is nothing to compare with.
BEFORE_1_9 = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9)

RNG = np.random.RandomState(0)
X = RNG.randn(60, 4)
Y = (X[:, 0] + 0.5 * RNG.randn(60) > 0).astype(int)


def make(Estimator, **params):
    """Return a small estimator that trains for three epochs."""
    defaults = {
        "hidden_layer_sizes": (5,),
        "max_iter": 3,
        "batch_size": 16,
        "random_state": 0,
        "solver": "adam",
    }
    if params.get("solver") == "lbfgs":
        del defaults["batch_size"]
    return Estimator(**defaults | params)


def sklearns(Estimator):
    """Return scikit-learn's class of the same name."""
    return getattr(sklearn.neural_network, Estimator.__name__)


def parameters(estimator):
    """Return all weights and biases in one vector."""
    return np.hstack([a.ravel() for a in estimator.coefs_ + estimator.intercepts_])


def assert_same_model(comp, ref, rtol=1e-6):
    for comp_array, ref_array in zip(
        comp.coefs_ + comp.intercepts_, ref.coefs_ + ref.intercepts_, strict=True
    ):
        assert comp_array.dtype == ref_array.dtype
        assert_allclose(comp_array, ref_array, rtol=rtol, atol=rtol * 1e-2)
