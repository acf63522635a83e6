"""Probabilities from the scores of several networks, and their temperature."""

from collections.abc import Iterable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

# Held-out rows from which a temperature is fitted. On 70 rows it usually raises the
# log-loss of other rows, on 150 it lowers it.
CALIBRATION_ROWS = 150

# Rows whose scores fit into the second-level cache.
BLOCK_ROWS = 4096

# The temperature is sought between one over this and this.
LARGEST_TEMPERATURE = 10.0


def class_scores(outputs: np.ndarray) -> np.ndarray:
    """Return a score for each class, float64, from a network's raw outputs.

    The one output of two classes is the score of the second minus that of the first.
    """
    scores = outputs.astype(np.float64)
    if scores.shape[-1] > 1:
        return scores
    return np.concatenate([np.zeros_like(scores), scores], axis=-1)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the probabilities of finite scores, (n, n_classes).

    The same numbers as SciPy's, which takes twice as long for one row.
    """
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def mean_probabilities(
    outputs: Iterable[np.ndarray], temperature: float = 1.0
) -> np.ndarray:
    """Return the probabilities of an ensemble, (n, n_classes) float64.

    Parameters
    ----------
    outputs : iterable of (n, n_outputs) arrays
        Raw outputs of each network.
    temperature : float, default=1.0
        Divides the scores of each network: above 1 it draws probabilities together.
    """
    total, n_networks = np.zeros(()), 0
    for each in outputs:
        total = total + softmax(class_scores(each) / temperature)
        n_networks += 1
    return total / n_networks


def fit_temperature(
    outputs: np.ndarray, labels: np.ndarray, weight: np.ndarray, n_networks: int
) -> float:
    """Return the temperature of an ensemble, given outputs for held-out rows.

    That with the least log-loss of the mean probabilities of these outputs. 1 if there
    are few rows, and at most 1 if the outputs are of fewer networks than the ensemble
    has: to average more makes probabilities softer by itself.

    Parameters
    ----------
    outputs : (n, n_held_out, n_outputs) array
        Raw outputs, for each row of some networks.
    labels : (n,) int array
        Class indices.
    weight : (n,) array
    n_networks : int
        Of the ensemble.
    """
    if np.count_nonzero(weight) < CALIBRATION_ROWS:
        return 1.0
    log_likelihoods = np.empty(len(labels))

    def loss(log_temperature):
        for start in range(0, len(labels), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            scores = class_scores(outputs[block]) / np.exp(log_temperature)
            log_p = log_softmax(scores, axis=-1)
            log_p = log_p[np.arange(len(log_p)), :, labels[block]]
            log_likelihoods[block] = logsumexp(log_p, axis=1)
        return -np.average(log_likelihoods, weights=weight)

    bound = np.log(LARGEST_TEMPERATURE)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded")
    if outputs.shape[1] < n_networks:
        return float(np.exp(min(found.x, 0.0)))
    return float(np.exp(found.x))
