"""
A cluster: replicas of a network, averaged in rounds, the same on any workers.
==============================================================================

The digits in sixteen partitions on a Dask cluster, here two workers in this process.
Each replica trains on its own partitions, and four times in an epoch the mean of all
takes their place. At equal epochs S replicas make an S-th of the steps of one, which
costs accuracy; a learning rate S times as high makes up for a part of that.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastmlp.dask import DaskMLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

REPLICAS, PARTITIONS, RATE = (1, 2, 4, 8, 16), 16, 1e-3


class Found(NamedTuple):
    """Accuracies on rows held out, and a comparison of two clusters.

    Parameters
    ----------
    same_rate, scaled_rate : list of float
        By `REPLICAS`, with the rate of one machine and with that times the replicas.
    equal : bool
        True if one worker and two give the same weights, to the bit.
    """

    same_rate: list[float]
    scaled_rate: list[float]
    equal: bool


def run() -> Found:
    """Train on clusters of one and of two workers; print and return the results."""
    import dask.array as da
    from distributed import Client

    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        (X / 16).astype(np.float32), y, test_size=0.3, stratify=y, random_state=0
    )

    def fit(client: Any, n_replicas: int, rate: float) -> DaskMLPClassifier:
        network = DaskMLPClassifier(
            (50,), learning_rate_init=rate, batch_size=32, max_iter=10,
            n_iter_no_change=10, random_state=0, client=client, n_replicas=n_replicas,
        )  # fmt: skip
        rows = len(X) // PARTITIONS + 1
        with without_convergence_warnings():
            return network.fit(
                da.from_array(X, chunks=(rows, -1)), da.from_array(y, chunks=rows)
            )

    def open_client(n_workers: int) -> Any:
        return Client(
            processes=False, n_workers=n_workers, threads_per_worker=1,
            dashboard_address=":0",
        )  # fmt: skip

    with open_client(2) as client:
        two = fit(client, 4, 4 * RATE)
        same, scaled = (
            [fit(client, n, RATE * factor).score(X_test, y_test) for n, factor in pairs]
            for pairs in (((n, 1) for n in REPLICAS), ((n, n) for n in REPLICAS))
        )
    with open_client(1) as client:
        one = fit(client, 4, 4 * RATE)
    equal = all(map(np.array_equal, one.coefs_, two.coefs_))
    print(f"weights of one worker and of two: {'equal' if equal else 'different'}")
    print("replicas  same rate  rate times replicas")
    for n, a, b in zip(REPLICAS, same, scaled, strict=True):
        print(f"{n:8}  {a:9.3f}  {b:19.3f}")
    return Found(same, scaled, equal)


def draw(found: Found) -> Any:
    """Return a figure: the accuracy against the number of replicas."""
    figure, ax = new_figure()
    ax.plot(REPLICAS, found.same_rate, "o-", label="rate of one machine")
    ax.plot(REPLICAS, found.scaled_rate, "s-", label="rate times replicas")
    ax.set(xscale="log", xlabel="replicas", ylabel="accuracy after 10 epochs")
    ax.set_xticks(REPLICAS, map(str, REPLICAS))
    ax.minorticks_off()
    ax.legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
