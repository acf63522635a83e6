"""Starting: import, first and second fit in fresh processes.

fastmlp once with an empty cache folder (cold) and once with the folder that the first
run filled (warm). A fresh process runs ``python -m bench.start CONTESTANT``, which
prints JSON.
"""

import importlib
import json
import sys
import tempfile
import time

from bench import fresh
from bench.report import Row
from bench.timing import Times

# The imports of a user's program, by contestant.
IMPORTS = {
    "fastmlp": "fastmlp",
    "sklearn": "sklearn.neural_network",
    "torch": "torch",
    "jax": "optax",
}


def run_here(name):
    """Return the seconds of import, first and second fit in this process."""
    start = time.perf_counter()
    importlib.import_module(IMPORTS[name])
    seconds = {"import": time.perf_counter() - start}

    from bench.contestants import CONTESTANTS
    from bench.workloads import WORKLOADS, make_data

    workload = WORKLOADS["digits"].smaller(rows=1_797)
    data = make_data(workload)
    kind = CONTESTANTS[name].load()
    start = time.perf_counter()
    trainer = kind(workload, *data)
    trainer.train()
    seconds["first fit"] = time.perf_counter() - start
    start = time.perf_counter()
    trainer.train()
    seconds["second fit"] = time.perf_counter() - start
    return seconds


def measure(settings):
    """Return the section's rows."""
    repeats = 1 if settings.quick else 3
    runs = {}
    for _ in range(repeats):
        # A folder of its own for every repetition: each cold start is one.
        with tempfile.TemporaryDirectory() as folder:
            for state in ("cold", "warm"):
                settings.progress(f"start: fastmlp, {state}")
                seconds = fresh.run("start", "fastmlp", FASTMLP_CACHE_DIR=folder)
                runs.setdefault(("fastmlp", state), []).append(seconds)
    rows = []
    for name in ("sklearn", "torch", "jax"):
        if name not in settings.contestants:
            continue
        settings.progress(f"start: {name}")
        try:
            runs[name, ""] = [fresh.run("start", name) for _ in range(repeats)]
        except ImportError as error:
            rows.append(Row("start", name, name, note=f"missing: {error}"))
    return [row for key, run in runs.items() for row in _rows(*key, run)] + rows


def _rows(name, state, run):
    label = f"{name}, {state} cache" if state else name
    rows = [
        Row("start", step, label, step, Times(tuple(seconds[step] for seconds in run)))
        for step in run[0]
    ]
    extra = min(seconds["first fit"] - seconds["second fit"] for seconds in run)
    rows[1].note = f"{extra:.2f} s longer than the second"
    return rows


if __name__ == "__main__":
    print(json.dumps(run_here(sys.argv[1])))
