"""Outputs of the layers, with statistics of outputs and of gradients."""

import operator
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_scalar

from fastmlp.inspection._gradients import whole_gradient
from fastmlp.inspection._opened import check_model, open_model


def layer_outputs(model: Any, X: Any, layer: int | None = None) -> Any:
    """Return the outputs of the layers for each row.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    layer : int, default=None
        0 is the first hidden layer, -1 the output layer. None: all layers.

    Returns
    -------
    outputs : ndarray of shape (n_samples, n_units), or list of them
        After the activation; those of the output layer are the numbers from which
        `predict_proba` and `predict` are computed.

    Raises
    ------
    TypeError
        If `model` is not such an estimator, or `layer` is no integer.
    ValueError
        If X is not valid, or the network has no such layer.

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.inspection import layer_outputs
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((8, 5), solver="lbfgs", alpha=1.0, max_iter=2000)
    >>> [a.shape for a in layer_outputs(clf.fit(X, y), X)]
    [(150, 8), (150, 5), (150, 3)]
    >>> layer_outputs(clf, X[:2], layer=0).shape
    (2, 8)
    """
    check_model(model)
    n = len(model.coefs_)
    if layer is not None and not -n <= operator.index(layer) < n:
        raise ValueError(
            f"layer={layer}: this network has the layers 0 to {n - 1}, of which the "
            "last gives the outputs."
        )
    wanted = list(range(n)) if layer is None else [layer % n]
    hidden = [i for i in wanted if i < n - 1]
    outputs = []
    if hidden:
        with open_model(model, X) as opened:
            outputs = opened.tracer.layer_outputs(opened.data, hidden)
    if n - 1 in wanted:
        outputs.append(model._outputs(X))
    return outputs if layer is None else outputs[0]


class ActivationStatistics(NamedTuple):
    """Result of `activation_statistics`, one element per hidden layer.

    Attributes
    ----------
    layer : (n_hidden,) int array
        1, 2, ...
    mean, std : (n_hidden,) float arrays
        Of the outputs, over rows and units.
    saturated : (n_hidden,) float array
        Share of rows and units where the activation's derivative is below the
        threshold.
    dead : (n_hidden,) float array
        Share of units where it is for every row.
    """

    layer: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    saturated: np.ndarray
    dead: np.ndarray


def activation_statistics(
    model: Any, X: Any, *, threshold: float = 0.01
) -> ActivationStatistics:
    """Return mean, spread and saturation of each hidden layer.

    A unit passes the gradient back times the derivative of its activation: where that
    is next to 0 the unit learns nothing from the row. A unit that learns nothing from
    any row is dead. Of 'maxout' each piece counts as a unit: for each row all but one
    of a unit's pieces are saturated.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    threshold : float, default=0.01
        Size of the derivative below which a unit counts as saturated: beyond
        ``|z| = 4.6`` for 'logistic', ``|z| = 3`` for 'tanh', z <= 0 for 'relu'.

    Returns
    -------
    statistics : ActivationStatistics
        ``pandas.DataFrame(statistics._asdict())`` is a table of it.

    Raises
    ------
    TypeError
        If `model` is not such an estimator.
    ValueError
        If X is not valid.

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.inspection import activation_statistics
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((8, 5), solver="lbfgs", alpha=1.0, max_iter=2000)
    >>> statistics = activation_statistics(clf.fit(X, y), X)
    >>> statistics.layer
    array([1, 2])
    >>> bool((statistics.saturated >= statistics.dead).all())
    True
    """
    with open_model(model, X) as opened:
        tracer, data, hidden = opened.tracer, opened.data, len(opened.layers) - 1
        sums, squares, saturated = np.zeros((3, hidden))
        alive = [np.zeros(W.shape[1], bool) for W in opened.network.coefs[:-1]]
        for block in tracer.trace(data, mode="outputs"):
            for i in range(hidden):
                outputs = block.inputs(i + 1).astype(np.float64)
                sums[i] += outputs.sum()
                squares[i] += np.square(outputs).sum()
        for block in tracer.trace(data, mode="derivatives"):
            for i in range(hidden):
                flat = abs(block.deltas(i)) < threshold
                saturated[i] += flat.sum()
                alive[i] |= ~flat.all(axis=0)
        rows = len(data.y)
        count = rows * np.array(opened.network.units[1:-1])
        saturated /= rows * np.array([units.size for units in alive])
    mean = sums / count
    return ActivationStatistics(
        np.arange(1, hidden + 1),
        mean,
        np.sqrt(np.maximum(squares / count - mean**2, 0)),
        saturated,
        np.array([1 - units.mean() for units in alive]),
    )


