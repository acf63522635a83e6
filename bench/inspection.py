"""Norms of each row's gradient beside the gradient of them all, on the same rows.

The ratio is a time divided by that of `loss_gradient`, which takes the rows forward and
back once and sums the products of inputs and deltas, which norms do not need.
"""

import warnings

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning

from bench.report import Row
from bench.timing import interleave
from bench.training import WrongAnswer
from bench.workloads import SEED
from fastmlp import MLPClassifier
from fastmlp.inspection import loss_gradient, sample_gradients

ROWS, QUICK_ROWS = 100_000, 10_000
FEATURES, HIDDEN, CLASSES = 128, (256, 64), 10
# Rows whose gradients are formed to compare with, and the error beside the largest.
CHECKED, TOLERANCE = 50, 1e-4


def make_model(n_rows):
    """Return a network of 50,000 parameters after an epoch, X and y, in float32."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n_rows, FEATURES), dtype=np.float32)
    y = np.arange(n_rows) % CLASSES
    model = MLPClassifier(HIDDEN, max_iter=1, random_state=SEED)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(X[:1_000], y[:1_000])
    return model, X, y


def measure(settings):
    """Return the section's rows."""
    model, X, y = make_model(QUICK_ROWS if settings.quick else ROWS)
    n_parameters = sum(a.size for a in [*model.coefs_, *model.intercepts_])
    settings.progress(f"inspection: {len(X):,} rows of {n_parameters:,} parameters")
    jobs = {
        "loss_gradient": lambda: loss_gradient(model, X, y),
        "norms_only": lambda: find_norms(model, X, y),
    }
    job = f"{len(X):,} × {n_parameters:,}"
    rows = [Row("inspection", job, name, "call") for name in jobs]
    for row in rows:
        row.note = f"{CHECKED} rows checked"
    try:
        check(model, X[:CHECKED], y[:CHECKED])
    except WrongAnswer as error:
        for row in rows:
            row.note = f"WRONG: {error}"
        return rows
    for each in jobs.values():
        each()
    times = interleave(jobs, settings.rounds)
    for row in rows:
        row.times = times[row.contestant]
        row.ratio = row.times.best / times["loss_gradient"].best
    return rows


def find_norms(model, X, y):
    """Return the norm of each row's gradient in all parameters."""
    return sample_gradients(model, X, y, wrt="parameters", norms_only=True)


def check(model, X, y):
    """Compare norms and the gradient of the mean with gradients formed row by row.

    Raises
    ------
    WrongAnswer
    """
    by_row = row_gradients(model, X, y)
    comp = loss_gradient(model, X, y)
    for gradient, W in zip(comp.coefs, model.coefs_, strict=True):
        gradient -= model.alpha * W / len(X)
    squares = sum(np.square(g).reshape(len(X), -1).sum(axis=1) for g in by_row)
    found = [find_norms(model, X, y), *comp.coefs, *comp.intercepts]
    expected = [np.sqrt(squares), *(gradients.mean(axis=0) for gradients in by_row)]
    for values, ref_values in zip(found, expected, strict=True):
        off = np.abs(values - ref_values).max() / np.abs(ref_values).max()
        if not off <= TOLERANCE:
            raise WrongAnswer(f"off by {off:.1e} of the largest")


def row_gradients(model, X, y):
    """Return each row's gradients in all weights, then in all biases, by NumPy."""
    layers = [X.astype(np.float64)]
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        layers.append(np.maximum(layers[-1] @ W + b, 0))
    z = layers[-1] @ model.coefs_[-1] + model.intercepts_[-1]
    deltas = [softmax(z, axis=1) - np.eye(CLASSES)[y]]
    for W, a in zip(model.coefs_[:0:-1], layers[:0:-1], strict=True):
        deltas.insert(0, (deltas[0] @ W.T) * (a > 0))
    products = [
        a[:, :, None] * delta[:, None, :]
        for a, delta in zip(layers, deltas, strict=True)
    ]
    return [*products, *deltas]
