"""
Initial weights that suit the activation keep signal and gradient alive.
========================================================================

Ten hidden layers of 50 units on the standardised digits, before training: how spread
out the activations are from layer to layer, and the gradients on their way back.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import scale

from fastmlp import MLPClassifier
from fastmlp.displays import ActivationDisplay, GradientFlowDisplay
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import at_the_start
from fastmlp.inspection import activation_statistics, gradient_statistics

HIDDEN = (50,) * 10
SCHEMES = {
    "tanh": ("normal", "lecun_uniform", "glorot_normal", "he_normal"),
    "relu": ("normal", "lecun_uniform", "glorot_normal", "he_normal"),
}


class Found(NamedTuple):
    """One network, and how activations and deltas change over its layers."""

    activation: str
    init: str
    model: MLPClassifier
    forward: float
    backward: float
    saturated: float


def data() -> tuple[np.ndarray, np.ndarray]:
    """Return the standardised digits and their labels."""
    X, y = load_digits(return_X_y=True)
    return scale(X), y


def run() -> list[Found]:
    """Look at all networks; print and return the ratios."""
    X, y = data()
    found = []
    print("root mean squares of activations, last layer over first, and deltas, back")
    for activation, schemes in SCHEMES.items():
        for init in schemes:
            model = MLPClassifier(HIDDEN, activation, init=init, random_state=0)
            at_the_start(model, X, y)
            seen = activation_statistics(model, X)
            sizes = np.hypot(seen.mean, seen.std)
            deltas = gradient_statistics(model, X, y).deltas.std[:-1]
            each = Found(
                activation, init, model, sizes[-1] / sizes[0], deltas[0] / deltas[-1],
                seen.saturated.mean(),
            )  # fmt: skip
            found.append(each)
            print(
                f"{activation} {init:14} activations {each.forward:8.1e}, "
                f"deltas {each.backward:8.1e}, saturated {each.saturated:.2f}"
            )
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure: histograms of activations and deltas under tanh."""
    X, y = data()
    shown = [each for each in found if each.activation == "tanh"]
    figure, axes = new_figure(2, len(shown), width=3.6)
    for (top, bottom), each in zip(axes.T, shown, strict=True):
        ActivationDisplay.from_estimator(each.model, X, ax=top)
        GradientFlowDisplay.from_estimator(each.model, X, y, ax=bottom)
        top.set_title(f"tanh, {each.init}")
        for ax in (top, bottom):
            ax.get_legend().remove()
    axes[0, 0].legend(fontsize=6)
    return figure


if __name__ == "__main__":
    draw(run())
    show()
