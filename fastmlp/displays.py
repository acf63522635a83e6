"""Pictures of training and of the inside of a network, by matplotlib.

They follow scikit-learn's conventions: ``from_estimator`` computes the data,
``plot`` draws them into `ax` or a new figure and returns the display, whose attributes
`ax_` and `figure_` are matplotlib's. matplotlib comes with the `plot` extra and is
imported when something is drawn. For regions of decision take scikit-learn's own
`DecisionBoundaryDisplay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_scalar
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from fastmlp.inspection import (
    Histograms,
    gradient_statistics,
    integrated_gradients,
    layer_outputs,
)
from fastmlp.inspection._opened import check_model
from fastmlp.inspection._summary import hidden_names

__all__ = [
    "ActivationDisplay",
    "AttributionDisplay",
    "GradientFlowDisplay",
    "LossCurveDisplay",
    "WeightDisplay",
]


class _Display:
    """Base of all displays: the axes to draw into."""

    ax_: Any
    figure_: Any

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a new figure's.

        Returns
        -------
        self : object
            The display.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots()[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self._draw(self.ax_)
        return self

    def _draw(self, ax):
        raise NotImplementedError


def _check_network(estimator):
    """Raise unless it is a fitted network, which scikit-learn's MLPs are as well."""
    check_is_fitted(estimator)
    if not hasattr(estimator, "coefs_"):
        check_model(estimator)


class LossCurveDisplay(_Display):
    """Loss against epochs: training, validation, and the learning rate.

    Parameters
    ----------
    loss : (n_epochs,) array
        Training loss of each epoch.
    validation_loss, validation_score : (n_epochs,) array, default=None
        The same of the validation rows; a score has an axis of its own on the right.
    learning_rate : array, default=None
        Rates in the order of their use, evenly spread over the epochs; in axes of their
        own, for which `ax` gives a quarter of its place. They are left out if `ax` is
        in no grid of subplots.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Of the losses.
    score_ax_, rate_ax_ : matplotlib Axes or None
        Of the validation score, to the right, and of the learning rate, below.
    lines_ : dict of str to matplotlib Line2D
        By the name of the parameter above.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.displays import LossCurveDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier((20,), tol=1.0, early_stopping=True).fit(X / 16, y)
    >>> display = LossCurveDisplay.from_estimator(clf)
    >>> sorted(display.lines_)
    ['loss', 'validation_loss', 'validation_score']
    """

    def __init__(
        self,
        loss: ArrayLike,
        *,
        validation_loss: ArrayLike | None = None,
        validation_score: ArrayLike | None = None,
        learning_rate: ArrayLike | None = None,
    ) -> None:
        self.loss = np.asarray(loss)
        self.validation_loss = validation_loss
        self.validation_score = validation_score
        self.learning_rate = learning_rate

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> LossCurveDisplay:
        """Draw the curves of a fitted estimator; the learning rate if it changed.

        Parameters
        ----------
        estimator : fitted MLPClassifier or MLPRegressor
            Trained by another solver than 'lbfgs', which keeps no curve.
        ax : matplotlib Axes, default=None
            None: a new figure's.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        TypeError
            If it is a Pipeline: pass its last step; or an estimator for tables.
        ValueError
            If the estimator has no loss curve.
        """
        _check_network(estimator)
        if not getattr(estimator, "loss_curve_", None):
            raise ValueError(
                f"This {type(estimator).__name__} has no loss_curve_: it was fitted "
                "with solver='lbfgs', which keeps none, or interrupted in the first "
                "epoch."
            )
        rates = getattr(estimator, "lr_curve_", [0.0])
        display = cls(
            estimator.loss_curve_,
            validation_loss=getattr(estimator, "validation_loss_curve_", None),
            validation_score=getattr(estimator, "validation_scores_", None),
            learning_rate=rates if np.ptp(rates) > 0 else None,
        )
        return display.plot(ax=ax)

    def _draw(self, ax):
        self.score_ax_ = self.rate_ax_ = None
        self.lines_: dict[str, Any] = {}
        lowest = ax
        if self.learning_rate is not None and ax.get_subplotspec() is not None:
            lowest = self.rate_ax_ = self._split(ax)
            self.rate_ax_.set_ylabel("learning rate")
            self._line(self.rate_ax_, "learning_rate", "learning rate", "C7")
        lowest.set_xlabel("epoch")
        ax.set_ylabel("loss")
        self._line(ax, "loss", "training loss", "C0")
        if self.validation_loss is not None:
            self._line(ax, "validation_loss", "validation loss", "C1")
        if self.validation_score is not None:
            self.score_ax_ = ax.twinx()
            self.score_ax_.set_ylabel("validation score")
            self._line(self.score_ax_, "validation_score", "validation score", "C2")
        curves = [line for name, line in self.lines_.items() if name != "learning_rate"]
        # Above the axes it lies on no curve.
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False}
        ax.legend(handles=curves, ncols=len(curves), **place)

    def _split(self, ax):
        """Return axes in the lower quarter of `ax`, which keeps the rest."""
        upper, lower = ax.get_subplotspec().subgridspec(2, 1, height_ratios=(3, 1))
        ax.set_subplotspec(upper)
        ax.tick_params(labelbottom=False)
        return ax.figure.add_subplot(lower, sharex=ax)

    def _line(self, ax, name, label, color):
        values = np.asarray(getattr(self, name))
        epochs = np.arange(1, len(values) + 1) * (len(self.loss) / len(values))
        (line,) = ax.plot(epochs, values, label=label, color=color)
        self.lines_[name] = line


