"""Model selection: GridSearchCV of 12 settings by 5 folds on the real digits.

Worker processes are started anew for every search, as in a fresh session; fastmlp's
compiled kernels are on disk by then.
"""

import math
import warnings

import numpy as np
import sklearn.neural_network
from joblib.externals.loky import get_reusable_executor
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import minmax_scale

import fastmlp
from bench.report import Row
from bench.timing import interleave
from bench.training import WrongAnswer
from bench.workloads import SEED

GRID = {
    "hidden_layer_sizes": [(50,), (100,), (100, 50)],
    "alpha": [1e-4, 1e-2],
    "learning_rate_init": [1e-3, 3e-3],
}
FOLDS, N_JOBS = 5, 2
# Of the mean scores of a setting: a few rows of a fold decided otherwise by rounding.
TOLERANCE = 0.02


def make_search(package, epochs):
    """Return a function that runs the whole search and returns the GridSearchCV."""
    X, y = load_digits(return_X_y=True)
    X = minmax_scale(X).astype(np.float32)
    network = package.MLPClassifier(
        max_iter=epochs, n_iter_no_change=np.inf, random_state=SEED
    )

    def search():
        get_reusable_executor().shutdown(wait=True)
        # The number of epochs is fixed: that it has not converged is intended.
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            return GridSearchCV(network, GRID, cv=FOLDS, n_jobs=N_JOBS).fit(X, y)

    return search


def measure(settings):
    """Return the section's rows."""
    epochs = 10 if settings.quick else 60
    rounds = 1 if settings.quick else settings.rounds
    searches = {
        "fastmlp f32": make_search(fastmlp, epochs),
        "scikit-learn f32": make_search(sklearn.neural_network, epochs),
    }
    found = {}

    def run(name):
        settings.progress(f"selection: {name}")
        found[name] = searches[name]()

    # Fills the disk cache, if it is not filled; the search itself stays cold.
    make_search(fastmlp, 1)()
    jobs = {name: lambda name=name: run(name) for name in searches}
    times = interleave(jobs, rounds)
    n_settings = math.prod(map(len, GRID.values()))
    detail = f"search on digits, {n_settings} settings × {FOLDS} folds, {N_JOBS} new "
    detail += f"processes, {epochs} epochs a fit"
    rows = []
    for name, search in found.items():
        row = Row("selection", "GridSearchCV", name, detail, times[name])
        rows.append(row)
        row.note = f"best score {search.best_score_:.4f}, {epochs} epochs"
        try:
            check(search, found["scikit-learn f32"])
        except WrongAnswer as error:
            row.note = f"WRONG: {error}"
    rows[1].ratio = times["scikit-learn f32"].best / times["fastmlp f32"].best
    return rows


def check(search, reference):
    """Compare the mean scores of all settings.

    Raises
    ------
    WrongAnswer
    """
    comp, ref = (s.cv_results_["mean_test_score"] for s in (search, reference))
    off = np.abs(comp - ref).max()
    if not off <= TOLERANCE:
        raise WrongAnswer(f"scores off by {off:.3f}")
