"""Rows on a cluster, and a small fit that several files of tests compare with."""

import dask.array as da
import numpy as np
import pandas as pd
from sklearn.base import clone

from fastmlp.dask import DaskMLPClassifier
from tests.cluster.fits import DIVIDED, cut, fit_in_rounds
from tests.cluster.fits import X as X_ROWS
from tests.cluster.fits import Y as Y_ROWS
from tests.estimators import make

CHUNKS = (100, 40, 60, 60, 40)
X, Y = X_ROWS, Y_ROWS
FRAME = pd.DataFrame(X, columns=list("abcd"), index=np.arange(300) + 1000)
FIT = make(DaskMLPClassifier, max_iter=4, dropout=0.1, dtype="float32", **DIVIDED)


def on_cluster(*arrays, chunks=CHUNKS):
    """Return arrays as Dask arrays of these chunks of rows."""
    return [da.from_array(each, chunks=(chunks, *each.shape[1:])) for each in arrays]


def fit(client, **params):
    """Fit `FIT` on the cluster."""
    estimator = clone(FIT).set_params(client=client, **params)
    return estimator.fit(*on_cluster(X, Y))


def ref_fit(**params):
    """Fit `FIT` without a cluster."""
    estimator = clone(FIT).set_params(**params)
    return fit_in_rounds(estimator.to_local(), cut(X, Y, CHUNKS), **DIVIDED)


def assert_same(comp, ref):
    """Compare the weights of two fits, to the bit."""
    for one, other in zip(comp.coefs_, ref.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert comp.loss_curve_ == ref.loss_curve_
