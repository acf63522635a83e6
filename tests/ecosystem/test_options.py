"""Under scikit-learn's options: Array API dispatch and the interface of sparse results.

The first works only in a process that set SCIPY_ARRAY_API before it imported SciPy.
"""

import numpy as np
import pytest
import scipy
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_array_equal

from fastmlp import MLPClassifier
from tests.estimators import BEFORE_1_9
from tests.fresh import run_python

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
MANY = (X[:, :3] > 0).astype(int)

DISPATCHED = """
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
import fastmlp

rng = np.random.default_rng(0)
X, weight = rng.normal(size=(60, 3)), rng.uniform(size=60)
ys = {"Classifier": (X[:, 0] > 0).astype(int), "Regressor": X[:, 0]}
CASES = [
    ("MLP", kind, {"max_iter": 3, "n_iter_no_change": 99}, make)
    for kind in ys for make in (np.asarray, sp.csr_array, pd.DataFrame)
] + [
    ("Tabular", kind, {"n_networks": 2, "max_epochs": 2}, make)
    for kind in ys for make in (np.asarray, list, pd.DataFrame)
]

def fitted(prefix, kind, params, X):
    estimator = getattr(fastmlp, prefix + kind)
    return estimator(random_state=0, **params).fit(X, ys[kind], weight)

import warnings
warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
"""

PLAIN = """
for prefix, kind, params, make in CASES:
    table = make(X)
    ref = fitted(prefix, kind, params, table).predict(table)
    with sklearn.config_context(array_api_dispatch=True):
        model = fitted(prefix, kind, params, table)
        np.testing.assert_array_equal(model.predict(table), ref)
        assert model.score(table, ys[kind]) <= 1
"""

# An array of a library with a namespace of its own, as a tensor is.
FOREIGN = """
class Tensor:
    def __init__(self, values):
        self._values = values
        self.dtype, self.shape, self.ndim = values.dtype, values.shape, values.ndim
    def __len__(self):
        return len(self._values)
    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype)
    def __array_namespace__(self, api_version=None):
        import types
        return types.ModuleType("tensors")

for prefix, kind, params, make in CASES:
    if make is not np.asarray:
        continue
    y, model = ys[kind], fitted(prefix, kind, params, X)
    ref = model.predict(X)
    calls = {
        "X": lambda: model.fit(Tensor(X), y),
        "y": lambda: model.fit(X, Tensor(y)),
        "sample_weight": lambda: model.fit(X, y, Tensor(weight)),
        "X ": lambda: model.predict(Tensor(X)),
    }
    with sklearn.config_context(array_api_dispatch=True):
        for name, call in calls.items():
            text = f"{name.strip()} is of type __main__.Tensor, but fastmlp computes"
            with pytest.raises(TypeError, match=text):
                call()
    # What was fitted stays, and without the option the arrays are converted.
    np.testing.assert_array_equal(model.predict(Tensor(X)), ref)
"""


@pytest.mark.skipif(
    tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 14),
    reason="scikit-learn's dispatch needs SciPy 1.14",
)
def test_array_api_dispatch():
    comp = run_python(DISPATCHED + PLAIN + FOREIGN, SCIPY_ARRAY_API="1")
    assert comp.returncode == 0, comp.stderr


@pytest.mark.skipif(BEFORE_1_9, reason="the option came with scikit-learn 1.9")
@pytest.mark.parametrize(
    "interface, kind", [("sparray", sp.sparray), ("spmatrix", sp.spmatrix)]
)
@pytest.mark.parametrize("given", [sp.csr_matrix, sp.csr_array])
def test_sparse_labels_are_of_the_interface_that_is_set(interface, kind, given):
    classifier = MLPClassifier(tol=1.0, random_state=0)
    ref = classifier.fit(X, MANY).predict(X)
    with sklearn.config_context(sparse_interface=interface):
        found = classifier.fit(given(X), given(MANY)).predict(given(X))
    assert isinstance(found, kind)
    assert found.format == "csr"
    assert_array_equal(found.toarray(), ref)
