"""Frequent values of numbers that act like categories."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.tables.columns import codes_by_column, encode, fit_columns
from fastmlp.tables.encoding import VECTOR_COLUMNS, operations_on
from fastmlp.tables.frequent import (
    FAR_APART,
    LEAST_COUNT,
    MOST_TOLD_APART,
    Frequent,
    roughness,
)

N = 900


def amounts(n=N, n_values=20, seed=0):
    """Return numbers, mostly 0 and else amounts, and which amounts are of one class."""
    rng = np.random.default_rng(seed)
    values = 10.1 * np.arange(1, n_values + 1)
    place = rng.integers(n_values, size=n)
    x = np.where(rng.random(n) < 0.6, 0.0, values[place])
    return x, (x > 0) & (place % 2 == 0)


def naive_roughness(x, target):
    """Return the average ratio by loops over pairs of successive values."""
    values = np.unique(x)
    y = np.asarray(target, float)
    if y.ndim == 1:
        y = (target[:, None] == np.unique(target)).astype(float)
    rows = [y[x == value] for value in values]
    within = sum(((each - each.mean(axis=0)) ** 2).sum() for each in rows)
    overall = ((y - y.mean(axis=0)) ** 2).sum() / len(y)
    scatter = (within + overall) / (len(y) - len(values) + 1)
    ratios = [
        ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
        / (scatter * (1 / len(a) + 1 / len(b)))
        for a, b in zip(rows[1:], rows, strict=False)
    ]
    return np.mean(np.minimum(ratios, FAR_APART))


@pytest.mark.parametrize("kind", ["two classes", "five classes", "values", "outputs"])
def test_roughness_is_that_of_plain_loops(kind):
    rng = np.random.default_rng(0)
    x = rng.integers(12, size=300)
    target = {
        "two classes": (x % 2) ^ (rng.random(300) < 0.2),
        "five classes": (x + (rng.random(300) < 0.3)) % 5,
        "values": (np.sin(9.0 * x) + 0.3 * rng.normal(size=300))[:, None],
        "outputs": np.cos(np.outer(x, [3.0, 0.1])) + rng.normal(size=(300, 2)),
    }[kind]
    comp = roughness(x, target)
    assert_allclose(comp, naive_roughness(x, target))
    assert comp > 1.5


@pytest.mark.parametrize("kind", ["nothing", "smooth", "one class", "overflow"])
def test_roughness_is_low(kind):
    rng = np.random.default_rng(1)
    x = rng.integers(30, size=600)
    target = {
        "nothing": rng.normal(size=(600, 1)),
        "smooth": (x / 10 + rng.normal(size=600))[:, None],
        "one class": np.zeros(600, dtype=int),
        "overflow": rng.choice([-1e300, 1e300], size=(600, 1)),
    }[kind]
    assert roughness(x, target) < 2


@pytest.mark.parametrize("as_numbers", [False, True])
def test_codes_of_frequent_values(as_numbers):
    x, on = amounts()
    x[:2] = 3.3, np.nan  # one that is rare, and none
    target = on.astype(float)[:, None] if as_numbers else on.astype(int)
    columns = fit_columns(x[:, None], None, target)
    number, frequent = columns
    assert number == fit_columns(x[:, None], None)[0]
    assert isinstance(frequent, Frequent)
    values, counts = np.unique(x[~np.isnan(x)].astype(np.float32), return_counts=True)
    known = values[counts >= LEAST_COUNT]
    assert frequent.values == tuple(known.tolist())
    rows = np.array([*known[[0, 5, -1]].astype(float), 10.1, 3.3, 7.0, np.nan])
    codes = encode(rows[:, None], columns)[:, 1]
    assert_array_equal(codes, [0, 5, known.size - 1, 1, np.nan, np.nan, np.nan])
    assert codes_by_column(columns) == {0: [0, 1]}


@pytest.mark.parametrize("n", [3, N, 50_000])
def test_codes_of_other_types_of_tables(n):
    x, on = amounts()
    columns = fit_columns(x[:, None], None, on.astype(int))
    rows, _ = amounts(n, seed=1)
    ref = encode(rows[:, None], columns)
    for table in (
        rows[:, None].astype(np.float32),
        pd.DataFrame({"a": rows}),
        pd.DataFrame({"a": rows.astype(np.float32)}),
        [[each] for each in rows],
    ):
        assert_array_equal(encode(table, columns)[:, 1], ref[:, 1])


def without(kind):
    """Return numbers and classes that need no codes for values."""
    x, on = amounts()
    rng = np.random.default_rng(0)
    if kind == "smooth":
        on = x > 100
    elif kind == "half":
        x[x == 0] = rng.normal(size=np.count_nonzero(x == 0))
    elif kind == "few":
        x, on = amounts(n_values=MOST_TOLD_APART - 1)
    elif kind == "rare":
        x = np.where(x == 0, 0.0, rng.normal(size=N))
    return x[:, None], on.astype(int)


@pytest.mark.parametrize("kind", ["smooth", "half", "few", "rare"])
def test_numbers_that_act_like_numbers_have_none(kind):
    assert len(fit_columns(*without(kind)[:1], None, without(kind)[1])) == 1


def test_frequent_values_have_vectors():
    x, on = amounts()
    columns = fit_columns(x[:, None], None, on.astype(int))
    names = [name for name, _ in operations_on(columns)]
    assert names == ["columns", "periodic", "embedding", "scale"]
    vectors = operations_on(columns)[2][1]
    assert (vectors.source, vectors.n_categories) == (1, len(columns[1].values))
    assert vectors.n_columns == VECTOR_COLUMNS


def test_networks_learn_which_amounts_belong_to_which_class():
    x, on = amounts(2 * N)
    X = np.column_stack([np.random.default_rng(2).normal(size=2 * N), x])
    model = TabularClassifier(n_networks=2, max_epochs=20, random_state=0)
    model.fit(X[:N], on[:N])
    assert [column.column for column in model.columns_] == [0, 1, 1]
    assert model.score(X[N:], on[N:]) > 0.99
    # Number and vector are permuted together.
    assert model.feature_importances_.shape == (2,)
    assert model.feature_importances_[1] > 10 * model.feature_importances_[0]


def test_rows_without_weight_are_as_if_they_were_not_there():
    x, on = amounts()
    kept = np.arange(N) % 2 == 0
    made = TabularRegressor(n_networks=2, max_epochs=2, random_state=0)
    ref = made.fit(x[kept, None], on[kept]).columns_
    comp = made.fit(x[:, None], on, sample_weight=kept.astype(float)).columns_
    assert comp == ref
