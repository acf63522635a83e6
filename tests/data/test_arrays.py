"""Arrays as sources."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from fastmlp.data import ArraySource


class Slices:
    """An array that can only be sliced, in chunks of 300 rows, as those of HDF5."""

    chunks = (300, 10)

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self._array[rows]


@pytest.mark.parametrize("rows_per_block", [1, 10, 24, 25, 26, None])
@pytest.mark.parametrize("wrap", [Slices, np.asarray])
def test_blocks_are_the_rows_in_order(rows_per_block, wrap):
    X, y = np.random.RandomState(0).randn(25, 3), np.arange(25)
    source = ArraySource(wrap(X), wrap(y), list(y), rows_per_block=rows_per_block)
    chunks = [source.read(block) for block in range(len(source.block_rows))]
    assert [len(chunk.X) for chunk in chunks] == list(source.block_rows)
    assert_array_equal(np.concatenate([chunk.X for chunk in chunks]), X)
    assert_array_equal(np.concatenate([chunk.y for chunk in chunks]), y)
    assert_array_equal(np.concatenate([chunk.sample_weight for chunk in chunks]), y)
    assert source.n_features == 3


def test_blocks_have_4_mib_or_whole_chunks():
    X, y = np.zeros((5000, 1024), np.float32), np.zeros(5000)
    assert ArraySource(X, y).block_rows == [1024] * 4 + [904]
    assert ArraySource(Slices(X), y).block_rows == [1200] * 4 + [200]


def test_no_rows_no_blocks():
    assert list(ArraySource(np.zeros((0, 3)), []).block_rows) == []


@pytest.mark.parametrize("wrong", ["y", "sample_weight"])
def test_lengths_differ(wrong):
    given = {"y": np.zeros(5), "sample_weight": np.ones(5)} | {wrong: [1.0]}
    with pytest.raises(ValueError, match=f"X has 5 rows, but {wrong} has 1"):
        ArraySource(np.zeros((5, 2)), **given)


@pytest.mark.parametrize("rows", [0, -1, 1.5, "all"])
def test_rows_per_block_are_a_number(rows):
    with pytest.raises(ValueError, match="rows_per_block must be an integer"):
        ArraySource(np.zeros((5, 2)), np.zeros(5), rows_per_block=rows)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, list])
def test_X_that_is_no_array(kind):
    with pytest.raises(TypeError, match=rf"got {kind.__name__}: .*\[\(X, y\)\]"):
        ArraySource(kind([[1.0], [2.0]]), [0, 1])


def test_X_of_one_dimension():
    with pytest.raises(ValueError, match="reshape"):
        ArraySource(np.zeros(5), np.zeros(5))


@pytest.mark.parametrize("part", [slice(None), slice(700, 900), slice(None, None, 2)])
@pytest.mark.parametrize("offset", [0, 24])
def test_pickles_of_memory_maps_name_the_file(tmp_path, part, offset):
    numbers = np.random.RandomState(0).randn(6000)
    numbers.tofile(tmp_path / "X")
    X = np.memmap(tmp_path / "X", offset=offset, dtype=float, mode="r", shape=(999, 6))
    source = ArraySource(X[part], np.arange(len(X[part])), rows_per_block=150)
    saved = pickle.dumps(source)
    assert len(saved) < 12_000 or not X[part].flags.c_contiguous
    comp = pickle.loads(saved)
    assert comp.block_rows == source.block_rows
    for block in range(len(source.block_rows)):
        for ref, array in zip(source.read(block), comp.read(block), strict=True):
            assert_array_equal(array, ref)


def test_pickles_of_maps_that_are_copied_on_write_have_their_numbers(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((4, 2)))
    X = np.load(tmp_path / "X.npy", mmap_mode="c")
    X[1] = 5.0
    loaded = pickle.loads(pickle.dumps(ArraySource(X, np.arange(4))))
    assert_array_equal(loaded.read(0).X, X)
