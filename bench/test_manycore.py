"""The simulation of many cores: its limits, by constants that are made up."""

from dataclasses import replace

import pytest

from bench.manycore import (
    CORES,
    Job,
    Layer,
    Machine,
    fastest,
    format_check,
    format_table,
    measure_sizes,
    most_rows,
    step_seconds,
)
from bench.workloads import WORKLOADS
from fastmlp.kernels.simd.tiles import TILE_ROWS

BATCH = 32 * TILE_ROWS
FREE = Machine(barrier=0.0, read=0.0, written=0.0, memory=0.0)
REAL = Machine(barrier=1e-7, read=5e-11, written=5e-11, memory=1e-10)
JOB = Job(
    "made up",
    BATCH,
    x_bytes=10**5,
    weights=10**6,
    shares={n: (1 / n, 10**5) for n in CORES},
    layers=(Layer(0.5, 64, 0, 4000), Layer(0.5, 64, 4000, 4000)),
    rows={BATCH // n: 1e-3 / n for n in CORES if n <= 32},
    update=1e-3,
)


def total(*arguments):
    """Return the seconds of a step."""
    return sum(step_seconds(*arguments).values())


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7, 31, 32])
def test_most_rows_are_whole_tiles_that_serve_all_rows(n_threads):
    rows = most_rows(BATCH - 3, n_threads)
    assert rows % TILE_ROWS == 0 or n_threads == 1
    assert (rows - TILE_ROWS) * n_threads < BATCH - 3 <= rows * n_threads


@pytest.mark.parametrize("n_threads", [1, 2, 8, 32])
def test_without_costs_the_step_is_divided_by_the_threads(n_threads):
    assert total(FREE, JOB, n_threads) == pytest.approx(2e-3 / n_threads)
    assert total(FREE, JOB, n_threads // 2 or 1, 2) == pytest.approx(
        1e-3 / (n_threads // 2 or 1)
    )


def test_one_thread_pays_for_nothing_but_its_work():
    assert total(REAL, JOB, 1) == pytest.approx(2e-3)


def test_rows_have_no_more_threads_than_tiles_and_columns_have():
    assert fastest(FREE, JOB, 64)[:2] == (32, 1)
    groups, columns, parts = fastest(FREE, JOB, 64, by_columns=True)
    assert groups * columns == 64
    assert sum(parts.values()) == pytest.approx(2e-3 / 64)


@pytest.mark.parametrize("cost", ["barrier", "read", "written"])
def test_each_cost_makes_steps_of_many_threads_longer(cost):
    dearer = replace(REAL, **{cost: 10 * getattr(REAL, cost)})
    assert total(dearer, JOB, 32) > total(REAL, JOB, 32)
    assert total(dearer, JOB, 8, 4) > total(REAL, JOB, 8, 4)
    assert total(dearer, JOB, 1) == total(REAL, JOB, 1)


def test_no_step_is_shorter_than_the_memory_takes():
    slow = replace(REAL, memory=1e-7)
    assert total(slow, JOB, 32) == pytest.approx(10**5 * 1e-7)


def test_a_barrier_of_two_is_the_measured_one_and_grows_with_threads():
    assert REAL.meet(1) == 0
    assert REAL.meet(2) == pytest.approx(REAL.barrier)
    assert REAL.meet(64) == pytest.approx(127 / 3 * REAL.barrier)


def test_fewer_threads_are_the_fastest_where_meeting_is_dear():
    far = replace(REAL, barrier=5e-5)
    n, _, parts = fastest(far, JOB, 64)
    assert 1 < n < 32
    assert sum(parts.values()) <= min(total(far, JOB, n // 2), total(far, JOB, 2 * n))
    assert fastest(replace(REAL, barrier=1.0), JOB, 64, by_columns=True)[:2] == (1, 1)


def test_columns_move_fewer_weights_and_more_rows():
    weights = replace(JOB, weights=10**8)
    assert fastest(REAL, weights, 32, by_columns=True)[1] > 1
    rows = replace(JOB, layers=(Layer(1.0, 64, 10**7, 4000),))
    assert fastest(REAL, rows, 32, by_columns=True)[1] == 1


def test_a_layer_of_one_panel_is_not_split():
    narrow = replace(JOB, layers=(Layer(1.0, 1, 0, 128),))
    assert step_seconds(FREE, narrow, 1, 8)["rows"] == JOB.rows[BATCH]


def test_sizes_are_those_of_the_network():
    sizes = measure_sizes(WORKLOADS["digits"])
    assert sizes["weights"] == 4 * (64 * 100 + 2 * 100 * 10)
    assert [layer.share for layer in sizes["layers"]] == pytest.approx(
        [64 / 84, 10 / 84, 10 / 84]
    )
    shares, reads = zip(*(sizes["shares"][n] for n in (1, 2, 16)), strict=True)
    assert shares[0] == 1
    assert 1 / 2 <= shares[1] < 0.7
    assert 1 / 16 <= shares[2] < shares[1]
    assert reads[0] > reads[1] > reads[2]


def test_the_table_says_simulated_and_the_check_how_far_that_is():
    table = format_table(REAL, [JOB])
    assert "simulated step" in table
    assert len(table.splitlines()) == 2 + len(CORES)
    check = format_check(REAL, JOB, {1: 2.1e-3, 2: 3e-3}).splitlines()
    assert check[0].endswith("-5%: within 15 %")
    assert check[1].endswith("NOT within 15 %")
