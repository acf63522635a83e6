"""Where the time of a training step, or of a small fit, goes.

``python -m bench --profile`` times the phases inside the compiled step. "update" is the
gradient of the parameters with the optimizer's update, "wait" the time that a thread
waits for others. ``python -m bench --profile fit`` counts, by cProfile, whose code a
call of `fit` and of `partial_fit` runs.
"""

import cProfile
import pstats
from time import perf_counter

import joblib
import numpy as np

import fastmlp
from bench import small
from bench.report import format_markdown
from bench.workloads import LARGE, MAIN, initial_parameters, make_data
from fastmlp.kernels import (
    Data,
    NetworkSpec,
    Optimizer,
    Trainer,
    bfloat16_unit,
    layer_activations,
)
from fastmlp.kernels.step import PHASES

_ROUNDS = 9

# Threads that have just begun share a core for some milliseconds.
_WARM_UP_SECONDS = 0.1


def make_trainer(workload, products, n_threads):
    """Return a trainer with the workload's network, and its data.

    `products` is float32, float64 or "bfloat16", whose data are float32.
    """
    dtype = np.float32 if products == "bfloat16" else products
    X, y = make_data(workload, dtype)
    if workload.outputs == 2:
        out_activation, loss = "logistic", "log_loss"
    elif workload.regression:
        out_activation, loss = "identity", "squared_error"
    else:
        out_activation, loss = "softmax", "log_loss"
    activations = layer_activations(workload.activation, len(workload.hidden))
    spec = NetworkSpec(tuple(workload.units), activations)
    data = Data(X, y.reshape(len(X), -1).astype(dtype))
    trainer = Trainer(
        spec,
        out_activation,
        loss,
        products,
        data.form,
        batch_size=workload.batch,
        optimizer=Optimizer("adam", learning_rate=workload.rate),
        n_threads=n_threads,
    )
    weights, biases = zip(*initial_parameters(workload, dtype), strict=True)
    parameters = np.concatenate([*map(np.ravel, weights), *biases])
    if trainer.n_parameters != parameters.size:
        # Parameters beside the weights and biases, or several pieces per unit.
        rng = np.random.default_rng(0)
        parameters = rng.uniform(-0.1, 0.1, trainer.n_parameters).astype(dtype)
    trainer.load(parameters)
    return trainer, data


def measure(workload, products, n_threads):
    """Return the seconds per step of each phase, medians over the epochs timed."""
    trainer, data = make_trainer(workload, products, n_threads)
    order = np.random.default_rng(0).permutation(workload.rows)
    n_steps = -(-workload.rows // workload.batch)
    with trainer:
        end = perf_counter() + _WARM_UP_SECONDS
        while perf_counter() < end:
            trainer.train_epoch(data, order, 1e-4)
        epochs = [trainer.profile(data, order, 1e-4) for _ in range(_ROUNDS)]
    return {
        phase: float(np.median([epoch[phase] for epoch in epochs])) / n_steps
        for phase in epochs[0]
    }


def _microseconds(seconds):
    """Return a time in µs, of three digits."""
    return np.format_float_positional(1e6 * seconds, 3, fractional=False, trim="-")


def format_table(settings):
    """Return the profile of the main workloads as a Markdown table, in µs a step.

    Large ones with products in bfloat16, too, where this CPU has them.
    """
    jobs = [(workload, "float32") for workload in MAIN]
    if bfloat16_unit() is not None:
        jobs += [(workload, "bfloat16") for workload in LARGE]
    lines = []
    for workload, products in jobs:
        if workload.name not in settings.workloads:
            continue
        for n_threads in sorted({1, joblib.cpu_count()}):
            job = f"{workload.name}, {products}"
            settings.progress(f"profile: {job}, n_threads={n_threads}")
            phases = measure(workload, products, n_threads)
            steps = -(-workload.rows // workload.batch)
            cores = f"{products}_one_core" if n_threads == 1 else products
            peak = workload.flops / steps / settings.limits[cores]
            seconds = [*phases.values(), sum(phases.values()), peak]
            lines.append([job, f"{n_threads}", *(_microseconds(s) for s in seconds)])
    header = ["workload", "threads", *PHASES, "step", "at the peak"]
    return format_markdown(header, lines, left=1)


# Files by owner, the first that fits; functions of C have none and count as their
# callers'.
_OWNERS = {
    "scikit-learn": "/sklearn/",
    "NumPy, SciPy, joblib": "/site-packages/",
    "fastmlp.kernels: compiled": "/kernels/epochs.py",
    "fastmlp.kernels": "/fastmlp/kernels/",
    "fastmlp.network": "/fastmlp/network/",
    "fastmlp.training": "/fastmlp/training/",
    "fastmlp.estimators": "/fastmlp/",
    "Python's library": "",
}


def _owner(place):
    return next(owner for owner, part in _OWNERS.items() if part in place)


def count_time(call, calls):
    """Return the seconds of a call by owner of the code, as cProfile splits them."""
    call()
    start = perf_counter()
    for _ in range(calls):
        call()
    seconds = (perf_counter() - start) / calls
    with cProfile.Profile() as profiler:
        for _ in range(calls):
            call()
    own: dict[str, float] = dict.fromkeys(_OWNERS, 0.0)
    for (place, *_), (*_, callers) in pstats.Stats(profiler).stats.items():
        for (caller, *_), (_, _, spent, _) in callers.items():
            own[_owner(caller if place == "~" else place)] += spent
    total = sum(own.values())
    return {owner: seconds * spent / total for owner, spent in own.items()}


def format_calls(settings):
    """Return the profile of small calls as a Markdown table, in µs a call."""
    calls = small.make_calls(fastmlp)
    lines = []
    for name, (call, n) in calls.items():
        settings.progress(f"profile: {name}")
        found = count_time(call, 10 * n)
        seconds = (*found.values(), sum(found.values()))
        lines.append([name, *(_microseconds(s) for s in seconds)])
    return format_markdown(["call", *_OWNERS, "all"], lines, left=1)


# By the name that the command line gives.
TABLES = {"step": format_table, "fit": format_calls}
