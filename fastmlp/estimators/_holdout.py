"""Rows to validate on, and the score of an epoch on them."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from fastmlp.estimators._fitted import network_attributes
from fastmlp.estimators._problem import Problem, Sample, stand_in
from fastmlp.estimators._targets import Scoring
from fastmlp.network import Network
from fastmlp.training.holdout import Holdout, Score, loss_as_score


def hold_out(
    problem: Problem,
    sample: Sample,
    own: Sample | None,
    network: Network,
    random_state: np.random.RandomState,
) -> tuple[np.ndarray, Holdout | None]:
    """Return the rows of `sample` to train on, and the `Holdout`.

    It holds `own`, the user's validation set, if there is one; otherwise, with early
    stopping, a share of `sample`; otherwise it is None.
    """
    model = problem.model
    rows, held = np.arange(sample.X.shape[0]), None
    if own is None:
        if not model.early_stopping:
            return rows, None
        rows, held = split_rows(
            len(rows),
            model.validation_fraction,
            problem.goal.strata(problem.target),
            sample.data.sample_weight if sample.sample_weight is not None else None,
            random_state,
        )
    return rows, judge_on(problem, sample if own is None else own, held, network)


def judge_on(
    problem: Problem, sample: Sample, rows: np.ndarray | None, network: Network
) -> Holdout:
    """Return the `Holdout` of rows of a sample; None: of all."""
    score = None
    if problem.model.early_stopping:
        score = validation_score(problem, sample, rows, network)
    return Holdout(sample.data, rows, score)


def split_rows(
    n_rows: int,
    fraction: float,
    labels: np.ndarray | None,
    sample_weight: np.ndarray | None,
    random_state: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and those held out, as `train_test_split` draws them.

    Parameters
    ----------
    n_rows : int
    fraction : float
        Share of the rows to hold out.
    labels : (n_rows,) array or None
        Strata of the split; None: no strata.
    sample_weight : (n_rows,) array or None
    random_state : numpy.random.RandomState

    Raises
    ------
    ValueError
        If fewer than 2 rows are held out, or all weights of a part are zero.
    """
    train, held = train_test_split(
        np.arange(n_rows),
        random_state=random_state,
        test_size=fraction,
        stratify=labels,
    )
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    if sample_weight is not None and not (
        sample_weight[held].any() and sample_weight[train].any()
    ):
        raise ValueError(
            "All sample weights are zero in one of the two parts that early "
            "stopping splits the rows into: change 'validation_fraction' or "
            "'random_state', or leave out the rows of weight zero."
        )
    return train, held


def validation_score(
    problem: Problem, sample: Sample, rows: np.ndarray | None, network: Network
) -> Score:
    """Return the score that `scoring` names, on `rows` of a sample; None: on all.

    Raises
    ------
    ValueError
        If a named scorer would get several quantiles for each row.
    """
    goal = problem.goal
    scoring = goal.judged_by(problem.model.scoring)
    if scoring == "loss":
        return loss_as_score
    levels = goal.attributes.get("quantiles_", ())
    if len(levels) > 1 and isinstance(scoring, str):
        raise ValueError(
            f"scoring={scoring!r} compares y with one prediction for each row, and "
            f"loss={problem.model.loss!r} makes {len(levels)}: use scoring=None, "
            "the mean pinball loss, 'loss' or a function (estimator, X, y)."
        )
    X, y = sample.X, sample.y
    if scoring is None:
        values, weight = sample.values, sample.sample_weight
        if rows is not None:
            values, weight = values[rows], None if weight is None else weight[rows]
        return lambda engine, loss: goal.score(
            engine.predict(X, rows=rows), values, weight
        )
    current = network.empty_like()
    estimator = stand_in(problem.model)
    # The scorer predicts from arrays, which have no names of columns, and quantiles may
    # be those of an earlier fit.
    for name in ("feature_names_in_", "quantiles_"):
        vars(estimator).pop(name, None)
    vars(estimator).update(network_attributes(current, goal))
    if rows is not None:
        X, y = X[rows], y[rows]
    return scorer_score(
        scoring, estimator, current.parameters, X, y, sample.scorer_weight
    )


def scorer_score(
    scoring: str | Callable,
    estimator: Any,
    parameters: np.ndarray,
    X: Any,
    y: Any,
    sample_weight: np.ndarray | None,
) -> Score:
    """Return a scorer as a score for `Holdout`.

    Parameters
    ----------
    scoring : str or callable
        A scorer's name or ``scoring(estimator, X, y)``.
    estimator : estimator
        It predicts with `parameters`.
    parameters : (n_parameters,) array
        Overwritten with the engine's before each call.
    X, y, sample_weight : arrays
        The weights, None: all 1, are left out where the scorer takes none.
    """
    scorer = check_scoring(estimator, scoring)
    # The signature of a scikit-learn scorer does not say whether its metric takes
    # weights.
    metric = getattr(scorer, "_score_func", scorer)
    options = {}
    if sample_weight is not None and "sample_weight" in _parameters(metric):
        options["sample_weight"] = sample_weight

    def score(engine, loss):
        engine.store(parameters)
        try:
            value = scorer(estimator, X, y, **options)
        except Exception as error:
            error.add_note(f"It is an error of scoring={scoring!r}.")
            raise
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"scoring={scoring!r} must return a number, it returned {value!r}."
            ) from None

    return score


def _parameters(function):
    """Return the names of a function's parameters; none if it has no signature."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}


def name_of_scoring(scoring: Scoring) -> str:
    """Return a name that tells one `scoring` from another, also in a pickle.

    Functions of the same name, for example two lambdas, and callable objects of the
    same class count as the same.
    """
    name = getattr(scoring, "__qualname__", None) or str(scoring)
    # The address of an object is another one in each process.
    return re.sub(r" at 0x[0-9a-fA-F]+", "", name)
