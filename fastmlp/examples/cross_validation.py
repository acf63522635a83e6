"""
Choosing by k-fold validation, judging by a test set that chose nothing.
========================================================================

A fifth of the digits is held out for the end. On the rest, the score of one validation
set is as uncertain as its few rows make it; five folds use every row, and show how far
the folds are apart; GridSearchCV does that for each setting.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

UNITS, ALPHAS = [(5,), (20,), (80,)], [1e-3, 1.0, 10.0]


class Found(NamedTuple):
    """Accuracies: of one split, each fold, the grid (units, alpha), and at the end."""

    validation: float
    folds: np.ndarray
    grid: np.ndarray
    best_params: dict
    best: float
    test: float


@without_convergence_warnings()
def run() -> Found:
    """Validate in the three ways; print and return the accuracies."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X.astype(np.float32), y, test_size=0.2, stratify=y, random_state=0
    )
    network = MLPClassifier(
        (20,), learning_rate_init=0.01, max_iter=30, random_state=0, n_threads=1
    )
    model = make_pipeline(MinMaxScaler(), network)
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    print(f"train {len(X_train)}, validation {len(X_val)}, test {len(X_test)} rows")
    validation = model.fit(X_train, y_train).score(X_val, y_val)
    print(f"one validation set: {validation:.3f}")
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    folds = cross_val_score(model, X, y, cv=cv)
    print(
        f"five folds: {folds.mean():.3f}, from {folds.min():.3f} to {folds.max():.3f}"
    )
    search = GridSearchCV(
        model,
        {
            "mlpclassifier__hidden_layer_sizes": UNITS,
            "mlpclassifier__alpha": ALPHAS,
        },
        cv=cv,
    ).fit(X, y)
    # ParameterGrid runs through its keys in the order of the alphabet: alpha first.
    grid = search.cv_results_["mean_test_score"].reshape(len(ALPHAS), len(UNITS)).T
    test = search.score(X_test, y_test)
    best = {key.split("__")[1]: value for key, value in search.best_params_.items()}
    print(f"best of {grid.size} settings: {best}, {search.best_score_:.3f} over folds")
    print(f"on the test set, seen once: {test:.3f}")
    return Found(validation, folds, grid, best, float(search.best_score_), test)


def draw(found: Found) -> Any:
    """Return a figure: the folds, and the grid."""
    figure, (left, right) = new_figure(1, 2, width=4.5)
    left.bar(np.arange(1, 6), found.folds, color="C0", label="fold")
    left.axhline(found.folds.mean(), color="C0", ls="--", label="mean of the folds")
    left.axhline(found.validation, color="C1", ls=":", label="one validation set")
    left.axhline(found.test, color="C3", label="test, best setting")
    left.set(ylim=(0.9, 1), xlabel="fold", ylabel="accuracy")
    left.legend(loc="lower right")
    image = right.imshow(found.grid, cmap="viridis")
    right.set_xticks(range(len(ALPHAS)), [f"{alpha:g}" for alpha in ALPHAS])
    right.set_yticks(range(len(UNITS)), [str(units[0]) for units in UNITS])
    right.set(xlabel="alpha", ylabel="hidden units", title="mean of five folds")
    for (i, j), score in np.ndenumerate(found.grid):
        right.text(j, i, f"{score:.3f}", ha="center", va="center", color="w")
    figure.colorbar(image, ax=right)
    return figure


if __name__ == "__main__":
    draw(run())
    show()
