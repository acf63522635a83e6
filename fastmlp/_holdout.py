"""Rows that a network is judged by after each epoch: split off, or the user's own."""

import inspect
import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from fastmlp._validation import as_held, check_range, combined_weights, errors_name
from fastmlp.kernels import Data


class Sample(NamedTuple):
    """Rows with their targets.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    y : array
        The targets as the user gave them, validated.
    values : (n, k) array
        Those of a `Target`.
    sample_weight : (n,) float array or None
    data : Data
        The same for the kernels.
    scorer_weight : (n,) float array or None, default=None
        The weights that a scorer is given: those that the user gave of rows to validate
        on.
    """

    X: np.ndarray
    y: np.ndarray
    values: np.ndarray
    sample_weight: np.ndarray | None
    data: Data
    scorer_weight: np.ndarray | None = None


class Holdout:
    """Rows held out of training.

    Parameters
    ----------
    sample : Sample
    rows : (n,) int64 array or None
        The rows of `sample`; None: all.
    score : callable or None
        ``score(engine, loss)`` of the network in the engine, given its loss on these
        rows. None: the loss is only recorded.

    Attributes
    ----------
    decides : bool
        Whether there is a score, which then decides when to stop and what to keep.
    """

    def __init__(self, sample, rows, score):
        self._data, self._rows, self._score = sample.data, rows, score
        self.decides = score is not None

    def evaluate(self, engine):
        """Return the loss without penalty, and the score or None."""
        loss = engine.loss(self._data, self._rows)
        return loss, self._score(engine, loss) if self.decides else None


def split_rows(n_rows, fraction, labels, sample_weight, random_state):
    """Return the rows to train on and those held out: scikit-learn's, as indices.

    Parameters
    ----------
    n_rows : int
    fraction : float
        Share of the rows to hold out.
    labels : (n_rows,) array or None
        By which the split is stratified.
    sample_weight : (n_rows,) array or None
    random_state : numpy.random.RandomState

    Raises
    ------
    ValueError
        If less than 2 rows are held out, or all weights of a part are zero.
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


def loss_score(engine, loss):
    """Return minus the loss: the score for ``scoring='loss'``."""
    return -loss


def name_of_scoring(scoring):
    """Return a name by which one `scoring` is told from another, also in a pickle.

    Functions of one name, as lambdas are, are taken for the same.
    """
    return getattr(scoring, "__qualname__", None) or str(scoring)


def scorer_score(scoring, estimator, network, X, y, sample_weight):
    """Return the score of a scorer as `Holdout` takes it.

    Parameters
    ----------
    scoring : str or callable
        A scorer's name or ``scoring(estimator, X, y)``.
    estimator : estimator
        It predicts with the weights of `network`.
    network : Network
        Overwritten with the engine's weights before each call.
    X, y, sample_weight : arrays
        The weights, None: all 1, are left out where the scorer takes none.
    """
    scorer = check_scoring(estimator, scoring)
    # That of a scikit-learn scorer says nothing: its metric decides.
    metric = getattr(scorer, "_score_func", scorer)
    options = {}
    if sample_weight is not None and "sample_weight" in _parameters(metric):
        options["sample_weight"] = sample_weight

    def score(engine, loss):
        engine.store(network.parameters)
        value = scorer(estimator, X, y, **options)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"scoring={scoring!r} must return a number, it returned {value!r}."
            ) from None

    return score


def _parameters(function):
    """Return the names of a function's parameters; none for what has no signature."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}


def _columns(y):
    return 1 if y.ndim == 1 else y.shape[1]


def make_sample(X, y, target, sample_weight, dtype, copied=False):
    """Return the `Sample` of validated rows for a network of the dtype.

    `target` is the `Target` of y; `copied`: see `Data`.

    Raises
    ------
    ValueError
        If the dtype cannot hold the targets or the weights.
    """
    values = target.learned_in(dtype)
    if sample_weight is not None:
        # Data divides by their sum before they are rounded.
        as_held("sample_weight", sample_weight, dtype, may_vanish=False)
    data = Data(X, values, sample_weight, copied=copied)
    return Sample(X, y, target.values, sample_weight, data)


class ValidationMixin:
    """What `BaseMLP` does with rows to validate on."""

    scoring: str | Callable | None

    def _class_weights(self, y, incremental):
        """Return the weight of each class as an array, None if all are 1."""
        return None

    def _validation_sample(
        self, X_val, y_val, sample_weight_val, y, class_weights, dtype
    ):
        """Return the user's validation set as a `Sample`, None if there is none.

        `y` is the validated one to train on.
        """
        if X_val is None or y_val is None:
            given = {"X_val": X_val, "y_val": y_val}
            given["sample_weight_val"] = sample_weight_val
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"{name} was given: X_val and y_val go together.")
            return None
        if self.solver == "lbfgs":
            raise ValueError(
                "X_val has no use with solver='lbfgs', which knows no epochs: leave it "
                "out, or use another solver."
            )
        with (
            errors_name("X_val, y_val"),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            X_val, y_val = self._validate_input(X_val, y_val, reset=False)
        for warning in warned:
            message = re.sub(r"\b[Xy]\b", r"\g<0>_val", str(warning.message))
            warnings.warn(message, warning.category, stacklevel=2)
        check_range(X_val, dtype, "X_val")
        if _columns(y_val) != _columns(y):
            raise ValueError(
                f"y_val has {_columns(y_val)} column(s), but y has {_columns(y)}: they "
                "must be the same."
            )
        with errors_name("y_val"):
            target = self._check_validation_target(y_val)
        with errors_name("sample_weight_val"):
            own = combined_weights(sample_weight_val, None, X_val, target.values)
            weight = combined_weights(own, class_weights, X_val, target.values)
        with errors_name("y_val"):
            sample = make_sample(X_val, y_val, target, weight, dtype)
        return sample._replace(scorer_weight=own)

    def _check_validation_target(self, y):
        """Return the validated y_val as a `Target`."""
        return self._paired_target(y, self._own_pairing())

    def _hold_out(self, sample, validation, network, target, random_state):
        """Return the rows to train on, and the `Holdout` or None."""
        n_rows, held = sample.X.shape[0], None
        if validation is None:
            if not self.early_stopping:
                return np.arange(n_rows), None
            validation = sample
            train, held = split_rows(
                n_rows,
                self.validation_fraction,
                self._stratify(target),
                sample.data.sample_weight if sample.sample_weight is not None else None,
                random_state,
            )
        else:
            train = np.arange(n_rows)
        score = None
        if self.early_stopping:
            score = self._validation_score(validation, held, network, target)
        return train, Holdout(validation, held, score)

    def _chosen_scoring(self) -> str | Callable | None:
        """Return the `scoring` that early stopping judges by; None: by `score`."""
        return self.scoring

    def _validation_score(self, sample, rows, network, target):
        """Return the score that `scoring` means, as `Holdout` takes it."""
        scoring = self._chosen_scoring()
        if scoring == "loss":
            return loss_score
        X = sample.X
        if scoring is None:
            y, weight = sample.values, sample.sample_weight
            if rows is not None:
                y, weight = y[rows], None if weight is None else weight[rows]
            return lambda engine, loss: self._score_outputs(
                engine.predict(X, rows=rows), y, weight
            )
        current = network.empty_like()
        estimator = self._stand_in()
        # The scorer is given arrays.
        vars(estimator).pop("feature_names_in_", None)
        estimator._set_fitted(current, target)
        y = sample.y
        if rows is not None:
            X, y = X[rows], y[rows]
        return scorer_score(scoring, estimator, current, X, y, sample.scorer_weight)
