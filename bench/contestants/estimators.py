"""fastmlp and scikit-learn: one estimator's `fit`, the class is all that differs."""

import warnings

import numpy as np
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning

import fastmlp
from bench.workloads import SEED
from fastmlp.kernels import bfloat16_unit


class Estimator:
    """Trains by `fit` on NumPy arrays.

    Parameters
    ----------
    workload : Workload
    X, y : arrays
    **extra
        Further parameters of the estimator, ``n_threads`` for one.
    """

    package = None

    def __init__(self, workload, X, y, **extra):
        kind = "MLPRegressor" if workload.regression else "MLPClassifier"
        solver = {"solver": "adam"}
        if workload.momentum is not None:
            solver = {"solver": "sgd", "momentum": workload.momentum}
        self._X, self._y = X, y
        self.estimator = getattr(self.package, kind)(
            hidden_layer_sizes=workload.hidden,
            activation=workload.activation,
            batch_size=min(workload.batch, workload.rows),
            learning_rate_init=workload.rate,
            max_iter=workload.epochs,
            n_iter_no_change=np.inf,
            random_state=SEED,
            **solver,
            **extra,
        )

    def train(self):
        # The number of epochs is fixed: that it has not converged is intended.
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            self.estimator.fit(self._X, self._y)

    def parameters(self):
        estimator = self.estimator
        return list(zip(estimator.coefs_, estimator.intercepts_, strict=True))


class Fastmlp(Estimator):
    package = fastmlp


class BFloat16Fastmlp(Fastmlp):
    """The same with products in bfloat16."""

    def __init__(self, workload, X, y):
        if bfloat16_unit() is None:
            raise ImportError("this CPU multiplies no bfloat16 numbers")
        super().__init__(workload, X, y, dtype="bfloat16")


class Sklearn(Estimator):
    package = sklearn.neural_network
