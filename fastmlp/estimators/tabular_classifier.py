"""Classification of tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin

from fastmlp.estimators._calibration import mean_probabilities
from fastmlp.estimators._pairings import pair_classification
from fastmlp.estimators._parameters import (
    OF_TABLE_CLASSIFIERS,
    TABULAR_HINTS,
    constraints_of,
    hints,
)
from fastmlp.estimators._tabular import BaseTabular
from fastmlp.estimators._targets import Labels, labels_of

# With the accuracy as score: that of RealMLP.
LABEL_SMOOTHING = 0.1


class TabularClassifier(ClassifierMixin, BaseTabular):
    """Classification of a table of numbers and categories, without preparation.

    A few networks, each trained on other rows, whose probabilities are averaged. How
    columns are coded, how the networks look and how they are trained follows RealMLP
    [1]_ and suits most tables: no parameter has to be set.

    Parameters
    ----------
    n_networks : int, default=8
        Networks. The rows are divided into as many parts, and each network is trained
        on all but one, which chooses its best epoch. 5 take two thirds of the time
        and have errors 1 % larger. 1: a fifth of the rows is held out.
    hidden_layer_sizes : array-like of int, default=None
        Units of each hidden layer. None: two layers of 128; larger ones gain little on
        tables.
    max_epochs : int, default=None
        Most passes over the rows. None: 45; networks that train on fewer than 3,500
        rows take more, 160,000 divided by the rows and at most 400. Training ends 20
        epochs after the best one, and one more for each epoch up to that. Of more than
        384 columns the 45, the 160,000 and the 20 are multiplied by 384 / columns, but
        not by less than 1 / 3.
    learning_rate : float, default=None
        The learning rate of the first step; it falls along half a cosine to 0. None:
        0.06.
    batch_size : int, default=None
        Rows of a step. None: 64, and 128 for networks that train on 3,500 rows or more.
    scoring : str, callable or None, default=None
        The score by which each network's best epoch is chosen. None: the log-loss.
        Otherwise the name of a scorer of scikit-learn or ``scoring(estimator, X, y)``,
        which returns a number, the larger the better. With 'accuracy' labels are
        smoothed by 0.1, which gains accuracy but makes probabilities timid.
    class_weight : dict, 'balanced' or None, default=None
        Weight of each class, by label, multiplied into `sample_weight`. 'balanced':
        inversely proportional to its rows.
    categorical_features : 'from_dtype', array-like or None, default='from_dtype'
        The columns that are categories: a boolean mask, indices or names. 'from_dtype'
        takes those of strings, booleans and the tables' own categories, None no others
        than strings.
    random_state : int, RandomState instance or None, default=None
        Draws folds, initial weights, order of the rows and dropout.
    n_threads : int or None, default=None
        Threads in all; -1: all cores. None: all cores, fewer for little work. The
        results do not depend on it.
    verbose : bool, default=False
        Print some epochs of each network.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    columns_ : tuple
        How each column is coded: `Number` or `Category`, named tuples. Left
        out are columns that are constant, those of more than 32 categories of which
        each occurs once, such as names, and those that no network reads, see Notes.
        Numbers that act like categories, such as amounts of which most are 0 and others
        recur, or whole numbers that are codes, have a `Frequent` beside their `Number`.
    temperature_ : float
        By which each network's scores are divided before probabilities are averaged.
        Fitted on rows held out, of which it takes 150; otherwise 1. It is above 1,
        which makes probabilities softer, for one network or with `X_val` only: several
        on folds are softer by being averaged.
    loss_curve_ : list of list of float
        The loss of each epoch, for each network.
    validation_scores_ : list of list of float
        The score of each epoch on the rows held out, for each network: see `scoring`.
        None stands for minus the log-loss.
    best_epochs_ : list of int
        After how many epochs each network is taken.
    oof_predictions_ : ndarray of shape (n_samples, n_classes) or None
        Probabilities of each row by the network that was not trained on it, NaN if all
        were. None with `X_val`. This is the only attribute that grows with the rows.
    oof_score_ : float or None
        The accuracy of them: an estimate of that on new rows, slightly low, since a
        single network predicts each row.
    feature_importances_ : ndarray of shape (n_features,)
        How much the log-loss of networks rises where the values of a column are
        exchanged among rows that they were not trained on: of at most 2,000 rows, and
        fewer of many columns, with `X_val` of these. About 0 for a column that does not
        help, 0 for one that no network reads; low for one whose content others repeat.
        Not divided by the sum.
    feature_importances_std_ : ndarray of shape (n_features,)
        Their standard deviation over the networks, each of which tries other rows; NaN
        for one network. That of the mean is smaller by the root of `n_networks`.
    n_outputs_ : int
        Outputs of each network: 1 for two classes.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns; only if X had names that are all strings.

    See Also
    --------
    TabularRegressor : The same for regression.
    MLPClassifier : One network in scikit-learn's form, for prepared numbers.

    Notes
    -----
    Of more than 40 columns a network may read a part: a third, a ninth, ... of all, at
    least 10, whose codes and their squares, or categories, explain most of the variance
    of y in the rows that it trains on. How many is tried by networks that train for a
    quarter of the usual epochs. Each network reads all if that is no more than a tenth
    worse, and, without trial, if more than three quarters of the columns explain more
    than chance would.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: Strong
       pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024,
       arXiv:2407.04491.

    Examples
    --------
    >>> from fastmlp import TabularClassifier
    >>> X = [[i / 30, ["red", "blue", None][i % 3]] for i in range(300)]
    >>> y = ["yes" if color == "red" or number < 2 else "no" for number, color in X]
    >>> clf = TabularClassifier(n_networks=2, max_epochs=30, random_state=0).fit(X, y)
    >>> clf.predict([[9.0, "red"], [9.0, "blue"]])
    array(['yes', 'no'], dtype='<U3')
    >>> clf.oof_score_ > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict] = constraints_of(OF_TABLE_CLASSIFIERS)

    @hints(**TABULAR_HINTS)
    def __init__(
        self,
        *,
        n_networks=8,
        hidden_layer_sizes=None,
        max_epochs=None,
        learning_rate=None,
        batch_size=None,
        scoring=None,
        class_weight=None,
        categorical_features="from_dtype",
        random_state=None,
        n_threads=None,
        verbose=False,
    ):
        self._set_parameters(locals())

    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            With the columns of that in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The most probable class.
        """
        p = self.predict_proba(X)
        return self.classes_[p.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            With the columns of that in `fit`.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`: the mean of the networks' probabilities.
        """
        return self._predicted(X)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            With the columns of that in `fit`.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``.
        """
        return np.log(self.predict_proba(X))

    def _goal(self, y: Any) -> Labels:
        if y.ndim > 1:
            raise ValueError(
                f"y must be one column of labels, got shape {y.shape}: fit one "
                "TabularClassifier for each column, as "
                "sklearn.multioutput.MultiOutputClassifier does."
            )
        if y.dtype.kind == "f" and (y % 1 != 0).any():
            raise ValueError(
                "Unknown label type: continuous. For amounts take TabularRegressor; "
                "classes are whole numbers or strings."
            )
        classes, kind, _ = labels_of(y)
        smoothing = LABEL_SMOOTHING if self.scoring == "accuracy" else 0.0
        pairing = pair_classification("log_loss", None, smoothing, kind)
        return Labels(pairing, classes, kind, False, self.class_weight)

    def _predictions(self, outputs: Iterable[np.ndarray]) -> np.ndarray:
        return mean_probabilities(outputs, self.temperature_)

    def _score_of(
        self, predictions: np.ndarray, values: np.ndarray, weight: np.ndarray | None
    ) -> float:
        correct = predictions.argmax(axis=1) == values[:, 0]
        return float(np.average(correct, weights=weight))
