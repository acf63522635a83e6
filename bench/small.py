"""Small networks: single calls, cross-validation, bagging, searches in one process."""

import warnings

import numpy as np
import sklearn.neural_network
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import scale

import fastmlp
from bench.report import Row
from bench.timing import interleave, repeat
from bench.training import WrongAnswer
from bench.workloads import SEED

PACKAGES = {"fastmlp f64": fastmlp, "scikit-learn f64": sklearn.neural_network}
OURS, THEIRS = PACKAGES

DATA = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer}

# Of scores: a few rows decided otherwise by rounding.
TOLERANCE = 0.02


def make_calls(package):
    """Return single calls on random numbers by job, and how many make up a round."""
    rng = np.random.default_rng(SEED)
    X, y = rng.standard_normal((100, 20)), rng.integers(0, 2, 100)
    fitted = package.MLPClassifier((16,), max_iter=1, random_state=SEED)
    learner = package.MLPClassifier((16,), random_state=SEED)
    learner.partial_fit(X[:32], y[:32], classes=[0, 1])
    return {
        "fit of one epoch": (lambda: fitted.fit(X, y).loss_, 100),
        # Its loss goes on falling: every call answers with another one.
        "partial_fit of 32 rows": (
            lambda: learner.partial_fit(X[:32], y[:32]).n_outputs_,
            100,
        ),
    }


def make_selections(package, load):
    """Return functions by job that return a mean score."""
    X, y = load(return_X_y=True)
    X = scale(X)
    network = package.MLPClassifier((16,), random_state=SEED)
    return {
        "10-fold cross-validation": lambda: cross_val_score(
            network, X, y, cv=10
        ).mean(),
        "50 bagged networks": lambda: (
            BaggingClassifier(network, 50, random_state=SEED).fit(X, y).score(X, y)
        ),
        "search of 4 settings × 5 folds": lambda: (
            GridSearchCV(network, {"alpha": [1e-4, 1e-3, 1e-2, 0.1]}, cv=5)
            .fit(X, y)
            .best_score_
        ),
    }


def measure(settings):
    """Return the section's rows."""
    jobs = {}
    for label, package in PACKAGES.items():
        for job, (call, calls) in make_calls(package).items():
            jobs.setdefault((job, "100 × 20", calls), {})[label] = call
        for name, load in list(DATA.items())[: 1 if settings.quick else None]:
            for job, select in make_selections(package, load).items():
                jobs.setdefault((f"{name}: {job}", job, 1), {})[label] = select
    rows = []
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        for (job, detail, calls), contestants in jobs.items():
            settings.progress(f"small: {job}")
            rows += _rows(job, detail, calls, contestants, settings.rounds)
    return rows


def _rows(job, detail, calls, contestants, rounds):
    answers = {label: call() for label, call in contestants.items()}
    times = interleave(
        {label: repeat(call, calls) for label, call in contestants.items()}, rounds
    )
    rows = []
    for label in contestants:
        row = Row("small", job, label, detail, times[label].per(calls))
        try:
            row.note = check(answers[label], answers[THEIRS])
        except WrongAnswer as error:
            row.note, row.times = f"WRONG: {error}", None
        if label != OURS and row.times is not None:
            row.ratio = times[label].best / times[OURS].best
        rows.append(row)
    return rows


def check(answer, ref):
    """Compare a loss or a mean score with scikit-learn's.

    Raises
    ------
    WrongAnswer
    """
    if not abs(answer - ref) <= TOLERANCE:
        raise WrongAnswer(f"{answer:.4f}, not {ref:.4f}")
    return f"{answer:.4f}"
