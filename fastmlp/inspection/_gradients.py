"""Losses and gradients: of each row, of all rows, and checked."""

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from fastmlp.inspection._opened import Opened, open_model


class Gradients(NamedTuple):
    """Gradients in all parameters.

    Attributes
    ----------
    coefs : list of arrays
        In the shapes of ``coefs_``; per sample with one more axis in front.
    intercepts : list of arrays
        In those of ``intercepts_``.
    slopes : list of arrays or None
        In those of ``slopes_``, one entry per hidden layer: None where the activation
        trains no slopes.
    """

    coefs: list
    intercepts: list
    slopes: list


def whole_gradient(opened: Opened, alpha: float) -> Gradients:
    """Return the `Gradients` of the loss over all rows and its penalties."""
    flat = np.empty_like(opened.network.parameters)
    opened.objective.loss_gradient(opened.data, alpha, flat)
    return _arrays_of(opened.like_network(flat))


def _arrays_of(network):
    """Return the parameters of a network as `Gradients`."""
    return Gradients(*map(list, (network.coefs, network.intercepts, network.slopes)))


def sample_losses(model: Any, X: Any, y: Any, sample_weight: Any = None) -> np.ndarray:
    """Return the loss of each row, without the penalties.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels that the model was fitted with, or targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Factor of each loss. None: all 1.

    Returns
    -------
    losses : ndarray of shape (n_samples,)
        As training averages them and the parameter `loss` describes them, summed over
        the outputs; only the squared error of 'identity' outputs is averaged. In the
        log-loss -log p(y) of classes p is kept from 0 and 1 by the machine epsilon,
        unless labels are smoothed.

    Raises
    ------
    ValueError
        If the input is not valid, or y has labels not in ``classes_``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.inspection import sample_losses
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(solver="lbfgs", alpha=1.0, max_iter=2000).fit(X, y)
    >>> losses = sample_losses(clf, X, y)
    >>> bool(np.allclose(losses, -np.log(clf.predict_proba(X)[range(150), y])))
    True
    >>> int(losses.argmax())  # the row that it finds hardest
    83
    """
    with open_model(model, X, y, sample_weight) as opened:
        losses = [block.losses() for block in opened.tracer.trace(opened.data)]
    return np.concatenate(losses)


def sample_gradients(
    model: Any, X: Any, y: Any, *, wrt: str = "scores", norms_only: bool = False
) -> np.ndarray | Gradients:
    """Return the gradient of each row's loss, without the penalties.

    In the raw score it is delta of the last layer; in the inputs delta_0 W_0'; in the
    weights of layer i the outer product of a_i and delta_i, in its biases delta_i, and
    in the slopes of 'prelu' p_i = g_i * min(z_i, 0), g_i being the derivative in the
    outputs. The squared norm of that in all parameters is therefore the sum over layers
    of ``(|a_i|^2 + 1) |delta_i|^2 + |p_i|^2``: no product is needed [1]_.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    wrt : {'scores', 'inputs', 'parameters'}, default='scores'
        Take derivatives in the raw scores, in X, or in all parameters.
    norms_only : bool, default=False
        True: return only the Euclidean norm of each row's gradient. Gradients in all
        parameters are then never formed, which would take `n_parameters` numbers a
        row.

    Returns
    -------
    gradients : ndarray of shape (n_samples, n_outputs) or (n_samples, n_features), or \
`Gradients`
        In the raw score or in X, or per layer arrays (n_samples, fan_in, fan_out) of
        the weights, (n_samples, fan_out) of the biases and (n_samples, n_units) of the
        slopes. With `norms_only`, an ndarray of shape (n_samples,).

    Raises
    ------
    ValueError
        If the input is not valid, or y has labels not in ``classes_``.

    Notes
    -----
    As in scikit-learn, the squared error of k outputs is reported as a mean over them
    while its gradient, here as in training, is that of their sum.

    References
    ----------
    .. [1] I. Goodfellow, "Efficient per-example gradient computations", 2015,
       https://arxiv.org/abs/1510.01799

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.inspection import sample_gradients
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(solver="lbfgs", alpha=1.0, max_iter=2000).fit(X, y)
    >>> in_scores = sample_gradients(clf, X, y)
    >>> bool(np.allclose(in_scores, clf.predict_proba(X) - np.eye(3)[y]))
    True
    >>> norms = sample_gradients(clf, X, y, wrt="parameters", norms_only=True)
    >>> int(norms.argmax())
    83
    """
    if wrt not in ("scores", "inputs", "parameters"):
        raise ValueError(
            f"wrt must be 'scores', 'inputs' or 'parameters', got {wrt!r}."
        )
    with open_model(model, X, y) as opened:
        if wrt != "parameters":
            gradients = _row_gradients(opened, wrt)
            return np.linalg.norm(gradients, axis=1) if norms_only else gradients
        if norms_only:
            return _parameter_norms(opened)
        return _parameter_gradients(opened)


