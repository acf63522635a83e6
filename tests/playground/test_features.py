"""Columns of X that the playground makes of two coordinates."""

import numpy as np

from fastmlp.playground.features import FEATURES, columns


def test_features_are_what_their_names_say():
    x, y = points = np.random.RandomState(0).normal(size=(2, 7))
    ref = [x, y, x**2, y**2, x * y, np.sin(x), np.sin(y)]
    assert list(FEATURES) == ["x", "y", "x²", "y²", "xy", "sin x", "sin y"]
    comp = columns(points.T, list(FEATURES))
    np.testing.assert_allclose(comp, np.transpose(ref), rtol=1e-15)
    assert comp.flags.c_contiguous


def test_order_is_that_of_the_names():
    points = np.array([[2.0, 3.0]])
    assert columns(points, ["y", "xy", "x"]).tolist() == [[3.0, 6.0, 2.0]]
