"""Numbers at the ends of what floats can hold: a finite model, or an error that says so.

For every solver, activation and loss there is; and the same bits again with other
threads, in another process and behind a pickle.
"""

import math
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp._base import NON_FINITE, STOCHASTIC_SOLVERS
from fastmlp._pairings import CLASSIFICATION, REGRESSION
from fastmlp.kernels import ACTIVATIONS
from tests.estimators import parameters

ROOT = Path(__file__).parent.parent
SOLVERS = ("lbfgs", *STOCHASTIC_SOLVERS)
N, N_FEATURES = 24, 3

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((N, N_FEATURES))

# What may stand in the columns of X.
INPUTS = {
    "1e300": 1e300 * NORMAL,
    "1e-300": 1e-300 * NORMAL,
    "denormals": 1e-310 * NORMAL,
    "float32 denormals": 1e-40 * NORMAL,
    "the largest": np.sign(NORMAL) * np.finfo(float).max,
    "float32's largest": np.sign(NORMAL) * float(np.finfo(np.float32).max),
    "float32 overflow": 1e38 * NORMAL,
    "1e20": 1e20 * NORMAL,
    "mixed": NORMAL * [1e300, 1e-300, 1.0],
    "constant columns": np.ones((N, N_FEATURES)),
    "zeros": np.zeros((N, N_FEATURES)),
    "one row": NORMAL[:1],
    "duplicated rows": np.repeat(NORMAL[:2], N // 2, axis=0),
}
DTYPES = ["float32", "float64"]


def make_target(Estimator, n, loss):
    """Return y of n rows that suits the estimator and the loss."""
    if Estimator is MLPClassifier:
        return np.arange(n) % 3
    return 1.0 + np.arange(n) % 2 if loss != "log_loss" else np.arange(n) % 2 * 1.0


def attempt(Estimator, X, y, **params):
    """Fit; return the estimator, or None where the documented error was raised."""
    settings = {"hidden_layer_sizes": (5, 4), "max_iter": 4, "random_state": 0}
    settings |= {"batch_size": 8, "n_threads": 1}
    estimator = Estimator(**settings | params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Got `batch_size` less than 1 or larger")
        try:
            return estimator.fit(X, y)
        except ValueError as error:
            assert_says_why(str(error))
            assert not hasattr(estimator, "coefs_")
            return None


def assert_says_why(message):
    """Assert that a message is the one of diverged training, period and cause filled in.

    Or that it names a number that the type of the computation cannot hold.
    """

    before, after = NON_FINITE.split("{period}")
    assert message.startswith(before) or "too large for float32" in message, message
    if message.startswith(before):
        rest = message.removeprefix(before)
        assert rest.startswith(("epoch ", "iteration ")), message
        assert int(rest.split()[1].rstrip(":")) >= 0
        assert "learning_rate_init" in rest or "alpha" in rest
