"""An MLP with the interface of the estimator that scikit-learn's callbacks watch."""

import numpy as np

from fastmlp import MLPRegressor

RNG = np.random.RandomState(0)
X, Y = RNG.randn(20, 3), RNG.randn(20)


class MaxIterEstimator(MLPRegressor):
    """Iterates `max_iter` times over data of its own unless it is given some."""

    def __init__(self, max_iter=20, computation_intensity=0.0):
        super().__init__(
            hidden_layer_sizes=(2,),
            max_iter=max_iter,
            n_iter_no_change=np.inf,
            n_threads=1,
            random_state=0,
        )
        self.computation_intensity = computation_intensity

    def fit(self, X=None, y=None, sample_weight=None):
        """Fit to X and y, to `X` and `Y` of this module where there are none."""
        X, y = (globals()["X"], Y) if X is None else (X, y)
        return super().fit(X, y, sample_weight)
