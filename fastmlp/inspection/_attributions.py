"""How much each feature contributes to a prediction."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, check_scalar

from fastmlp.estimators._fitted import load_engine, prepare
from fastmlp.inspection._opened import check_model
from fastmlp.kernels import Data, Tracer
from fastmlp.network import Network

# Points of the paths that pass through the network at once.
POINTS = 1024


def integrated_gradients(
    model: Any, X: Any, baseline: Any = None, n_steps: int = 64
) -> np.ndarray:
    """Return the contribution of each feature to the outputs, from a baseline on.

    With the outputs f, rows x and the baseline b the attribution of feature j is

        (x_j - b_j) * (integral of df/dx_j at b + t (x - b), t from 0 to 1)

    The attributions of a row are complete: their sum is f(x) - f(b) [1]_. The integral
    is a Gauss-Legendre sum over `n_steps` points. For smooth activations the sums agree
    to rounding from some tens of points on; where the gradient jumps, as that of
    'relu', the error falls like ``1 / n_steps``.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    baseline : array-like of shape (n_features,) or (n_samples, n_features), \
default=None
        Where the paths start: a row that stands for the absence of a signal, the same
        for all rows or one for each. None: zeros, which are the mean of features that
        were standardised.
    n_steps : int, default=64
        Points of each path. Each takes the time of a prediction and, for each output,
        that of its gradient.

    Returns
    -------
    attributions : ndarray of shape (n_samples, n_features) or \
(n_samples, n_features, n_outputs)
        Of the network's outputs. They are those of `predict`, several quantiles before
        these are sorted; of a classifier those of `predict_proba`, for two classes the
        probability of ``classes_[1]``; with `loss` 'hinge' of `decision_function`.

    Raises
    ------
    TypeError
        If `model` is no such estimator: of a Pipeline pass the last step.
    ValueError
        If X, `baseline` or `n_steps` is not valid.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep
       networks", ICML 2017, https://arxiv.org/abs/1703.01365

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp import MLPRegressor
    >>> from fastmlp.inspection import integrated_gradients
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> X, y = (scale(part) for part in load_diabetes(return_X_y=True))
    >>> regr = MLPRegressor(activation="tanh", solver="lbfgs", alpha=10.0, max_iter=999)
    >>> regr = regr.fit(X, y)
    >>> attributions = integrated_gradients(regr, X)
    >>> difference = regr.predict(X) - regr.predict(np.zeros((1, 10)))
    >>> bool(np.allclose(attributions.sum(axis=1), difference))
    True
    """
    check_scalar(n_steps, "n_steps", Integral, min_val=1)
    check_model(model)
    network, X = prepare(model, X)
    starts = _starts(baseline, X, network.dtype)
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    # From [-1, 1] to [0, 1].
    nodes, weights = ((nodes + 1) / 2).astype(network.dtype), weights / 2
    attributions = np.zeros((*X.shape, network.units[-1]), network.dtype)
    form = Data(attributions[:, :, 0], attributions[:, :1, 0])
    size = max(1, POINTS // n_steps)
    with load_engine(model, Tracer, network, form) as tracer:
        for begin in range(0, X.shape[0], size):
            rows = slice(begin, begin + size)
            ends = X[rows].toarray() if sp.issparse(X) else X[rows]
            distances = ends.astype(network.dtype) - starts[rows]
            points = starts[rows, None] + nodes[:, None] * distances[:, None]
            points = points.reshape(-1, X.shape[1])
            for k, gradients in enumerate(_gradients(model, network, tracer, points)):
                # The last product is linear: it is taken of the mean over the path.
                means = weights @ gradients.reshape(-1, n_steps, gradients.shape[1])
                attributions[rows, :, k] = distances * (means @ network.coefs[0].T)
    return attributions[:, :, 0] if network.units[-1] == 1 else attributions


def _starts(baseline, X, dtype):
    """Return the baseline of each row, (n_samples, n_features)."""
    if baseline is None:
        return np.broadcast_to(np.zeros((), dtype), X.shape)
    starts = check_array(baseline, dtype=dtype, ensure_2d=False, input_name="baseline")
    if starts.shape not in (X.shape[1:], X.shape):
        raise ValueError(
            f"baseline must be of shape {X.shape[1:]}, one row for all, or {X.shape}, "
            f"one for each; got {starts.shape}."
        )
    return np.broadcast_to(starts, X.shape)


def _gradients(
    model: Any, network: Network, tracer: Tracer, points: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield each output's gradient in the first layer's scores, a row per point."""
    outputs = tracer.predict(points)
    data, hidden = Data(points, outputs), range(len(network.coefs) - 1)
    blocks = [
        [block.deltas(i) for i in hidden]
        for block in tracer.trace(data, mode="derivatives")
    ]
    derivatives = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    for k in range(outputs.shape[1]):
        deltas = _in_scores(model.out_activation_, outputs, k)
        for i in reversed(hidden):
            deltas = deltas @ network.coefs[i + 1].T
            # A unit's delta reaches all its pieces.
            pieces = derivatives[i].shape[1] // deltas.shape[1]
            deltas = np.tile(deltas, pieces) * derivatives[i]
        yield deltas


def _in_scores(out_activation, outputs, k):
    """Return the derivative of output k in all raw scores, given the outputs."""
    chosen = np.zeros_like(outputs)
    chosen[:, k] = 1
    own = outputs[:, [k]]
    match out_activation:
        case "softmax":
            return own * (chosen - outputs)
        case "logistic":
            return own * (1 - own) * chosen
        case "exp":
            return own * chosen
    return chosen
