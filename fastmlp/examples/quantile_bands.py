"""
Quantiles: bands that widen with the noise, from one network whose levels keep order.
=====================================================================================

y = sin(3 x) with noise whose spread grows with x. One network learns five levels by the
pinball loss and returns them in order. A network of its own for each level has nothing
that keeps them apart: where their errors are larger than the distance of two levels,
they cross.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmlp import MLPRegressor
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
ROWS, TEST_ROWS = 600, 20_000


class Found(NamedTuple):
    """The test rows, and the quantiles of each by one network and by five.

    Parameters
    ----------
    x, y : (n,) array
    together, apart : (n, 5) array
    """

    x: np.ndarray
    y: np.ndarray
    together: np.ndarray
    apart: np.ndarray


def data(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x in [0, 2] and y, float32."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 2, rows).astype(np.float32)
    noise = rng.normal(scale=0.02 + 0.3 * x, size=rows)
    return x, (np.sin(3 * x) + noise).astype(np.float32)


def coverage(y: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Return the share of y between two quantiles."""
    return float(np.mean((low <= y) & (y <= high)))


def crossings(quantiles: np.ndarray) -> float:
    """Return the share of rows in which a lower level is above a higher one."""
    return float(np.mean((np.diff(quantiles, axis=1) < 0).any(axis=1)))


def run() -> Found:
    """Train both; print coverage and crossings, return the quantiles."""
    x, y = data(ROWS, 0)
    x_test, y_test = data(TEST_ROWS, 1)

    def predicted(level: Any) -> np.ndarray:
        network = MLPRegressor(
            ("quantile", level), hidden_layer_sizes=(32, 32), activation="tanh",
            learning_rate_init=0.01, learning_rate="cosine", batch_size=64,
            max_iter=150, n_iter_no_change=np.inf, random_state=0,
        )  # fmt: skip
        with without_convergence_warnings():
            return network.fit(x[:, None], y).predict(x_test[:, None])

    together = predicted(LEVELS)
    apart = np.column_stack([predicted(level) for level in LEVELS])
    found = Found(x_test, y_test, together, apart)
    print(f"{ROWS} rows to learn from, {TEST_ROWS} to test with")
    for i, j in ((1, 3), (0, 4)):
        low, high = together[:, i], together[:, j]
        narrow, wide = (high - low)[x_test < 0.2], (high - low)[x_test > 1.8]
        print(
            f"band of {LEVELS[j] - LEVELS[i]:.0%}: holds "
            f"{coverage(y_test, low, high):.1%}, its width {narrow.mean():.2f} "
            f"for x < 0.2 and {wide.mean():.2f} for x > 1.8"
        )
    print(f"rows with levels out of order: one network {crossings(together):.1%}")
    print(f"                           five networks {crossings(apart):.1%}")
    return found


def draw(found: Found) -> Any:
    """Return a figure: the bands of one network, and the levels of five."""
    figure, axes = new_figure(1, 2, width=4.5, sharey=True)
    order = np.argsort(found.x)
    for ax, quantiles, title in zip(
        axes, found[2:], ["one network", "five networks"], strict=True
    ):
        ax.plot(found.x[:800], found.y[:800], ".", color="0.7", ms=3)
        for level, column in zip(LEVELS, quantiles[order].T, strict=True):
            ax.plot(found.x[order], column, label=f"{level:g}")
        ax.set(title=title, xlabel="x")
    axes[0].set(ylabel="y", ylim=(-2.5, 2.5))
    axes[0].legend(title="level", fontsize=8)
    return figure


if __name__ == "__main__":
    draw(run())
    show()
