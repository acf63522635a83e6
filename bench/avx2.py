"""Training with AVX2 only: fastmlp compiled for Haswell, its peers not restricted.

A fresh process runs ``python -m bench.avx2 ROUNDS WORKLOAD,... CONTESTANT ...``, which
prints JSON.
"""

import json
import sys

import llvmlite.binding

from bench import fresh
from bench.report import Row
from bench.timing import Times, interleave
from bench.training import prepare
from bench.workloads import MAIN, WORKLOADS

_FEATURES = (
    "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+fsgsbase,+lzcnt,+mmx,+movbe,+pclmul,"
    "+popcnt,+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3"
)
ENVIRONMENT = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": _FEATURES}

CONTESTANTS = ("fastmlp", "sklearn", "torch", "jax")


def run_here(rounds, workloads, names):
    """Return, by workload and contestant, its times and its note."""
    found = {}
    for name in workloads:
        workload = WORKLOADS[name]
        trainers, notes = prepare(names, workload, lambda message: None)
        jobs = {key: trainer.train for key, trainer in trainers.items()}
        times = interleave(jobs, rounds)
        found[name] = {
            key: [list(times[key].rounds) if key in times else None, notes[key]]
            for key in names
        }
    return found


def measure(settings):
    """Return the section's rows."""
    features = llvmlite.binding.get_host_cpu_features()
    if not (features.get("avx2") and features.get("fma")):
        return [Row("avx2", "", "fastmlp", note="missing: this CPU has no AVX2")]
    names = [name for name in CONTESTANTS if name in settings.contestants]
    workloads = [w.name for w in MAIN if w.name in settings.workloads]
    if not (names and workloads):
        return []
    settings.progress("avx2: " + ", ".join(workloads))
    found = fresh.run(
        "avx2", str(settings.rounds), ",".join(workloads), *names, **ENVIRONMENT
    )
    return [row for name in found for row in _rows(WORKLOADS[name], found[name])]


def _rows(workload, found):
    ours, _ = found.get("fastmlp", (None, ""))
    for name, (rounds, note) in found.items():
        row = Row("avx2", workload.name, name, f"epoch of {workload.describe()}")
        row.note = note
        if rounds is not None:
            row.times = Times(tuple(rounds)).per(workload.epochs)
            if name != "fastmlp" and ours is not None:
                row.ratio = min(rounds) / min(ours)
        yield row


if __name__ == "__main__":
    _, n_rounds, chosen, *contestants = sys.argv
    print(json.dumps(run_here(int(n_rounds), chosen.split(","), contestants)))
