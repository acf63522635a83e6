"""Data of the playground: generated, edited, from a file."""

import numpy as np
import pytest

from fastmlp.playground import datasets
from fastmlp.playground.datasets import GENERATORS, SPAN, Data, edited, from_csv, make

CLASSES = list(GENERATORS["classification"])
NAMES = [*CLASSES, *GENERATORS["regression"]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_points_lie_in_the_square(name, noise):
    data = make(name, 203, noise)
    assert data.points.shape == (203, 2)
    assert len(data.targets) == len(data.test) == 203
    assert np.abs(data.points).max() <= SPAN
    assert np.abs(data.points).max() > 0.7 * SPAN
    if data.classes:
        assert data.problem == "classification"
        counts = np.bincount(data.targets)
        assert len(counts) == 2
        assert abs(counts[0] - counts[1]) <= 1
    else:
        assert data.problem == "regression"
        assert -1 <= data.targets.min() < -0.5 < 0.5 < data.targets.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_draws_the_same_and_another_others(name):
    one, same, other = make(name), make(name), make(name, random_state=1)
    assert all(map(np.array_equal, one, same))
    assert not np.array_equal(one.points, other.points)


def test_targets_follow_the_places():
    x, y = (data := make("xor", 400)).points.T
    np.testing.assert_array_equal(data.targets, x * y > 0)
    data = make("circle", 400)
    radius = np.linalg.norm(data.points, axis=1)
    np.testing.assert_array_equal(data.targets, radius < 3)
    data = make("plane", 400)
    np.testing.assert_allclose(data.targets, data.points.sum(axis=1) / 12)
    data = make("gauss_plane", 2000)
    for y, value in ((2.5, 1.0), (-2.5, -1.0)):
        nearest = np.argmin(np.linalg.norm(data.points - [0, y], axis=1))
        assert data.targets[nearest] == pytest.approx(value, abs=0.1)


def test_noise_moves_points_and_not_targets():
    still, moved = make("circle", 500), make("circle", 500, noise=0.5)
    np.testing.assert_array_equal(still.targets, moved.targets)
    assert np.std(moved.points - still.points) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("n_classes", [0, 3])
def test_split(share, n_classes):
    targets = np.repeat([0, 1, 2], [1, 10, 30]) if n_classes else np.linspace(0, 1, 41)
    test = datasets.split(targets, n_classes, share, 0)
    groups = [targets == k for k in range(n_classes)] or [targets >= 0]
    for group in groups:
        n = group.sum()
        assert test[group].sum() == min(round(share * n), n - 1)
    again = datasets.split_anew(
        Data(targets, targets, ~test, ("",) * n_classes), share, 0
    )
    np.testing.assert_array_equal(again.test, test)


def test_edits_are_done_in_their_order():
    data = make("circle", 10)
    before = data.points.copy()
    comp = edited(
        data, add=[[1.0, -9.0, 1]], move=[[3, 0.5, 9.0], [4, 1, 1]], remove=[0, 4]
    )
    np.testing.assert_array_equal(data.points, before)
    ref = np.delete(before, [0, 4], axis=0)
    ref[2] = [0.5, SPAN]
    np.testing.assert_array_equal(comp.points, [*ref, [1.0, -SPAN]])
    np.testing.assert_array_equal(comp.targets[:-1], np.delete(data.targets, [0, 4]))
    assert comp.targets[-1] == 1
    assert comp.targets.dtype == data.targets.dtype
    assert not comp.test[-1]


def test_a_class_more():
    data = edited(make("circle", 10), add=[[0, 0, 2]])
    assert data.classes == ("0", "1", "2")
    assert edited(data, add=[[0, 0, 0]]).classes == data.classes
    named = edited(data._replace(classes=("1", "3", "4")), add=[[0, 0, 4], [1, 1, 3]])
    assert named.classes == ("1", "3", "4", "5", "6")


def test_a_value_is_added_to_a_regression():
    assert edited(make("plane", 10), add=[[0, 0, 0.25]]).targets[-1] == 0.25


@pytest.mark.parametrize(
    "rows, message",
    [
        ({"move": [[10, 0, 0]]}, "move: there is no such point, their number is 10"),
        ({"move": [[0.5, 0, 0]]}, "no such point"),
        ({"remove": [-1]}, "remove: there is no such point"),
        ({"remove": range(10)}, "Class 0 needs at least one point to train on"),
        ({"add": [[0, 0, 3]]}, "Class 2 needs at least one point"),
        ({"add": [[0, 0, 10]]}, "a class is an integer from 0 to 9"),
        ({"add": [[0, 0, 0.5]]}, "a class is an integer"),
        ({"add": [[0, 0]]}, r"each entry must be \[x, y, target\]"),
        ({"add": [[0, 0, float("nan")]]}, "finite"),
        ({"add": [0, 0, 1]}, "each entry"),
        ({"add": 5}, "each entry"),
        ({"move": {"x": 1}}, "each entry"),
        ({"remove": "abc"}, "each entry"),
        ({"remove": 5}, "each entry"),
        ({"add": [[10**400, 0, 0]]}, "each entry"),
        ({"add": [[0, 0, 1]] * 5000, "remove": [0] * 20}, "5000 points at most"),
    ],
)
def test_edits_that_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        edited(make("circle", 10), **rows)


def test_regression_keeps_a_row():
    data = make("plane", 10, test_share=0.9)
    (row,) = np.flatnonzero(~data.test)
    with pytest.raises(ValueError, match="At least one point to train on is needed"):
        edited(data, remove=[int(row)])


TABLE = "a,b,c\n0,10,no\n2,10,yes\n\n4,30,no\n"


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace("\n", "\r\n"),
        TABLE.partition("\n")[2],
        TABLE.replace(",", " , "),
        TABLE.replace("no", '"no"'),
    ],
)
def test_a_table_of_labels(text):
    data = from_csv(text, test_share=0.0)
    assert data.points.tolist() == [[-6, -6], [0, -6], [6, 6]]
    assert data.targets.tolist() == [0, 1, 0]
    assert data.classes == ("no", "yes")


