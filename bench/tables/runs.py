"""One model on one table: errors on the test rows, and seconds."""

import time
import warnings

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from bench.tables.data import mixed
from bench.tables.models import MODELS

# The least probability in the log-loss.
LEAST = 1e-7

PREDICTIONS = 3

# Share of the rows that intervals are to cover.
COVERAGE = 0.9

_warm = set()


def fit(model, X, y, classes, seed, threads):
    """Return a fitted model and the seconds of its fit.

    Parameters
    ----------
    model : str
        A key of `MODELS`.
    X, y : DataFrame and array
    classes : bool
        True if y are classes: integers from 0, each of which occurs.
    seed : int
    threads : int
    """
    made = MODELS[model](X, classes, seed, threads)
    start = time.perf_counter()
    made.fit(X, y)
    return made, time.perf_counter() - start


def warm_up(model, task, threads):
    """Compile and load all that a model needs, once for each task of `mixed`."""
    if (model, task) not in _warm:
        X, y = mixed(100, task)
        made, _ = fit(model, X, y, task != "regression", 0, threads)
        predict(made, X, task != "regression")
        _warm.add((model, task))


def predict(fitted, X, classes):
    return fitted.predict_proba(X) if classes else fitted.predict(X)


def score_classes(p, y):
    """Return the scores of probabilities of all classes as a dict."""
    p = np.clip(p / p.sum(axis=1, keepdims=True), LEAST, 1)
    # Of each class against all others; for two classes both are the same.
    aucs = [roc_auc_score(y == k, p[:, k]) for k in np.unique(y)]
    return {
        "error": float(np.mean(p.argmax(axis=1) != y)),
        "log_loss": float(-np.log(p[np.arange(len(y)), y]).mean()),
        "auc": float(np.mean(aucs)),
    }


def score_numbers(predicted, y):
    """Return the root mean squared error, in standard deviations of y, as a dict."""
    rms = np.sqrt(np.mean((np.ravel(predicted) - y) ** 2))
    return {"error": float(rms / np.std(y))}


def run(model, table, seed, threads):
    """Return scores and seconds of a model as a dict, or why there are none.

    Parameters
    ----------
    model : str
        A key of `MODELS`.
    table : Table
    seed : int
    threads : int
    """
    try:
        # Warnings of a peer are not ours.
        with warnings.catch_warnings(action="ignore"), threadpool_limits(threads):
            return _run(model, table, seed, threads)
    except Exception as error:  # the other models go on
        return {"failed": f"{type(error).__name__}: {error}"[:300]}


def _run(model, table, seed, threads):
    n_classes, y = table.n_classes, table.y
    classes = n_classes > 0
    task = "regression" if not classes else "binary" if n_classes == 2 else "classes"
    if classes:
        # Boosters want each class to occur.
        known, y = np.unique(y, return_inverse=True)
    warm_up(model, task, threads)
    fitted, fit_seconds = fit(model, table.X, y, classes, seed, threads)
    seconds = []
    for _ in range(PREDICTIONS):
        start = time.perf_counter()
        found = predict(fitted, table.X_test, classes)
        seconds.append(time.perf_counter() - start)
    if classes:
        p = np.zeros((len(found), n_classes))
        p[:, known] = found
        scores = score_classes(p, table.y_test)
    else:
        scores = score_numbers(found, table.y_test)
        if hasattr(fitted, "predict_interval"):
            low, high = fitted.predict_interval(table.X_test, COVERAGE).T
            inside = (low <= table.y_test) & (table.y_test <= high)
            scores["covered"] = float(np.mean(inside))
    return scores | {
        "task": task,
        "trained": len(y),
        "seconds": fit_seconds,
        "predict_us": min(seconds) / len(table.y_test) * 1e6,
    }
