"""
Tables as they are: scores, importances, intervals and export, without preparation.
===================================================================================

Values of houses in California and incomes of the census "adult", numbers beside
categories and missing values. scikit-learn fetches both tables once; where there is no
network, tables made here have the same kinds of columns.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import fetch_california_housing, fetch_openml
from sklearn.model_selection import train_test_split

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.examples._drawing import new_figure, show

# To train on; half as many test.
ROWS = 3000

COVERAGE = 0.9


class Found(NamedTuple):
    """One table: its model's figures.

    Parameters
    ----------
    table : str
    expected, score : float
        Accuracy or R²: of rows held out in `fit`, and on the test rows.
    importances : dict
        Mean and standard deviation over the networks by column, the largest first.
    intervals : (n, 3) array or None
        Targets of the test rows, lower and upper ends; None for classes.
    exported : bytes
        The model as ONNX.
    """

    table: str
    expected: float
    score: float
    importances: dict[str, tuple[float, float]]
    intervals: np.ndarray | None
    exported: bytes

    @property
    def coverage(self) -> float:
        """The share of targets in their intervals."""
        assert self.intervals is not None
        y, low, high = self.intervals.T
        return float(np.mean((low <= y) & (y <= high)))


def made() -> tuple[Any, Any]:
    """Return a table of flats, a DataFrame, and their rents."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "tables needs pandas: pip install 'fastmlp[examples]'."
        ) from error
    rng, rows = np.random.RandomState(0), 2 * ROWS
    district = rng.randint(30, size=rows)
    X = pd.DataFrame(
        {
            "area": rng.gamma(6, 12, rows),
            "year": rng.randint(1900, 2025, rows).astype(float),
            "district": pd.Categorical.from_codes(
                district, [f"district {i}" for i in range(30)]
            ),
            "heating": rng.choice(["gas", "oil", "heat pump"], rows),
            "balcony": rng.rand(rows) < 0.4,
            "door": rng.randint(1, 99, rows),
        }
    )
    rent = 200 + 8 * X.area + 30 * np.sin(district) * X.area**0.5 + 90 * X.balcony
    rent += 300 * (X.year > 1990) - 120 * (X.heating == "oil")
    X.loc[rng.rand(rows) < 0.1, "year"] = np.nan
    X.loc[rng.rand(rows) < 0.1, "heating"] = None
    return X, rent * rng.lognormal(0, 0.1, rows)


def houses() -> tuple[str, Any, Any]:
    """Return a name, a table and numbers to predict."""
    return _fetched("California housing", fetch_california_housing) or (
        "flats, their rents",
        *made(),
    )


def incomes() -> tuple[str, Any, Any]:
    """Return a name, a table and classes to predict."""

    def fetch(**options: Any) -> Any:
        return fetch_openml("adult", version=2, **options)

    if found := _fetched("adult", fetch):
        return found
    X, rent = made()
    return "flats, dear or not", X, np.where(rent > rent.median(), "dear", "cheap")


def _fetched(name: str, fetch: Callable) -> tuple[str, Any, Any] | None:
    """Return a name, a table and its target; None without a network."""
    # A second attempt is no reason for a warning here.
    with warnings.catch_warnings(action="ignore"):
        try:
            return name, *fetch(as_frame=True, return_X_y=True, n_retries=1)
        except OSError:
            return None


def run() -> list[Found]:
    """Fit one model to each table; print and return their figures."""
    return [_fit(TabularRegressor, *houses()), _fit(TabularClassifier, *incomes())]


def _fit(
    make: type[TabularRegressor] | type[TabularClassifier], name: str, X: Any, y: Any
) -> Found:
    X, X_test, y, y_test = train_test_split(
        X, y, train_size=ROWS, test_size=ROWS // 2, random_state=0
    )
    model = make(random_state=0).fit(X, y)
    order = np.argsort(-model.feature_importances_)
    intervals = None
    if isinstance(model, TabularRegressor):
        ends = model.predict_interval(X_test, COVERAGE)
        intervals = np.column_stack([y_test, ends])
    found = Found(
        name,
        model.oof_score_,
        model.score(X_test, y_test),
        {
            str(X.columns[i]): (
                float(model.feature_importances_[i]),
                float(model.feature_importances_std_[i]),
            )
            for i in order
        },
        intervals,
        model.to_onnx().SerializeToString(),
    )
    _print(found)
    return found


def _print(found: Found) -> None:
    metric = "accuracy" if found.intervals is None else "R²"
    print(
        f"{found.table}: {metric} {found.score:.3f} on {ROWS // 2} test rows, "
        f"{found.expected:.3f} expected from the {ROWS} to learn from"
    )
    for name, (mean, spread) in list(found.importances.items())[:3]:
        print(f"  without {name!r} the loss rises by {mean:.3f} ± {spread:.3f}")
    if found.intervals is not None:
        print(f"  {found.coverage:.1%} in intervals that shall hold {COVERAGE:.0%}")
    print(f"  as ONNX {len(found.exported) / 2**20:.1f} MiB")


def draw(found: list[Found]) -> Any:
    """Return a figure: importances of both tables, and intervals of some rows."""
    figure, axes = new_figure(1, 3, width=4.5)
    for ax, each in zip(axes, found, strict=False):
        means, spreads = zip(*each.importances.values(), strict=True)
        ax.barh(list(each.importances), means, xerr=spreads, color="C0")
        ax.invert_yaxis()
        ax.set(title=each.table, xlabel="rise of the loss when permuted")
    intervals = found[0].intervals
    assert intervals is not None
    y, low, high = intervals[:60][np.argsort(intervals[:60, 0])].T
    axes[2].vlines(np.arange(len(y)), low, high, color="C7", label="interval")
    axes[2].plot(y, ".", color="C3", label="target")
    axes[2].set(xlabel="test row", title=f"{found[0].coverage:.1%} of all test rows")
    axes[2].legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