class _HistogramDisplay(_Display):
    """One outline of a histogram per layer."""

    _xlabel: Any

    def __init__(self, histograms: Histograms, names: Sequence[str]) -> None:
        self.histograms = histograms
        self.names = names

    def _draw(self, ax):
        import matplotlib

        colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(self.names)))
        self.lines_ = []
        for name, density, edges, color in zip(
            self.names,
            self.histograms.density,
            self.histograms.edges,
            colors,
            strict=True,
        ):
            middles = (edges[1:] + edges[:-1]) / 2
            shown = np.where(density > 0, density, np.nan)
            self.lines_ += ax.plot(middles, shown, label=name, color=color)
        ax.set(xlabel=self._xlabel, ylabel="density", yscale="log")
        ax.legend()


class GradientFlowDisplay(_HistogramDisplay):
    """Histograms of the gradients that reach each layer, as they are passed back.

    At the start of training the lines lie on each other where initial weights suit the
    activation, and narrow towards the input where they do not [1]_.

    Parameters
    ----------
    histograms : Histograms
    names : list of str
        Of the layers.
    kind : {'deltas', 'weights'}, default='deltas'
        Derivatives in the units' scores, or in the weights.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        One per layer, the first layer first.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
       feedforward neural networks", AISTATS 2010, figure 7.

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.displays import GradientFlowDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier((20, 20, 20), tol=1.0).fit(X / 16, y)
    >>> display = GradientFlowDisplay.from_estimator(clf, X / 16, y)
    >>> [line.get_label() for line in display.lines_]
    ['hidden 1', 'hidden 2', 'hidden 3']
    """

    def __init__(
        self, histograms: Histograms, names: Sequence[str], *, kind: str = "deltas"
    ) -> None:
        super().__init__(histograms, names)
        self.kind = kind

    @property
    def _xlabel(self):
        variable = "unit's score" if self.kind == "deltas" else "weight"
        return f"derivative of the loss in a {variable}"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        kind: str = "deltas",
        bins: int = 50,
        ax: Any = None,
    ) -> GradientFlowDisplay:
        """Draw the gradients of a fitted estimator on some rows.

        Parameters
        ----------
        estimator : fitted MLPClassifier or MLPRegressor
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        kind : {'deltas', 'weights'}, default='deltas'
            Derivatives of each row's loss in the scores of the hidden layers, or of
            the mean loss in the weights of all layers.
        bins : int, default=50
        ax : matplotlib Axes, default=None
            None: a new figure's.

        Returns
        -------
        display : GradientFlowDisplay

        Raises
        ------
        ValueError
            If the input is not valid, or there is no hidden layer to draw deltas of.
        """
        if kind not in ("deltas", "weights"):
            raise ValueError(f"kind must be 'deltas' or 'weights', got {kind!r}.")
        histograms = getattr(gradient_statistics(estimator, X, y, bins=bins), kind)
        n = len(histograms.counts) - 1
        names = hidden_names(n)
        if kind == "deltas":
            _check_hidden(estimator, n)
            histograms = Histograms(*(array[:n] for array in histograms))
        else:
            names.append("output")
        return cls(histograms, names, kind=kind).plot(ax=ax)


