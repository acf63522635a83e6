"""Targets of a network, made from y: labels or numbers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, DTypeLike
from sklearn import config_context, get_config
from sklearn.base import RegressorMixin, is_classifier
from sklearn.metrics import accuracy_score, mean_pinball_loss, r2_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)

from fastmlp.estimators._checks import as_held
from fastmlp.estimators._pairings import Pairing, check_domain

Scoring = str | Callable | None


class Target(NamedTuple):
    """The targets of a network.

    Parameters
    ----------
    values : (n, k) array
        For losses of a label one column, the class index; otherwise one per output.
    n_outputs : int
    pairing : Pairing
        Output activation, loss and its settings.
    """

    values: np.ndarray
    n_outputs: int
    pairing: Pairing

    def learned_in(self, dtype: DTypeLike) -> np.ndarray:
        """Return the values in C order in a network's dtype.

        Raises
        ------
        ValueError
            If the dtype cannot hold one, or rounds it out of the loss's domain.
        """
        values = as_held("y", self.values, dtype)
        # Whole numbers stay in a domain.
        if values is not self.values and self.values.dtype.kind == "f":
            check_domain(values, self.pairing, self.values)
        return values


@dataclass(frozen=True)
class Goal(ABC):
    """How an estimator understands y: `Labels` or `Numbers`."""

    pairing: Pairing

    @property
    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """The fitted attributes that describe it."""

    @abstractmethod
    def encode(self, y: Any) -> Target:
        """Return validated y as a `Target`."""

    def encode_validation(self, y: Any) -> Target:
        """Return validated y of rows to validate on as a `Target`."""
        return self.encode(y)

    def class_weights(self, y: Any) -> np.ndarray | None:
        """Return the weight of each class, None if all are 1."""
        return None

    def strata(self, target: Target) -> np.ndarray | None:
        """Return the labels by which the validation rows are drawn, or None."""
        return None

    def judged_by(self, scoring: Scoring) -> Scoring:
        """Return the `scoring` of early stopping; None stands for `score`."""
        return scoring

    @abstractmethod
    def score(
        self, outputs: np.ndarray, values: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        """Return the estimator's `score` for these outputs and values of a `Target`."""


def _is_plain(y):
    """Return True if the classes of y are its different elements, whatever they are.

    scikit-learn, which takes 300 us to find the classes, decides about all others.
    """
    plain = type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "bi"
    # Of the other byte order scikit-learn's classes have the machine's.
    return plain and y.size > 0 and y.dtype.isnative


def labels_of(y: Any) -> tuple[np.ndarray, str, bool]:
    """Return classes, kind and `sparse` of `Labels` for y.

    Raises
    ------
    ValueError, TypeError
        If y holds no labels, or labels that cannot be sorted.
    """
    if _is_plain(y):
        classes = np.unique(y)
        return classes, "multiclass" if classes.size > 2 else "binary", False
    try:
        kind = type_of_target(y, input_name="y")
        if "multioutput" in kind:
            raise ValueError(
                "Multioutput target data is not supported with label binarization"
            )
        if kind.startswith("multilabel"):
            kind = "multilabel"
        return unique_labels(y), kind, sp.issparse(y)
    except (TypeError, ValueError) as error:
        # A note, since the message is scikit-learn's.
        error.add_note(
            "The y of a classifier holds labels, all strings or all integers and none "
            "missing. For amounts take the regressor."
        )
        raise


def first_labels(
    known: np.ndarray | None, y: Any, classes: Any
) -> tuple[np.ndarray, str, bool] | None:
    """Return classes, kind and `sparse` of `Labels` in the first call of `partial_fit`.

    Parameters
    ----------
    known : (n_classes,) array or None
        `classes_` of the earlier calls; None in the first call.
    y : as users give it
    classes : array-like or None

    Returns
    -------
    labels : tuple, or None in later calls

    Raises
    ------
    ValueError
        If `classes` is missing, or differs from the earlier calls.
    """
    # scikit-learn, which decides about all others, takes 100 us to see it.
    plain = isinstance(classes, list | np.ndarray)
    if known is not None and plain and np.array_equal(known, classes):
        return None
    holder = SimpleNamespace(classes_=known)
    if not _check_partial_fit_first_call(holder, classes):
        return None
    multilabel = type_of_target(y).startswith("multilabel")
    _, kind, sparse = labels_of(y if multilabel else classes)
    return holder.classes_, kind, sparse


