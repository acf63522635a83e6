"""
The two-layer network of twenty lines of NumPy: the same losses, sooner.
========================================================================

N = 64 rows, 1000 inputs, 100 sigmoid units, 10 linear outputs, no biases; the sum of
squared errors S by plain gradient descent on all rows, 2000 steps of 1e-4.

The kernels average over rows and halve: their loss is S / (2 * 10 * 64), and their
gradient, that of S / (2 * 64), takes 2 * 64 times the step for the same weights.
"""

import time
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from fastmlp.examples._drawing import new_figure, show
from fastmlp.kernels import (
    Data,
    Group,
    NetworkSpec,
    Optimizer,
    Trainer,
    layer_activations,
)

N, D_IN, H, D_OUT = 64, 1000, 100, 10
STEPS, RATE = 2000, 1e-4


class Found(NamedTuple):
    """Loss before each step and seconds in all, of NumPy's loop and the kernels."""

    numpy_losses: np.ndarray
    numpy_seconds: float
    losses: np.ndarray
    seconds: float


def problem() -> list[np.ndarray]:
    """Return inputs, targets and the two weight matrices, all normally distributed."""
    rng = np.random.RandomState(0)
    shapes = ((N, D_IN), (N, D_OUT), (D_IN, H), (H, D_OUT))
    return [rng.standard_normal(shape) for shape in shapes]


def twenty_lines(
    x: np.ndarray, y: np.ndarray, w1: np.ndarray, w2: np.ndarray, steps: int
) -> np.ndarray:
    """Return the loss before each step, as the lecture's loop computes it."""
    w1, w2, losses = w1.copy(), w2.copy(), []
    for _ in range(steps):
        h = 1 / (1 + np.exp(-x.dot(w1)))
        y_pred = h.dot(w2)
        losses.append(np.square(y_pred - y).sum())
        grad_y_pred = 2.0 * (y_pred - y)
        grad_w2 = h.T.dot(grad_y_pred)
        grad_h = grad_y_pred.dot(w2.T)
        grad_w1 = x.T.dot(grad_h * h * (1 - h))
        w1 -= RATE * grad_w1
        w2 -= RATE * grad_w2
    return np.array(losses)


def kernels(
    x: np.ndarray, y: np.ndarray, w1: np.ndarray, w2: np.ndarray, steps: int
) -> np.ndarray:
    """Return the same by the kernels, one epoch of one minibatch being one step."""
    parameters = np.concatenate([w1.ravel(), w2.ravel(), np.zeros(H + D_OUT)])
    optimizer = Optimizer("sgd", learning_rate=2 * N * RATE)
    data, order = Data(x, y), np.arange(N)
    spec = NetworkSpec((D_IN, H, D_OUT), layer_activations("logistic", 1))
    with Trainer(
        spec, "identity", "squared_error", x.dtype, data.form, batch_size=N,
        optimizer=optimizer, groups={(None, "biases"): Group(rate=0.0)}, n_threads=1,
    ) as trainer:  # fmt: skip
        trainer.load(parameters)
        losses = [trainer.train_epoch(data, order, 0.0) for _ in range(steps)]
    return np.array(losses) * (2 * D_OUT * N)


def run(steps: int = STEPS) -> Found:
    """Train both from the same weights; print and return losses and times.

    On one thread each: those of a BLAS wait for each other longer than they work.
    """
    x, y, w1, w2 = problem()
    results: list[Any] = []
    kernels(x, y, w1, w2, 1)  # compiled, or read from the disk
    for train in (twenty_lines, kernels):
        began = time.perf_counter()
        with threadpool_limits(1):
            losses = train(x, y, w1, w2, steps)
        results += [losses, time.perf_counter() - began]
    found = Found(*results)
    print("step       NumPy's loop            kernels")
    for step in (0, 1, 10, 100, steps - 1):
        print(f"{step:4} {found.numpy_losses[step]:18.8f} {found.losses[step]:18.8f}")
    difference = abs(found.losses / found.numpy_losses - 1).max()
    print(f"largest relative difference of any step: {difference:.1e}")
    print(
        f"{found.numpy_seconds:.2f} s and {found.seconds:.2f} s: "
        f"{found.numpy_seconds / found.seconds:.1f} times as fast"
    )
    return found


def draw(found: Found) -> Any:
    """Return a figure of both losses, one above the other."""
    figure, ax = new_figure(width=6)
    ax.plot(found.numpy_losses, lw=5, color="C7", alpha=0.6, label="NumPy's loop")
    ax.plot(found.losses, color="C3", label="kernels")
    ax.set(xlabel="step", ylabel="sum of squared errors", yscale="log")
    ax.legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