class Histograms(NamedTuple):
    """One histogram per layer, each over its own range.

    Attributes
    ----------
    counts : (n_layers, bins) int array
    edges : (n_layers, bins + 1) float array
        Those of `gradient_statistics` are symmetric about 0.
    std : (n_layers,) float array
        Root of the mean square.
    """

    counts: np.ndarray
    edges: np.ndarray
    std: np.ndarray

    @property
    def density(self) -> np.ndarray:
        """Counts divided by their sum and the width of their bin."""
        widths = np.diff(self.edges, axis=1)
        return self.counts / (widths * self.counts.sum(axis=1, keepdims=True))


class GradientStatistics(NamedTuple):
    """Result of `gradient_statistics`; the first layer first, the output last.

    Attributes
    ----------
    deltas : Histograms
        Of the derivatives of each row's loss in the layers' scores.
    weights : Histograms
        Of the derivatives of the mean loss in the weights, without the penalties.
    """

    deltas: Histograms
    weights: Histograms


def gradient_statistics(
    model: Any, X: Any, y: Any, *, bins: int = 50
) -> GradientStatistics:
    """Return histograms, layer by layer, of the gradients that are passed back.

    A deep network stops learning where deltas shrink from layer to layer towards the
    input; initial weights are scaled so that they do not [1]_.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
        As it is: for the start of training one that was fitted with
        ``learning_rate_init=1e-12, max_iter=1``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    bins : int, default=50
        Bins of each histogram.

    Returns
    -------
    statistics : GradientStatistics

    Raises
    ------
    TypeError
        If `model` is not such an estimator, or `bins` is no integer.
    ValueError
        If the input is not valid, y has labels not in ``classes_``, or `bins` is below
        1.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
       feedforward neural networks", AISTATS 2010, figure 7.

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.inspection import gradient_statistics
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((8, 5), solver="lbfgs", alpha=1.0, max_iter=2000)
    >>> statistics = gradient_statistics(clf.fit(X, y), X, y)
    >>> statistics.deltas.counts.sum(axis=1)  # rows times units
    array([1200,  750,  450])
    """
    check_scalar(bins, "bins", Integral, min_val=1)
    with open_model(model, X, y) as opened:
        n = len(opened.layers)
        largest, squares = np.zeros((2, n))
        for block in opened.tracer.trace(opened.data):
            for i in opened.layers:
                deltas = block.deltas(i).astype(np.float64)
                largest[i] = max(largest[i], abs(deltas).max())
                squares[i] += np.square(deltas).sum()
        edges = _edges(largest, bins)
        counts = np.zeros((n, bins), np.int64)
        for block in opened.tracer.trace(opened.data):
            for i in opened.layers:
                counts[i] += np.histogram(block.deltas(i), edges[i])[0]
        std = np.sqrt(squares / counts.sum(axis=1))
        coefs = whole_gradient(opened, 0.0).coefs
    weight_edges = _edges(np.array([abs(g).max() for g in coefs]), bins)
    weight_counts = [
        np.histogram(g, e)[0] for g, e in zip(coefs, weight_edges, strict=True)
    ]
    weight_std = [np.sqrt(np.mean(np.square(g, dtype=np.float64))) for g in coefs]
    return GradientStatistics(
        Histograms(counts, edges, std),
        Histograms(np.array(weight_counts), weight_edges, np.array(weight_std)),
    )


def _edges(largest, bins):
    """Return edges from -largest to largest per row; around 0 where that is 0."""
    return np.where(largest > 0, largest, 1.0)[:, None] * np.linspace(-1, 1, bins + 1)
