"""Targets and scores of the regressor."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import r2_score

from fastmlp import MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(60, 4)
Y = X @ RNG.randn(4, 3) + 0.1 * RNG.randn(60, 3)
PARAMS = {"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0}

TARGETS = {
    "one": Y[:, 0],
    "three": Y,
    "three in Fortran order": np.asfortranarray(Y),
    "integers": np.rint(10 * Y[:, 0]).astype(int),
    "float32": Y.astype(np.float32),
    "booleans": Y[:, 0] > 0,
    "objects": Y[:, 0].astype(object),
    "list": Y.tolist(),
    "pandas": pd.Series(Y[:, 0]),
    "polars": pl.Series(Y[:, 0]),
}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in TARGETS if kind != "booleans"])
def test_targets_of_every_kind(kind, early_stopping):
    params = PARAMS | {"early_stopping": early_stopping}
    comp = MLPRegressor(**params).fit(X, TARGETS[kind])
    ref = sklearn.neural_network.MLPRegressor(**params).fit(X, TARGETS[kind])
    assert comp.predict(X).shape == ref.predict(X).shape
    assert_allclose(comp.predict(X), ref.predict(X), rtol=1e-6)
    assert comp.n_outputs_ == ref.n_outputs_
    if early_stopping:
        assert_allclose(comp.validation_scores_, ref.validation_scores_, rtol=1e-6)


def test_boolean_targets_are_zero_and_one():
    comp = MLPRegressor(**PARAMS).fit(X, TARGETS["booleans"])
    ref = MLPRegressor(**PARAMS).fit(X, TARGETS["booleans"].astype(float))
    assert_array_equal(comp.predict(X), ref.predict(X))


def test_sparse_y_is_refused():
    with pytest.raises(TypeError, match=r"toarray"):
        MLPRegressor(**PARAMS).fit(X, sp.csr_array(Y))


@pytest.mark.parametrize(
    "y",
    [
        np.array(["1", "2"] * 20),
        np.array([b"1", b"2"] * 20),
        np.arange(40).astype("M8[D]"),
        np.arange(40).astype("m8[s]"),
        np.zeros(40, [("a", float)]),
    ],
    ids=lambda y: str(y.dtype),
)
def test_targets_that_are_no_numbers_are_refused(y):
    with pytest.raises(TypeError):
        sklearn.neural_network.MLPRegressor(**PARAMS).fit(X[:40], y)
    with pytest.raises(TypeError, match="y must hold real numbers, got dtype"):
        MLPRegressor(**PARAMS).fit(X[:40], y)


# -- scores ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float32, np.float64, int])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_judges_by_scikit_learns_score(weighted, dtype, kind):
    """To the bit, also where the score is summed in float32."""
    y, weight = (10 * Y).astype(kind), RNG.uniform(size=60) if weighted else None
    own = {"X_val": X.astype(dtype), "y_val": y, "sample_weight_val": weight}
    model = MLPRegressor(**PARAMS | {"max_iter": 1}, early_stopping=True)
    model.fit(own["X_val"], y, **own)
    outputs = model.predict(own["X_val"])
    assert outputs.dtype == dtype
    ref = r2_score(y, outputs, sample_weight=weight)
    assert model.validation_scores_ == [ref]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_score_of_outputs_that_are_not_finite_is_nan(value):
    outputs = Y.copy()
    outputs[3, 1] = value
    assert np.isnan(MLPRegressor()._goal(Y).score(outputs, Y, None))
