"""Training steps on 1 to 64 cores, simulated: ``python -m bench.manycore``.

Measured on this machine, with one and two threads:

- what a thread needs for the rows of a step, for each number of rows that it may get,
  and for the parameters;
- a barrier, and how much longer a core takes to read lines of the cache that another
  one has written, and to write those that another one has read, than its own;
- the bandwidth of the memory.

A step of T threads is then

    rows phase        the rows of the thread that has the most
    barrier           its 2 T - 1 transfers of a line one after another
    parameters phase  the blocks of the thread that has the most
    barrier

and the lines that change cores: the weights, which their owners have updated, for every
thread; the rows of a layer for those that have its blocks. It is no shorter than the
memory takes to deliver the rows of X.

A second figure splits wide layers by columns as well as rows: of T = R C threads R
groups share the rows, and the C threads of a group share the columns of each layer. A
thread then needs a C-th of the weights, and its group meets at a barrier behind each
layer, forward and back, after which each thread reads the columns of the others.

Left out are cores that slow down together (clock, shared caches, several sockets), and
that each core has less of the optimizer's state to keep, which makes steps faster. The
simulation is checked where it can be: with one and two threads.
"""

import argparse
import json
import os
import statistics
import threading
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numba
import numpy as np

from bench.machine import memory_bandwidth
from bench.profile import make_trainer
from bench.report import format_markdown
from bench.workloads import WORKLOADS
from fastmlp.kernels.compile.options import OPTIONS
from fastmlp.kernels.runtime.barrier import BARRIER_WORDS, wait
from fastmlp.kernels.simd.llvm import ticks
from fastmlp.kernels.simd.tiles import TILE_ROWS
from fastmlp.kernels.step import PHASES

NAMES = ("digits", "mnist", "wide", "deep")
CORES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 9

# Seconds of an epoch that is timed, and of the ones before the first.
_EPOCH, _WARM_UP = 0.02, 0.05

# Bytes that one core writes and another reads, as many as a panel of a minibatch has.
_STREAM = 32 * 1024


@dataclass(frozen=True)
class Machine:
    """Constants of a machine, in seconds.

    Parameters
    ----------
    barrier : float
        Of two threads that arrive at the same time.
    read, written : float
        Extra time to read a byte that another core has written, and to write one that
        another core has read.
    memory : float
        Of a byte of memory, all cores together.
    """

    barrier: float
    read: float
    written: float
    memory: float

    def meet(self, n_threads):
        """Return the seconds of a barrier of so many threads.

        Each adds to one word, and all but the last read another one: 3 transfers of a
        line with two threads.
        """
        return 0.0 if n_threads == 1 else self.barrier * (2 * n_threads - 1) / 3


@dataclass(frozen=True)
class Layer:
    """The product of a layer on the way forward, or back.

    Parameters
    ----------
    share : float
        Of all multiplications of a row.
    panels : int
        That its columns may be split into.
    row_in, row_out : int
        Bytes of a row that it reads, of which rows of X do not count, and writes.
    """

    share: float
    panels: int
    row_in: int
    row_out: int


