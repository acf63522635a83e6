"""
More hidden units fit more; the penalty, not the size, keeps them from overfitting.
===================================================================================

Noisy circles and two spirals, by 3, 6 and 20 tanh units and, at 20, four strengths of
the L2 penalty.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import make_circles
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

UNITS, ALPHAS, LEAST = (3, 6, 20), (1e-2, 1e-1, 1.0), 1e-3
SETTINGS = [(units, LEAST) for units in UNITS] + [(UNITS[-1], a) for a in ALPHAS]


class Found(NamedTuple):
    """One network: its data, size and penalty, itself, accuracies, squared weights."""

    data: str
    units: int
    alpha: float
    model: MLPClassifier
    train: float
    test: float
    squares: float


def spirals(n: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n points of two spirals that wind once and a half, and their labels."""
    rng = np.random.RandomState(random_state)
    y = np.arange(n) % 2
    t = np.sqrt(rng.uniform(0.05, 1, n)) * 3 * np.pi
    angle = t + np.pi * y
    X = np.c_[t * np.cos(angle), t * np.sin(angle)] / 5
    return X + rng.normal(0, 0.12, X.shape), y


def data(name: str) -> list[np.ndarray]:
    """Return X_train, X_test, y_train, y_test of 'circles' or 'spirals'."""
    if name == "circles":
        X, y = make_circles(600, noise=0.2, factor=0.5, random_state=0)
    else:
        X, y = spirals(600, 0)
    return train_test_split(X, y, test_size=400, stratify=y, random_state=0)


def run() -> list[Found]:
    """Fit all networks; print and return accuracies and sizes of the weights."""
    found = []
    print("data     units  alpha   training   test   sum of squared weights")
    for name in ("circles", "spirals"):
        X_train, X_test, y_train, y_test = data(name)
        for units, alpha in SETTINGS:
            model = MLPClassifier(
                (units,), "tanh", solver="lbfgs", alpha=alpha, max_iter=400,
                random_state=1, n_threads=1,
            )  # fmt: skip
            # SciPy's part of L-BFGS is too small for the threads of a BLAS.
            with without_convergence_warnings(), threadpool_limits(1):
                model.fit(X_train, y_train)
            each = Found(
                name, units, alpha, model,
                model.score(X_train, y_train), model.score(X_test, y_test),
                float(sum(np.vdot(W, W) for W in model.coefs_)),
            )  # fmt: skip
            found.append(each)
            print(
                f"{name:8} {units:5} {alpha:6g}      {each.train:.3f}  {each.test:.3f}"
                f"   {each.squares:.0f}"
            )
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure of the regions of decision, with the training points."""
    from sklearn.inspection import DecisionBoundaryDisplay

    figure, axes = new_figure(2, len(SETTINGS), width=2.5, height=2.7)
    for ax, each in zip(axes.flat, found, strict=True):
        X, _, y, _ = data(each.data)
        DecisionBoundaryDisplay.from_estimator(
            each.model, X, response_method="predict_proba", class_of_interest=1,
            cmap="RdBu_r", vmin=0, vmax=1, levels=12, eps=0.3, ax=ax,
        )  # fmt: skip
        ax.scatter(*X.T, c=y, cmap="RdBu_r", edgecolor="w", linewidth=0.3, s=12)
        ax.set(xticks=[], yticks=[])
        ax.set_title(
            f"{each.units} units, alpha {each.alpha:g}\ntest {each.test:.2f}", size=9
        )
    return figure


if __name__ == "__main__":
    draw(run())
    show()
