"""Rows and chunks for `fit_stream`, and how two fits are compared."""

import numpy as np
from numpy.testing import assert_array_equal

from fastmlp import MLPClassifier

N = 500


class Again:
    """An iterable of chunks that can be begun anew, and is no sequence."""

    def __init__(self, chunks):
        self.chunks, self.n_times = chunks, 0

    def __iter__(self):
        self.n_times += 1
        return iter(self.chunks)


class OnDisk:
    """An array that can only be sliced, as HDF5 and Zarr have it."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.most = 0

    def __getitem__(self, part):
        assert isinstance(part, slice)
        self.most = max(self.most, len(self._array[part]))
        return self._array[part]


def rows(dtype=np.float64, seed=0, n=N):
    rng = np.random.RandomState(seed)
    X = rng.randn(n, 5).astype(dtype)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int) + (X[:, 3] > 0)
    return X, y, rng.rand(n)


def target(estimator, X, y):
    return y if isinstance(estimator, MLPClassifier) else X[:, 1] + y


def chunked(*arrays, size=64):
    """Return chunks of neighbouring rows."""
    starts = range(0, len(arrays[0]), size)
    return [tuple(a[i : i + size] for a in arrays if a is not None) for i in starts]


def assert_same(comp, ref):
    """Check that two estimators have the same bits."""
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(comp, name), getattr(ref, name), strict=True):
            assert a.dtype == b.dtype
            assert_array_equal(a, b)
    names = {name for name in vars(ref) if name.endswith("_") and name[0] != "_"}
    assert {name for name in vars(comp) if name.endswith("_")} == names
    for name in names - {"coefs_", "intercepts_", "slopes_"}:
        assert_array_equal(getattr(comp, name), getattr(ref, name), err_msg=name)
