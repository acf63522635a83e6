"""Rounds on 2 to 1,000 workers, simulated: ``python -m bench.cluster_simulation``.

An event simulation of a fit: the client sends the network to the scheduler, which sends
it to a worker, and each other worker fetches it from one that has it. Replicas compute
for times with a lognormal spread. The mean is taken along a tree of `FAN_IN`, whose
root goes to the client. Workers fail at random times; their replica then starts again
elsewhere.

The constants are those of Dask on one machine and of a network of 10 Gbit/s. With
--measured FILE, the output of ``python -m bench.cluster --output FILE``, latency and
speed of a copy are fitted to the overhead measured there, and the simulation of two
workers is compared with it.

Left out are other users of the cluster, disks, and switches that are oversubscribed.
Accuracy is no matter of time: see `bench.replicas`.
"""

import argparse
import heapq
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fastmlp.cluster.averaging import FAN_IN

WORKERS = (2, 10, 30, 100, 300, 1000)
PARAMETERS = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Constants:
    """Constants of a cluster.

    Parameters
    ----------
    hop : float
        Seconds of a message between the client or a worker and the scheduler.
    task : float
        Seconds of the scheduler for a task.
    bandwidth : float
        Bytes per second of a transfer, with (un)pickling.
    rows_per_second : float
        Of a worker, for a network of 100,000 parameters; others in proportion.
    spread : float
        Standard deviation of the logarithm of a replica's time.
    lifetime : float
        Mean seconds until a worker fails.
    restart : float
        Seconds until a replica of a failed worker runs elsewhere.
    """

    hop: float = 0.004
    task: float = 0.001
    bandwidth: float = 0.5e9
    rows_per_second: float = 100_000.0
    spread: float = 0.1
    lifetime: float = 30 * 86400.0
    restart: float = 10.0


def round_seconds(constants, n_workers, n_parameters, rows_per_worker, rng):
    """Return the seconds of one round, and those of a replica's own work in it.

    Parameters
    ----------
    constants : Constants
    n_workers : int
        Each has one replica.
    n_parameters : int
    rows_per_worker : float
        Of the round.
    rng : numpy.random.Generator
    """
    c = constants
    # Parameters and Adam's two moments in float32.
    copy = 3 * 4 * n_parameters / c.bandwidth
    speed = c.rows_per_second * 100_000 / n_parameters
    # The state reaches the first worker through the scheduler.
    arrived = 2 * (c.hop + copy)
    # Each worker that has it serves one other at a time, once its task was sent.
    holders, ends, work = [arrived], [], []
    for number in range(n_workers):
        sent = c.hop + (number + 1) * c.task
        at = arrived
        if number:
            free = heapq.heappop(holders)
            at = max(free, sent) + copy
            heapq.heappush(holders, at)
            heapq.heappush(holders, at)
        needed = rows_per_worker / speed * rng.lognormal(0.0, c.spread)
        fails = rng.exponential(c.lifetime)
        own = needed if fails > needed else fails + c.restart + needed
        work.append(needed)
        ends.append(max(at, sent) + c.hop + own)
    # Reports and the tasks of the tree pass the scheduler one after another.
    level, free = ends, 0.0
    while True:
        reported = []
        for at in sorted(level):
            free = max(free, at + c.hop) + c.task
            reported.append(free)
        groups = [reported[i : i + FAN_IN] for i in range(0, len(reported), FAN_IN)]
        level = [
            max(group) + c.hop + (len(group) - 1) * copy + c.hop for group in groups
        ]
        if len(level) == 1:
            break
    # The root goes to the client through the scheduler.
    return level[0] + 2 * (c.hop + copy), float(np.mean(work))


def efficiency(constants, n_workers, n_parameters, rows_per_worker, n_rounds=20):
    """Return the share of the time in which an average worker computes."""
    rng = np.random.default_rng(0)
    rounds = [
        round_seconds(constants, n_workers, n_parameters, rows_per_worker, rng)
        for _ in range(n_rounds)
    ]
    taken, work = np.sum(rounds, axis=0)
    return work / taken


def overhead(constants, n_parameters, n_workers=2):
    """Return the seconds of a round without work."""
    still = replace(constants, spread=0.0, lifetime=1e18)
    return round_seconds(still, n_workers, n_parameters, 0.0, np.random.default_rng(0))[
        0
    ]


def fitted(constants, measured):
    """Return the constants whose overhead is nearest to the measured one.

    Parameters
    ----------
    constants : Constants
    measured : dict of float
        Seconds by parameters.
    """
    # Both enter linearly: hops, and copies of the state.
    sizes = np.array(list(measured), dtype=float)
    base = replace(constants, bandwidth=1e18)
    hops = overhead(replace(base, hop=1.0), 1) - overhead(replace(base, hop=0.0), 1)
    copies = overhead(replace(constants, hop=0.0, task=0.0, bandwidth=12.0), 1)
    tasks = overhead(replace(base, hop=0.0), 1)
    times = np.array(list(measured.values()))
    # Relative errors count.
    table = (
        np.column_stack([np.full(len(sizes), hops), copies * sizes]) / times[:, None]
    )
    hop, seconds = np.linalg.lstsq(table, (times - tasks) / times, rcond=None)[0]
    return replace(constants, hop=max(hop, 1e-4), bandwidth=12.0 / max(seconds, 1e-12))


def rows_to_win(constants, n_workers, n_parameters, n_rounds):
    """Return from how many rows on an epoch is shorter than on one worker."""
    low, high = 1.0, 1e15
    while high / low > 1.1:
        rows = (low * high) ** 0.5
        share = rows / n_workers / n_rounds
        if efficiency(constants, n_workers, n_parameters, share, 5) * n_workers < 1:
            low = rows
        else:
            high = rows
    return high


def main(arguments=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster_simulation", description=__doc__
    )
    parser.add_argument("--measured", type=Path)
    given = parser.parse_args(arguments)
    constants = Constants()
    if given.measured:
        figures = json.loads(given.measured.read_text())
        measured = {int(n): value for n, value in figures["overhead"].items()}
        constants = fitted(constants, measured)
        speed = figures["rows per second"]["2 workers x 1"] / 2
        constants = replace(constants, rows_per_second=speed)
        print(constants)
        for n, value in measured.items():
            ratio = overhead(constants, n) / value
            print(f"{n:9,} parameters: simulated / measured overhead {ratio:.2f}")
    print("\nSeconds of a round without work\n")
    _table(lambda k, n: f"{overhead(constants, n, k):.2f}")
    for seconds in (1, 30):
        print(f"\nEfficiency with rounds of {seconds} s of work for each worker\n")
        _table(
            lambda k, n, s=seconds: (
                f"{efficiency(constants, k, n, s * _second(constants, n)):.2f}"
            )
        )
    print("\nRows from which an epoch of 4 rounds is shorter than on one worker\n")
    _table(lambda k, n: f"{rows_to_win(constants, k, n, 4):.0e}")


def _second(constants, n_parameters):
    """Return the rows that a worker trains on in a second."""
    return constants.rows_per_second * 100_000 / n_parameters


def _table(cell):
    print("| workers | " + " | ".join(f"{n:,} parameters" for n in PARAMETERS) + " |")
    print("| ---: |" + " ---: |" * len(PARAMETERS))
    for n_workers in WORKERS:
        cells = [cell(n_workers, n_parameters) for n_parameters in PARAMETERS]
        print(f"| {n_workers:,} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
