"""Probabilities from the scores of several networks, and their temperature."""

from collections.abc import Iterable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

# Held-out rows from which a temperature is fitted. Its relative error is about one over
# the root of their number, here 6 %, which is less than what it usually corrects.
CALIBRATION_ROWS = 300

# The temperature is sought between one over this and this.
LARGEST = 10.0

# True: each network's scores are divided by the temperature before probabilities are
# averaged. False: the averaged probabilities are sharpened by it.
PER_NETWORK = True


def class_scores(outputs: np.ndarray) -> np.ndarray:
    """Return a score for each class, float64, from a network's raw outputs.

    The one output of two classes is the score of the second minus that of the first.
    """
    scores = outputs.astype(np.float64)
    if scores.shape[-1] > 1:
        return scores
    return np.concatenate([np.zeros_like(scores), scores], axis=-1)


def mean_probabilities(
    outputs: Iterable[np.ndarray], temperature: float = 1.0
) -> np.ndarray:
    """Return the probabilities of an ensemble, (n, n_classes) float64.

    Parameters
    ----------
    outputs : iterable of (n, n_outputs) arrays
        Raw outputs of each network.
    temperature : float, default=1.0
        Above 1 it draws probabilities together.
    """
    own, of_mean = (temperature, 1.0) if PER_NETWORK else (1.0, temperature)
    total, n_networks = np.zeros(()), 0
    for each in outputs:
        total = total + softmax(class_scores(each) / own, axis=1)
        n_networks += 1
    p = total / n_networks
    if of_mean != 1.0:
        p **= 1 / of_mean
        p /= p.sum(axis=1, keepdims=True)
    return p


def fit_temperature(
    outputs: np.ndarray, labels: np.ndarray, weight: np.ndarray
) -> float:
    """Return the temperature with the least log-loss on held-out rows.

    1 if there are too few rows.

    Parameters
    ----------
    outputs : (n, n_networks, n_outputs) array
        Raw outputs.
    labels : (n,) int array
        Class indices.
    weight : (n,) array
    """
    if np.count_nonzero(weight) < CALIBRATION_ROWS:
        return 1.0
    scores = class_scores(outputs)

    def loss(log_temperature):
        log_p = log_softmax(scores / np.exp(log_temperature), axis=-1)
        chosen = log_p[np.arange(len(labels)), :, labels].mean(axis=1)
        return -np.average(chosen, weights=weight)

    bound = np.log(LARGEST)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded")
    return float(np.exp(found.x))
