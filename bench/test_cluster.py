"""The simulation of a cluster: its limits, and the constants that it is fitted to."""

from dataclasses import replace

import pytest

from bench.cluster_simulation import (
    Constants,
    efficiency,
    fitted,
    overhead,
    rows_to_win,
)

CONSTANTS = Constants()


def test_overhead_grows_with_workers_and_parameters():
    by_workers = [overhead(CONSTANTS, 10_000, n) for n in (2, 10, 100, 1000)]
    assert by_workers == sorted(by_workers)
    # The scheduler's time for each task, of which there are two for a worker.
    assert by_workers[-1] > 1000 * CONSTANTS.task
    assert overhead(CONSTANTS, 10**6) > overhead(CONSTANTS, 10**5)


def test_long_rounds_without_spread_are_efficient():
    still = replace(CONSTANTS, spread=0.0, lifetime=1e18)
    assert efficiency(still, 10, 100_000, 1e9) == pytest.approx(1.0, abs=1e-3)
    assert efficiency(still, 10, 100_000, 1.0) < 0.01
    assert rows_to_win(still, 10, 100_000, 4) > rows_to_win(still, 10, 10**6, 4)


def test_the_fit_finds_its_own_constants():
    known = replace(CONSTANTS, hop=0.02, bandwidth=1e8)
    measured = {n: overhead(known, n) for n in (10_000, 100_000, 1_000_000)}
    found = fitted(CONSTANTS, measured)
    assert found.hop == pytest.approx(known.hop, rel=0.05)
    assert found.bandwidth == pytest.approx(known.bandwidth, rel=0.05)
