"""A cluster on this machine beside one process: ``python -m bench.cluster``.

Prints rows per second of `fit` with two threads, of a worker with two threads and of
two workers with one thread each; the overhead of a round for networks of about 10,000,
100,000 and 1,000,000 parameters; and what a worker costs that is killed halfway through
a fit. The machine has to be idle. Weights are compared before anything is timed.
"""

import argparse
import contextlib
import json
import os
import signal
import threading
import time
import warnings
from pathlib import Path

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from bench import machine
from fastmlp import MLPClassifier
from fastmlp.dask import DaskMLPClassifier

N_FEATURES = 50
# Hidden layers of networks of about so many parameters.
SIZES = {10_000: (100, 40), 100_000: (250, 320), 1_000_000: (800, 1150)}


def rows(n_rows):
    """Return n rows of a problem of two classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    return X, (X[:, :5].prod(axis=1) > 0).astype(int)


def make(n_parameters, epochs, **params):
    """Return an estimator for a network of about so many parameters."""
    return DaskMLPClassifier(
        SIZES[n_parameters],
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=0,
        **params,
    )


@contextlib.contextmanager
def connect(n_workers, n_threads):
    """Yield a client of a new cluster, which ends with the block."""
    with (
        LocalCluster(
            n_workers, threads_per_worker=n_threads, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def chunked(X, y, n_rows):
    """Return X and y as Dask arrays in chunks of so many rows."""
    return [da.from_array(each, chunks=(n_rows, *each.shape[1:])) for each in (X, y)]


def seconds(function):
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def measure_speed(n_rows, epochs, repeats):
    """Return rows per second of each way to fit."""
    X, y = rows(n_rows)
    estimator = make(100_000, epochs, n_replicas=2, rounds_per_epoch=1)
    local = MLPClassifier(estimator.hidden_layer_sizes)
    local.set_params(**{k: estimator.get_params()[k] for k in local.get_params()})
    local.set_params(n_threads=2)
    ways, weights = {"fit, 2 threads": lambda: local.fit(X, y)}, []
    with connect(1, 2) as one, connect(2, 1) as two:
        for name, client in (("1 worker x 2", one), ("2 workers x 1", two)):
            data = client.persist(chunked(X, y, -(-n_rows // 2)))
            own = clone(estimator).set_params(client=client)
            weights.append(own.fit(*data).coefs_[0])
            ways[name] = lambda own=own, data=data: own.fit(*data)
        assert np.array_equal(*weights)
        local.fit(X, y)
        taken = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                taken[name].append(seconds(way))
    return {name: n_rows * epochs / min(times) for name, times in taken.items()}


def measure_overhead(n_parameters, repeats):
    """Return the seconds of a round of two workers that train on next to nothing.

    The difference between fits of 30 and of 10 rounds, divided by 20.
    """
    X, y = rows(80)
    with connect(2, 1) as client:
        data = chunked(X, y, 40)

        def fit(epochs):
            estimator = make(n_parameters, epochs, n_replicas=2, client=client)
            return lambda: estimator.fit(*data)

        fit(3)()
        many = min(seconds(fit(30)) for _ in range(repeats))
        few = min(seconds(fit(10)) for _ in range(repeats))
    return (many - few) / 20


def measure_recovery(n_rows, epochs):
    """Return the seconds of a fit, and of one in which a worker is killed halfway."""
    X, y = rows(n_rows)
    with connect(2, 1) as client:
        data = chunked(X, y, n_rows // 4)
        estimator = make(100_000, epochs, n_replicas=2, client=client)
        ref = clone(estimator).fit(*data)
        undisturbed = seconds(lambda: estimator.fit(*data))
        victim = next(iter(client.run(os.getpid).values()))
        kill = threading.Timer(undisturbed / 2, os.kill, (victim, signal.SIGKILL))
        kill.start()
        disturbed = seconds(lambda: estimator.fit(*data))
        assert np.array_equal(ref.coefs_[0], estimator.coefs_[0])
    return {"undisturbed": undisturbed, "a worker killed": disturbed}


def main(arguments=None):
    """Print the figures, and write them as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows and repeats")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    n_rows, epochs, repeats = (20_000, 2, 1) if given.quick else (200_000, 5, 3)
    figures = {"machine": machine.describe()}
    figures["rows per second"] = speed = measure_speed(n_rows, epochs, repeats)
    for name, value in speed.items():
        ratio = value / speed["fit, 2 threads"]
        print(f"{name:16} {value:12,.0f} rows/s {ratio:6.2f}")
    figures["overhead"] = overhead = {}
    for n_parameters in SIZES:
        overhead[n_parameters] = measure_overhead(n_parameters, repeats)
        print(f"{n_parameters:9,} parameters {overhead[n_parameters] * 1e3:6.0f} ms")
    figures["recovery"] = recovery = measure_recovery(n_rows, epochs)
    for name, value in recovery.items():
        print(f"{name:16} {value:6.1f} s")
    if given.output:
        given.output.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