def _row_gradients(opened, wrt):
    """Return the gradients in the raw scores or in the inputs, a row for each row."""
    layer = 0 if wrt == "inputs" else opened.layers[-1]
    deltas = np.concatenate(
        [block.deltas(layer) for block in opened.tracer.trace(opened.data)]
    )
    return deltas @ opened.network.coefs[0].T if wrt == "inputs" else deltas


def _parameter_norms(opened):
    parts = []
    for block in opened.tracer.trace(opened.data, squares=True):
        squares = block.squares()
        inputs, deltas, slopes = squares.swapaxes(0, 1)
        if opened.data.sparse:
            rows = opened.X[block.begin : block.end]
            inputs[0] = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
        parts.append(np.sqrt(((inputs + 1) * deltas + slopes).sum(axis=0)))
    return np.concatenate(parts).astype(opened.network.dtype, copy=False)


def _parameter_gradients(opened):
    n, dtype = len(opened.data.y), opened.network.dtype
    gradients = Gradients(
        *(
            [None if a is None else np.empty((n, *a.shape), dtype) for a in arrays]
            for arrays in _arrays_of(opened.network)
        )
    )
    for block in opened.tracer.trace(opened.data):
        rows = slice(block.begin, block.end)
        for i in opened.layers:
            inputs, deltas = opened.inputs(block, i), block.deltas(i)
            np.multiply(
                inputs[:, :, None], deltas[:, None, :], out=gradients.coefs[i][rows]
            )
            gradients.intercepts[i][rows] = deltas
        for i, slopes in enumerate(gradients.slopes):
            if slopes is not None:
                slopes[rows] = block.slope_deltas(i)
    return gradients


def loss_gradient(model: Any, X: Any, y: Any, sample_weight: Any = None) -> Gradients:
    """Return the gradient of the loss over all rows, as a step on them would see it.

    The loss is the weighted mean of `sample_losses` plus both penalties on the weights,
    ``0.5 * alpha * (sum of squares) + l1 * (sum of magnitudes)``, divided by the sum of
    the sample weights. A weight of 0 has derivative 0 in its magnitude. `weight_decay`,
    which solvers apply beside the gradient, dropout, noise and bounds on norms are left
    out, and so is `class_weight`: pass the weight that it gives each row,
    ``sklearn.utils.class_weight.compute_sample_weight``, as `sample_weight`.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None
        None: all 1.

    Returns
    -------
    gradients : Gradients
        ``gradients.coefs``, ``gradients.intercepts`` and ``gradients.slopes``, like
        ``model.coefs_``, ``model.intercepts_`` and ``model.slopes_``.

    Raises
    ------
    ValueError
        If the input is not valid, or y has labels not in ``classes_``.

    Notes
    -----
    For the squared error of several outputs see `sample_gradients`.

    Examples
    --------
    >>> from fastmlp import MLPRegressor
    >>> from fastmlp.inspection import loss_gradient
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> X, y = (scale(part) for part in load_diabetes(return_X_y=True))
    >>> regr = MLPRegressor(solver="lbfgs", tol=1e-3, max_iter=2000).fit(X, y)
    >>> gradients = loss_gradient(regr, X, y)
    >>> bool(abs(gradients.coefs[0]).max() <= 1e-3)  # where L-BFGS stopped
    True
    """
    with open_model(model, X, y, sample_weight, penalised=True) as opened:
        return whole_gradient(opened, model.alpha)


