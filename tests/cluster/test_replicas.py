"""Which rows a replica visits, in which order."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastmlp import MLPClassifier
from fastmlp.cluster import replicas
from fastmlp.cluster.replicas import Job, Orders, Replica, deal_blocks, share
from fastmlp.data import ArraySource
from fastmlp.data.buffers import Buffers
from fastmlp.kernels import Regularisation


@pytest.fixture(autouse=True)
def nothing_is_kept():
    replicas._orders.clear()


def make_job(buffer_rows=10**6, batch_size=4, **params):
    return Job(
        token="a",
        model=MLPClassifier(**params),
        goal=None,
        class_weights=None,
        spec=None,
        dtype=np.dtype(np.float32),
        batch_size=batch_size,
        optimizer=None,
        regularisation=Regularisation(),
        n_rounds=1,
        buffer_rows=buffer_rows,
        weight=1.0,
    )


def make_replica(*rows):
    return Replica(0, tuple(range(len(rows))), rows, np.random.RandomState(3))


def test_blocks_are_dealt_by_their_rows():
    assert deal_blocks([10, 0, 100, 10, 90, 0, 10], 3) == [(2,), (4,), (0, 3, 6)]


@pytest.mark.parametrize("n_replicas", [1, 2, 5])
def test_each_block_with_rows_is_dealt_once(n_replicas):
    rows = np.random.RandomState(0).randint(0, 5, 23)
    dealt = deal_blocks(rows, n_replicas)
    assert sorted(np.concatenate(dealt)) == np.flatnonzero(rows).tolist()
    loads = [rows[list(blocks)].sum() for blocks in dealt]
    assert max(loads) - min(loads) <= rows.max()


def test_shares_are_all_of_it():
    for n, n_parts in ((10, 3), (2, 5), (0, 2)):
        parts = [share(n, part, n_parts) for part in range(n_parts)]
        assert np.concatenate(parts).tolist() == list(range(n))


def test_rows_in_one_buffer_are_shuffled_as_in_fit():
    orders, random_state = Orders(make_job(), make_replica(5, 2)), make_replica(0)[3]
    ref = np.arange(7)
    for epoch in range(3):
        random_state.shuffle(ref)
        (comp,) = orders.of_epoch(epoch)
        assert_array_equal(comp, ref)


def test_several_buffers_are_those_of_a_stream():
    rows, replica = (5, 3, 9, 1, 7), make_replica(5, 3, 9, 1, 7)
    orders = Orders(make_job(buffer_rows=8), replica)
    numbers = np.arange(sum(rows))
    source = ArraySource(numbers[:, None], numbers)
    source.block_rows = rows
    starts = np.concatenate([[0], np.cumsum(rows)])
    source._rows = lambda block: slice(starts[block], starts[block + 1])
    random_state = replica.random_state
    for epoch in range(3):
        blocks = np.arange(5)
        random_state.shuffle(blocks)
        parts = Buffers(rows, 8, 4).visit(source, blocks, random_state)
        ref = [chunk.y[order] for chunk, order in parts]
        comp = orders.of_epoch(epoch)
        assert len(comp) == len(ref) > 1
        for one, other in zip(comp, ref, strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("buffer_rows", [4, 100])
def test_every_row_is_visited_once(buffer_rows, shuffle):
    orders = Orders(make_job(buffer_rows, shuffle=shuffle), make_replica(5, 3, 9))
    comp = np.concatenate(orders.of_epoch(0))
    assert sorted(comp) == list(range(17))
    assert (comp == np.arange(17)).all() == (not shuffle)


@pytest.mark.parametrize("buffer_rows", [4, 100])
def test_a_process_that_knows_nothing_draws_the_same(buffer_rows):
    job, replica = make_job(buffer_rows), make_replica(5, 3, 9)
    ref = [replicas._orders_of(job, replica, epoch)[0] for epoch in range(4)]
    for epoch in (3, 1, 2, 0):
        replicas._orders.clear()
        comp, _ = replicas._orders_of(job, replica, epoch)
        assert_array_equal(np.concatenate(comp), np.concatenate(ref[epoch]))


def test_an_earlier_epoch_is_drawn_anew():
    job, replica = make_job(), make_replica(5, 3)
    ref, _ = replicas._orders_of(job, replica, 0)
    replicas._orders_of(job, replica, 5)
    comp, _ = replicas._orders_of(job, replica, 0)
    assert_array_equal(comp[0], ref[0])


def test_orders_of_other_fits_go_where_all_take_much(monkeypatch):
    n_rows = 1000
    monkeypatch.setattr(
        replicas, "KEPT_BYTES", 3 * (replicas.ORDERS_BYTES + 8 * n_rows)
    )
    for token in "abcd":
        job = replace(make_job(), token=token)
        replicas._orders_of(job, make_replica(n_rows), 0)
    assert [key[0] for key in replicas._orders] == ["b", "c", "d"]
    for number in range(1, 5):
        replicas._orders_of(job, make_replica(n_rows)._replace(number=number), 0)
    assert [key[1] for key in replicas._orders] == [0, 1, 2, 3, 4]
