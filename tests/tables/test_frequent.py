"""Frequent values of numbers that act like categories."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.tables.columns import Number, codes_by_column, encode, fit_columns
from fastmlp.tables.encoding import VECTOR_COLUMNS, operations_on
from fastmlp.tables.frequent import (
    AMOUNT_ROWS,
    CODE_ROWS,
    DISORDERED,
    FAR_APART,
    MOST_AMOUNTS,
    MOST_ORDERED,
    Frequent,
    neighbours,
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
    comp = neighbours(x, target).roughness
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
    assert neighbours(x, target).roughness < 2


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
    known = values[counts >= AMOUNT_ROWS]
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


def codes(n=N, n_values=60, seed=0):
    """Return whole numbers that are codes, and a target with a mean for each."""
    rng = np.random.default_rng(seed)
    known = np.random.default_rng(5).permutation(500)[:n_values]
    place = rng.integers(n_values, size=n)
    value = np.random.default_rng(6).normal(size=n_values)[place]
    return known[place].astype(float), (value + 0.3 * rng.normal(size=n))[:, None]


@pytest.mark.parametrize("n_values", [MOST_ORDERED + 1, 60, 300])
@pytest.mark.parametrize("classes", [False, True])
def test_whole_numbers_without_an_order_have_codes(classes, n_values):
    x, target = codes(n_values=n_values)
    x[:3] = 1000.0, 2000.5, np.nan  # of one row each, and none
    if classes:
        target = (target[:, 0] > 0).astype(int) + (target[:, 0] > 1)
    # One number with a fraction: the column holds no codes.
    assert len(fit_columns(x[:, None], None, target)) == 1
    x[1] = 2001.0
    number, frequent = fit_columns(x[:, None], None, target)
    assert number == fit_columns(x[:, None], None)[0]
    values, counts = np.unique(x[~np.isnan(x)], return_counts=True)
    assert frequent.values == tuple(values[counts >= CODE_ROWS].tolist())
    codes_of = encode(np.array([[1000.0], [np.nan], [frequent.values[7]]]), (frequent,))
    assert_array_equal(codes_of, [[np.nan], [np.nan], [7.0]])


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_codes_of_many_digits_stay_apart(dtype):
    """Float32 has one number only for 64 of them."""
    x, target = codes()
    x += 1e9
    [_, frequent] = fit_columns(x[:, None].astype(dtype), None, target)
    values, places = np.unique(x, return_inverse=True)
    assert frequent.values == tuple(values.tolist())
    assert_array_equal(encode(x[:, None].astype(dtype), (frequent,))[:, 0], places)
    assert np.isnan(encode([[values[0] - 1]], (frequent,))).all()


def ordered(kind):
    """Return whole numbers whose order tells something, or that tell nothing."""
    x, target = codes()
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(N, 1))
    if kind == "few":
        return codes(n_values=MOST_ORDERED)
    if kind == "rare":
        many = rng.random(N) < 0.55
        x[many] = 1000 + np.flatnonzero(many)
        return x, target
    return x, {
        "nothing": noise,
        "a line": x[:, None] / 100 + 0.1 * noise,
        "a line alone": x[:, None],
        "steps": np.floor(x[:, None] / 100),
        "waves": np.sin(x[:, None] / 40) + 0.1 * noise,
        "an outlier": np.where(np.arange(N)[:, None] == 7, 1e6, noise),
        "heavy tails": rng.standard_cauchy((N, 1)),
        "overflow": rng.choice([-1e300, 1e300], size=(N, 1)),
        "one value": np.ones((N, 1)),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "few",
        "rare",
        "nothing",
        "a line",
        "a line alone",
        "steps",
        "waves",
        "an outlier",
        "heavy tails",
        "overflow",
        "one value",
    ],
)
def test_whole_numbers_with_an_order_have_none(kind):
    x, target = ordered(kind)
    assert len(fit_columns(x[:, None], None, target)) == 1


@pytest.mark.parametrize("kind", ["a rare class", "a scatter"])
def test_counts_with_which_scatter_grows_seldom_have_codes(kind):
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.geometric(0.03, size=10_000).astype(float)
        target = (x * rng.normal(size=x.size))[:, None]
        if kind == "a rare class":
            target = (rng.random(x.size) < 1 / (1 + np.exp(6 - x / 50))).astype(int)
        found += len(fit_columns(x[:, None], None, target)) > 1
    # By the scatter of all rows alone, 18 or 19 would.
    assert found <= 2


@pytest.mark.parametrize("classes", [False, True])
def test_disorder_and_certainty_are_those_of_plain_loops(classes):
    rng = np.random.default_rng(0)
    x = np.repeat(np.arange(12), rng.integers(2, 40, size=12))
    target = np.cos(np.outer(x, [3.0, 0.1])) + 0.3 * rng.normal(size=(x.size, 2))
    shares = target
    if classes:
        target = (x + (rng.random(x.size) < 0.3)) % 5
        shares = np.eye(5)[target]
    rows = [shares[x == value] for value in range(12)]
    means = [each.mean(axis=0) for each in rows]
    variances = [each.var(axis=0, ddof=1).sum() / len(each) for each in rows]
    excess, weights = [], []
    for i in range(11):
        weights.append(1 / (1 / len(rows[i]) + 1 / len(rows[i + 1])))
        difference = np.square(means[i + 1] - means[i]).sum()
        excess.append(weights[-1] * (difference - variances[i] - variances[i + 1]))
    between = pairs = 0.0
    for i in range(12):
        for j in range(i):
            weight = len(rows[i]) * len(rows[j])
            difference = np.square(means[i] - means[j]).sum()
            between += weight * (difference - variances[i] - variances[j])
            pairs += weight
    comp = neighbours(x, target)
    assert_allclose(comp.disorder, sum(excess) / sum(weights) / (between / pairs))
    assert_allclose(comp.certainty, sum(excess) / np.linalg.norm(excess))


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_disorder_is_that_of_values_in_random_order(n_outputs):
    """Of many rows for each value it is the variance of successive means, halved."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(40, n_outputs)).cumsum(axis=0)
    places = np.repeat(np.arange(40), 500)
    target = means[places] + 0.1 * rng.normal(size=(places.size, n_outputs))
    found = neighbours(places, target)
    successive = np.square(np.diff(means, axis=0)).sum(axis=1).mean() / 2
    assert_allclose(found.disorder, successive / means.var(axis=0).sum(), rtol=0.05)
    assert found.disorder < DISORDERED
    shuffled = neighbours(rng.permutation(40)[places], target)
    assert shuffled.disorder > DISORDERED


def test_deviations_are_those_of_chance():
    rng = np.random.default_rng(0)
    found = [
        neighbours(rng.permutation(np.arange(1200) % 60), rng.normal(size=(1200, 1)))
        for _ in range(400)
    ]
    deviations = [each.deviations for each in found]
    assert abs(np.mean(deviations)) < 0.2
    assert_allclose(np.std(deviations), 1, rtol=0.15)


def test_networks_learn_values_of_codes():
    x, target = codes(2 * N)
    X, y = np.column_stack([np.random.default_rng(2).normal(size=2 * N), x]), target
    settings = {"n_networks": 2, "max_epochs": 40, "random_state": 0}
    model = TabularRegressor(**settings).fit(X[:N], y[:N, 0])
    assert [type(column) for column in model.columns_] == [Number, Number, Frequent]
    assert model.score(X[N:], y[N:, 0]) > 0.85


def without(kind):
    """Return numbers and classes that need no codes for values."""
    x, on = amounts()
    rng = np.random.default_rng(0)
    if kind == "smooth":
        on = x > 100
    elif kind == "half":
        x[x == 0] = rng.normal(size=np.count_nonzero(x == 0))
    elif kind == "few":
        x, on = amounts(n_values=MOST_AMOUNTS - 1)
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
