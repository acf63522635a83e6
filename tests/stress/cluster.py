"""Clusters that shrink and grow, whose workers hang, or die one by one or all.

And one whose workers train on a file of four times the memory that they may have.
"""

import contextlib
import os
import signal
import tempfile
import threading
import time
import warnings
from pathlib import Path

import dask
import numpy as np
from distributed.chaos import KillWorker
from sklearn.base import clone

from fastmlp.dask import ClusterError, DaskMLPClassifier
from fastmlp.data import ArraySource
from tests.dask.conftest import make_client, make_client_without_nannies
from tests.dask.data import FIT, X, Y, assert_same, fit, on_cluster, ref_fit
from tests.stress.streams import FEATURES, draw, make_map
from tests.watched import run_in_full

# The mean life of a worker under `KillWorker`, and how it ends.
DELAY = "20 s"
MODES = ("sys.exit", "graceful", "segfault")

# Bytes of a worker.
MEMORY_LIMIT = 3 * 2**29

LONG = {"max_iter": 150, "n_iter_no_change": 200}


def ref_long_fit():
    """Return the fit that all others have to equal."""
    warnings.simplefilter("ignore")
    return ref_fit(**LONG)


def workers_come_and_go(n_fits):
    """Let the cluster adapt from one worker to three in a fit, and back to one."""
    ref = ref_long_fit()
    for _ in range(n_fits):
        with make_client(1) as client:

            def scale(cluster=client.cluster):
                for n in (3, 1):
                    time.sleep(2)
                    cluster.adapt(minimum=n, maximum=n, interval="200 ms")

            thread = threading.Thread(target=scale)
            thread.start()
            assert_same(fit(client, **LONG), ref)
            thread.join()
    return {"fits while workers came and went": n_fits}


def a_worker_hangs(n_fits):
    """Stop one of two workers in a fit: it is removed."""
    ref = ref_long_fit()
    for _ in range(n_fits):
        with make_client(2) as client:
            pids = client.run(os.getpid)
            stopped = min(pids)
            threading.Timer(3, os.kill, (pids[stopped], signal.SIGSTOP)).start()
            assert_same(fit(client, worker_timeout=15.0, **LONG), ref)
            assert stopped not in client.nthreads()
            # Its nanny may have killed it already.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[stopped], signal.SIGKILL)
    return {"fits in which a worker hung": n_fits}


def all_die(n_fits):
    """Kill all workers in a fit: it ends with an error, in time."""
    warnings.simplefilter("ignore")
    for _ in range(n_fits):
        with make_client_without_nannies(2) as client:
            pids = client.run(os.getpid).values()

            def kill(pids=pids):
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)

            threading.Timer(3, kill).start()
            estimator = clone(FIT).set_params(client=client, worker_timeout=3.0)
            try:
                estimator.set_params(max_iter=10**6, n_iter_no_change=10**6)
                estimator.fit(*on_cluster(X, Y))
            except ClusterError:
                continue
            raise AssertionError("A fit without workers has ended.")
    return {"fits whose workers all died": n_fits}


def chaos(mode):
    """Lose a worker every few seconds, in one of the ways of `KillWorker`."""
    ref = ref_long_fit()
    # A nanny closes with a worker that exits, and gives up one that dies while it
    # starts. The cluster then starts another, after Dask's default time, which
    # `make_client` changes.
    lost = {"distributed.deploy.lost-worker-timeout": "15 s"}
    with make_client(2) as client, dask.config.set(lost):
        client.cluster.adapt(minimum=2, maximum=2)
        client.register_plugin(KillWorker(delay=DELAY, mode=mode))
        assert_same(fit(client, max_round_retries=1000, **LONG), ref)
    return {f"fit whose workers died all the time, by {mode}": 1}


def files_larger_than_memory(n_epochs):
    """Train on files of four times the memory from which on a worker is killed."""
    warnings.simplefilter("ignore")
    with (
        tempfile.TemporaryDirectory() as folder,
        make_client(2, memory_limit=MEMORY_LIMIT) as client,
    ):
        make_map(Path(folder), 4 * MEMORY_LIMIT // (4 * FEATURES))
        X, y = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "Xy")
        pids = client.run(os.getpid)
        estimator = DaskMLPClassifier(
            (32,),
            client=client,
            n_replicas=2,
            rounds_per_epoch=1,
            max_iter=n_epochs,
            random_state=0,
        )
        estimator.fit_stream(ArraySource(X, y))
        assert client.run(os.getpid) == pids
        assert estimator.score(*draw(np.random.default_rng(1), 10_000)) > 0.9
    return {"epochs on a file of four times the memory limit": n_epochs}


def main():
    """Run all of them."""
    run_in_full(
        __name__,
        (workers_come_and_go, 3),
        (a_worker_hangs, 3),
        (all_die, 3),
        *((chaos, mode) for mode in MODES),
        (files_larger_than_memory, 1),
    )
