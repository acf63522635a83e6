"""Estimators for tables on two workers: the result is the local one."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.dask import DaskTabularClassifier, DaskTabularRegressor
from tests.cluster.fits import RNG, X, Y

FRAME = pd.DataFrame(X, columns=list("abcd")).assign(
    colour=RNG.choice(["red", "green", None], 300)
)


def fits(client, Estimator, Local, y, **params):
    """Return a fit on the cluster and the local one."""
    frame = dd.from_pandas(FRAME.assign(y=y), npartitions=3)
    params = {"n_networks": 3, "max_epochs": 3, "random_state": 0} | params
    comp = Estimator(client=client, **params)
    comp.fit(frame.drop(columns="y"), frame.y)
    return comp, Local(**params).fit(FRAME, pd.Series(y, name="y")), frame


def test_classifier(client):
    comp, ref, frame = fits(client, DaskTabularClassifier, TabularClassifier, Y)
    for one, other in zip(
        comp._ensemble.parameters, ref._ensemble.parameters, strict=True
    ):
        assert_array_equal(one, other)
    for name in ("oof_predictions_", "feature_importances_", "validation_scores_"):
        assert_array_equal(getattr(comp, name), getattr(ref, name))
    assert {k for k in vars(comp) if k.endswith("_")} == {
        k for k in vars(ref) if k.endswith("_")
    }
    lazy = comp.predict_proba(frame.drop(columns="y"))
    assert_array_equal(lazy.compute().to_numpy(), ref.predict_proba(FRAME))
    assert type(comp.to_local()) is TabularClassifier
    assert clone(comp).client is client


def test_regressor(client):
    y = X[:, 0] - np.where(FRAME.colour == "red", 1.0, 0.0)
    comp, ref, _ = fits(client, DaskTabularRegressor, TabularRegressor, y)
    assert_array_equal(comp.predict(FRAME), ref.predict(FRAME))
    assert_array_equal(comp.predict_interval(FRAME), ref.predict_interval(FRAME))


def test_validation_rows_and_more_networks_than_rows(client):
    frame = dd.from_pandas(FRAME[:6].assign(y=[0, 1] * 3), npartitions=2)
    clf = DaskTabularClassifier(client=client, n_networks=8, max_epochs=1)
    clf.fit(frame.drop(columns="y"), frame.y)
    assert len(clf.validation_scores_) == 6
    clf.fit(frame.drop(columns="y"), frame.y, X_val=FRAME[:4], y_val=[0, 1, 0, 1])
    assert clf.oof_predictions_ is None


def test_errors_are_those_of_the_local_estimator(client):
    frame = dd.from_pandas(FRAME.assign(y=1), npartitions=2)
    clf = DaskTabularClassifier(client=client)
    with pytest.raises(ValueError, match="y has one class only"):
        clf.fit(frame.drop(columns="y"), frame.y)
    assert not hasattr(clf, "classes_")