class ActivationDisplay(_HistogramDisplay):
    """Histograms of the outputs of each hidden layer.

    Mass at the ends of a bounded activation is saturation; lines that narrow from
    layer to layer are a signal that dies out.

    Parameters
    ----------
    histograms : Histograms
    names : list of str
        Of the layers.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        One per hidden layer, the first layer first.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.displays import ActivationDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier((20, 20), activation="tanh", tol=1.0).fit(X / 16, y)
    >>> len(ActivationDisplay.from_estimator(clf, X / 16).lines_)
    2
    """

    _xlabel = "output of a unit"

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, bins: int = 50, ax: Any = None
    ) -> ActivationDisplay:
        """Draw the outputs of a fitted estimator's hidden layers on some rows.

        Parameters
        ----------
        estimator : fitted MLPClassifier or MLPRegressor
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        bins : int, default=50
            Between the smallest and the largest output of the layer.
        ax : matplotlib Axes, default=None
            None: a new figure's.

        Returns
        -------
        display : ActivationDisplay

        Raises
        ------
        ValueError
            If X is not valid, or there is no hidden layer.
        """
        hidden = layer_outputs(estimator, X)[:-1]
        _check_hidden(estimator, len(hidden))
        outputs = [each.astype(np.float64) for each in hidden]
        pairs = [np.histogram(each, bins) for each in outputs]
        histograms = Histograms(
            np.array([counts for counts, _ in pairs]),
            np.array([edges for _, edges in pairs]),
            np.array([np.sqrt(np.mean(np.square(each))) for each in outputs]),
        )
        return cls(histograms, hidden_names(len(outputs))).plot(ax=ax)


def _check_hidden(estimator, n_hidden):
    if n_hidden == 0:
        raise ValueError(
            f"This {type(estimator).__name__} has no hidden layer: there is nothing to "
            "draw."
        )