class GradientCheck(NamedTuple):
    """Result of `check_gradient`.

    Attributes
    ----------
    max_relative_error : float
        Largest of ``abs(analytic - numeric)``, relative to the largest element of the
        array that it belongs to.
    places : list of (str, tuple)
        Parameters that were checked: "coefs_[0]" or the like, and the index into it.
    analytic, numeric : (n_checks,) float64 arrays
        Back-propagated derivatives, and central differences.
    """

    max_relative_error: float
    places: list
    analytic: np.ndarray
    numeric: np.ndarray


def check_gradient(
    model: Any,
    X: Any,
    y: Any,
    *,
    eps: float = 1e-5,
    n_checks: int = 30,
    random_state: Any = 0,
) -> GradientCheck:
    """Compare the back-propagated gradient with central differences, in float64.

    The numeric derivative in a parameter p is ``(L(p + eps) - L(p - eps)) / (2 eps)``
    of the loss with both penalties, alpha's and l1's, see `loss_gradient`. Where the
    activation has a corner, as ReLU at 0, the two differ for rows within `eps` of it;
    with l1 for weights within `eps` of 0.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    eps : float, default=1e-5
        Distance on either side. The error of the difference is of the order of
        ``eps**2``, and that of rounding ``1e-16 / eps``.
    n_checks : int, default=30
        Parameters that are checked, drawn evenly from all weight matrices, bias vectors
        and vectors of slopes. Each takes two forward passes over X.
    random_state : int, RandomState instance or None, default=0
        Draws them.

    Returns
    -------
    check : GradientCheck

    Raises
    ------
    TypeError
        If `eps` is no number, or `n_checks` no integer.
    ValueError
        If the input is not valid, y has labels not in ``classes_``, or `eps` or
        `n_checks` is not positive.

    Notes
    -----
    The squared error of k outputs is compared with k times its differences, see
    `sample_gradients`.

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.inspection import check_gradient
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(solver="lbfgs", alpha=1.0, max_iter=2000, random_state=0)
    >>> clf = clf.fit(X, y)
    >>> check_gradient(clf, X, y).max_relative_error < 1e-4
    True
    """
    check_scalar(eps, "eps", Real)
    check_scalar(n_checks, "n_checks", Integral)
    if not eps > 0 or not n_checks > 0:
        raise ValueError(
            f"eps and n_checks must be positive, got {eps} and {n_checks}."
        )
    random_state = check_random_state(random_state)
    places, analytic, numeric, errors = [], [], [], []
    with open_model(model, X, y, dtype=np.float64, penalised=True) as opened:
        gradients = whole_gradient(opened, model.alpha)
        derivative = _central_differences(model, opened, eps)
        arrays = [
            (kind, i, gradient)
            for kind, each in gradients._asdict().items()
            for i, gradient in enumerate(each)
            if gradient is not None
        ]
        for check in range(n_checks):
            kind, i, gradient = arrays[check % len(arrays)]
            index = tuple(int(random_state.randint(n)) for n in gradient.shape)
            places.append((f"{kind}_[{i}]", index))
            analytic.append(gradient[index])
            numeric.append(derivative(kind, i, index))
            # A gradient that is all zero has no scale: its error is then absolute.
            scale = abs(gradient).max() or 1.0
            errors.append(abs(analytic[-1] - numeric[-1]) / scale)
    return GradientCheck(
        float(max(errors)), places, np.array(analytic), np.array(numeric)
    )


def _central_differences(model, opened, eps):
    """Return a function of kind, layer and index: the numeric derivative there."""
    factor = opened.network.units[-1] if opened.objective.averages_outputs else 1
    moved = opened.like_network(opened.network.parameters.copy())

    def loss():
        opened.objective.load(moved.parameters)
        squares = sum(np.vdot(W, W) for W in moved.coefs)
        magnitudes = sum(np.abs(W).sum() for W in moved.coefs)
        penalty = 0.5 * model.alpha * squares + model.l1 * magnitudes
        return (
            factor * opened.objective.loss(opened.data) + penalty / opened.data.weight
        )

    def derivative(kind, i, index):
        array = getattr(moved, kind)[i]
        start, values = array[index], []
        for place in (start + eps, start - eps):
            array[index] = place
            values.append(loss())
        array[index] = start
        return (values[0] - values[1]) / (2 * eps)

    return derivative
