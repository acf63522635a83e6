"""Memory: the peak above X while 1,000,000 x 100 float32 are trained on.

A fresh process runs ``python -m bench.memory CONTESTANT ROWS``, which prints JSON.
It needs Linux, where a process can read and reset its peak.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

from bench import fresh
from bench.report import Row
from bench.workloads import WORKLOADS

FEATURES = 100
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _read(name):
    """Return a figure of /proc/self/status in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{_STATUS} does not say {name}")


def peak_above(job):
    """Return a job's result, and the bytes of its peak above the memory before it."""
    _RESET.write_text("5")
    before = _read("VmRSS")
    result = job()
    return result, _read("VmHWM") - before


def run_here(name, n_rows):
    """Return the bytes of X and of the peak above the memory in use before `fit`."""
    from sklearn.exceptions import ConvergenceWarning

    from bench.contestants import CONTESTANTS

    warnings.simplefilter("ignore", ConvergenceWarning)
    workload = WORKLOADS["adult"].smaller(rows=1_000)
    kind = CONTESTANTS[name].load()
    rng = np.random.default_rng(0)
    X = rng.random((n_rows, FEATURES), dtype=np.float32)
    y = rng.integers(0, 2, n_rows)
    # Compiled code and the threads of a BLAS are there before the data are.
    kind(workload, X[:1_000], y[:1_000]).train()
    trainer = kind(workload, X, y)
    _, above = peak_above(trainer.train)
    return {"X": X.nbytes, "above": above}


def measure(settings):
    """Return the section's rows."""
    n_rows = 100_000 if settings.quick else 1_000_000
    job = f"{n_rows:,} × {FEATURES} float32"
    rows = []
    for name, label in (("fastmlp", "fastmlp f32"), ("sklearn", "scikit-learn f32")):
        settings.progress(f"memory: {label}")
        row = Row("memory", job, label)
        if not _RESET.exists():
            row.note = "missing: needs Linux"
        else:
            found = fresh.run("memory", name, str(n_rows))
            share = found["above"] / found["X"]
            row.note = (
                f"peak {found['above'] / 2**20:.0f} MiB above X and y: "
                f"{share:.1%} of X's {found['X'] / 2**20:.0f} MiB"
            )
        rows.append(row)
    return rows


if __name__ == "__main__":
    print(json.dumps(run_here(sys.argv[1], int(sys.argv[2]))))
