"""
A deep network of sigmoids learns nothing: its gradient vanishes on the way back.
=================================================================================

The sigmoid's derivative is at most 1/4, so that the deltas shrink by a factor in each
layer; ReLU's is 0 or 1. Handwritten digits, eight hidden layers of 30 units.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastmlp import MLPClassifier
from fastmlp.displays import GradientFlowDisplay
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import at_the_start, without_convergence_warnings
from fastmlp.inspection import gradient_statistics

HIDDEN, EPOCHS = (30,) * 8, 40
CHOSEN = ["logistic", "relu", "selu"]


class Found(NamedTuple):
    """One activation: deltas per hidden layer at the start, and its networks."""

    activation: str
    std: np.ndarray
    untrained: MLPClassifier
    trained: MLPClassifier
    accuracy: float


def digits() -> list[np.ndarray]:
    """Return the digits in [0, 1]: X_train, X_test, y_train, y_test."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, stratify=y, random_state=0)


def run() -> list[Found]:
    """Train one network per activation; print and return gradients and accuracies."""
    X_train, X_test, y_train, y_test = digits()
    found = []
    print("root mean square of the deltas at the start, and accuracy after training")
    for activation in CHOSEN:
        untrained = at_the_start(
            MLPClassifier(HIDDEN, activation, random_state=0), X_train, y_train
        )
        std = gradient_statistics(untrained, X_train, y_train).deltas.std[:-1]
        trained = MLPClassifier(HIDDEN, activation, max_iter=EPOCHS, random_state=0)
        with without_convergence_warnings():
            trained.fit(X_train, y_train)
        accuracy = trained.score(X_test, y_test)
        found.append(Found(activation, std, untrained, trained, accuracy))
        print(
            f"{activation:8}: last hidden layer {std[-1]:.1e}, first {std[0]:.1e}, "
            f"ratio {std[0] / std[-1]:.1e}; accuracy {accuracy:.3f}"
        )
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure: deltas per layer, their histograms, the losses."""
    X, _, y, _ = digits()
    figure, axes = new_figure(2, 2, width=5)
    for each in found:
        layers = np.arange(1, len(each.std) + 1)
        axes[0, 0].plot(layers, each.std, "o-", label=each.activation)
        axes[0, 1].plot(each.trained.loss_curve_, label=each.activation)
    axes[0, 0].set(xlabel="hidden layer", ylabel="rms of the deltas", yscale="log")
    axes[0, 1].set(xlabel="epoch", ylabel="training loss")
    for ax in axes[0]:
        ax.legend()
    for ax, each in zip(axes[1], found, strict=False):
        GradientFlowDisplay.from_estimator(each.untrained, X, y, ax=ax)
        ax.set(title=f"{each.activation}, before training")
    return figure


if __name__ == "__main__":
    draw(run())
    show()
