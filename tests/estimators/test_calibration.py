"""Probabilities of an ensemble, and the temperature."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, softmax

from fastmlp.estimators import _calibration
from fastmlp.estimators._calibration import (
    CALIBRATION_ROWS,
    fit_temperature,
    mean_probabilities,
)

N = 2 * CALIBRATION_ROWS


def make_scores(n_classes, sharpness, n_networks=1, seed=0):
    """Return scores that are `sharpness` times those that labels are drawn from."""
    rng = np.random.RandomState(seed)
    scores = rng.randn(N, n_classes)
    p = softmax(scores, axis=1)
    labels = np.array([rng.choice(n_classes, p=row) for row in p])
    if n_classes == 2:
        scores = scores[:, 1:] - scores[:, :1]
    outputs = np.repeat(sharpness * scores[:, np.newaxis], n_networks, axis=1)
    return outputs.astype(np.float32), labels


def log_loss(outputs, labels, weight, temperature):
    p = mean_probabilities([outputs[:, 0]], temperature)
    return -np.average(np.log(p[np.arange(len(labels)), labels]), weights=weight)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_temperature_has_the_least_log_loss(n_classes, sharpness, weighted):
    outputs, labels = make_scores(n_classes, sharpness)
    weight = np.random.RandomState(1).rand(N) if weighted else np.ones(N)
    comp = fit_temperature(outputs, labels, weight)
    tried = np.geomspace(0.1, 10, 2001)
    ref = min(tried, key=lambda each: log_loss(outputs, labels, weight, each))
    assert_allclose(comp, ref, rtol=0.01)
    assert_allclose(comp, sharpness, rtol=0.3)


def test_of_several_networks_it_is_that_of_all_their_scores():
    outputs, labels = make_scores(3, 2.0)
    other, _ = make_scores(3, 0.5, seed=1)
    both = np.concatenate([outputs, other], axis=1)
    comp = fit_temperature(both, labels, np.ones(N))
    each = np.concatenate([outputs, other])
    ref = fit_temperature(each, np.tile(labels, 2), np.ones(2 * N))
    assert_allclose(comp, ref)


def test_few_rows_leave_it_at_1():
    outputs, labels = make_scores(2, 4.0)
    counts = (np.arange(N) < CALIBRATION_ROWS - 1).astype(float)
    assert fit_temperature(outputs, labels, counts) == 1.0


def test_perfect_scores_stay_finite():
    labels = np.arange(N) % 2
    outputs = (40.0 * labels - 20)[:, np.newaxis, np.newaxis].astype(np.float32)
    temperature = fit_temperature(outputs, labels, np.ones(N))
    assert 0.1 <= temperature < 1
    assert np.isfinite(mean_probabilities([outputs[:, 0] * 1e6], temperature)).all()


@pytest.mark.parametrize("per_network", [True, False])
def test_probabilities_are_those_of_numpy(per_network, monkeypatch):
    monkeypatch.setattr(_calibration, "PER_NETWORK", per_network)
    rng = np.random.RandomState(0)
    outputs = rng.randn(3, 5, 4).astype(np.float32)
    each = softmax(outputs.astype(float) / (2 if per_network else 1), axis=2)
    ref = each.mean(axis=0)
    if not per_network:
        ref = np.sqrt(ref) / np.sqrt(ref).sum(axis=1, keepdims=True)
    comp = mean_probabilities(iter(outputs), 2.0)
    assert comp.dtype == np.float64
    assert_allclose(comp, ref)


def test_one_output_is_the_second_class():
    outputs = np.array([[[-3.0], [0.0], [50.0]]], np.float32)
    p = expit(outputs[0, :, 0].astype(float))
    assert_allclose(mean_probabilities(outputs), np.c_[1 - p, p], atol=1e-15)
