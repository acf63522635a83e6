"""Threads: fastmlp with 1, with all cores, with twice as many, and not alone."""

import contextlib
import subprocess
import sys

import joblib

from bench.report import Row
from bench.timing import interleave
from bench.training import make_trainer
from bench.workloads import MAIN


@contextlib.contextmanager
def busy_process():
    """Keep one core busy with something else."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(settings):
    """Return the section's rows.

    The ratio is the time with one thread divided by this one's: the speed-up.
    """
    cores = joblib.cpu_count()
    rows = []
    for workload in MAIN:
        if workload.name not in settings.workloads:
            continue
        settings.progress(f"threads: {workload.name}")
        choices = {
            "1": 1,
            f"{cores}": cores,
            f"{2 * cores}": 2 * cores,
            "default": None,
        }
        jobs = {}
        for name, n_threads in choices.items():
            jobs[name] = make_trainer("fastmlp", workload, n_threads=n_threads).train
            jobs[name]()
        times = interleave(jobs, settings.rounds)
        busy = f"{cores}, and a busy process"
        with busy_process():
            times[busy] = interleave({busy: jobs[f"{cores}"]}, settings.rounds)[busy]
        for name in times:
            row = Row("threads", workload.name, f"n_threads={name}")
            row.detail = f"epoch of {workload.describe()}"
            row.times = times[name].per(workload.epochs)
            row.ratio = times["1"].best / times[name].best
            row.note = "ratio: speed-up over one thread"
            rows.append(row)
    return rows
