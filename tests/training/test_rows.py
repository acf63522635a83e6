"""The orders of an epoch's rows, drawn one by one or ahead."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastmlp.training.rows import InMemory


def _orders(rows, random_state, n):
    return np.array([next(iter(rows.parts(random_state)))[1].copy() for _ in range(n)])


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize("n_done", [1, 2, 5])
def test_orders_drawn_ahead_are_those_of_epochs_one_by_one(n_done, bits):
    ref, comp = (np.random.RandomState(bits(3)) for _ in range(2))
    numbers = np.arange(10, 30)
    one_by_one, ahead = InMemory(None, numbers), InMemory(None, numbers)
    for _ in range(2):
        orders = ahead.draw(comp, 5)
        # Of a generator that cannot go back a single one.
        assert len(orders) == (5 if bits is np.random.MT19937 else 1)
        n = min(n_done, len(orders))
        assert_array_equal(orders[:n], _orders(one_by_one, ref, n))
        ahead.take_back(comp, orders, n)
        assert_array_equal(ahead.order, one_by_one.order)
    assert comp.randint(1 << 30) == ref.randint(1 << 30)


def test_orders_without_shuffling():
    rows = InMemory(None, np.arange(5))
    orders = rows.draw(None, 3)
    assert_array_equal(orders, [np.arange(5)] * 3)
    rows.take_back(None, orders, 2)
    assert_array_equal(rows.order, np.arange(5))


def test_numbers_that_others_have_drawn_since_are_not_taken_back():
    random_state = np.random.RandomState(3)
    rows = InMemory(None, np.arange(20))
    orders = rows.draw(random_state, 5)
    random_state.rand()
    following = np.random.RandomState()
    following.set_state(random_state.get_state())
    rows.take_back(random_state, orders, 2)
    assert random_state.rand() == following.rand()


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.PCG64])
def test_forget_changes_nothing_after_take_back(bits):
    random_state = np.random.RandomState(bits(3))
    rows = InMemory(None, np.arange(20))
    rows.take_back(random_state, rows.draw(random_state, 1), 1)
    before = random_state.get_state(legacy=False)
    rows.forget(random_state)
    assert str(random_state.get_state(legacy=False)) == str(before)
