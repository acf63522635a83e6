"""Multi-layer perceptrons for the CPU with scikit-learn's interface.

`MLPClassifier` and `MLPRegressor` take the place of scikit-learn's classes of the same
names: the same parameters, attributes and numbers, several times as fast.

>>> from fastmlp import MLPClassifier
>>> from sklearn.datasets import load_digits
>>> X, y = load_digits(return_X_y=True)
>>> clf = MLPClassifier(solver="lbfgs", random_state=0).fit(X[:1500] / 16, y[:1500])
>>> clf.score(X[1500:] / 16, y[1500:]) > 0.9
True

`TabularClassifier` and `TabularRegressor` take tables of numbers and categories as they
are, and need no parameters.

Beyond scikit-learn's there are more activations, losses, solvers, schedules, initial
weights and means of regularisation: ``help(fastmlp.MLPClassifier)`` lists them.

- `fastmlp.data`: sources of rows that need not fit in memory, for `fit_stream`;
- `fastmlp.inspection`: layers, gradients and losses of a fitted network;
- `fastmlp.displays`: the same drawn, and the curves of training;
- `fastmlp.examples`: tasks and networks of lectures, ``python -m fastmlp.examples``;
- `fastmlp.playground`: a page to train small networks on, ``python -m fastmlp
  playground``;
- `fastmlp.onnx_export`: pipelines as ONNX models;
- `fastmlp.dask`: the same estimators on a Dask cluster;
- `fastmlp.register_activation`, `fastmlp.register_loss`: functions of one's own;
- `fastmlp.warmup`: compiling ahead of time;
- `fastmlp.patch_sklearn`, `fastmlp.unpatch_sklearn`: programs written for
  scikit-learn's classes, unchanged, also by ``python -m fastmlp run script.py``;
- `fastmlp.show_versions`: facts for a bug report.

The modules are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastmlp._patch import patch_sklearn, unpatch_sklearn
from fastmlp._versions import show_versions
from fastmlp.estimators import MLPClassifier, MLPRegressor
from fastmlp.kernels import register_activation, register_loss

if TYPE_CHECKING:
    from fastmlp._warmup import warmup
    from fastmlp.estimators.tabular_classifier import TabularClassifier
    from fastmlp.estimators.tabular_regressor import TabularRegressor

__version__ = "0.1.0"

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "TabularClassifier",
    "TabularRegressor",
    "__version__",
    "patch_sklearn",
    "register_activation",
    "register_loss",
    "show_versions",
    "unpatch_sklearn",
    "warmup",
]

_SUBMODULES = (
    "dask",
    "displays",
    "examples",
    "inspection",
    "onnx_export",
    "playground",
)

# Names that are imported when they are first used, and the modules that define them.
_MODULES = {
    "TabularClassifier": "fastmlp.estimators.tabular_classifier",
    "TabularRegressor": "fastmlp.estimators.tabular_regressor",
    "warmup": "fastmlp._warmup",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"fastmlp.{name}")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_MODULES})
