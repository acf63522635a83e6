"""A fit with scikit-learn's callbacks beside one without: the cost of callbacks.

The ratio is a time divided by that without callbacks on as many threads. The progress
bar is drawn as in a terminal, into the null device.
"""

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import joblib

from bench.report import Row
from bench.timing import interleave
from bench.training import make_trainer
from bench.workloads import WORKLOADS

# More than in `training`: a fit that is over at once has no need of a progress bar.
EPOCHS = 60


class Counter:
    """A callback that does nothing but count the tasks that end."""

    def __init__(self):
        self.ended = 0

    def setup(self, estimator, context):
        self.ended = 0

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.ended += 1


@contextlib.contextmanager
def unseen_terminal():
    """Have rich draw as in a terminal, to nowhere."""
    import rich

    with Path(os.devnull).open("w") as nowhere:
        rich.reconfigure(file=nowhere, force_terminal=True)
        try:
            yield
        finally:
            rich.reconfigure()


def measure(settings):
    """Return the section's rows."""
    workload = replace(WORKLOADS["adult"], epochs=EPOCHS)
    if settings.quick:
        workload = workload.smaller(4_000, EPOCHS)
    try:
        from sklearn.callback import ProgressBar

        ProgressBar()  # needs rich
    except ImportError as error:
        return [
            Row("callbacks", workload.name, "ProgressBar", note=f"missing: {error}")
        ]
    settings.progress(f"callbacks: {EPOCHS} epochs of {workload.describe()}")
    makers = {"none": None, "counter": Counter, "ProgressBar": ProgressBar}
    trainers, rows = {}, {}
    for n_threads in dict.fromkeys((1, joblib.cpu_count())):
        for name, make in makers.items():
            trainer = make_trainer("fastmlp", workload, n_threads=n_threads)
            if make is not None:
                trainer.estimator.set_callbacks(make())
            trainers[name, n_threads] = trainer
            row = Row("callbacks", workload.name, f"{name}, n_threads={n_threads}")
            row.detail = f"{EPOCHS} epochs of {workload.describe()}"
            rows[name, n_threads] = row
    with unseen_terminal():
        for trainer in trainers.values():
            trainer.train()
        times = interleave(
            {case: trainer.train for case, trainer in trainers.items()}, settings.rounds
        )
    for (name, n_threads), row in rows.items():
        row.times = times[name, n_threads]
        row.ratio = row.times.best / times["none", n_threads].best
    check(trainers, rows)
    return [*rows.values()]


def check(trainers, rows):
    """Note where callbacks changed the result, or a callback missed an epoch."""
    for (name, n_threads), trainer in trainers.items():
        estimator = trainer.estimator
        if estimator.loss_curve_ != trainers["none", 1].estimator.loss_curve_:
            rows[name, n_threads].note = "WRONG: other losses than without callbacks"
        # The whole fit is a task too.
        ended = [c.ended for c in estimator._skl_callbacks] if name == "counter" else []
        if any(n != EPOCHS + 1 for n in ended):
            rows[name, n_threads].note = f"WRONG: {ended} tasks for {EPOCHS} epochs"
