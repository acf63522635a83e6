"""The mean over replicas: that of NumPy, along one tree."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp.cluster.averaging import FAN_IN, Trained, average

RNG = np.random.RandomState(0)


def parts(n):
    return [
        Trained(int(rows), float(rows), (RNG.randn(5).astype(np.float32), RNG.randn(3)))
        for rows in RNG.randint(1, 100, n)
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 16, 17])
def test_it_is_the_mean_by_rows(n):
    given = parts(n)
    comp = average(given)
    weights = [each.n_rows for each in given]
    for i, vector in enumerate(comp.vectors):
        ref = np.average([each.vectors[i] for each in given], axis=0, weights=weights)
        assert_allclose(vector, ref, rtol=1e-13, atol=1e-15)
    assert comp.n_rows == comp.loss == sum(weights)


@pytest.mark.parametrize("n", [FAN_IN + 1, 2 * FAN_IN, 3 * FAN_IN + 3])
def test_branches_are_those_of_the_whole_tree(n):
    given = parts(n)
    branches = [average(given[i : i + FAN_IN]) for i in range(0, n, FAN_IN)]
    ref, comp = average(given), average(branches)
    assert_array_equal(ref.vectors[0], comp.vectors[0])


def test_one_part_stays_as_it_is():
    (given,) = parts(1)
    assert average([given]) is given


def test_equal_parts_stay_as_they_are():
    (given,) = parts(1)
    comp = average([given._replace(n_rows=n) for n in (3, 10, 7)], np.float32)
    assert_array_equal(comp.vectors[0], given.vectors[0])
    assert comp.vectors[0].dtype == np.float32


def test_parts_without_rows_do_not_count():
    given = parts(2)
    none = Trained(0, 0.0, ())
    ref = average(given)
    comp = average([none, given[0], none, given[1], none])
    assert_array_equal(comp.vectors[0], ref.vectors[0])
    assert average([none, none]).n_rows == 0


def test_what_overflows_is_infinite():
    large = Trained(1, 0.0, (np.array([1e300]),))
    assert average([large], np.float32).vectors[0] == np.inf
