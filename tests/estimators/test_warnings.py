"""Warnings point at the line that called the library."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier

X = np.random.default_rng(0).normal(size=(30, 3))
Y = (X[:, 0] > 0).astype(int)
CLF = MLPClassifier((3,), max_iter=1, random_state=0)


@pytest.mark.parametrize(
    "model",
    [
        CLF,
        make_pipeline(StandardScaler(), CLF),
        GridSearchCV(CLF, {"alpha": [0.1, 1.0]}, cv=2),
    ],
    ids=["estimator", "pipeline", "search"],
)
def test_warning_names_the_users_line(model):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, Y)
    line = test_warning_names_the_users_line.__code__.co_firstlineno
    assert caught
    for warning in caught:
        assert warning.filename == __file__
        assert line < warning.lineno < line + 15
