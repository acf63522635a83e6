"""Rows that count, and who trains on which."""

from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastmlp.estimators._folds import (
    MERGED_ROWS,
    counted_rows,
    deal_block,
    deal_folds,
    make_splits,
)


@pytest.mark.parametrize("n_folds", [2, 3, 5])
@pytest.mark.parametrize("sizes", [(1, 2, 3), (7, 1, 30), (50, 50), (1, 1, 1, 1, 1)])
def test_folds_share_each_class(sizes, n_folds):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    folds = deal_folds(labels, n_folds, np.random.RandomState(0))
    counts = np.array(
        [np.bincount(folds[labels == k], minlength=n_folds) for k in range(len(sizes))]
    )
    assert (np.ptp(counts, axis=1) <= 1).all()
    assert np.ptp(counts.sum(axis=0)) <= 1
    for label, size in enumerate(sizes):
        if size > 1:
            assert all(label in labels[folds != i] for i in range(n_folds))


def test_folds_are_random():
    folds = [deal_folds(np.zeros(50), 5, np.random.RandomState(i)) for i in (0, 0, 1)]
    assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()
    assert (folds[0] != np.arange(50) % 5).any()


@pytest.mark.parametrize("n", [2, 3, 7, 40])
@pytest.mark.parametrize("n_networks", [1, 2, 5])
def test_turns_hold_out_each_row_once(n, n_networks):
    rows = np.arange(n)
    splits = make_splits(rows, rows, np.zeros(n), n_networks, np.random.RandomState(0))
    assert len(splits) == min(n, n_networks)
    for split in splits:
        assert_array_equal(np.sort(np.r_[split.trained(), split.judged()]), rows)
        assert_array_equal(split.judged(), split.held())
        assert len(split.trained())
    if len(splits) > 1:
        assert_array_equal(np.sort(np.concatenate([t.held() for t in splits])), rows)
    else:
        assert len(splits[0].held()) == -(-n // 5)


def merged_by_hand(codes, values, weight):
    """Return the summed weight by row, leaving out rows without."""
    table = {}
    for row, target, w in zip(codes.tolist(), values.tolist(), weight, strict=True):
        key = tuple(None if np.isnan(x) else x for x in row), tuple(target)
        table[key] = table.get(key, 0) + w
    return {key: w for key, w in table.items() if w}


def test_equal_rows_of_small_tables_count_as_one():
    rng = np.random.RandomState(0)
    codes = rng.choice([0.0, 1.0, np.nan], size=(MERGED_ROWS, 2)).astype(np.float32)
    values = rng.randint(2, size=(MERGED_ROWS, 1))
    weight = rng.randint(3, size=MERGED_ROWS).astype(float)
    rows, counted, place = counted_rows(codes, values, weight)
    ref = merged_by_hand(codes, values, weight)
    assert merged_by_hand(codes[rows], values[rows], counted) == ref
    assert len(rows) == len(ref) < MERGED_ROWS
    for row in np.flatnonzero(weight):
        stands = rows[place[row]]
        assert_array_equal(codes[stands], codes[row])
        assert_array_equal(values[stands], values[row])
    assert place.max() < len(rows)


def test_their_order_is_that_of_their_content():
    rng = np.random.RandomState(0)
    codes, values = rng.randn(20, 2), rng.randn(20, 1)
    order = rng.permutation(20)
    rows, _, _ = counted_rows(codes, values, np.ones(20))
    others, _, _ = counted_rows(codes[order], values[order], np.ones(20))
    assert_array_equal(codes[rows], codes[order][others])


def test_two_equal_rows_stay_two():
    rows, counted, place = counted_rows(np.zeros((2, 1)), np.ones((2, 1)), np.ones(2))
    assert_array_equal(rows, [0, 1])
    assert_array_equal(counted, [1, 1])
    assert_array_equal(place, [0, 1])


def test_rows_without_weight_do_not_count_in_larger_tables():
    n = MERGED_ROWS + 3
    weight = np.r_[0.0, np.ones(n - 2), 0.0]
    rows, counted, place = counted_rows(np.zeros((n, 1)), np.zeros((n, 1)), weight)
    assert_array_equal(rows, np.arange(1, n - 1))
    assert_array_equal(counted, 1)
    assert_array_equal(place, np.r_[0, np.arange(n - 2), n - 3])


@pytest.mark.parametrize("n_more", [0, 2 * MERGED_ROWS])
def test_a_row_with_a_weight_stands_for_equal_ones(n_more):
    codes = np.r_[np.zeros(n_more), [1.0, 0.0, 1.0, 0.0]][:, np.newaxis]
    weight = np.r_[np.zeros(n_more), [0.0, 1.0, 2.0, 3.0]]
    rows, counted, place = counted_rows(codes, np.zeros_like(codes), weight)
    assert_array_equal(rows, [n_more + 1, n_more + 2])
    assert_array_equal(counted, [4, 2])
    assert_array_equal(place, np.r_[np.zeros(n_more), [1, 0, 1, 0]])


@pytest.mark.parametrize("size", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("n_folds", [2, 5, 8])
def test_blocks_give_folds_equal_shares_of_a_class(size, n_folds):
    """Also where classes alternate, or come one after the other."""
    classes = np.r_[np.tile([0, 1], 100), np.repeat([0, 1, 2], 40), np.arange(30)]
    dealt, random_state = Counter(), np.random.RandomState(0)
    folds = np.concatenate(
        [
            deal_block(classes[i : i + size], n_folds, dealt, random_state)
            for i in range(0, len(classes), size)
        ]
    )
    counts = np.zeros((30, n_folds), int)
    np.add.at(counts, (classes, folds), 1)
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(counts.sum(axis=0)) <= 0.15 * len(classes) / n_folds + 2
