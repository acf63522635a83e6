"""Regression on tables."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, validate_params

from fastmlp.estimators._intervals import RANGES, half_widths
from fastmlp.estimators._pairings import pair_regression
from fastmlp.estimators._parameters import (
    OF_TABLE_REGRESSORS,
    TABULAR_HINTS,
    constraints_of,
    hints,
)
from fastmlp.estimators._scaling import Scaling
from fastmlp.estimators._tabular import BaseTabular
from fastmlp.estimators._targets import (
    Numbers,
    RegressorScore,
    has_several_quantiles,
)


class TabularRegressor(RegressorScore, BaseTabular):
    """Regression on a table of numbers and categories, without preparation.

    A few networks, each trained on other rows, whose predictions are averaged. How
    columns are coded, how the networks look and how they are trained follows RealMLP
    [1]_ and suits most tables: no parameter has to be set.

    Parameters
    ----------
    loss : str or (str, parameter) tuple, default='squared_error'
        Loss that is minimised.

        - 'squared_error': predictions of the mean;
        - 'absolute_error': of the median;
        - 'huber' or ``('huber', delta)``: quadratic for errors of up to delta standard
          deviations of y, 1.0, and linear beyond;
        - ``('quantile', level)`` or ``('quantile', [level, ...])``: of quantiles;
          several have a column each, and y then has one column;
        - 'poisson': of the mean of counts or rates, y >= 0;
        - 'gamma': of the mean of y > 0 whose spread is proportional to it;
        - 'log_loss': of the mean of shares, y from 0 to 1.
    n_networks : int, default=8
        Networks. The rows are divided into as many parts, and each network is trained
        on all but one, which chooses its best epoch. 5 take two thirds of the time
        and have errors 1 % larger. 1: a fifth of the rows is held out.
    hidden_layer_sizes : array-like of int, default=None
        Units of each hidden layer. None: two layers of 128; larger ones gain little on
        tables. Of more than 768 columns the first has fewer, 98,304 divided by the
        columns and at least 32.
    max_epochs : int, default=None
        Most passes over the rows. None: 45; networks that train on fewer than 3,500
        rows take more, 160,000 divided by the rows and at most 400. Training ends 20
        epochs after the best one, and one more for each epoch up to that. Of more than
        256 columns the 45, the 160,000 and the 20 are multiplied by 256 / columns, but
        not by less than 1 / 3.
    learning_rate : float, default=None
        The learning rate of the first step; it falls along half a cosine to 0. None:
        0.15, and 0.06 with 'poisson', 'gamma' and 'log_loss', whose outputs are
        exponentials.
    batch_size : int, default=None
        Rows of a step. None: 64, and 128 for networks that train on 3,500 rows or more;
        half as many for more than 256 columns.
    scoring : str, callable or None, default=None
        The score by which each network's best epoch is chosen. None: the loss.
        Otherwise the name of a scorer of scikit-learn or ``scoring(estimator, X, y)``,
        which returns a number, the larger the better.
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
    columns_ : tuple
        How each column is coded: `Number` or `Category`, named tuples. Left
        out are columns that are constant, those of more than 32 categories of which
        each occurs once, such as names, and those that no network reads, see Notes.
        Numbers that act like categories, such as amounts of which most are 0 and others
        recur, or whole numbers that are codes, have a `Frequent` beside their `Number`.
    loss_curve_ : list of list of float
        The loss of each epoch, for each network. It is that of y divided by its
        standard deviation, with 'poisson' and 'gamma' by its mean.
    validation_scores_ : list of list of float
        The score of each epoch on the rows held out, for each network: see `scoring`.
        None stands for minus the loss, as in `loss_curve_`.
    best_epochs_ : list of int
        After how many epochs each network is taken.
    oof_predictions_ : ndarray of shape (n_samples,) or (n_samples, n_outputs) or None
        Predictions of each row by the network that was not trained on it, NaN if all
        were. None with `X_val`. This is the only attribute that grows with the rows.
    oof_score_ : float or None
        Their `score`: an estimate of that on new rows, slightly low, since a single
        network predicts each row.
    feature_importances_ : ndarray of shape (n_features,)
        How much the loss of networks rises where the values of a column are
        exchanged among rows that they were not trained on: of at most 2,000 rows, and
        fewer of many columns, with `X_val` of these. About 0 for a column that does not
        help, 0 for one that no network reads; low for one whose content others repeat.
        Not divided by the sum.
    feature_importances_std_ : ndarray of shape (n_features,)
        Their standard deviation over the networks, each of which tries other rows; NaN
        for one network. That of the mean is smaller by the root of `n_networks`.
    quantiles_ : ndarray of shape (n_levels,)
        The levels of `loss` 'quantile'; only this loss sets them.
    n_outputs_ : int
        Outputs of each network.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns; only if X had names that are all strings.

    See Also
    --------
    TabularClassifier : The same for classification.
    MLPRegressor : One network in scikit-learn's form, for prepared numbers.

    Notes
    -----
    The networks learn y with mean 0 and standard deviation 1, with 'poisson' and
    'gamma' with mean 1. Of 'poisson', 'gamma' and 'log_loss' the defaults are those of
    `TabularClassifier`. No prediction is outside the range of y in `fit`: a network may
    be far off where rows are unlike all of these.

    Of more than 40 columns a network may read a part: a third, a ninth, ... of all, at
    least 10, whose codes and their squares, or categories, explain most of the variance
    of y's ranks in the rows that it trains on. How many is tried by networks that train
    for a quarter of the usual epochs. Each network reads all if that is no more than a
    tenth worse, and, without trial, if more than three quarters of the columns explain
    more than chance would.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: Strong
       pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024,
       arXiv:2407.04491.

    Examples
    --------
    >>> from fastmlp import TabularRegressor
    >>> X = [[i / 30, "ab"[i % 2]] for i in range(300)]
    >>> y = [number + 3 * (letter == "b") for number, letter in X]
    >>> regr = TabularRegressor(n_networks=2, max_epochs=30, random_state=0).fit(X, y)
    >>> regr.predict([[3.0, "a"], [3.0, "b"]]).round()
    array([3., 6.])
    >>> regr.oof_score_ > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict] = constraints_of(OF_TABLE_REGRESSORS)

    @hints(**TABULAR_HINTS)
    def __init__(
        self,
        loss="squared_error",
        *,
        n_networks=8,
        hidden_layer_sizes=None,
        max_epochs=None,
        learning_rate=None,
        batch_size=None,
        scoring=None,
        categorical_features="from_dtype",
        random_state=None,
        n_threads=None,
        verbose=False,
    ):
        self._set_parameters(locals())

    def predict(self, X: Any) -> np.ndarray:
        """Predict the targets.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            With the columns of that in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The mean of the networks' predictions, within the range of y in `fit`. With
            several quantiles (n_samples, n_levels), none below the one before it.
        """
        return self._predicted(X)

    @hints(alpha="coverage=, which is 1 - alpha")
    @validate_params(
        {"coverage": [Interval(Real, 0, 1, closed="neither")]},
        prefer_skip_nested_validation=True,
    )
    def predict_interval(self, X: Any, coverage: float = 0.9) -> np.ndarray:
        """Predict an interval for the target of each row: `predict` plus and minus.

        Half its width is a quantile of the networks' errors on the rows that they were
        not trained on: of at most 10,000 rows, which are drawn in `fit`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            With the columns of that in `fit`.
        coverage : float, default=0.9
            The share of rows whose target is to be in the interval, between 0 and 1.

        Returns
        -------
        intervals : ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
            Lower and upper ends; of each target by itself, if there are several. They
            are infinite if the errors of fewer than ``coverage / (1 - coverage)`` rows
            are known, 9 by default, apart from the bounds that `loss` gives: 0 for
            'poisson' and 'gamma', 0 and 1 for 'log_loss'.

        Raises
        ------
        ValueError
            If `fit` got `X_val`, or `loss` has several quantiles.

        Notes
        -----
        The coverage is that over many rows, drawn as those in `fit` were. Of similar
        rows it may be lower or higher, since all intervals have the same width. Rows
        count the same whatever their weights, unless these are 0.

        This is the jackknife of [1]_ with folds, around the mean of the networks. That
        is closer than the single networks that the errors are of, and they are closer
        to the rows that chose their epochs than to others: on 10 tables the two nearly
        cancel, and 90 to 96 % of the rows were in intervals of 90 %. CV+ [1]_, whose
        coverage has a lower bound in theory, has wider intervals.

        References
        ----------
        .. [1] R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Predictive
           inference with the jackknife+", Annals of Statistics 49, 2021.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp import TabularRegressor
        >>> rng = np.random.default_rng(0)
        >>> X = rng.uniform(0, 9, (400, 1))
        >>> y = 10 * X[:, 0] + rng.uniform(-10, 10, 400)
        >>> regr = TabularRegressor(n_networks=2, max_epochs=30, random_state=0)
        >>> regr.fit(X, y).predict_interval([[2.0], [6.0]]).round(-1)
        array([[10., 30.],
               [50., 70.]])
        """
        codes = self._codes(X)
        if has_several_quantiles(self):
            raise ValueError(
                f"predict_interval needs one prediction for each target, but loss has "
                f"the quantiles {self.quantiles_.tolist()}: take the first and the "
                "last column of predict as an interval, or fit with another loss."
            )
        if not hasattr(self, "_residuals"):
            raise ValueError(
                "predict_interval needs rows that some networks were not trained on, "
                "but with X_val all were trained on all rows: fit without X_val."
            )
        predictions = self._predictions(self._outputs(codes))
        center = predictions.reshape(len(codes), -1)[:, :, np.newaxis]
        half = half_widths(self._residuals, coverage)[:, np.newaxis]
        low, high = RANGES.get(self._ensemble.out_activation, (-np.inf, np.inf))
        intervals = (center + half * [-1.0, 1.0]).clip(low, high)
        return intervals[:, 0] if intervals.shape[1] == 1 else intervals

    def _goal(self, y: Any) -> Numbers:
        return Numbers(pair_regression(self.loss, None))

    def _predictions(self, outputs: Iterable[np.ndarray]) -> np.ndarray:
        scaling = Scaling(*self._scaling)
        mean = np.stack(list(outputs)).mean(axis=0, dtype=np.float64)
        y = scaling.clipped(scaling.restored(mean))
        if has_several_quantiles(self):
            y.sort(axis=1)
        return y[:, 0] if y.shape[1] == 1 else y

    def _score_of(
        self, predictions: np.ndarray, values: np.ndarray, weight: np.ndarray | None
    ) -> float:
        if len(values) < 2:
            return float("nan")  # as R² of one row
        predictions = predictions.reshape(values.shape)
        if not has_several_quantiles(self):
            # R² is the same; squares of y might overflow or underflow.
            scaling = Scaling(*self._scaling)
            predictions, values = scaling.scaled(predictions), scaling.scaled(values)
        return self._goal(None).score(predictions, values, weight)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: y may have several columns."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
