"""Many fits in one process take no more memory than the first ones.

1000 fits of both estimators and every solver, with 1 and 2 threads, of networks and
batches of sizes that change from fit to fit.

After the first 50, by which everything is compiled and loaded and Python's and the C
library's pools have their size, resident memory may grow by 8 MiB: a few times what
the pools are seen to breathe, and a tenth of what 950 fits would leave behind if each
lost the smallest thing worth the name, one layer's outputs of a minibatch (80 KiB).
"""

import gc
import warnings

import numpy as np
import psutil
import scipy.sparse as sp

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.kernels import solvers

MEGABYTE = 1 << 20
BOUND = 8
WARM_UP = 50

WIDTHS = ((20,), (64, 33), (), (100, 100), (7, 5, 3))
ROWS = (40, 1000, 173)


def fit_one(rng):
    """Draw an estimator and data, fit and predict."""

    def choose(choices):
        return choices[rng.integers(len(choices))]

    X = rng.standard_normal((choose(ROWS), 30)).astype(choose("fd"))
    params = {
        "hidden_layer_sizes": choose(WIDTHS),
        "solver": choose(("lbfgs", *solvers())),
        "n_threads": choose((1, 2)),
        "max_iter": 3,
        "random_state": 0,
    }
    kind = choose((MLPClassifier, MLPRegressor))
    y = np.arange(len(X)) % (3 if kind is MLPClassifier else 17)
    X = choose((np.asarray, np.asfortranarray, sp.csr_array))(X)
    kind(**params).fit(X, y).predict(X)


def growth(fits, warm_up=WARM_UP):
    """Return resident memory in MiB after `warm_up` fits, and by how much it grew.

    The largest that was seen after any later fit counts.
    """
    rng, process = np.random.default_rng(0), psutil.Process()
    levels = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(fits):
            fit_one(rng)
            if i + 1 >= warm_up and (i + 1) % 10 == 0:
                gc.collect()
                levels.append(process.memory_info().rss / MEGABYTE)
    return levels[0], max(levels) - levels[0]


def main(fits=1000):
    """Fit, print what memory became and raise if it grew."""
    start, grown = growth(fits)
    print(
        f"{start:.0f} MiB after {WARM_UP} fits, at most {grown:.1f} MiB more by {fits}"
    )
    assert grown <= BOUND, f"memory grew by {grown:.1f} MiB, more than {BOUND}"
