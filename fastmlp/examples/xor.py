"""
XOR: no perceptron separates it, and one hidden layer does.
===========================================================

A perceptron draws one straight line, which is enough for AND and OR. Hidden units
without an activation are still one linear layer: W2 W1 x.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}
CASES = (
    ("AND", "perceptron", (), "tanh"),
    ("OR", "perceptron", (), "tanh"),
    ("XOR", "perceptron", (), "tanh"),
    ("XOR", "4 linear units", (4,), "identity"),
    ("XOR", "4 tanh units", (4,), "tanh"),
)


class Found(NamedTuple):
    """One network: its target, its layers, the model, and the rows it gets right."""

    target: str
    network: str
    model: MLPClassifier
    right: int


def run() -> list[Found]:
    """Fit each of `CASES`; print and return how many of the four rows are right."""
    found = []
    for target, name, hidden, activation in CASES:
        model = MLPClassifier(
            hidden, activation, solver="lbfgs", alpha=1e-3, max_iter=2000,
            random_state=0,
        ).fit(X, TARGETS[target])  # fmt: skip
        right = int((model.predict(X) == TARGETS[target]).sum())
        found.append(Found(target, name, model, right))
        print(f"{target:3} by {name:14}: {right} of 4 right")
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure of the regions of decision."""
    from sklearn.inspection import DecisionBoundaryDisplay

    figure, axes = new_figure(1, len(found), width=2.6, height=2.9)
    for ax, each in zip(axes, found, strict=True):
        DecisionBoundaryDisplay.from_estimator(
            each.model, X, response_method="predict_proba", class_of_interest=1,
            cmap="RdBu_r", vmin=0, vmax=1, levels=20, eps=0.5, ax=ax,
        )  # fmt: skip
        y = TARGETS[each.target]
        ax.scatter(*X.T, c=y, cmap="RdBu_r", edgecolor="k", s=80)
        ax.set(title=f"{each.target}: {each.network}\n{each.right} of 4 right")
    return figure


if __name__ == "__main__":
    draw(run())
    show()
