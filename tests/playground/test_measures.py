"""Scores and histograms of the playground."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from fastmlp.playground.measures import Traced, histograms, score


def test_scores():
    targets, predicted = np.array([0, 1, 2, 1]), np.array([0, 1, 1, 1])
    assert score(targets, predicted) == 0.75
    values = np.random.RandomState(0).normal(size=(2, 9))
    assert score(*values) == pytest.approx(r2_score(*values))
    assert score(values[0][:0], values[1][:0]) is None
    assert score(np.ones(3), np.zeros(3)) is None


def traced(outputs, deltas):
    return Traced(np.zeros(len(outputs)), [outputs], [deltas], [0.0], [0.0])


def test_a_layer_that_gives_one_value():
    found = histograms(traced(np.full((4, 2), 3.0), np.zeros((4, 2))))
    low, high = found["activation_edges"][0]
    assert low < 3 < high
    assert found["activation_histograms"].sum() == pytest.approx(1)
    # No gradient at all: everything is in the first bin.
    assert found["gradient_histograms"][0, 0] == 1
    assert found["gradient_norms"][0] == 0


def test_gradients_far_below_the_largest_are_in_the_first_bin():
    deltas = np.array([[1e-3], [0.0], [1e-40], [1e-8]])
    found = histograms(traced(deltas, deltas))
    assert found["gradient_edges"].tolist() == [[-23, -3]]
    assert found["gradient_histograms"][0, 0] == 0.5
    assert found["gradient_histograms"][0, 15] == 0.25
    assert found["gradient_histograms"][0, 19] == 0.25


def test_numbers_that_are_not_finite():
    values = np.array([[np.nan], [1.0], [np.inf], [-np.inf]])
    found = histograms(traced(values, values))
    for name in ("activation_histograms", "gradient_histograms"):
        assert np.isfinite(found[name]).all()
        assert found[name].sum() == pytest.approx(1)


def test_no_layers():
    found = histograms(Traced(np.zeros(3), [], [], [], []))
    assert found["activation_histograms"].shape == (0, 20)
    assert found["gradient_edges"].shape == (0, 2)