def check_known(classes: np.ndarray, y: Any, warm_start: bool) -> None:
    """Refuse labels of y that are not those of the earlier calls."""
    plain = _is_plain(y)
    # Few labels are compared in less time than they are sorted.
    if plain and not warm_start and set(y.tolist()) <= set(classes.tolist()):
        return
    labels = np.unique(y) if plain else unique_labels(y)
    if warm_start:
        if set(labels) != set(classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same "
                "classes as in the previous call to fit. Previously "
                f"got {classes}, `y` has {labels}"
            )
    elif not set(labels.tolist()) <= set(classes.tolist()):
        raise ValueError(
            "`y` has classes not in `self.classes_`. "
            f"`self.classes_` has {classes}. 'y' has {labels}."
        )


@dataclass(frozen=True)
class Labels(Goal):
    """Class labels, one per row or, in a 0/1 matrix, several.

    Parameters
    ----------
    pairing : Pairing
    classes : (n_classes,) array
        Sorted.
    kind : {'binary', 'multiclass', 'multilabel'}
    sparse : bool
        True if y is a sparse 0/1 matrix.
    class_weight : dict, 'balanced' or None, default=None
    incremental : bool, default=False
        True in `partial_fit`, which gets the rows in parts.
    """

    classes: np.ndarray
    kind: str
    sparse: bool
    class_weight: dict | str | None = None
    incremental: bool = False

    @property
    def attributes(self) -> dict[str, Any]:
        """The fitted attributes that describe it."""
        return {"classes_": self.classes, "_labels": (self.kind, self.sparse)}

    def encode(self, y: Any) -> Target:
        """Return validated y as a `Target`.

        Class indices rather than one column per class: a tenth of the memory for ten
        classes.
        """
        classes, multilabel = self.classes, self.kind == "multilabel"
        if y.ndim == 2:
            if not multilabel:
                raise ValueError("The object was not fitted with multilabel input.")
            if y.shape[1] != len(classes):
                raise ValueError(
                    f"classes {classes} mismatch with the labels {unique_labels(y)} "
                    "found in the data"
                )
            y = y.toarray() if sp.issparse(y) else y
            return Target(y != 0, len(classes), self.pairing)
        if multilabel:
            on = y[:, np.newaxis] == classes
            return Target(on, len(classes), self.pairing)
        indices = np.asarray(classes).searchsorted(y)[:, np.newaxis]
        # Kernels read a score at each index; `classes_` that was set may not be sorted.
        if indices.max(initial=0) >= len(classes):
            raise ValueError(f"classes_ must be sorted, got {classes}.")
        n_outputs = len(classes) if self.kind == "multiclass" else 1
        return Target(indices, n_outputs, self.pairing)

    def encode_validation(self, y: Any) -> Target:
        """Return validated y of rows to validate on as a `Target`."""
        if y.ndim == 1:
            known = set(self.classes.tolist())
            unseen: dict[Any, int] = {}
            for row, label in enumerate(y.tolist()):
                if label not in known:
                    unseen.setdefault(label, row)
            if unseen:
                rows, classes = list(unseen.values()), self.classes
                raise ValueError(
                    f"labels {y[rows]} ({y.dtype.type.__name__}) are not in y, which "
                    f"has {classes} ({classes.dtype.type.__name__}); the first is in "
                    f"row {rows[0]}."
                )
        return self.encode(y)

    def class_weights(self, y: Any) -> np.ndarray | None:
        """Return the weight of each class, None if all are 1."""
        if self.class_weight is None:
            return None
        if self.kind == "multilabel":
            raise ValueError(
                "class_weight is for one label per row; for multilabel y weigh the "
                "rows by sample_weight."
            )
        if self.incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which sees "
                "only a part of the rows: pass the dict of compute_class_weight("
                "'balanced', classes=classes, y=y) on all of them."
            )
        weights = compute_class_weight(self.class_weight, classes=self.classes, y=y)
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(
                "class_weight must hold finite numbers that are at least 0, got "
                f"{self.class_weight}."
            )
        return weights

    def strata(self, target: Target) -> np.ndarray | None:
        """Return the labels of two classes, to stratify the validation split by."""
        if target.n_outputs > 1:
            return None
        labels = target.values[:, 0] != 0
        if np.bincount(labels, minlength=2).min() == 1:
            # scikit-learn refuses these, in a message that shows labels as strings.
            return labels.astype(str)
        return labels

    def score(
        self, outputs: np.ndarray, values: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        """Return the accuracy."""
        threshold = threshold_of(self.pairing.out_activation)
        chosen = choose(outputs, len(self.classes), self.kind, threshold)
        if chosen.ndim == 1:
            correct = chosen == values[:, 0]
        else:
            correct = (chosen == values).all(axis=1)
        return float(np.average(correct, weights=sample_weight))


def threshold_of(out_activation: str) -> float:
    """Return the output above which a label is on, or the second class chosen."""
    return 0.0 if out_activation == "identity" else 0.5


def choose(
    outputs: np.ndarray, n_classes: int, kind: str, threshold: float
) -> np.ndarray:
    """Return the class index per row; for multilabel y a bool per label."""
    if outputs.shape[1] > 1:
        return outputs.argmax(axis=1) if kind == "multiclass" else outputs > threshold
    if n_classes == 1:
        return np.zeros(len(outputs), dtype=int)
    return (outputs[:, 0] > threshold).astype(int)


def decode(
    outputs: np.ndarray, classes: np.ndarray, kind: str, sparse: bool, threshold: float
) -> Any:
    """Return the labels for some outputs, in the form of y; see `Labels`."""
    if kind != "multilabel":
        return classes[choose(outputs, len(classes), kind, threshold)]
    if outputs.shape[1] != len(classes):
        raise ValueError(
            "The number of class is not equal to the number of dimension of y."
        )
    on = (outputs > threshold).astype(int)
    if not sparse:
        return on
    # The option came with scikit-learn 1.9.
    arrays = get_config().get("sparse_interface") == "sparray"
    return sp.csr_array(on) if arrays else sp.csr_matrix(on)


class Numbers(Goal):
    """Real numbers, one or several per row."""

    @property
    def levels(self) -> np.ndarray:
        """The levels of a quantile loss; empty for other losses."""
        if self.pairing.loss != "quantile":
            return np.empty(0)
        return np.atleast_1d(self.pairing.settings["parameter"])

    @property
    def attributes(self) -> dict[str, Any]:
        """The fitted attributes that describe it."""
        return {"quantiles_": self.levels} if self.pairing.loss == "quantile" else {}

    def encode(self, y: Any) -> Target:
        """Return validated y as a `Target`."""
        if sp.issparse(y):
            raise TypeError("Sparse y is not supported: pass y.toarray().")
        if y.dtype.kind not in "fiub":
            raise TypeError(
                f"y must hold real numbers, got dtype {y.dtype}: convert it, for "
                "instance with astype(float)."
            )
        values = y[:, np.newaxis] if y.ndim == 1 else y
        check_domain(values, self.pairing)
        levels = self.levels
        if len(levels) > 1:
            if values.shape[1] > 1:
                raise ValueError(
                    f"loss=('quantile', {levels.tolist()}) learns several levels of a "
                    f"y of one column, got {values.shape[1]} columns: fit one "
                    "estimator for each, or one level."
                )
            values = np.repeat(values, len(levels), axis=1)
        return Target(values, values.shape[1], self.pairing)

    def judged_by(self, scoring: Scoring) -> Scoring:
        """Return the `scoring` of early stopping; None stands for `score`."""
        if scoring is not None or len(self.levels) > 1:
            return scoring
        return None if self.pairing.judged_by_r2 else "loss"

    def score(
        self, outputs: np.ndarray, values: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        """Return R², or minus the pinball loss of several quantiles."""
        if not np.isfinite(outputs).all():
            return float("nan")
        # The rest was checked before training.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            if len(self.levels) > 1:
                y, quantiles = values[:, 0], np.sort(outputs, axis=1)
                return -mean_pinball(y, quantiles, self.levels, sample_weight)
            return r2_score(values, outputs, sample_weight=sample_weight)


def mean_pinball(
    y: ArrayLike,
    quantiles: np.ndarray,
    levels: np.ndarray,
    sample_weight: ArrayLike | None,
) -> float:
    """Return the pinball loss averaged over rows and levels, a column each."""
    losses = [
        mean_pinball_loss(y, column, sample_weight=sample_weight, alpha=level)
        for column, level in zip(quantiles.T, levels, strict=True)
    ]
    return float(np.mean(losses))


def has_several_quantiles(estimator: Any) -> bool:
    """Return whether a fitted estimator predicts several quantiles."""
    return len(getattr(estimator, "quantiles_", ())) > 1


def score_of(
    estimator: Any, predictions: Any, y: Any, sample_weight: ArrayLike | None
) -> float:
    """Return the `score` of a fitted estimator that makes these predictions."""
    if is_classifier(estimator):
        return accuracy_score(y, predictions, sample_weight=sample_weight)
    if has_several_quantiles(estimator):
        return -mean_pinball(y, predictions, estimator.quantiles_, sample_weight)
    return r2_score(y, predictions, sample_weight=sample_weight)


class RegressorScore(RegressorMixin):
    """scikit-learn's mixin of regressors, whose `score` suits quantiles too."""

    predict: Callable

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return R² of the predictions, or minus the pinball loss of several quantiles.

        Parameters
        ----------
        X : as in `predict`, of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The true targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. None: all 1.

        Returns
        -------
        score : float
            `sklearn.metrics.r2_score`; for several quantiles, of which none is a
            prediction of the mean, ``-mean_pinball_loss`` averaged over the levels.
            Higher is better in both cases.
        """
        return score_of(self, self.predict(X), y, sample_weight)
