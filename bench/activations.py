"""Training with every activation beside ReLU, on the digits workload.

An activation may cost its arithmetic and no more: the ratio is its time divided by
ReLU's, the note how long its value and derivative take, above those of the identity.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from bench.profile import make_trainer
from bench.report import Row
from bench.timing import interleave, repeat
from bench.workloads import WORKLOADS
from fastmlp.kernels import ACTIVATIONS, OPERATIONS


def measure(settings):
    """Return the section's rows."""
    base = WORKLOADS["digits"]
    order = np.random.default_rng(0).permutation(base.rows)
    jobs = {}
    for name in (*ACTIVATIONS, *OPERATIONS):
        settings.progress(f"activations: {name}")
        trainer, data = make_trainer(replace(base, activation=name), np.float32, 1)
        epoch = partial(trainer.train_epoch, data, order, 1e-4)
        jobs[name] = repeat(epoch, base.epochs)
        jobs[name]()
    found = interleave(jobs, settings.rounds)
    times = {name: each.per(base.epochs) for name, each in found.items()}
    elements = base.rows * sum(base.hidden)
    rows = []
    for name in jobs:
        row = Row("activations", base.name, name, f"epoch of {base.describe()}")
        row.times, row.ratio = times[name], times[name].best / times["relu"].best
        extra = (times[name].best - times["identity"].best) / elements
        row.note = f"{extra * 1e9:.2f} ns an element more than identity, one thread"
        rows.append(row)
    return rows
