"""Random initial weights of a layer; the table INITIALIZERS."""

from collections.abc import Callable

import numpy as np

Variance = Callable[[int, int], float]
# Takes random state, fan_in, fan_out and activation; see `glorot_uniform`.
Draw = Callable[[np.random.RandomState, int, int, str], tuple[np.ndarray, np.ndarray]]


def glorot_uniform(
    random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the weights, then the biases, of one layer, uniform in [-bound, bound].

    bound = sqrt(6 / (fan_in + fan_out)), for the logistic activation
    sqrt(2 / (fan_in + fan_out)); biases are drawn like weights, as in scikit-learn.

    Parameters
    ----------
    random_state : numpy.random.RandomState
    fan_in, fan_out : int
        Units on the two sides of the layer.
    activation : str
        Name of the layer's activation; for the output layer, of the last hidden one's.

    Returns
    -------
    weights : (fan_in, fan_out) float64 array
    biases : (fan_out,) float64 array

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
    neural networks", AISTATS 2010, equation 16.
    """
    factor = 2.0 if activation == "logistic" else 6.0
    bound = np.sqrt(factor / (fan_in + fan_out))
    weights = random_state.uniform(-bound, bound, (fan_in, fan_out))
    biases = random_state.uniform(-bound, bound, fan_out)
    return weights, biases


def normal(variance: Variance) -> Draw:
    """Return a rule that draws weights from N(0, variance); biases are 0.

    Parameters
    ----------
    variance : callable
        Of ``(fan_in, fan_out)``.
    """

    def draw(random_state, fan_in, fan_out, activation):
        spread = np.sqrt(variance(fan_in, fan_out))
        return random_state.normal(0.0, spread, (fan_in, fan_out)), np.zeros(fan_out)

    return draw


def uniform(variance: Variance) -> Draw:
    """Return a rule that draws weights from [-b, b], b² = 3 variance; biases are 0.

    Parameters
    ----------
    variance : callable
        Of ``(fan_in, fan_out)``.
    """

    def draw(random_state, fan_in, fan_out, activation):
        bound = np.sqrt(3.0 * variance(fan_in, fan_out))
        weights = random_state.uniform(-bound, bound, (fan_in, fan_out))
        return weights, np.zeros(fan_out)

    return draw


def lecun(fan_in: int, fan_out: int) -> float:
    """Keep the variance forward through linear units (LeCun et al. 1998)."""
    return 1.0 / fan_in


def glorot(fan_in: int, fan_out: int) -> float:
    """Compromise between both directions for tanh (Glorot & Bengio 2010, eq. 12)."""
    return 2.0 / (fan_in + fan_out)


def glorot_sigmoid(fan_in: int, fan_out: int) -> float:
    """Spread 4 times Glorot's, against the slope of at most 1/4 of the sigmoid."""
    return 32.0 / (fan_in + fan_out)


def he(fan_in: int, fan_out: int) -> float:
    """Keep the second moment forward through ReLU (He et al. 2015, equation 10)."""
    return 2.0 / fan_in


def he_average(fan_in: int, fan_out: int) -> float:
    """Twice Glorot's: He's rule for the average of both directions."""
    return 4.0 / (fan_in + fan_out)


# By name, functions that draw the weights of a layer; `init_scale` multiplies these.
INITIALIZERS: dict[str, Draw] = {
    "glorot_uniform": glorot_uniform,
    "glorot_normal": normal(glorot),
    "glorot_sigmoid_uniform": uniform(glorot_sigmoid),
    "glorot_sigmoid_normal": normal(glorot_sigmoid),
    "he_uniform": uniform(he),
    "he_normal": normal(he),
    "he_average_uniform": uniform(he_average),
    "he_average_normal": normal(he_average),
    "lecun_uniform": uniform(lecun),
    "lecun_normal": normal(lecun),
    "normal": normal(lambda fan_in, fan_out: 1.0),
}

# Other libraries' names, see `did_you_mean`.
INIT_ALIASES = {
    "he": "he_uniform",
    "kaiming": "he_uniform",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
    "glorot": "glorot_uniform",
    "xavier": "glorot_uniform",
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "lecun": "lecun_uniform",
}
