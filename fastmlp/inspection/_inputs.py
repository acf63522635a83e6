"""Gradients of predictions in the columns of a table."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from fastmlp.estimators._base import BaseMLP
from fastmlp.estimators._tabular import BaseTabular
from fastmlp.tables.columns import Category, Number

# Distance on either side, in codes. The error of the difference, some 1e-4, is then as
# much that of the step as that of outputs in float32.
STEP = 1e-2


def input_gradients(model: Any, X: Any) -> np.ndarray:
    """Return the gradient of each row's prediction in the columns of a table.

    The derivative in a column of numbers is that in its code, the distance from the
    median in interquartile ranges, which bends towards ±3 far from it (see
    `fastmlp.tables.columns.Number`): columns of any unit compare. It is the central
    difference ``(f(c + 0.01) - f(c - 0.01)) / 0.02``, f being the prediction of the
    whole ensemble, which is the mean over the networks.

    Parameters
    ----------
    model : fitted TabularClassifier or TabularRegressor
    X : table of shape (n_samples, n_features)
        With the columns of that in `fit`. Each column of numbers takes two predictions
        of all rows.

    Returns
    -------
    gradients : ndarray of shape (n_samples, n_features) or \
(n_samples, n_features, n_outputs)
        Of `predict`, with several targets or quantiles of each; of a classifier those
        of `predict_proba`, for each class. NaN for categories and where a number is
        missing; 0 for columns that were constant in `fit` or that no network reads, and
        where a prediction is at the end of the range of y.

    Raises
    ------
    TypeError
        If `model` is not such an estimator, or X is not a table for it.
    ValueError
        If X does not have the columns of that in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp import TabularRegressor
    >>> from fastmlp.inspection import input_gradients
    >>> X = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    >>> regr = TabularRegressor(n_networks=2, max_epochs=30, random_state=0)
    >>> regr = regr.fit(X, X[:, 0] ** 2)
    >>> gradients = input_gradients(regr, [[-0.5, 0.0], [0.5, 0.0]])
    >>> np.sign(gradients[:, 0])
    array([-1.,  1.])
    """
    if isinstance(model, BaseMLP):
        raise TypeError(
            f"{type(model).__name__} has no table's columns: see "
            "inspection.sample_gradients(..., wrt='inputs') and "
            "inspection.integrated_gradients."
        )
    if not isinstance(model, BaseTabular):
        raise TypeError(
            "model must be a fitted TabularClassifier or TabularRegressor of fastmlp, "
            f"got {type(model).__name__}: of a Pipeline pass the last step, "
            "pipeline[-1], and pipeline[:-1].transform(X)."
        )
    check_is_fitted(model)
    codes = model._codes(X)

    def predictions_at(place: int, step: float) -> np.ndarray:
        moved = codes.copy()
        moved[:, place] += np.float32(step)
        predictions = model._predictions(model._outputs(moved))
        return predictions.reshape(len(codes), -1)

    n_outputs = len(model.classes_) if is_classifier(model) else model.n_outputs_
    gradients = np.zeros((len(codes), model.n_features_in_, n_outputs))
    for place, column in enumerate(model.columns_):
        if isinstance(column, Number):
            above, below = (predictions_at(place, step) for step in (STEP, -STEP))
            derivative = (above - below) / (2 * STEP)
            derivative[np.isnan(codes[:, place])] = np.nan
            gradients[:, column.column] = derivative
        elif isinstance(column, Category):
            gradients[:, column.column] = np.nan
    return gradients[:, :, 0] if n_outputs == 1 else gradients
