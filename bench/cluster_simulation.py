"""Rounds on 2 to 1,000 workers, simulated: ``python -m bench.cluster_simulation``.

An event simulation of a fit. Small networks go to and from the client with the tasks.
The client sends a large one once to the scheduler, which sends it to a worker, and
each other worker fetches it from one that has it; the mean is taken along a tree of
`FAN_IN`, whose root goes to the client. Replicas compute for times with a lognormal
spread. Workers fail at random times; their replica then starts again elsewhere.

The constants are those of Dask on one machine and of a network of 10 Gbit/s. With
--measured FILE, the output of ``python -m bench.cluster --output FILE``, latency and
speed of a copy are fitted to the overhead measured there, and the simulation of two
workers is compared with it.

Left out are other users of the cluster, disks, and switches that are oversubscribed.
Nor does it say how accurate the networks are: `bench.replicas` does.
"""

import argparse
import heapq
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.report import format_markdown
from fastmlp.cluster.averaging import FAN_IN
from fastmlp.cluster.tasks import DIRECT_BYTES

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

    def rows_in_a_second(self, n_parameters):
        """Return the rows that a worker trains on in a second."""
        return self.rows_per_second * 100_000 / n_parameters


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
    n_bytes = 3 * 4 * n_parameters
    copy, direct = n_bytes / c.bandwidth, n_workers * n_bytes <= DIRECT_BYTES
    seconds = rows_per_worker / c.rows_in_a_second(n_parameters)
    work = seconds * rng.lognormal(0.0, c.spread, n_workers)
    lives = rng.exponential(c.lifetime, n_workers)
    own = np.where(lives > work, work, lives + c.restart + work)
    tasks = (1 + np.arange(n_workers)) * c.task
    if direct:
        # The scheduler passes copies on while the client makes the next ones.
        begins = 2 * c.hop + tasks + (2 + np.arange(n_workers)) * copy
        ends = _reported(c, begins + own)
        # The scheduler collects all results before it sends them on.
        return ends[-1] + 2 * c.hop + 2 * n_workers * copy, work.mean()
    begins = np.maximum(c.hop + tasks, _copied(c, n_workers, copy))
    level = _reported(c, begins + c.hop + own)
    while len(level) > 1:
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        level = [g[-1] + 2 * c.hop + (len(g) - 1) * copy for g in groups]
        level = _reported(c, level) if len(level) > 1 else level
    # The root goes to the client through the scheduler.
    return level[0] + 2 * (c.hop + copy), work.mean()


def _copied(constants, n_workers, copy):
    """Return when each worker has the state; each sends one copy at a time."""
    first = 2 * (constants.hop + copy)
    holders, arrived = [first], [first]
    for _ in range(n_workers - 1):
        at = heapq.heappop(holders) + copy
        heapq.heappush(holders, at)
        heapq.heappush(holders, at)
        arrived.append(at)
    return np.array(arrived)


def _reported(constants, ends):
    """Return when the scheduler has handled the end of each task, one at a time."""
    known, free = [], 0.0
    for at in sorted(ends):
        free = max(free, at + constants.hop) + constants.task
        known.append(free)
    return known


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
    still, rng = replace(constants, spread=0.0, lifetime=1e18), np.random.default_rng(0)
    seconds, _ = round_seconds(still, n_workers, n_parameters, 0.0, rng)
    return seconds


def fitted(constants, measured):
    """Return the constants whose overhead is nearest to the measured one.

    Parameters
    ----------
    constants : Constants
    measured : dict of float
        Seconds by parameters.
    """
    # While the copies of two workers are within DIRECT_BYTES, the overhead is linear in
    # the time of a hop and in that of a copy. At 12 bytes a second a copy of one
    # parameter and its moments takes one second.
    sizes = np.array(list(measured), dtype=float)
    base = replace(constants, bandwidth=1e18)
    tasks = overhead(replace(base, hop=0.0), 1)
    hops = overhead(replace(base, hop=1.0), 1) - tasks
    copies = overhead(replace(constants, hop=0.0, task=0.0, bandwidth=12.0), 1)
    times = np.array(list(measured.values()))
    # Least squares of the relative errors.
    table = (
        np.column_stack([np.full(len(sizes), hops), copies * sizes]) / times[:, None]
    )
    hop, seconds = np.linalg.lstsq(table, (times - tasks) / times, rcond=None)[0]
    return replace(constants, hop=max(hop, 1e-4), bandwidth=12.0 / max(seconds, 1e-12))


def rows_to_win(constants, n_workers, n_parameters, n_rounds):
    """Return the rows above which an epoch is shorter than on one worker."""
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

        def share(n_workers, n_parameters, seconds=seconds):
            rows = seconds * constants.rows_in_a_second(n_parameters)
            return f"{efficiency(constants, n_workers, n_parameters, rows):.2f}"

        _table(share)
    print("\nRows from which an epoch of 4 rounds is shorter than on one worker\n")
    _table(lambda k, n: f"{rows_to_win(constants, k, n, 4):.0e}")


def _table(cell):
    header = ["workers", *(f"{n:,} parameters" for n in PARAMETERS)]
    lines = [[f"{k:,}", *(cell(k, n) for n in PARAMETERS)] for k in WORKERS]
    print(format_markdown(header, lines, left=0))


if __name__ == "__main__":
    main()
