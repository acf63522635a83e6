"""Initial parameters that depend on the data, as RealMLP's do."""

import math

import numpy as np

from fastmlp.kernels import (
    OVERREAD,
    WAVE_ROWS,
    NetworkSpec,
    Parameter,
    parameters_of,
    predict_outputs,
)

# Rows on which scores are measured. A spread of 1,000 numbers is known to 2 %.
N_ROWS = 1000

# Rows of which a bias is a mean, see `initial_parameters`.
N_CENTRES = 5

# A unit whose scores vary less has constant inputs; it keeps its weights.
LEAST_SPREAD = 1e-6

# The scores of fewer rows may be nearly equal by chance, which would make weights huge.
FEW_ROWS = 8

# Of fewer rows outputs start with less spread than 1: training on them would not undo
# the rest of a random start (see bench/tables/ablation.md).
ENOUGH_ROWS = 128


def initial_parameters(
    spec: NetworkSpec,
    codes: np.ndarray,
    rows: np.ndarray,
    random_state: np.random.RandomState,
    frequency_spread: float,
) -> np.ndarray:
    """Return initial parameters in scikit-learn's packing, float32.

    Weights are normal, each unit's divided by the standard deviation of its scores over
    the rows. Of few rows that is the one which inputs of mean square 1/2 would have,
    and the scores of outputs have a smaller one. A bias puts the zero of the score at a
    random mean of five rows, so that the bend of each unit is among the data.

    Parameters
    ----------
    spec : NetworkSpec
    codes : (n, n_columns) float32 array
    rows : (n_rows,) int array
        Those to train on.
    random_state : RandomState
    frequency_spread : float
        See `Recipe`.
    """
    sample = codes[random_state.permutation(rows)[:N_ROWS]]
    entries = parameters_of(spec)
    values = [
        _draw(parameter, random_state, frequency_spread) for _, parameter in entries
    ]
    found = {
        (place, parameter.name): value
        for (place, parameter), value in zip(entries, values, strict=True)
    }
    last = len(spec.units) - 2
    for layer in range(last + 1):
        scores = _scores(spec, layer, values, sample)
        weights = found[layer, "weights"]
        spread = _spread(scores, len(weights))
        if layer == last:
            spread *= max(1.0, math.sqrt(ENOUGH_ROWS / len(rows)))
        centres = random_state.randint(len(sample), size=(N_CENTRES, scores.shape[1]))
        shares = random_state.exponential(size=centres.shape)
        shares /= shares.sum(axis=0)
        means = (shares * np.take_along_axis(scores, centres, axis=0)).sum(axis=0)
        weights /= spread
        found[layer, "biases"][:] = -means / spread
    return packed(values)


def _scores(
    spec: NetworkSpec, layer: int, values: list[np.ndarray], codes: np.ndarray
) -> np.ndarray:
    """Return the scores of a layer, whose biases are 0."""
    below = NetworkSpec(spec.units[: layer + 2], spec.activations[:layer], spec.inputs)
    needed = [
        value
        for (place, parameter), value in zip(parameters_of(spec), values, strict=True)
        if place is None
        or place < layer
        or (place == layer and parameter.name in ("weights", "biases"))
    ]
    scores = predict_outputs(below, packed(needed), "identity", codes, 1)
    return scores.astype(np.float64)


def _spread(scores: np.ndarray, n_inputs: int) -> np.ndarray:
    """Return the divisor of each unit's weights."""
    if len(scores) < FEW_ROWS:
        return np.full(scores.shape[1], math.sqrt(n_inputs / 2))
    spread = scores.std(axis=0)
    spread[spread < LEAST_SPREAD] = 1.0
    return spread


def _draw(
    parameter: Parameter, random_state: np.random.RandomState, frequency_spread: float
) -> np.ndarray:
    """Return a parameter before its layer's scores are known."""
    if parameter.name == "biases":
        return np.zeros(parameter.shape)
    if parameter.start is not None:
        return np.full(parameter.shape, parameter.start)
    if parameter.name != "waves":
        return random_state.standard_normal(parameter.shape)
    waves = random_state.uniform(-0.25, 0.25, parameter.shape)
    waves = waves.reshape(-1, WAVE_ROWS, parameter.shape[1])
    waves[:, 0] = random_state.normal(0.0, frequency_spread, waves[:, 0].shape)
    waves[:, 1] = random_state.uniform(-math.pi, math.pi, waves[:, 1].shape)
    return waves.reshape(parameter.shape)


def packed(values: list[np.ndarray]) -> np.ndarray:
    """Return arrays in one float32 vector, with room behind it for kernels."""
    n = sum(value.size for value in values)
    room = np.zeros(n + OVERREAD, np.float32)
    room[:n] = np.concatenate([value.ravel() for value in values])
    return room[:n]