class WeightDisplay(_Display):
    """Weights of the first layer, one image per unit, or per piece of 'maxout'.

    Parameters
    ----------
    images : (n_units, height, width) array

    Attributes
    ----------
    image_ : matplotlib AxesImage
        All images in one, row by row, with a gap of one pixel; NaN where there is none.
        Its colours are symmetric about 0.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.displays import WeightDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier((20,), tol=1.0).fit(X / 16, y)
    >>> WeightDisplay.from_estimator(clf, (8, 8)).images.shape
    (20, 8, 8)
    """

    def __init__(self, images: ArrayLike) -> None:
        self.images = np.asarray(images)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        shape: tuple | None = None,
        *,
        n_units: int | None = None,
        ax: Any = None,
    ) -> WeightDisplay:
        """Draw the first layer of a fitted estimator.

        Parameters
        ----------
        estimator : fitted MLPClassifier or MLPRegressor
        shape : (height, width), default=None
            Of the images that the rows of X are. None: square ones.
        n_units : int, default=None
            Only so many, those of the largest norm. None: all, as they come.
        ax : matplotlib Axes, default=None
            None: a new figure's.

        Returns
        -------
        display : WeightDisplay

        Raises
        ------
        TypeError
            If it is a Pipeline: pass its last step; or an estimator for tables.
        ValueError
            If the number of features is not height times width, or `n_units` is below
            1.
        """
        _check_network(estimator)
        weights = estimator.coefs_[0].T
        n_features = weights.shape[1]
        if shape is None:
            shape = (int(np.sqrt(n_features)),) * 2
        if shape[0] * shape[1] != n_features:
            raise ValueError(
                f"{n_features} features are not images of {shape[0]} x {shape[1]}: "
                "pass shape=(height, width)."
            )
        if n_units is not None:
            check_scalar(n_units, "n_units", Integral, min_val=1)
            order = np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")
            weights = weights[order[:n_units]]
        return cls(weights.reshape(-1, *shape)).plot(ax=ax)

    def _draw(self, ax):
        n, height, width = self.images.shape
        columns = int(np.ceil(np.sqrt(n)))
        rows = -(-n // columns)
        canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
        for i, image in enumerate(self.images):
            top, left = i // columns * (height + 1), i % columns * (width + 1)
            canvas[top : top + height, left : left + width] = image
        largest = abs(self.images).max()
        self.image_ = ax.imshow(canvas, cmap="RdBu_r", vmin=-largest, vmax=largest)
        self.figure_.colorbar(self.image_, ax=ax, label="weight")
        ax.set_axis_off()


class AttributionDisplay(_Display):
    """Bars of the features' attributions: of one row, or their mean size over rows.

    Parameters
    ----------
    attributions : (n_features,) array
        Of one row, with their signs, or the means of their magnitudes over rows.
    feature_names : list of str
    xlabel : str, default="attribution"

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The feature with the largest bar first, which is the one at the top.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.displays import AttributionDisplay
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> X = X.apply(scale)
    >>> clf = MLPClassifier(solver="lbfgs", alpha=1.0, max_iter=2000).fit(X, y)
    >>> display = AttributionDisplay.from_estimator(clf, X, n_features=2)
    >>> sorted(display.feature_names)
    ['petal length (cm)', 'petal width (cm)']
    """

    def __init__(
        self,
        attributions: ArrayLike,
        feature_names: Sequence[str],
        *,
        xlabel: str = "attribution",
    ) -> None:
        self.attributions = np.asarray(attributions)
        self.feature_names = list(feature_names)
        self.xlabel = xlabel

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        baseline: Any = None,
        n_steps: int = 64,
        row: int | None = None,
        output: int | None = None,
        n_features: int | None = None,
        ax: Any = None,
    ) -> AttributionDisplay:
        """Draw the `integrated_gradients` of a fitted estimator.

        Parameters
        ----------
        estimator : fitted MLPClassifier or MLPRegressor
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        baseline, n_steps
            See `inspection.integrated_gradients`.
        row : int, default=None
            Draw the attributions of this row of X. None: the means of their magnitudes
            over all rows.
        output : int, default=None
            Draw those of this output of several. None: the means over all of them,
            which `row` does not have.
        n_features : int, default=None
            Only so many, those of the largest bars. None: all.
        ax : matplotlib Axes, default=None
            None: a new figure's.

        Returns
        -------
        display : AttributionDisplay

        Raises
        ------
        ValueError
            If the input is not valid, or `row` is given without the `output` of several
            to draw.
        """
        found = integrated_gradients(estimator, X, baseline, n_steps)
        found = found.reshape(*found.shape[:2], -1)
        n_outputs = found.shape[2]
        if output is not None or n_outputs == 1:
            found = found[:, :, [output or 0]]
        elif row is not None:
            raise ValueError(
                f"The network has {n_outputs} outputs: pass output=, the number of the "
                "one whose attributions to draw."
            )
        if row is None:
            values, xlabel = abs(found).mean(axis=(0, 2)), "mean |attribution|"
        else:
            values, xlabel = found[row, :, 0], "attribution"
        order = np.argsort(-abs(values), kind="stable")
        if n_features is not None:
            check_scalar(n_features, "n_features", Integral, min_val=1)
            order = order[:n_features]
        names = _check_feature_names_in(estimator)[order]
        return cls(values[order], names, xlabel=xlabel).plot(ax=ax)

    def _draw(self, ax):
        places = np.arange(len(self.attributions))
        self.bars_ = ax.barh(places, self.attributions, tick_label=self.feature_names)
        ax.invert_yaxis()
        ax.set_xlabel(self.xlabel)
