"""A shuffle on disk is a permutation, whatever the size of its buckets."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from fastmlp.data import ArraySource, shuffled


def read_all(source):
    chunks = [source.read(block) for block in range(len(source.block_rows))]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


@pytest.mark.parametrize("bucket_rows", [1, 7, 10, 99, 100, 1000])
def test_rows_are_permuted_together(bucket_rows, tmp_path, monkeypatch):
    monkeypatch.setattr("fastmlp.data.shuffling.BUFFER_BYTES", 16 * bucket_rows)
    X, y = np.arange(200.0).reshape(100, 2), np.arange(100)
    source = ArraySource(X, y, y + 0.5, rows_per_block=7)
    comp = read_all(shuffled(source, tmp_path / "new", random_state=0))
    order = np.empty(100, int)
    order[np.random.RandomState(0).permutation(100)] = y
    for values, ref in zip(comp, (X, y, y + 0.5), strict=True):
        assert values.dtype == ref.dtype
        assert_array_equal(values, ref[order])
    for name, ref in (("X", X), ("y", y), ("sample_weight", y + 0.5)):
        assert_array_equal(np.load(tmp_path / "new" / f"{name}.npy"), ref[order])


def test_strings_and_integers(tmp_path):
    chunks = [([[1], [2]], ["a", "b"]), ([[3], [4]], ["cccc", "d"])]
    X, y = read_all_but_weights(shuffled(chunks, tmp_path, random_state=1))
    assert X.dtype == np.float64
    assert sorted(zip(X[:, 0].tolist(), y.tolist(), strict=True)) == [
        (1.0, "a"),
        (2.0, "b"),
        (3.0, "cccc"),
        (4.0, "d"),
    ]
    objects = [([[1], [2]], np.array(["a", None], dtype=object))]
    shuffled(objects, tmp_path / "other")
    assert not (tmp_path / "other" / "y.npy").exists()


def read_all_but_weights(source):
    chunks = [source.read(block)[:2] for block in range(len(source.block_rows))]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


class Changing:
    """Chunks of which one is another from the second time on."""

    def __init__(self, changed):
        self._changed, self._begun = changed, False

    def __iter__(self):
        X, y, weight = np.zeros((6, 3)), np.zeros(6), np.ones(6)
        yield X, y, weight
        yield self._changed if self._begun else (X, y, weight)
        self._begun = True


@pytest.mark.parametrize(
    "changed, message",
    [
        ((np.zeros((6, 1)), np.zeros(6), np.ones(6)), r"block 1 .* shape \(6, 1\)"),
        ((np.zeros((5, 3)), np.zeros(5), np.ones(5)), r"block 1 .* shape \(5, 3\)"),
        ((np.zeros((6, 3)), np.zeros(1), np.ones(6)), "have 6 and 1 rows"),
        ((np.zeros((6, 3)), np.zeros(6)), "Either all blocks have sample weights"),
    ],
)
def test_a_source_with_other_rows_when_it_is_read_again(changed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        shuffled(Changing(changed), tmp_path)


def test_nothing_to_shuffle(tmp_path):
    for source in ([], [(np.empty((0, 2)), [])]):
        with pytest.raises(ValueError, match="no rows"):
            shuffled(source, tmp_path)
    with pytest.raises(ValueError, match=r"is a generator\.$"):
        shuffled((chunk for chunk in []), tmp_path)


def test_a_folder_is_used_again(tmp_path):
    """The source may be the shuffle that lies there."""
    y = np.arange(40.0)
    X = np.column_stack([y, y]) + 1
    first = shuffled(ArraySource(X, y, np.ones(40)), tmp_path, 0)
    second = shuffled(first, tmp_path, 1)
    third = shuffled(ArraySource(X, y), tmp_path, 2)
    for source in (first, second, third):
        assert_array_equal(np.asarray(source.X), source.y[:, np.newaxis] + [1.0, 1.0])
        assert_array_equal(np.sort(source.y), y)
    assert_array_equal(np.load(tmp_path / "X.npy"), third.X)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.npy", "y.npy"]


@pytest.mark.parametrize("form", [pd.DataFrame, pa.table])
def test_columns_in_another_order_are_refused(tmp_path, form):
    numbers = {"a": [1.0, 2.0], "b": [10.0, 20.0]}
    first, second = form(numbers), form(dict(reversed(numbers.items())))
    X = shuffled([(first, [1, 2]), (first, [3, 4])], tmp_path, 0).X
    assert_array_equal(X[:, 1], 10 * X[:, 0])
    blocks = [(first, [1, 2]), (second, [3, 4])]
    with pytest.raises(ValueError, match=r"Block 1 has the columns \['b', 'a'\]"):
        shuffled(blocks, tmp_path, 0)
    # The earlier rows stay, and nothing of those that were refused.
    assert_array_equal(np.load(tmp_path / "X.npy"), X)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.npy", "y.npy"]
