"""
Cross-entropy sees every output, log-likelihood the right one alone.
====================================================================

Ten outputs a, the first of which should be 1. C_CE = -sum_k [y_k ln a_k +
(1 - y_k) ln(1 - a_k)] belongs to sigmoids, C_LL = -sum_k y_k ln a_k to softmax. C_LL
is the same whether the wrong outputs share the rest or one of them has all of it; C_CE
is not. The picture adds how each loss of one output grows with its raw score.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmlp.examples._drawing import new_figure, show
from fastmlp.kernels import Data, NetworkSpec, Tracer

OUTPUTS = {
    "spread": (0.55, 0.02, 0.01, 0.03, 0.01, 0.05, 0.17, 0.01, 0.06, 0.09),
    "one rival": (0.55, 0.002, 0.001, 0.003, 0.001, 0.04, 0.37, 0.001, 0.012, 0.02),
}
Z = np.linspace(-5, 5, 401)

# Of one output with the target 1.
CURVES = [
    ("logistic", "log_loss"),
    ("logistic", "squared_error"),
    ("identity", "squared_error"),
    ("identity", "absolute_error"),
    ("identity", "huber"),
    ("exp", "poisson"),
]


class Found(NamedTuple):
    """Costs of both outputs by name, and per row of `CURVES` loss and derivative."""

    cross_entropy: dict
    log_likelihood: dict
    curves: dict


def scored(
    Z: np.ndarray, y: Any, out_activation: str, loss: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses (n,) and derivatives (n, k) of raw scores (n, k).

    By a network without hidden layers whose weights are the unit matrix.
    """
    n, k = Z.shape
    data = Data(Z, np.tile(np.asarray(y, float), (n, 1)))
    names, spec = (out_activation, loss), NetworkSpec((k, k), ())
    with Tracer(spec, *names, np.float64, data.form, n_threads=1) as tracer:
        tracer.load(np.append(np.eye(k).ravel(), np.zeros(k)))
        blocks = [(block.losses(), block.deltas(0)) for block in tracer.trace(data)]
    losses, deltas = zip(*blocks, strict=True)
    return np.concatenate(losses), np.concatenate(deltas)


def run() -> Found:
    """Compute all of it by the kernels; print and return the costs."""
    cross_entropy, log_likelihood = {}, {}
    print("outputs      C_CE    C_LL")
    for name, outputs in OUTPUTS.items():
        a = np.array(outputs)
        z = np.log(a / (1 - a))[None]
        cross_entropy[name] = float(
            scored(z, np.eye(10)[0], "logistic", "log_loss")[0][0]
        )
        log_likelihood[name] = float(
            scored(np.log(a)[None], [0], "softmax", "log_loss")[0][0]
        )
        print(f"{name:10} {cross_entropy[name]:.4f}  {log_likelihood[name]:.4f}")
    curves = {key: scored(Z[:, None], [1], *key) for key in CURVES}
    at = int(np.searchsorted(Z, -4))
    print("derivative at a score of -4, target 1:")
    for (out_activation, loss), (_, delta) in curves.items():
        print(f"  {loss:14} of {out_activation:8} {delta[at, 0]:9.4f}")
    return Found(cross_entropy, log_likelihood, curves)


def draw(found: Found) -> Any:
    """Return a figure: the outputs with their costs, and the losses of one output."""
    figure, axes = new_figure(1, 3, width=4.8)
    for k, (name, a) in enumerate(OUTPUTS.items()):
        entropy, likelihood = found.cross_entropy[name], found.log_likelihood[name]
        label = f"{name}: C_CE = {entropy:.4f}, C_LL = {likelihood:.4f}"
        axes[0].bar(np.arange(10) + 0.4 * k - 0.2, a, width=0.4, label=label)
    axes[0].set(
        xlabel="output", xticks=range(10), ylabel="its value", ylim=(0, 0.8),
        title="two predictions of class 0, and their costs",
    )  # fmt: skip
    axes[0].legend(fontsize=8)
    for (out_activation, loss), (losses, delta) in found.curves.items():
        label = f"{loss} of {out_activation}"
        axes[1].plot(Z, losses, label=label)
        axes[2].plot(Z, delta, label=label)
    axes[1].set(xlabel="raw score", title="loss of one output, target 1", ylim=(0, 8))
    axes[2].set(xlabel="raw score", title="its derivative", ylim=(-3, 3))
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center")
    return figure


if __name__ == "__main__":
    draw(run())
    show()
