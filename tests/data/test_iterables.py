"""Chunks as sources."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastmlp.data.iterables import as_source


class Again:
    def __init__(self, chunks):
        self.chunks, self.n_made = chunks, 0

    def __iter__(self):
        for chunk in self.chunks:
            self.n_made += 1
            yield chunk


CHUNKS = [(np.full((n, 2), n), np.full(n, n)) for n in (3, 0, 5, 1)]


@pytest.mark.parametrize("form", [list, tuple, Again])
def test_blocks_are_the_chunks_in_any_order(form):
    seen = []
    source = as_source(form(CHUNKS), seen.append)
    assert source.block_rows == [3, 0, 5, 1]
    assert [len(y) for y in seen] == [3, 0, 5, 1]
    assert source.in_order is (form is Again)
    for block in (0, 2, 3, 1, 1, 3, 0, 0):
        X, y, weight = source.read(block)
        assert_array_equal(X, CHUNKS[block][0])
        assert_array_equal(y, CHUNKS[block][1])
        assert weight is None


def test_blocks_in_order_are_made_once():
    chunks = Again(CHUNKS)
    source = as_source(chunks)
    chunks.n_made = 0
    for _ in range(2):
        for block in range(4):
            source.read(block)
    assert chunks.n_made == 8


def test_sources_stay_as_they_are():
    class Own:
        block_rows = (2, 2)

        def read(self, block):
            return np.zeros((2, 1)), [block, block]

    source, seen = Own(), []
    assert as_source(source, seen.append) is source
    assert seen == []  # whole blocks are read only where they have to be
    as_source(source, seen.append, read_all=True)
    assert seen == [[0, 0], [1, 1]]
    source.read_y = lambda block: -block
    as_source(source, seen.append)
    assert seen[2:] == [0, -1]
