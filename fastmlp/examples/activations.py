"""
Every activation of the table with its derivative, which differences confirm.
=============================================================================
"""

from typing import Any, NamedTuple

import numpy as np

from fastmlp.examples._drawing import new_figure, show
from fastmlp.kernels import (
    ACTIVATIONS,
    OPERATIONS,
    Data,
    NetworkSpec,
    Tracer,
    layer_activations,
)

Z = np.linspace(-5, 5, 1001)


class Curve(NamedTuple):
    """Values and derivative at Z, and how far central differences are from it."""

    name: str
    value: np.ndarray
    derivative: np.ndarray
    error: float


def curve(name: str) -> Curve:
    """Return the `Curve` of an activation.

    A network of one hidden unit, of weight 1 and bias 0, is the activation.
    """
    data = Data(Z[:, np.newaxis], np.zeros((Z.size, 1)))
    spec = NetworkSpec((1, 1, 1), layer_activations(name, 1))
    head = "identity", "squared_error"
    with Tracer(spec, *head, np.float64, data.form, n_threads=1) as tracer:
        tracer.load(np.array([1.0, 1.0, 0.0, 0.0]))
        value = tracer.layer_outputs(data, [0])[0][:, 0]
        blocks = tracer.trace(data, mode="derivatives")
        derivative = np.concatenate([block.deltas(0) for block in blocks])[:, 0]
    numeric = (value[2:] - value[:-2]) / (Z[2:] - Z[:-2])
    # Between two points with a corner of the curve the difference is a mean of slopes.
    error = float(np.median(abs(numeric - derivative[1:-1])))
    return Curve(name, value, derivative, error)


def run() -> list[Curve]:
    """Evaluate all of them; print and return the curves."""
    # "swish" is a second name of "silu".
    found = [curve(name) for name in ACTIVATIONS if name != "swish"]
    print("activation           f(-2)     f(0)     f(2)   f'(-2)    f'(0)    f'(2)")
    at = np.searchsorted(Z, [-2, 0, 2])
    for each in found:
        numbers = (*each.value[at], *each.derivative[at])
        print(f"{each.name:17}" + "".join(f"{number:9.4f}" for number in numbers))
    worst = max(found, key=lambda each: each.error)
    print(f"differences confirm the derivatives, to {worst.error:.0e} ({worst.name})")
    # They have trained parameters or several inputs.
    print(f"not curves of one number: {', '.join(sorted(OPERATIONS))}")
    return found


def draw(found: list[Curve]) -> Any:
    """Return a figure with one pair of curves per activation."""
    columns = 4
    rows = -(-len(found) // columns)
    figure, axes = new_figure(rows, columns, width=2.8, height=2.4, squeeze=False)
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    for ax, each in zip(axes.flat, found, strict=False):
        ax.axhline(0, color="0.8", lw=0.8)
        ax.axvline(0, color="0.8", lw=0.8)
        ax.plot(Z, each.value, label="value")
        ax.plot(Z, each.derivative, "--", label="derivative")
        ax.set(title=each.name, ylim=(-2, 3))
    axes.flat[0].legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
