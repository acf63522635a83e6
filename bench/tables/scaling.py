"""How the time of fits and predictions and their memory grow with a table's rows.

A fresh process runs ``python -m bench.tables.scaling MODEL ROWS SEED THREADS``, which
prints JSON. It needs Linux, see `bench.memory`.
"""

import contextlib
import json
import statistics
import sys
import time
import warnings

from threadpoolctl import threadpool_limits

from bench import fresh
from bench.memory import peak_above
from bench.tables.data import mixed
from bench.tables.runs import fit, predict, score_classes, warm_up

# The table's name in records, and its numbers of rows.
TABLE = "scaling"
ROWS = (10_000, 100_000, 1_000_000)

TEST_ROWS, CALLS = 10_000, 20


def run(model, n_rows, seed, threads):
    """Return the results of a fresh process; if it fails, its error as "failed"."""
    arguments = (model, str(n_rows), str(seed), str(threads))
    try:
        return fresh.run("tables.scaling", *arguments)
    except (ImportError, RuntimeError) as error:
        return {"failed": str(error).strip()[-300:]}


def run_here(model, n_rows, seed, threads):
    """Return the results of this process.

    Memory that an earlier large fit has freed would hide a part of the peak.
    """
    warnings.simplefilter("ignore")
    X, y = mixed(n_rows + TEST_ROWS, "binary", seed)
    X_test, y_test = X[n_rows:].reset_index(drop=True), y[n_rows:]
    X, y = X[:n_rows].copy(), y[:n_rows]
    with threadpool_limits(threads):
        warm_up(model, "binary", threads)
        (fitted, seconds), peak = peak_above(
            lambda: fit(model, X, y, True, seed, threads)
        )
        start = time.perf_counter()
        p = predict(fitted, X_test, True)
        batch = time.perf_counter() - start
        one = []
        for _ in range(CALLS):
            start = time.perf_counter()
            predict(fitted, X_test[:1], True)
            one.append(time.perf_counter() - start)
    return score_classes(p, y_test) | {
        "seconds": seconds,
        "peak_mib": peak / 2**20,
        "table_mib": int(X.memory_usage().sum()) / 2**20,
        "predict_us": batch / TEST_ROWS * 1e6,
        "one_row_us": statistics.median(one) * 1e6,
    }


if __name__ == "__main__":
    # Peers may print, and stdout is for the results alone.
    with contextlib.redirect_stdout(sys.stderr):
        results = run_here(sys.argv[1], *map(int, sys.argv[2:]))
    print(json.dumps(results))
