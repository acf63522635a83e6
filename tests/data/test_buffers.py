"""Which rows a buffer holds, in which order; reading ahead changes nothing."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastmlp.data import ArraySource, Chunk
from fastmlp.data.buffers import Buffers, read_ahead


def ref_order(block_rows, blocks, buffer_rows, batch_size, random_state):
    """Return the rows that each buffer visits, by their numbers in the source."""
    starts = np.concatenate([[0], np.cumsum(block_rows)])
    rows_of = [np.arange(starts[b], starts[b + 1]) for b in blocks if block_rows[b]]
    visits, left = [], np.empty(0, int)
    while rows_of:
        while rows_of and len(left) < max(buffer_rows, batch_size):
            left = np.concatenate([left, rows_of.pop(0)])
        if random_state is not None:
            left = left[random_state.permutation(len(left))]
        n = len(left) - (len(left) % batch_size if rows_of else 0)
        visits.append(left[:n])
        left = left[n:]
    return visits


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("buffer_rows", [1, 7, 8, 20, 29, 30, 1000])
@pytest.mark.parametrize("batch_size", [1, 4, 8, 30])
@pytest.mark.parametrize("rows_per_block", [1, 7, 30])
def test_order_of_visits(seed, buffer_rows, batch_size, rows_per_block):
    n = 30
    X, weight = np.arange(2.0 * n).reshape(n, 2), np.arange(n) + 0.5
    source = ArraySource(X, np.arange(n), weight, rows_per_block=rows_per_block)
    blocks = np.random.RandomState(3).permutation(len(source.block_rows))
    states = [seed if seed is None else np.random.RandomState(seed) for _ in range(2)]
    ref = ref_order(source.block_rows, blocks, buffer_rows, batch_size, states[0])
    buffers = Buffers(source.block_rows, buffer_rows, batch_size)
    comp = buffers.visit(source, blocks, states[1])
    for ref_rows, (chunk, order) in zip(ref, comp, strict=True):
        assert_array_equal(chunk.X[order], X[ref_rows])
        assert_array_equal(chunk.y[order], ref_rows)
        assert_array_equal(chunk.sample_weight[order], weight[ref_rows])
    assert_array_equal(np.sort(np.concatenate(ref)), np.arange(n))


def test_one_buffer_has_the_order_of_fit():
    source = ArraySource(np.zeros((30, 1)), np.arange(30), rows_per_block=7)
    random_state, ref = np.random.RandomState(5), np.arange(30)
    np.random.RandomState(5).shuffle(ref)
    buffers = Buffers(source.block_rows, 30, 8)
    ((chunk, order),) = buffers.visit(source, range(5), random_state)
    assert_array_equal(chunk.y[order], ref)


def test_chunks_without_rows_and_larger_than_the_buffer():
    class Blocks:
        block_rows = (0, 3, 0, 0, 25, 1, 0)

        def read(self, block):
            n = self.block_rows[block]
            return Chunk(np.full((n, 1), n), np.full(n, n))

    source = Blocks()
    buffers = Buffers(source.block_rows, 5, 2)
    for _ in range(2):  # in the same memory
        parts = buffers.visit(source, range(7), None)
        seen = [chunk.y[order].tolist() for chunk, order in parts]
        assert seen == [[3] * 3 + [25] * 25, [1]]
    assert list(buffers.visit(source, [0, 2], None)) == []
    assert list(buffers.visit(source, [], None)) == []


def test_reading_ahead_gives_the_same_items_one_ahead():
    made, used = [], []

    def items():
        for i in range(5):
            made.append((i, threading.get_ident()))
            yield i

    for item in read_ahead(items()):
        used.append(item)
        assert len(made) <= item + 2
    assert used == list(range(5))
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_while_reading_ahead_is_raised_in_its_turn():
    def items():
        yield 1
        raise ValueError("unreadable")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="unreadable"):
        next(ahead)
