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

N = 4 * CALIBRATION_ROWS


def make_scores(n_classes, sharpness):
    """Return scores that are `sharpness` times those that labels are drawn from."""
    rng = np.random.RandomState(0)
    scores = rng.randn(N, n_classes)
    p = softmax(scores, axis=1)
    labels = np.array([rng.choice(n_classes, p=row) for row in p])
    if n_classes == 2:
        scores = scores[:, 1:] - scores[:, :1]
    return (sharpness * scores[:, np.newaxis]).astype(np.float32), labels


def log_loss(outputs, labels, weight, temperature):
    p = mean_probabilities(outputs.transpose(1, 0, 2), temperature)
    return -np.average(np.log(p[np.arange(len(labels)), labels]), weights=weight)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("n_networks", [1, 2])
def test_the_temperature_has_the_least_log_loss(n_classes, sharpness, n_networks):
    outputs, labels = make_scores(n_classes, sharpness)
    if n_networks > 1:
        noise = np.random.RandomState(2).randn(*outputs.shape)
        outputs = np.concatenate([outputs, outputs + noise], axis=1)
    weight = np.random.RandomState(1).rand(N)
    comp = fit_temperature(outputs, labels, weight, n_networks)
    tried = np.geomspace(0.1, 10, 2001)
    ref = min(tried, key=lambda each: log_loss(outputs, labels, weight, each))
    assert_allclose(comp, ref, rtol=0.01)
    if n_networks == 1:
        assert_allclose(comp, sharpness, rtol=0.3)


@pytest.mark.parametrize("n_networks", [1, 2])
def test_blocks_of_rows_change_nothing(n_networks, monkeypatch):
    outputs, labels = make_scores(3, 4.0)
    outputs = np.repeat(outputs, n_networks, axis=1)
    weight = np.random.RandomState(1).rand(N)
    ref = fit_temperature(outputs, labels, weight, n_networks)
    for size in (1, N - 1, N, N + 1):
        monkeypatch.setattr(_calibration, "BLOCK_ROWS", size)
        assert fit_temperature(outputs, labels, weight, n_networks) == ref


def test_averages_need_no_softening():
    weight = np.ones(N)
    outputs, labels = make_scores(3, 4.0)
    assert fit_temperature(outputs, labels, weight, 1) > 2
    assert fit_temperature(outputs, labels, weight, 5) == 1.0
    outputs, labels = make_scores(3, 0.3)
    single = fit_temperature(outputs, labels, weight, 1)
    assert single < 0.9
    assert fit_temperature(outputs, labels, weight, 5) == single


def test_few_rows_leave_it_at_1():
    outputs, labels = make_scores(2, 4.0)
    counts = (np.arange(N) < CALIBRATION_ROWS - 1).astype(float)
    assert fit_temperature(outputs, labels, counts, 1) == 1.0


def test_perfect_scores_stay_finite():
    labels = np.arange(N) % 2
    outputs = (40.0 * labels - 20)[:, np.newaxis, np.newaxis].astype(np.float32)
    temperature = fit_temperature(outputs, labels, np.ones(N), 1)
    assert 0.1 <= temperature < 1
    assert np.isfinite(mean_probabilities([outputs[:, 0] * 1e6], temperature)).all()


def test_probabilities_are_those_of_numpy():
    outputs = np.random.RandomState(0).randn(3, 5, 4).astype(np.float32)
    ref = softmax(outputs.astype(float) / 2, axis=2).mean(axis=0)
    comp = mean_probabilities(iter(outputs), 2.0)
    assert comp.dtype == np.float64
    assert_allclose(comp, ref)


def test_one_output_is_the_second_class():
    outputs = np.array([[[-3.0], [0.0], [50.0]]], np.float32)
    p = expit(outputs[0, :, 0].astype(float))
    assert_allclose(mean_probabilities(outputs), np.c_[1 - p, p], atol=1e-15)
