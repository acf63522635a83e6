"""The table of a network's layers."""

import re
from xml.etree import ElementTree

import pandas as pd
import pytest
from sklearn.datasets import load_digits

from fastmlp import MLPClassifier, MLPRegressor, inspection
from tests.estimators import X as SMALL_X
from tests.estimators import Y as SMALL_Y
from tests.estimators import make

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_summary():
    X, y = load_digits(return_X_y=True)
    model = MLPClassifier((30, 20), max_iter=1, random_state=0).fit(X, y)
    comp = inspection.summary(model)
    assert [layer.layer for layer in comp.layers] == ["hidden 1", "hidden 2", "output"]
    assert [layer.activation for layer in comp.layers] == ["relu", "relu", "softmax"]
    assert [layer.shape for layer in comp.layers] == [(64, 30), (30, 20), (20, 10)]
    assert comp.parameters == sum(a.size for a in model.coefs_ + model.intercepts_)
    assert comp.multiply_adds == 64 * 30 + 30 * 20 + 20 * 10
    lines = str(comp).splitlines()
    assert lines[1].split()[2:] == ["64", "x", "30", "relu", "1,950", "1,920"]
    assert lines[-1].split() == ["total", "2,780", "2,720"]
    assert len({len(line) for line in lines}) == 1
    head, first, *_ = ElementTree.fromstring(comp._repr_html_())
    assert [cell.text for cell in head] == lines[0].split()
    assert [cell.text for cell in first] == re.split("  +", lines[1])
    frame = comp.frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.loc["hidden 2", "parameters"] == 620
    assert frame["multiply_adds"].sum() == comp.multiply_adds


@pytest.mark.parametrize(
    "activation, names",
    [
        ("prelu", ["prelu", "prelu"]),
        (("elu", 0.5), ["elu(0.5)", "elu(0.5)"]),
        (["maxout", ("maxout", 3)], ["maxout", "maxout(3)"]),
        (["leaky_relu", ("prelu", 0.1)], ["leaky_relu", "prelu(0.1)"]),
        (("identity", "tanh"), ["identity", "tanh"]),
    ],
)
def test_summary_names_activations_and_counts_their_parameters(activation, names):
    model = make(MLPRegressor, hidden_layer_sizes=(6, 5), activation=activation)
    comp = inspection.summary(model.fit(SMALL_X, SMALL_Y))
    assert [layer.activation for layer in comp.layers] == [*names, "identity"]
    slopes = [0 if s is None else s.size for s in [*model.slopes_, None]]
    for layer, W, b, n_slopes in zip(
        comp.layers, model.coefs_, model.intercepts_, slopes, strict=True
    ):
        assert layer.parameters == W.size + b.size + n_slopes
