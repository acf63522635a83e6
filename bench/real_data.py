"""Real data through a pipeline, beside scikit-learn: scores and times.

adult (https://archive.ics.uci.edu/dataset/2/adult) and california_housing as CSV files
from the folder given; the digits ship with scikit-learn.
"""

import time
import warnings
from typing import NamedTuple

import numpy as np
import sklearn.neural_network
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

import fastmlp
from bench.report import Row
from bench.timing import Times

ADULT_COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status",
    "occupation", "relationship", "race", "sex", "capital_gain", "capital_loss",
    "hours_per_week", "native_country", "income",
)  # fmt: skip

# How far the mean score may be from scikit-learn's: the spread over seeds is about it.
TOLERANCE = 0.01


class Problem(NamedTuple):
    """Rows to train on and to test with, and how the network is wrapped.

    Parameters
    ----------
    data : tuple
        X_train, X_test, y_train, y_test.
    network : str
        Name of the estimator's class.
    parameters : dict
        Of the network.
    wrap : callable
        ``wrap(network)`` returns the estimator to fit.
    score : str
        Name of the estimator's `score`.
    seeds : int
    """

    data: tuple
    network: str
    parameters: dict
    wrap: object
    score: str
    seeds: int


def columns(numeric, categorical, dtype):
    """Return a ColumnTransformer for numbers and categories, missing ones too."""
    return ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(strategy="median"),
                                      StandardScaler()), numeric),
            ("categorical", OneHotEncoder(handle_unknown="ignore", dtype=dtype),
             categorical),
        ],
        sparse_threshold=0,
    )  # fmt: skip


def load_adult(folder, dtype):
    """Income above 50,000 or not; '?' is a category of its own."""
    import pandas as pd

    frames = [
        pd.read_csv(
            folder / f"adult-{part}.csv",
            header=None,
            names=list(ADULT_COLUMNS),
            na_values="?",
            skipinitialspace=True,
        )
        for part in ("train", "test")
    ]
    # The labels of the test file end with a full stop.
    y = [frame.pop("income").str.rstrip(".").to_numpy(str) for frame in frames]
    numeric = list(frames[0].select_dtypes("number"))
    categorical = [name for name in frames[0] if name not in numeric]
    frames = [frame.astype(dict.fromkeys(numeric, dtype)) for frame in frames]
    return Problem(
        (*frames, *y),
        "MLPClassifier",
        {"hidden_layer_sizes": (64, 32), "max_iter": 10},
        lambda network: make_pipeline(columns(numeric, categorical, dtype), network),
        "accuracy",
        seeds=3,
    )


def load_california(folder, dtype):
    """Median house value by block; some numbers of bedrooms are missing."""
    import pandas as pd

    frame = pd.read_csv(folder / "california_housing.csv")
    y = frame.pop("median_house_value").to_numpy(dtype)
    categorical = ["ocean_proximity"]
    numeric = [name for name in frame if name not in categorical]
    frame = frame.astype(dict.fromkeys(numeric, dtype))

    def wrap(network):
        return TransformedTargetRegressor(
            make_pipeline(columns(numeric, categorical, dtype), network),
            transformer=StandardScaler(),
        )

    return Problem(
        tuple(train_test_split(frame, y, test_size=0.25, random_state=0)),
        "MLPRegressor",
        {"hidden_layer_sizes": (64, 32), "max_iter": 30},
        wrap,
        "R²",
        seeds=3,
    )


def load_handwritten(folder, dtype):
    """Handwritten digits, which need no folder."""
    X, y = load_digits(return_X_y=True)
    return Problem(
        tuple(train_test_split(X.astype(dtype), y, test_size=0.25, random_state=0)),
        "MLPClassifier",
        {"hidden_layer_sizes": (100,), "max_iter": 50},
        lambda network: make_pipeline(MinMaxScaler(), network),
        "accuracy",
        seeds=5,
    )


PROBLEMS = {
    "digits": load_handwritten,
    "adult": load_adult,
    "california_housing": load_california,
}
PACKAGES = {"fastmlp": fastmlp, "scikit-learn": sklearn.neural_network}


def fit_and_score(problem, package, seed):
    """Return the test score and the seconds of fitting the whole pipeline."""
    X_train, X_test, y_train, y_test = problem.data
    network = getattr(package, problem.network)(
        n_iter_no_change=np.inf, random_state=seed, **problem.parameters
    )
    estimator = problem.wrap(network)
    # The number of epochs is fixed: that it has not converged is intended.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        start = time.perf_counter()
        estimator.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    return estimator.score(X_test, y_test), seconds


def measure_problem(name, settings, dtype):
    """Return two rows: fastmlp's and scikit-learn's."""
    problem = PROBLEMS[name](settings.data, dtype)
    short = f"f{8 * np.dtype(dtype).itemsize}"
    # Whatever is compiled is compiled before.
    fit_and_score(problem, fastmlp, seed=0)
    runs = {package: [] for package in PACKAGES}
    for seed in range(problem.seeds):
        for package, module in PACKAGES.items():
            settings.progress(f"real data: {name}, {package} {short}, seed {seed}")
            runs[package].append(fit_and_score(problem, module, seed))
    epochs = problem.parameters["max_iter"]
    rows, means = [], []
    for package, results in runs.items():
        scores, seconds = zip(*results, strict=True)
        row = Row("real data", name, f"{package} {short}")
        row.detail = f"fit of the pipeline, {epochs} epochs"
        row.times = Times(seconds)
        means.append(np.mean(scores))
        row.note = (
            f"{problem.score} {means[-1]:.4f} ± {np.std(scores):.4f} "
            f"over {problem.seeds} seeds"
        )
        rows.append(row)
    rows[1].ratio = rows[1].times.best / rows[0].times.best
    if not abs(means[0] - means[1]) <= TOLERANCE:
        rows[0].note = f"WRONG: {rows[0].note}"
    return rows


def measure(settings):
    """Return the section's rows."""
    rows = []
    for name in PROBLEMS:
        if name != "digits" and settings.data is None:
            rows.append(Row("real data", name, "all", note="missing: give --data DIR"))
            continue
        for dtype in (np.float32,) if settings.quick else (np.float32, np.float64):
            rows += measure_problem(name, settings, dtype)
    return rows
