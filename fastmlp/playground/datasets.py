"""Points of the plane with their targets: drawn, edited, read from a table.

All lie in the square from -SPAN to SPAN. `GENERATORS` is the table of those that are
drawn, by problem and name.
"""

import csv
import io
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.datasets import make_moons

SPAN = 6.0

# Displacement of the points, as standard deviation, for a noise of 1.
NOISE_SPREAD = 2.0

# A column of integers with more values is a target to regress.
MOST_CLASSES = 10

MOST_ROWS = 5000
MOST_BYTES = 1_000_000


class Data(NamedTuple):
    """Points with their targets.

    Parameters
    ----------
    points : (n, 2) float64 array
    targets : (n,) array
        int64 indices of classes, or float64 values to regress.
    test : (n,) bool array
        True for the rows to test on.
    classes : tuple of str
        Their names; empty for regression.
    """

    points: np.ndarray
    targets: np.ndarray
    test: np.ndarray
    classes: tuple[str, ...]

    @property
    def problem(self) -> str:
        """'classification' or 'regression'."""
        return "classification" if self.classes else "regression"


Generator = Callable[[int, np.random.RandomState], tuple[np.ndarray, np.ndarray]]


def circle(n: int, random_state: np.random.RandomState) -> tuple:
    """Return a disc of class 1 within a ring of class 0."""
    targets = np.arange(n) % 2
    low, high = np.where(targets == 1, 0.0, 3.5), np.where(targets == 1, 2.5, 5.0)
    radius = random_state.uniform(low, high)
    return _polar(radius, random_state.uniform(0, 2 * np.pi, n)), targets


