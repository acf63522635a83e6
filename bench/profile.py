"""Where the time of a training step goes: ``python -m bench --profile``.

The phases are timed inside the compiled step. "update" is the gradient of the
parameters with the optimizer's update, "wait" what a thread waits for the others.
"""

from time import perf_counter

import joblib
import numpy as np

from bench.workloads import MAIN, initial_parameters, make_data
from fastmlp.kernels import Data, Engine, Optimizer

_ROUNDS = 9

# Threads that have just begun share a core for some milliseconds.
_WARM_UP_SECONDS = 0.1


def make_engine(workload, dtype, n_threads):
    """Return an engine with the workload's network, and its data."""
    X, y = make_data(workload, dtype)
    if workload.outputs == 2:
        out_activation, loss = "logistic", "log_loss"
    elif workload.regression:
        out_activation, loss = "identity", "squared_error"
    else:
        out_activation, loss = "softmax", "log_loss"
    engine = Engine(
        workload.units,
        workload.activation,
        out_activation,
        loss,
        dtype,
        batch_size=workload.batch,
        optimizer=Optimizer("adam", learning_rate=workload.rate),
        n_threads=n_threads,
    )
    weights, biases = zip(*initial_parameters(workload, dtype), strict=True)
    parameters = np.concatenate([*map(np.ravel, weights), *biases])
    if engine.n_parameters == parameters.size:
        engine.load(parameters)
    else:
        # Slopes, or several pieces per unit.
        rng = np.random.default_rng(0)
        engine.load(rng.uniform(-0.1, 0.1, engine.n_parameters).astype(dtype))
    targets = y.reshape(len(X), -1).astype(dtype)
    return engine, Data(X, targets)


def measure(workload, dtype, n_threads):
    """Return the seconds per step of each phase, medians over the epochs timed."""
    engine, data = make_engine(workload, dtype, n_threads)
    order = np.random.default_rng(0).permutation(workload.rows)
    n_steps = -(-workload.rows // workload.batch)
    with engine:
        end = perf_counter() + _WARM_UP_SECONDS
        while perf_counter() < end:
            engine.train_epoch(data, order, 1e-4)
        epochs = [engine.profile(data, order, 1e-4) for _ in range(_ROUNDS)]
    return {
        phase: float(np.median([epoch[phase] for epoch in epochs])) / n_steps
        for phase in epochs[0]
    }


def format_table(settings):
    """Return the profile of the main workloads as a Markdown table, in µs a step."""
    lines = []
    for workload in MAIN:
        if workload.name not in settings.workloads:
            continue
        for n_threads in sorted({1, joblib.cpu_count()}):
            settings.progress(f"profile: {workload.name}, n_threads={n_threads}")
            phases = measure(workload, np.float32, n_threads)
            if not lines:
                names = ["workload", "threads", *phases, "step", "at the peak"]
                lines.append(f"| {' | '.join(names)} |")
                lines.append(f"|{'|'.join(' --- ' for _ in names)}|")
            steps = -(-workload.rows // workload.batch)
            cores = "float32_one_core" if n_threads == 1 else "float32"
            peak = workload.flops / steps / settings.limits[cores]
            seconds = [*phases.values(), sum(phases.values()), peak]
            cells = [f"{1e6 * s:.3g}" for s in seconds]
            lines.append(f"| {workload.name} | {n_threads} | {' | '.join(cells)} |")
    return "\n".join(lines)
