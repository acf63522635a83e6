"""How codes enter a network: every kind of column, and the places of all."""

import pytest

from fastmlp.kernels import N_WAVES
from fastmlp.tables.columns import Category, Number
from fastmlp.tables.encoding import (
    MOST_ONE_HOT,
    VECTOR_COLUMNS,
    Selection,
    operations_on,
    select_all,
    selection_of,
)


def number(column, *, scale=1.0, missing=False):
    return Number(f"x{column}", column, 0.0, scale, missing)


def category(column, n, *, missing=False):
    return Category(f"x{column}", column, tuple(range(n)), missing)


def test_numbers_are_codes_and_waves():
    columns, periodic, scale = operations_on([number(0), number(1, missing=True)])
    rules = [rule[:1] + rule[2:] for rule in columns[1].rules]
    assert rules == [(0, 0, 0, None), (1, 0, 0, None), (1, 0, 1, 0)]
    assert periodic[1] == ((0, 1), 3 + 2 * N_WAVES, 3)
    assert columns[1].more == 2 * N_WAVES
    assert scale == ("scale", 1.0)


def test_a_constant_number_says_where_it_is_missing():
    columns, scale = operations_on([number(0, scale=0.0, missing=True)])
    assert [rule[2:] for rule in columns[1].rules] == [(0, 1, 0)]
    assert scale[0] == "scale"


@pytest.mark.parametrize("missing", [False, True])
def test_few_categories_have_columns(missing):
    columns, _ = operations_on([category(0, 2 - missing, missing=missing)])
    assert columns[1].rules == ((0, 1, 1, 0, -1),)
    n = MOST_ONE_HOT - missing
    columns, _ = operations_on([category(0, n, missing=missing)])
    assert columns[1].rules == tuple((0, k, 1, 0, 0) for k in range(MOST_ONE_HOT))


def test_many_categories_have_vectors_behind_the_waves():
    n = MOST_ONE_HOT
    mixed = [
        number(0),
        category(1, n, missing=True),
        category(2, 3),
        category(3, n + 5),
    ]
    columns, periodic, first, second, _ = operations_on(mixed)
    n_rules, n_out = 4, 4 + N_WAVES + 2 * VECTOR_COLUMNS
    assert len(columns[1].rules) + columns[1].more == n_out
    assert periodic[1] == ((0,), n_out, n_rules)
    place = n_rules + N_WAVES
    assert first == ("embedding", (1, n + 1, VECTOR_COLUMNS, n_out, place))
    place += VECTOR_COLUMNS
    assert second == ("embedding", (3, n + 5, VECTOR_COLUMNS, n_out, place))


def test_a_selection_leaves_out_columns_and_waves():
    columns = [
        number(0),
        category(1, 3),
        number(2),
        number(3, missing=True),
        category(4, MOST_ONE_HOT + 1),
        number(5, scale=0.0, missing=True),
    ]
    selection = Selection((0, 3, 4, 5), (3,))
    layout, periodic, vectors, _ = operations = operations_on(columns, selection)
    assert [rule[0] for rule in layout[1].rules] == [0, 3, 3, 5]
    assert periodic[1].sources == (3,)
    assert vectors[1].source == 4
    assert selection_of(operations) == selection
    assert select_all(columns) == Selection(tuple(range(6)), (0, 2, 3))
    assert selection_of(operations_on(columns)) == select_all(columns)
    assert selection_of(operations_on(columns, Selection((0, 1), ()))).waving == ()
