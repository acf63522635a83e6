"""
Cosine annealing with warm restarts: the rate falls to nothing, and starts again.
=================================================================================

eta = eta_min + (eta_max - eta_min) (1 + cos(pi t / T)) / 2 over T = 10, 20 and 40
epochs (I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm
restarts", ICLR 2017). The digits, by SGD with momentum; at the end of each cycle the
loss is lower than anywhere before, and a restart raises it. The same rate throughout is
too high to end as low.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastmlp import MLPClassifier
from fastmlp.displays import LossCurveDisplay
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

T_0, T_MULT, CYCLES = 10, 2, 3
ENDS = T_0 * (T_MULT ** np.arange(1, CYCLES + 1) - 1) // (T_MULT - 1)
RATE = 0.3


class Found(NamedTuple):
    """The trained network, its test accuracy, and that of a constant rate."""

    model: MLPClassifier
    accuracy: float
    constant: MLPClassifier
    constant_accuracy: float


def run() -> Found:
    """Train with both schedules; print and return networks and accuracies."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, stratify=y, random_state=0
    )
    settings = {
        "hidden_layer_sizes": (40,), "solver": "sgd", "learning_rate_init": RATE,
        "batch_size": 32, "max_iter": int(ENDS[-1]), "n_iter_no_change": np.inf,
        "random_state": 0,
    }  # fmt: skip
    model = MLPClassifier(
        learning_rate="cosine_restarts", T_0=T_0, T_mult=T_MULT, eta_min=0.0, **settings
    )
    constant = MLPClassifier(**settings)
    with without_convergence_warnings():
        found = Found(
            model.fit(X_train, y_train), model.score(X_test, y_test),
            constant.fit(X_train, y_train), constant.score(X_test, y_test),
        )  # fmt: skip
    print("epoch   rate     loss")
    for end in ENDS:
        for epoch in (end - 1, end):
            if epoch < ENDS[-1]:
                rate, loss = model.lr_curve_[epoch], model.loss_curve_[epoch]
                print(f"{epoch + 1:5} {rate:7.4f} {loss:8.5f}")
    print(f"loss at a constant rate: {constant.loss_curve_[-1]:.5f}")
    print(f"test accuracy {found.accuracy:.3f}; constant {found.constant_accuracy:.3f}")
    return found


def draw(found: Found) -> Any:
    """Return a figure of losses and learning rate."""
    figure, ax = new_figure(width=7, height=4)
    display = LossCurveDisplay.from_estimator(found.model, ax=ax)
    display.lines_["loss"].set_label("warm restarts")
    losses = found.constant.loss_curve_
    ax.plot(range(1, len(losses) + 1), losses, color="C1", label="constant rate")
    ax.set(yscale="log", ylabel="training loss")
    ax.legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
