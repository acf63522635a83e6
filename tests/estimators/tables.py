"""Small estimators for tables, their data, and their networks in NumPy."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.estimators._calibration import class_scores
from fastmlp.estimators._folds import deal_folds
from fastmlp.tables.columns import encode

both = pytest.mark.parametrize("Estimator", [TabularClassifier, TabularRegressor])

N = 400
RNG = np.random.RandomState(0)
COLORS = np.array(["red", "green", "blue"])[RNG.randint(3, size=N)]
TABLE = {
    "size": RNG.randn(N),
    "color": COLORS,
    "age": np.where(RNG.rand(N) < 0.2, np.nan, RNG.gamma(2, 10, size=N)),
}
X = pd.DataFrame(TABLE)
TARGET = TABLE["size"] + (COLORS == "red") + 0.3 * RNG.randn(N)
LABELS = np.where(TARGET > 0.5, "yes", "no")
CLASSES = np.digitize(TARGET, [0.0, 1.0])
WEIGHT = RNG.rand(N)


def make(Estimator, **params):
    """Return a small estimator that trains for four epochs."""
    defaults = {
        "n_networks": 3,
        "hidden_layer_sizes": (8,),
        "max_epochs": 4,
        "random_state": 0,
    }
    return Estimator(**defaults | params)


def y_of(Estimator):
    return LABELS if Estimator is TabularClassifier else TARGET


def fitted(Estimator, **params):
    return make(Estimator, **params).fit(X, y_of(Estimator))


def outputs(estimator, table=X):
    """Return the raw outputs of each network."""
    codes, ensemble = encode(table, estimator.columns_), estimator._ensemble
    every = range(len(ensemble.parameters))
    return [ensemble.member_outputs(i, codes).astype(float) for i in every]


def probabilities(estimator, table=X):
    """Return the probabilities of each network, with the temperature."""
    return [
        softmax(class_scores(each) / estimator.temperature_, axis=1)
        for each in outputs(estimator, table)
    ]


def folds_of(y, n_folds):
    """Return the folds of an estimator with the random state 0."""
    return deal_folds(y, n_folds, np.random.RandomState(0))