@dataclass(frozen=True)
class Job:
    """Measured times and sizes of a training step.

    Parameters
    ----------
    name : str
    batch : int
        Rows of the minibatch.
    x_bytes : int
        Of the minibatch in X.
    weights : int
        Bytes of the weights that rows pass, forward and back.
    shares : dict
        By number of threads: the largest share of the blocks that a thread has, and the
        most bytes of rows that a thread reads in the parameters phase.
    layers : tuple of Layer
    rows : dict
        Seconds of one thread for so many rows: forward, loss and backward.
    update : float
        Seconds of one thread for all parameters.
    """

    name: str
    batch: int
    x_bytes: int
    weights: int
    shares: dict
    layers: tuple
    rows: dict
    update: float

    @property
    def tiles(self):
        """Tiles of rows of the minibatch."""
        return -(-self.batch // TILE_ROWS)


def most_rows(batch, n_threads):
    """Return the rows of the thread that has the most of a minibatch."""
    tiles = -(-batch // TILE_ROWS)
    return min(batch, -(-tiles // n_threads) * TILE_ROWS)


def step_seconds(machine, job, n_groups, n_columns=1):
    """Return the seconds of the parts of a step.

    Parameters
    ----------
    machine : Machine
    job : Job
    n_groups : int
        Groups that share the rows, at most one for each tile of rows.
    n_columns : int
        Threads of a group, which share the columns of each layer.
    """
    n = n_groups * n_columns
    share, read = job.shares[n]
    m = most_rows(job.batch, n_groups)
    # The slowest thread has a panel more than the others.
    part = sum(e.share * -(-e.panels // n_columns) / e.panels for e in job.layers)
    others, in_group = 1 - 1 / n, 1 - 1 / n_columns
    passed = m * in_group * sum(layer.row_in for layer in job.layers)
    written = m / n_columns * sum(layer.row_out for layer in job.layers)
    lines = machine.read * ((job.weights / n_columns + read) * others + passed)
    if n > 1:
        lines += machine.written * (job.weights / n + written)
    barriers = 2 * machine.meet(n)
    if n_columns > 1:
        barriers += len(job.layers) * machine.meet(n_columns)
    parts = {
        "rows": job.rows[m] * part,
        "update": job.update * share,
        "lines": lines,
        "barriers": barriers,
    }
    least = job.x_bytes * machine.memory
    return parts | {"memory": max(0.0, least - sum(parts.values()))}


def fastest(machine, job, n_cores, by_columns=False):
    """Return groups, columns, and parts of the fastest step on so many cores.

    The threads are a power of 2, or one for each tile of rows.
    """
    rows = {min(n, job.tiles) for n in CORES if n <= n_cores}
    columns = CORES if by_columns else (1,)
    steps = {
        (n, c): step_seconds(machine, job, n, c)
        for n in sorted(rows)
        for c in columns
        if n * c <= n_cores
    }
    (n, c), parts = min(steps.items(), key=lambda step: sum(step[1].values()))
    return n, c, parts


# -- measuring -------------------------------------------------------------------------


@numba.njit(**OPTIONS)
def _meet(thread, words, rounds):
    for _ in range(rounds):
        wait(words, 2)


@numba.njit(**OPTIONS)
def _exchange(thread, words, buffer, reader, rounds, spent):
    """Have thread 0 write the buffer and `reader` read it; add the ticks to `spent`."""
    total = np.float32(0)
    for i in range(rounds):
        if thread == 0:
            begun = ticks()
            for k in range(buffer.size):
                buffer[k] = i
            spent[0] += ticks() - begun
        wait(words, 2)
        if thread == reader:
            begun = ticks()
            for k in range(buffer.size):
                total += buffer[k]
            spent[1] += ticks() - begun
        wait(words, 2)
    return total


@numba.njit(**OPTIONS)
def _now():
    return ticks()


def _both(function, *arguments):
    """Call a function in two threads, each on a core; return seconds and ticks."""
    cores = os.sched_getaffinity(0)

    def run(thread):
        os.sched_setaffinity(0, {sorted(cores)[thread]})
        function(thread, *arguments)

    helper = threading.Thread(target=run, args=(1,))
    clock, begun = _now(), perf_counter()
    helper.start()
    run(0)
    helper.join()
    os.sched_setaffinity(0, cores)
    return perf_counter() - begun, _now() - clock


def measure_machine():
    """Return the Machine: medians over `ROUNDS`."""
    figures, buffer = [], np.zeros(_STREAM // 4, np.float32)
    meetings, exchanges = 20_000, 200
    for _ in range(1 + ROUNDS):
        seconds, _ = _both(_meet, np.zeros(BARRIER_WORDS, np.int64), meetings)
        figures.append([seconds / meetings])
        for reader in (1, 0):
            spent = np.zeros(2, np.int64)
            words = np.zeros(BARRIER_WORDS, np.int64)
            seconds, clock = _both(_exchange, words, buffer, reader, exchanges, spent)
            figures[-1] += list(spent * seconds / clock / exchanges / _STREAM)
    # The first round compiles.
    barrier, write, read, own_write, own_read = np.median(figures[1:], axis=0).tolist()
    extra = max(0.0, read - own_read), max(0.0, write - own_write)
    return Machine(barrier, *extra, 1 / memory_bandwidth(2))


class Timed:
    """A trainer whose epochs of a few minibatches are timed.

    A context manager: on leaving, its threads end.

    Parameters
    ----------
    workload : Workload
    batch : int
        Rows of a minibatch, in place of the workload's.
    n_threads : int
    """

    def __init__(self, workload, batch, n_threads):
        self._rows, self._batch = workload.rows, batch
        job = replace(workload, batch=batch)
        self._trainer, self._data = make_trainer(job, np.float32, n_threads)
        self._rng, self._steps, self._epochs = np.random.default_rng(0), 1, []
        step = self.warm_up()
        self._steps = max(1, int(_EPOCH / step))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._trainer.__exit__()

    def warm_up(self):
        """Train for some time; return the seconds of a step."""
        end = perf_counter() + _WARM_UP
        while perf_counter() < end:
            phases = self._train()
        return sum(phases.values())

    def run(self):
        """Train an epoch that counts."""
        self._epochs.append(self._train())

    def _train(self):
        order = self._rng.integers(0, self._rows, self._steps * self._batch)
        phases = self._trainer.profile(self._data, order, 1e-4)
        return {phase: each / self._steps for phase, each in phases.items()}

    def median(self, *phases):
        """Return the median over the epochs of the seconds of some phases of a step."""
        return statistics.median(sum(step[p] for p in phases) for step in self._epochs)


def measure_sizes(workload):
    """Return the fields of a Job that are no times, a dict."""
    trainer, _ = make_trainer(workload, np.float32, 1)
    program, batch = trainer.program, workload.batch
    width, size = program.numbers.width, program.numbers.size
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(workload.units)):
        inside, outside = (-(-n // width) for n in (n_in, n_out))
        row_in, row_out = (n * width * size for n in (inside, outside))
        layers.append((n_in * n_out, outside, row_in * (i > 0), row_out))
        if i > 0:
            layers.append((n_in * n_out, inside, row_out, row_in))
    multiplied = sum(products for products, *_ in layers)
    tiles = -(-batch // TILE_ROWS)
    numbers = {n * c for n in {*CORES, tiles} for c in CORES if n <= tiles}
    return {
        "name": workload.name,
        "batch": batch,
        "x_bytes": batch * workload.units[0] * size,
        "weights": multiplied * size,
        "shares": {n: _share(program, batch, n) for n in numbers if n <= CORES[-1]},
        "layers": tuple(Layer(each[0] / multiplied, *each[1:]) for each in layers),
    }


def _share(program, batch, n_threads):
    """Return the largest share of the blocks, and the most bytes that a thread reads.

    Of a block's x and dy, once for each panel.
    """
    bounds, blocks = program.share_blocks(n_threads), program.blocks
    work = blocks["rows"] * blocks["columns"]
    panel = batch * program.numbers.width * program.numbers.size
    shares, reads = [], []
    for begin, end in pairwise(bounds):
        mine = blocks[begin:end]
        shares.append(work[begin:end].sum() / work.sum())
        inputs = np.unique(mine["x"][mine["rows"] > 1]).size
        reads.append((inputs + np.unique(mine["dy"]).size) * panel)
    return float(max(shares)), int(max(reads))


def measure_job(workload):
    """Return the Job, and the measured seconds of a step with one and two threads."""
    batch = workload.batch
    # Epochs alternate, so that a slow second hits all of them.
    one = {
        rows: Timed(workload, rows, 1) for rows in {most_rows(batch, n) for n in CORES}
    }
    with Timed(workload, batch, 2) as two:
        for _ in range(ROUNDS):
            for timed in one.values():
                timed.run()
            # Threads that have slept share a core at first.
            two.warm_up()
            two.run()
    rows = {m: timed.median("forward", "loss", "backward") for m, timed in one.items()}
    update = one[batch].median("update")
    job = Job(**measure_sizes(workload), rows=rows, update=update)
    return job, {1: one[batch].median(*PHASES), 2: two.median(*PHASES)}


# -- tables ----------------------------------------------------------------------------


def format_check(machine, job, measured):
    """Return a line that compares simulated steps with measured ones."""
    lines = []
    for n, seconds in measured.items():
        simulated = sum(step_seconds(machine, job, n).values())
        error = simulated / seconds - 1
        verdict = "within 15 %" if abs(error) <= 0.15 else "NOT within 15 %"
        lines.append(
            f"{job.name}, {n} threads: simulated {1e6 * simulated:.4g} µs, measured "
            f"{1e6 * seconds:.4g} µs, {error:+.0%}: {verdict}"
        )
    return "\n".join(lines)


def format_table(machine, jobs):
    """Return the simulated steps as a Markdown table."""
    names = [
        "job", "cores", "threads", "simulated step, µs", "simulated speed-up",
        "efficiency", "rows", "update", "lines", "barriers", "rows × columns",
        "simulated step, µs",
    ]  # fmt: skip
    lines = []
    for job in jobs:
        alone = sum(step_seconds(machine, job, 1).values())
        for n_cores in CORES:
            n, _, parts = fastest(machine, job, n_cores)
            groups, columns, split = fastest(machine, job, n_cores, by_columns=True)
            step = sum(parts.values())
            cells = [job.name, f"{n_cores}", f"{n}", f"{1e6 * step:.3g}"]
            cells += [f"{alone / step:.1f}", f"{alone / step / n_cores:.0%}"]
            cells += [
                f"{parts[part] / step:.0%}"
                for part in ("rows", "update", "lines", "barriers")
            ]
            cells += [f"{groups} × {columns}", f"{1e6 * sum(split.values()):.3g}"]
            lines.append(cells)
    return format_markdown(names, lines, left=1)


def main(arguments=None):
    """Measure, check, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.manycore", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=NAMES)
    parser.add_argument("--output", type=Path, help="a file for all figures, JSON")
    given = parser.parse_args(arguments)
    machine = measure_machine()
    print(
        f"barrier {1e9 * machine.barrier:.0f} ns; a byte of another core takes "
        f"{1e12 * machine.read:.1f} ps longer to read and {1e12 * machine.written:.1f} "
        f"to write; memory {1e-9 / machine.memory:.1f} GB/s\n"
    )
    found = [measure_job(WORKLOADS[name]) for name in given.workloads]
    for job, measured in found:
        print(format_check(machine, job, measured))
    print(f"\n{format_table(machine, [job for job, _ in found])}")
    if given.output:
        figures = {"machine": asdict(machine)} | {
            job.name: {"job": asdict(job), "measured": measured}
            for job, measured in found
        }
        given.output.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
