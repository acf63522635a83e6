"""Fitted models, and their layers by the references."""

import pytest
from scipy import sparse

import fastmlp
from tests import naive
from tests.comparing import PROBLEMS, Case, make_data, make_estimator

fitted_on = pytest.mark.parametrize("problem", PROBLEMS)


def fitted(problem, layout="dense", dtype="float64", **params):
    """Return an estimator after three epochs, and its X and y."""
    defaults = {
        "hidden_layer_sizes": (9, 4), "activation": "tanh", "max_iter": 3,
        "alpha": 0.3,
    }  # fmt: skip
    case = Case(problem, layout=layout, dtype=dtype, params=defaults | params)
    X, y, _, _ = make_data(case)
    return make_estimator(fastmlp, case).fit(X, y), X, y


def reference(model, X, y):
    """Return the outputs of all layers and the targets as the references take them."""
    X = X.toarray() if sparse.issparse(X) else X
    arrays = model.coefs_, model.intercepts_
    names = model.activation, model.out_activation_
    layers = naive.forward(X, *arrays, *names, model.slopes_)
    return layers, y[:, None] if y.ndim == 1 else y
