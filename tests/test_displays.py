"""The pictures: what is drawn, not its pixels."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier as SklearnMLPClassifier
from sklearn.pipeline import make_pipeline

from fastmlp import MLPClassifier, MLPRegressor, TabularClassifier, inspection
from fastmlp.displays import (
    ActivationDisplay,
    AttributionDisplay,
    GradientFlowDisplay,
    LossCurveDisplay,
    WeightDisplay,
)
from tests.estimators import X, Y, make
from tests.fresh import run_python

pytestmark = [
    pytest.mark.usefixtures("agg"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def _deep():
    return make(MLPClassifier, hidden_layer_sizes=(8, 6)).fit(X, Y)


def test_loss_curve():
    model = make(MLPClassifier, max_iter=7).fit(X, Y)
    display = LossCurveDisplay.from_estimator(model)
    assert isinstance(display, LossCurveDisplay)
    assert_array_equal(display.lines_["loss"].get_ydata(), model.loss_curve_)
    assert_array_equal(display.lines_["loss"].get_xdata(), np.arange(1, 8))
    assert set(display.lines_) == {"loss"}
    assert display.score_ax_ is display.rate_ax_ is None
    assert display.ax_.get_xlabel() == "epoch"
    assert display.figure_ is display.ax_.figure


def test_loss_curve_with_all_that_there_may_be():
    model = make(MLPRegressor, max_iter=4, early_stopping=True).fit(X, Y)
    model.validation_loss_curve_ = [4.0, 3.0, 2.0, 1.0]
    model.lr_curve_ = np.geomspace(1, 0.01, 8)
    display = LossCurveDisplay.from_estimator(model)
    lines = display.lines_
    assert_array_equal(lines["validation_score"].get_ydata(), model.validation_scores_)
    assert_array_equal(lines["validation_loss"].get_ydata(), [4, 3, 2, 1])
    assert_array_equal(lines["learning_rate"].get_ydata(), model.lr_curve_)
    assert_array_equal(lines["learning_rate"].get_xdata(), np.arange(0.5, 4.5, 0.5))
    # The rate lies below, and the legend of the others on no curve.
    assert display.rate_ax_.get_position().y1 < display.ax_.get_position().y0
    assert display.score_ax_.get_position().y0 == display.ax_.get_position().y0
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.y0 >= display.ax_.get_window_extent().y1
    assert legend.x1 <= display.figure_.get_window_extent().x1
    axes = {line.axes for line in lines.values()}
    assert axes == {display.ax_, display.score_ax_, display.rate_ax_}
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["training loss", "validation loss", "validation score"]


def test_loss_curve_in_axes_outside_a_grid():
    figure = plt.figure()
    ax = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    display = LossCurveDisplay([2.0, 1.0], learning_rate=[0.2, 0.1]).plot(ax=ax)
    assert display.rate_ax_ is None
    assert figure.axes == [ax]


def test_loss_curve_needs_one():
    model = make(MLPClassifier, solver="lbfgs").fit(X, Y)
    with pytest.raises(ValueError, match="'lbfgs', which keeps none"):
        LossCurveDisplay.from_estimator(model)
    model.loss_curve_ = []
    with pytest.raises(ValueError, match="interrupted in the first epoch"):
        LossCurveDisplay.from_estimator(model)


@pytest.mark.parametrize("Display", [LossCurveDisplay, WeightDisplay])
def test_displays_of_an_estimator_alone_need_a_network(Display):
    pipeline = make_pipeline(make(MLPClassifier)).fit(X, Y)
    with pytest.raises(TypeError, match=r"of a Pipeline pass .* pipeline\[-1\]"):
        Display.from_estimator(pipeline)
    tabular = TabularClassifier(n_networks=2, max_epochs=1).fit(X, Y)
    with pytest.raises(TypeError, match="has several networks"):
        Display.from_estimator(tabular)
    with pytest.raises(NotFittedError):
        Display.from_estimator(MLPClassifier())
    other = SklearnMLPClassifier((5,), max_iter=2).fit(X, Y)
    assert Display.from_estimator(other).ax_ is not None


@pytest.mark.parametrize("kind", ["deltas", "weights"])
def test_gradient_flow(kind):
    model = _deep()
    display = GradientFlowDisplay.from_estimator(model, X, Y, kind=kind, bins=11)
    ref = getattr(inspection.gradient_statistics(model, X, Y, bins=11), kind)
    layers = 2 if kind == "deltas" else 3
    assert len(display.lines_) == layers
    for i, line in enumerate(display.lines_):
        drawn = np.nan_to_num(line.get_ydata())
        assert_allclose(drawn, ref.density[i])
        assert line.get_xdata()[5] == pytest.approx(0, abs=1e-12)
    assert display.ax_.get_yscale() == "log"
    assert "derivative" in display.ax_.get_xlabel()


def test_activations():
    model = _deep()
    display = ActivationDisplay.from_estimator(model, X, bins=9)
    for i, line in enumerate(display.lines_):
        ref, edges = np.histogram(
            inspection.layer_outputs(model, X, i), 9, density=True
        )
        assert_allclose(np.nan_to_num(line.get_ydata()), ref)
        assert_allclose(line.get_xdata(), (edges[1:] + edges[:-1]) / 2)
    assert [line.get_label() for line in display.lines_] == ["hidden 1", "hidden 2"]


def test_activations_whose_squares_are_infinite_in_float32():
    model = make(MLPClassifier, dtype="float32").fit(X, Y)
    model.coefs_[0][:] = 1e25
    assert np.isfinite(ActivationDisplay.from_estimator(model, X).histograms.std).all()


def test_weights():
    model = make(MLPClassifier, hidden_layer_sizes=(5,)).fit(X, Y)
    display = WeightDisplay.from_estimator(model)
    drawn = display.image_.get_array().filled(np.nan)
    assert drawn.shape == (2 * 3 - 1, 3 * 3 - 1)
    assert_array_equal(drawn[:2, :2], model.coefs_[0][:, 0].reshape(2, 2))
    assert_array_equal(drawn[3:, 3:5], model.coefs_[0][:, 4].reshape(2, 2))
    assert np.isnan(drawn[2]).all()
    assert np.isnan(drawn[3:, 6:]).all()
    assert display.image_.norm.vmin == -display.image_.norm.vmax
    norms = np.linalg.norm(model.coefs_[0], axis=0)
    few = WeightDisplay.from_estimator(model, (1, 4), n_units=2)
    with pytest.raises(ValueError, match="n_units == 0, must be >= 1"):
        WeightDisplay.from_estimator(model, (1, 4), n_units=0)
    assert few.images.shape == (2, 1, 4)
    assert_array_equal(few.images[0, 0], model.coefs_[0][:, norms.argmax()])
    with pytest.raises(ValueError, match="4 features are not images of 3 x 2"):
        WeightDisplay.from_estimator(model, (3, 2))


def test_attributions():
    model = make(MLPClassifier).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    rows = pd.DataFrame(X, columns=list("abcd"))
    ref = inspection.integrated_gradients(model, rows)
    display = AttributionDisplay.from_estimator(model, rows)
    sizes = abs(ref).mean(axis=0)
    order = np.argsort(-sizes)
    assert_allclose([bar.get_width() for bar in display.bars_], sizes[order])
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == display.feature_names == list(np.array(list("abcd"))[order])
    assert display.ax_.yaxis_inverted()
    one = AttributionDisplay.from_estimator(model, rows, row=3, n_features=2)
    order = np.argsort(-abs(ref[3]))[:2]
    assert_array_equal(one.attributions, ref[3][order])
    ref = abs(inspection.integrated_gradients(model, rows, np.ones(4), 2)).mean(axis=0)
    far = AttributionDisplay.from_estimator(model, rows, baseline=np.ones(4), n_steps=2)
    assert_array_equal(far.attributions, np.sort(ref)[::-1])
    with pytest.raises(ValueError, match="n_features == 0, must be >= 1"):
        AttributionDisplay.from_estimator(model, rows, n_features=0)


def test_attributions_of_one_of_several_outputs():
    model = make(MLPRegressor).fit(X, np.stack([X[:, 0], 100 * X[:, 1]], axis=1))
    ref = inspection.integrated_gradients(model, X)
    display = AttributionDisplay.from_estimator(model, X, output=1)
    sizes = abs(ref[:, :, 1]).mean(axis=0)
    assert_allclose(display.attributions, np.sort(sizes)[::-1])
    names = [f"x{i}" for i in np.argsort(-sizes)]
    assert display.feature_names == names
    with pytest.raises(ValueError, match="has 2 outputs: pass output="):
        AttributionDisplay.from_estimator(model, X, row=0)


def test_axes_that_are_given_are_drawn_into():
    figure, axes = plt.subplots(1, 5)
    model = _deep()
    displays = [
        LossCurveDisplay.from_estimator(model, ax=axes[0]),
        GradientFlowDisplay.from_estimator(model, X, Y, ax=axes[1]),
        ActivationDisplay.from_estimator(model, X, ax=axes[2]),
        WeightDisplay.from_estimator(model, ax=axes[3]),
        AttributionDisplay.from_estimator(model, X, ax=axes[4]),
    ]
    for display, ax in zip(displays, axes, strict=True):
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert display.plot() is display  # and again, into a figure of its own
        assert display.figure_ is not figure


def test_nothing_to_draw_and_unknown_kind():
    model = make(MLPClassifier, hidden_layer_sizes=()).fit(X, Y)
    with pytest.raises(ValueError, match="no hidden layer"):
        GradientFlowDisplay.from_estimator(model, X, Y)
    with pytest.raises(ValueError, match="no hidden layer"):
        ActivationDisplay.from_estimator(model, X)
    with pytest.raises(ValueError, match="kind must be"):
        GradientFlowDisplay.from_estimator(model, X, Y, kind="biases")


def test_matplotlib_is_asked_for_when_it_draws():
    """Importing fastmlp and its displays does not import it."""
    code = (
        "import sys; import fastmlp.displays as d; assert 'matplotlib' not in "
        "sys.modules; sys.modules['matplotlib'] = None; d.LossCurveDisplay([1]).plot()"
    )
    message = "ImportError: LossCurveDisplay.plot requires matplotlib"
    assert message in run_python(code).stderr