def xor(n: int, random_state: np.random.RandomState) -> tuple:
    """Return class 1 where both coordinates have one sign, and gaps between."""
    corners = np.arange(n) % 4
    signs = np.column_stack([1 - 2 * (corners % 2), 1 - 2 * (corners // 2)])
    points = signs * random_state.uniform(0.3, 5.0, (n, 2))
    return points, (signs.prod(axis=1) > 0).astype(np.int64)


def gauss(n: int, random_state: np.random.RandomState) -> tuple:
    """Return two normal distributions, class 1 at (2, 2), class 0 at (-2, -2)."""
    targets = np.arange(n) % 2
    centres = np.where(targets == 1, 2.0, -2.0)[:, None]
    return centres + random_state.normal(0.0, 1.0, (n, 2)), targets


def spiral(n: int, random_state: np.random.RandomState) -> tuple:
    """Return two arms of a spiral, of 7/4 of a turn each."""
    targets = np.arange(n) % 2
    along = random_state.uniform(0.05, 1.0, n)
    return _polar(5.0 * along, 3.5 * np.pi * along + np.pi * targets), targets


def moons(n: int, random_state: np.random.RandomState) -> tuple:
    """Return scikit-learn's two half moons."""
    points, targets = make_moons(n, random_state=random_state)
    return (points - [0.5, 0.25]) * [3.2, 4.0], targets


def plane(n: int, random_state: np.random.RandomState) -> tuple:
    """Return an inclined plane, -1 and 1 in two of its corners."""
    points = random_state.uniform(-SPAN, SPAN, (n, 2))
    return points, points.sum(axis=1) / (2 * SPAN)


def gauss_plane(n: int, random_state: np.random.RandomState) -> tuple:
    """Return six hills and valleys of height 1."""
    points = random_state.uniform(-SPAN, SPAN, (n, 2))
    centres = np.array([[x, y] for y in (-2.5, 2.5) for x in (-4.0, 0.0, 4.0)])
    signs = np.array([1, -1, 1, -1, 1, -1])
    squares = np.square(points[:, None] - centres).sum(axis=2)
    return points, np.exp(-squares / 2) @ signs


GENERATORS: dict[str, dict[str, Generator]] = {
    "classification": {
        each.__name__: each for each in (circle, xor, gauss, spiral, moons)
    },
    "regression": {each.__name__: each for each in (plane, gauss_plane)},
}


def _polar(radius, angle):
    return np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])


def make(
    name: str,
    n_points: int = 500,
    noise: float = 0.0,
    test_share: float = 0.5,
    random_state: int = 0,
) -> Data:
    """Return drawn points.

    Parameters
    ----------
    name : str
        A name in `GENERATORS`.
    n_points : int, default=500
    noise : float, default=0.0
        Displacement of the points: normal, with twice this standard deviation.
    test_share : float, default=0.5
        Share of the rows to test on, see `split`.
    random_state : int, default=0

    Examples
    --------
    >>> make("xor", 100).points.shape
    (100, 2)
    """
    drawn = np.random.RandomState(random_state)
    generators = {**GENERATORS["classification"], **GENERATORS["regression"]}
    points, targets = generators[name](n_points, drawn)
    points = points + drawn.normal(0.0, NOISE_SPREAD * noise, points.shape)
    classes = ("0", "1") if name in GENERATORS["classification"] else ()
    test = split(targets, len(classes), test_share, random_state)
    return Data(np.clip(points, -SPAN, SPAN), targets, test, classes)


def split(
    targets: np.ndarray, n_classes: int, test_share: float, random_state: int
) -> np.ndarray:
    """Return which rows are for testing, (n,) bool.

    A share of each class, but at least one row of each is left to train on.

    Parameters
    ----------
    targets : (n,) array, see `Data`
    n_classes : int
        0: the targets are numbers.
    test_share : float
    random_state : int
    """
    drawn = np.random.RandomState(random_state)
    test = np.zeros(len(targets), bool)
    groups = [targets == k for k in range(n_classes)] or [np.ones(len(targets), bool)]
    for group in groups:
        rows = drawn.permutation(np.flatnonzero(group))
        test[rows[: min(round(test_share * len(rows)), len(rows) - 1)]] = True
    return test


def split_anew(data: Data, test_share: float, random_state: int) -> Data:
    """Return data with other rows to test on."""
    test = split(data.targets, len(data.classes), test_share, random_state)
    return data._replace(test=test)


def edited(
    data: Data,
    add: Sequence[Sequence[float]] = (),
    move: Sequence[Sequence[float]] = (),
    remove: Sequence[int] = (),
) -> Data:
    """Return data with points moved, removed and added, in this order.

    Parameters
    ----------
    data : Data
        Not changed.
    add : sequence of (x, y, target)
        Rows to train on, appended. Classes whose index is not that of one yet are new.
    move : sequence of (index, x, y)
    remove : sequence of int
        Indices of rows of `data`.

    Raises
    ------
    ValueError
        If an index or a class is not valid, or a class keeps no row to train on.
    """
    points, targets, test, classes = data
    n = len(points)
    moved = _numbers(move, 3, "move", "[index, x, y]")
    added = _numbers(add, 3, "add", "[x, y, target]")
    removed = _numbers(remove, None, "remove", "index")
    for name, index in (("move", moved[:, 0]), ("remove", removed)):
        if np.any((index != np.floor(index)) | (index < 0) | (index >= n)):
            raise ValueError(f"{name}: there is no such point, their number is {n}.")
    points = points.copy()
    points[moved[:, 0].astype(int)] = moved[:, 1:]
    new = added[:, 2]
    if classes:
        if np.any((new != np.floor(new)) | (new < 0) | (new >= MOST_CLASSES)):
            raise ValueError(
                f"add: a class is an integer from 0 to {MOST_CLASSES - 1}."
            )
        n_new = max(0, int(new.max(initial=0)) + 1 - len(classes))
        names = map(str, itertools.count(len(classes)))
        free = (name for name in names if name not in data.classes)
        classes += tuple(itertools.islice(free, n_new))
    kept = np.ones(n, bool)
    kept[removed.astype(int)] = False
    points = np.vstack([points[kept], added[:, :2]])
    if len(points) > MOST_ROWS:
        raise ValueError(f"add: there may be {MOST_ROWS} points at most.")
    targets = np.concatenate([targets[kept], new.astype(targets.dtype)])
    test = np.concatenate([test[kept], np.zeros(len(added), bool)])
    found = Data(np.clip(points, -SPAN, SPAN), targets, test, classes)
    check_rows(found)
    return found


def check_rows(data: Data) -> None:
    """Raise a ValueError unless each class has a row to train on."""
    if not data.classes:
        if data.test.all():
            raise ValueError("At least one point to train on is needed.")
        return
    counts = np.bincount(data.targets[~data.test], minlength=len(data.classes))
    for name, count in zip(data.classes, counts, strict=True):
        if count == 0:
            raise ValueError(
                f"Class {name} needs at least one point to train on: add one first."
            )


def _numbers(rows, n_columns, name, form):
    """Return rows as a float array, (n, n_columns) or with None (n,)."""
    shape = (-1,) if n_columns is None else (-1, n_columns)
    try:
        array = np.asarray(rows, np.float64).reshape(shape)
        valid = len(array) == len(rows) and np.isfinite(array).all()
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise ValueError(f"{name}: each entry must be {form}, all finite numbers.")
    return array


def from_csv(text: str, test_share: float = 0.5, random_state: int = 0) -> Data:
    """Return the points of a table of two numbers and a label or a number a row.

    The first two columns are scaled to the square. The third is a class, unless it
    holds numbers with a fraction or more than 10 integers: these are targets to
    regress, scaled to -1 to 1.

    Parameters
    ----------
    text : str
        Rows with commas, semicolons or tabs between the columns. A first row that
        holds no numbers is a header.
    test_share : float, default=0.5
    random_state : int, default=0
        Draws the rows to test on.

    Raises
    ------
    ValueError
        If the table is too large or has another form.
    """
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"The table has more than {MOST_BYTES:,} bytes.")
    delimiter = max(",;\t", key=text.count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        rows = [[cell.strip() for cell in row] for row in lines if any(row)]
    except csv.Error as error:
        raise ValueError(f"The table is not CSV: {error}.") from None
    for i, row in enumerate(rows):
        if len(row) != 3:
            raise ValueError(
                f"Row {i + 1} has {len(row)} columns: three are needed, two of numbers "
                "and one of labels or numbers."
            )
    if rows and math.isnan(_number(rows[0][0])) and math.isnan(_number(rows[0][1])):
        rows = rows[1:]
    if not 2 <= len(rows) <= MOST_ROWS:
        raise ValueError(
            f"The table has {len(rows)} rows of data: 2 to {MOST_ROWS:,} are needed."
        )
    points = np.array([[_number(cell) for cell in row[:2]] for row in rows])
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        raise ValueError(
            f"Row {row + 1} of the data has {rows[row][column]!r} in column "
            f"{column + 1}, which is no finite number."
        )
    labels = [row[2] for row in rows]
    targets, classes = _targets(labels)
    test = split(targets, len(classes), test_share, random_state)
    return Data(SPAN * _scaled(points), targets, test, classes)


def _targets(labels):
    """Return the targets of a column of texts, and the names of the classes."""
    values = np.array([_number(label) for label in labels])
    numeric = bool(np.isfinite(values).all())
    if numeric and (np.any(values % 1) or len(np.unique(values)) > MOST_CLASSES):
        return _scaled(values[:, None])[:, 0], ()
    names = sorted(
        set(labels), key=(lambda each: (float(each), each)) if numeric else None
    )
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ValueError(
            f"The third column has {len(names)} different labels: 2 to {MOST_CLASSES} "
            "are needed."
        )
    index = {name: k for k, name in enumerate(names)}
    return np.array([index[label] for label in labels]), tuple(names)


def _number(cell):
    """Return a text as a number, NaN if it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _scaled(columns):
    """Return columns scaled to -1 to 1; constant ones to 0."""
    low, high = columns.min(axis=0), columns.max(axis=0)
    # Halves, since the difference of two large numbers may overflow.
    half, middle = high / 2 - low / 2, high / 2 + low / 2
    return (columns - middle) / np.where(half > 0, half, 1.0)