def test_numbers_are_labels_if_they_are_few_integers():
    data = from_csv("1,1,10\n2,2,9\n3,3,10", test_share=0.0)
    assert data.classes == ("9", "10")
    assert data.targets.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "values, ref", [([0.5, 1.0, 1.5], [-1, 0, 1]), (range(11), np.linspace(-1, 1, 11))]
)
def test_a_table_of_numbers(values, ref):
    text = "\n".join(f"{i},0,{value}" for i, value in enumerate(values))
    data = from_csv(text)
    assert data.problem == "regression"
    np.testing.assert_allclose(data.targets, ref)
    assert (data.points[:, 1] == 0).all()  # a constant column


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "0 rows of data"),
        ("a,b,c", "0 rows"),
        ("1,2,a", "1 rows"),
        ("1,2\n3,4", "Row 1 has 2 columns: three are needed"),
        ("1,2,a\n3,4", "Row 2 has 2 columns"),
        ("1,2,a\n3,u,b", "Row 2 of the data has 'u' in column 2"),
        ("a,b,c\n1,2,a\ninf,2,b", "Row 2 of the data has 'inf' in column 1"),
        ("1,2,a\n3,4,a", "1 different labels: 2 to 10"),
        ("\n".join(f"1,2,{chr(97 + i)}" for i in range(11)), "11 different labels"),
        ("1,2,a\n" * 5001, "5001 rows of data: 2 to 5,000"),
        (" " * 1_000_001, "more than 1,000,000 bytes"),
    ],
)
def test_tables_that_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        from_csv(text)


def test_huge_numbers_are_scaled():
    data = from_csv("-1e308,0,a\n1e308,1,b")
    assert data.points.tolist() == [[-6, -6], [6, 6]]
