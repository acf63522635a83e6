"""
One neuron that is badly wrong learns slowly from squared error, not cross-entropy.
===================================================================================

Input 1, target 0, one sigmoid, steps of 0.15. The squared error's derivative in the raw
score, (a - y) a (1 - a), vanishes where the neuron is surest; the cross-entropy's is
a - y.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmlp.examples._drawing import new_figure, show
from fastmlp.kernels import Data, NetworkSpec, Optimizer, Trainer

RATE, STEPS = 0.15, 300
CASES = (("squared_error", 0.6, 0.9), ("squared_error", 2, 2), ("log_loss", 2, 2))


class Found(NamedTuple):
    """One neuron: its loss and first weight and bias, its output before each step."""

    loss: str
    w: float
    b: float
    outputs: np.ndarray


def learn(loss: str, w: float, b: float) -> np.ndarray:
    """Return the neuron's output before each of the steps and after the last."""
    x, order = np.ones((1, 1)), np.zeros(1, np.int64)
    data, outputs = Data(x, np.zeros((1, 1))), []
    spec, optimizer = NetworkSpec((1, 1), ()), Optimizer("sgd", learning_rate=RATE)
    with Trainer(
        spec, "logistic", loss, np.float64, data.form, batch_size=1, n_threads=1,
        optimizer=optimizer,
    ) as trainer:  # fmt: skip
        trainer.load(np.array([w, b], float))
        for _ in range(STEPS + 1):
            outputs.append(trainer.predict(x)[0, 0])
            trainer.train_epoch(data, order, 0.0)
    return np.array(outputs)


def run() -> list[Found]:
    """Train each of `CASES`; print and return the outputs."""
    found = [Found(loss, w, b, learn(loss, w, b)) for loss, w, b in CASES]
    print("loss           w    b    output after 0, 50, 100, 200, 300 steps")
    for each in found:
        numbers = "  ".join(f"{each.outputs[n]:.3f}" for n in (0, 50, 100, 200, 300))
        print(f"{each.loss:13}  {each.w:<3}  {each.b:<3}  {numbers}")
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure of the outputs against the steps."""
    figure, ax = new_figure(width=8)
    for each in found:
        ax.plot(each.outputs, label=f"{each.loss}, w = {each.w}, b = {each.b}")
    ax.set(xlabel="step", ylabel="output (target 0)", ylim=(0, 1))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


if __name__ == "__main__":
    draw(run())
    show()
