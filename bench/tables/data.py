"""Tables by name, from a folder or made here, and their rows to train on and to test.

A folder holds ``tables.json``, a dict of ``{"task": "classification" or "regression",
"categorical": [column, ...]}`` by name, and for each name ``NAME.csv.gz`` with a header
and the column ``target``. All columns that are not categorical are numbers; an empty
cell is a missing value.
"""

import json
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets

# Classes with fewer rows are left out.
LEAST_ROWS = 10

TEST_SHARE = 0.2

# Of synthetic tables.
N_ROWS = 5_000


class Table(NamedTuple):
    """Rows to train on and to test with.

    Parameters
    ----------
    X, X_test : DataFrame
        Columns of float64 and of categories.
    y, y_test : arrays
        Classes from 0, or numbers.
    n_classes : int
        0 for regression.
    """

    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray
    n_classes: int


def split(X, y, classes, rows, seed):
    """Return a `Table`: a fifth of the rows to test, at most `rows` others to train.

    Parameters
    ----------
    X : DataFrame
    y : Series or array
    classes : bool
        True if y are classes.
    rows : int
    seed : int
    """
    y = pd.Series(np.asarray(y))
    if classes:
        kept = (y.map(y.value_counts()) >= LEAST_ROWS).to_numpy()
        X, y = X[kept], pd.Series(pd.factorize(y[kept], sort=True)[0])
    order = np.random.RandomState(seed).permutation(len(X))
    n_test = int(TEST_SHARE * len(X))
    test, train = order[:n_test], order[n_test:][:rows]
    X_test, X = (X.iloc[each].reset_index(drop=True) for each in (test, train))
    y_test, y = y.to_numpy()[test], y.to_numpy()[train]
    return Table(X, y, X_test, y_test, int(y.max()) + 1 if classes else 0)


class Folder:
    """The tables of a folder.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        self._path = path
        self._about = json.loads((path / "tables.json").read_text())
        self.names = tuple(self._about)

    def load(self, name, rows, seed):
        """Return a `Table`."""
        about = self._about[name]
        words = dict.fromkeys(about["categorical"], str)
        X = pd.read_csv(self._path / f"{name}.csv.gz", dtype=words)
        y = X.pop("target")
        X = X.astype({column: float for column in X if column not in words})
        X = X.astype(dict.fromkeys(words, "category"))
        return split(X, y, about["task"] == "classification", rows, seed)


def mixed(n, task="regression", seed=0):
    """Return X and y of 20 numbers and 3 categories, with 5 % of values missing.

    Parameters
    ----------
    n : int
        Rows.
    task : {'binary', 'classes', 'regression'}
        Classes are cuts through the numbers of 'regression'.
    seed : int
    """
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        rng.standard_normal((n, 20)), columns=[f"number_{i}" for i in range(20)]
    )
    y = X.number_0 + X.number_1 * X.number_2 + np.sin(3 * X.number_3)
    for levels in (2, 5, 40):
        codes = rng.integers(levels, size=n)
        y += rng.standard_normal(levels)[codes]
        names = pd.Series([f"level_{i}" for i in range(levels)])
        X[f"category_{levels}"] = pd.Categorical(names[codes], names)
    y = (y + 0.3 * rng.standard_normal(n)).to_numpy()
    X = X.mask(rng.random(X.shape) < 0.05)
    cuts = {"binary": [0.5], "classes": [1 / 3, 2 / 3]}
    return X, np.digitize(y, np.quantile(y, cuts[task])) if task in cuts else y


def _shipped(load):
    return partial(load, return_X_y=True, as_frame=True)


def _synthetic(make, n_columns, **settings):
    """Return X and y that a function of scikit-learn makes."""
    X, y = make(N_ROWS, n_columns, random_state=0, **settings)
    return pd.DataFrame(X).add_prefix("x"), y


_classes = partial(_synthetic, datasets.make_classification, n_redundant=0)
_friedman1 = partial(_synthetic, datasets.make_friedman1, noise=1.0)
_sum = partial(_synthetic, datasets.make_regression, noise=1.0)

# Functions that return X and y, and whether y are classes.
BUILT_IN = {
    "iris": (_shipped(datasets.load_iris), True),
    "wine": (_shipped(datasets.load_wine), True),
    "breast_cancer": (_shipped(datasets.load_breast_cancer), True),
    "digits": (_shipped(datasets.load_digits), True),
    "mixed_binary": (partial(mixed, N_ROWS, "binary"), True),
    "mixed_classes": (partial(mixed, N_ROWS, "classes"), True),
    "diabetes": (_shipped(datasets.load_diabetes), False),
    "friedman1": (partial(_friedman1, 10), False),
    "mixed": (partial(mixed, N_ROWS), False),
}


class BuiltIn:
    """Tables that are made here.

    Parameters
    ----------
    tables : dict
        Like `BUILT_IN`.
    """

    def __init__(self, tables=BUILT_IN):
        self._tables, self.names = tables, tuple(tables)

    def load(self, name, rows, seed):
        """Return a `Table`."""
        make, classes = self._tables[name]
        return split(*make(), classes, rows, seed)


def with_noise(name, n_noise):
    """Return X and y of a table of `BUILT_IN`, with columns of normal noise beside."""
    X, y = BUILT_IN[name][0]()
    noise = np.random.default_rng(0).standard_normal((len(X), n_noise))
    return X.join(pd.DataFrame(noise, X.index).add_prefix("noise_")), y


# Wide tables: names end with the columns of noise, or with those that have a part.
WIDE = {
    "breast_cancer_500": (partial(with_noise, "breast_cancer", 500), True),
    "digits_400": (partial(with_noise, "digits", 400), True),
    "mixed_classes_200": (partial(with_noise, "mixed_classes", 200), True),
    "classes_20_of_1000": (partial(_classes, 1_000, n_informative=20), True),
    "classes_100_of_500": (partial(_classes, 500, n_informative=100), True),
    "classes_100_of_2000": (partial(_classes, 2_000, n_informative=100), True),
    "diabetes_300": (partial(with_noise, "diabetes", 300), False),
    "mixed_200": (partial(with_noise, "mixed", 200), False),
    "friedman1_5_of_1000": (partial(_friedman1, 1_000), False),
    "sum_100_of_1000": (partial(_sum, 1_000, n_informative=100), False),
    "sum_100_of_2000": (partial(_sum, 2_000, n_informative=100), False),
}
