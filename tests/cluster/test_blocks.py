"""Blocks checked, described, gathered."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.cluster.blocks import (
    Encoded,
    Reading,
    check_block,
    describe,
    describe_reading,
    gather_rows,
    join_facts,
)
from fastmlp.data import ArraySource, Chunk

RNG = np.random.RandomState(0)


@pytest.mark.parametrize("sparse", [(), (0, 1, 2), (1,)])
@pytest.mark.parametrize("sizes", [(9,), (4, 1, 3), (1, 1)])
def test_gathered_rows_are_those_of_the_concatenation(sizes, sparse):
    blocks = [
        Encoded(RNG.randn(n, 2), RNG.randn(n, 1), RNG.rand(n).astype(np.float32))
        for n in sizes
    ]
    X, values, weight = map(np.concatenate, zip(*blocks, strict=True))
    blocks = [
        each._replace(X=sp.csr_matrix(each.X)) if number in sparse else each
        for number, each in enumerate(blocks)
    ]
    rows = RNG.permutation(sum(sizes))[:5]
    comp, order = gather_rows(blocks, rows)
    own = comp.X.toarray() if sp.issparse(comp.X) else comp.X
    assert_array_equal(own[order], X[rows])
    assert_array_equal(comp.values[order], values[rows])
    assert_array_equal(comp.sample_weight[order], weight[rows])


def facts(*chunks, Estimator=MLPClassifier):
    classifies = Estimator is MLPClassifier
    checked = [check_block(Estimator(), i, each) for i, each in enumerate(chunks)]
    return join_facts([describe(each, i, classifies) for i, each in enumerate(checked)])


def test_facts_are_those_of_all_rows():
    comp = facts(
        Chunk(np.zeros((2, 3), np.float32), np.array(["a", "c"])),
        Chunk(np.zeros((3, 3)), np.array(["b", "c", "c"]), np.array([0, 2.0, 1])),
    )
    assert (comp.n_rows, comp.n_features, comp.weight) == (5, 3, 5.0)
    assert comp.dtype == np.float64
    targets = comp.targets.summary()
    assert targets.classes.tolist() == ["a", "b", "c"]
    assert targets.counts.tolist() == [1, 1, 3]


def test_a_block_that_is_read_has_the_same_facts():
    X, y = RNG.randn(10, 2), RNG.randint(3, size=10)
    source = ArraySource(X, y, rows_per_block=5)
    ref = facts(Chunk(X[5:], y[5:]))
    comp = describe_reading(MLPClassifier(), 1, Reading(source, 1), True)
    assert comp[:4] == ref[:4]
    assert_array_equal(comp.targets.summary().counts, ref.targets.summary().counts)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_of_a_mapped_source_do_not_stay_in_memory(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (10**6, 10))
    X[:] = 1
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    y, weight = X[:, 0], X.reshape(-1)[: len(X)]
    source = ArraySource(X, y, weight, rows_per_block=25_000)
    status = Path("/proc/self/statm")

    def pages():
        return int(status.read_text().split()[2])  # of files

    before = pages()
    chunks = [Reading(source, number).read() for number in range(40)]
    for parts in zip(*chunks, strict=True):
        assert (np.concatenate(parts) == 1).all()
    assert (pages() - before) * 4096 < X.nbytes / 4


def test_labels_that_are_none():
    checked = check_block(MLPClassifier(), 3, Chunk(np.zeros((2, 1)), [0.5, 1.5]))
    with pytest.raises(ValueError, match=r"^Partition 3: Unknown label"):
        describe(checked, 3, True)


@pytest.mark.parametrize(
    "chunk, message",
    [
        (Chunk(np.full((2, 1), np.nan), np.zeros(2)), "^Partition 5: Input X contains"),
        (
            Chunk(np.zeros((2, 1)), np.zeros(3)),
            r"\[2, 3\] rows in partition 5.*rech",
        ),
        (Chunk(np.zeros((2, 1)), np.zeros(2), -np.ones(2)), "^Partition 5.*Negative"),
    ],
)
def test_errors_name_the_partition(chunk, message):
    with pytest.raises(ValueError, match=message):
        check_block(MLPRegressor(), 5, chunk)


@pytest.mark.parametrize(
    "other, message",
    [
        (Chunk(np.zeros((2, 3)), np.zeros(2)), "2 features.*3|3 features.*2"),
        (Chunk(np.zeros((2, 2)), np.zeros((2, 2))), "y has not as many columns"),
    ],
)
def test_blocks_that_differ(other, message):
    with pytest.raises(ValueError, match=message):
        facts(Chunk(np.zeros((2, 2)), np.zeros(2)), other, Estimator=MLPRegressor)
