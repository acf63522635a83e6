"""Initial parameters: scores of spread 1, their zeros among the data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastmlp.kernels import WAVE_ROWS, NetworkSpec, parameters_of, predict_outputs
from fastmlp.tables.columns import Category, Number
from fastmlp.tables.encoding import operations_on
from fastmlp.tables.initial import initial_parameters, packed

COLUMNS = [
    Number("a", 0, 0.0, 1.0, True),
    Number("b", 1, 0.0, 1.0, False),
    Category("c", 2, tuple(range(12)), False),
    Category("d", 3, ("n", "y"), False),
]
SPEC = NetworkSpec((4, 40, 30, 3), (("mish", None),) * 2, operations_on(COLUMNS))


def make(n=500, spread=0.5, seed=0):
    """Return codes and the values of parameters, in their packing."""
    rng = np.random.RandomState(seed)
    codes = np.column_stack(
        [
            rng.randn(n),
            30 * rng.randn(n),
            rng.randint(12, size=n),
            rng.randint(2, size=n),
        ]
    ).astype(np.float32)
    codes[::7, 0] = np.nan
    rows = rng.permutation(n)[: n - 10]
    return codes, rows, initial_parameters(SPEC, codes, rows, rng, spread)


def split(flat):
    """Return the parameters by layer and name."""
    found, at = {}, 0
    for key, parameter in parameters_of(SPEC):
        size = int(np.prod(parameter.shape))
        found[key, parameter.name] = flat[at : at + size].reshape(parameter.shape)
        at += size
    assert at == flat.size
    return found


@pytest.mark.parametrize("n, of_outputs", [(500, 1), (138, 1), (42, 0.5)])
def test_scores_of_each_layer_have_spread_1_around_rows(n, of_outputs):
    codes, rows, flat = make(n)
    values = split(flat)
    for layer in range(3):
        spec = NetworkSpec(
            SPEC.units[: layer + 2], SPEC.activations[:layer], SPEC.inputs
        )
        needed = [values[key, parameter.name] for key, parameter in parameters_of(spec)]
        scores = predict_outputs(spec, packed(needed), "identity", codes[rows], 1)
        assert_allclose(scores.std(axis=0), of_outputs if layer == 2 else 1, rtol=1e-3)
        # Zero is within the scores of every unit.
        assert (scores.min(axis=0) < 0).all()
        assert (scores.max(axis=0) > 0).all()


def test_encodings_start_as_the_recipe_says():
    values = split(make(spread=0.5)[2])
    waves = values[None, "waves"].reshape(-1, WAVE_ROWS, 16)
    assert 0.3 < waves[:, 0].std() < 0.7
    assert np.abs(waves[:, 1]).max() <= np.pi
    assert np.abs(waves[:, 2:]).max() <= 0.25
    assert 0.8 < values[None, "vectors"].std() < 1.2
    assert (values[None, "factors"] == 1).all()


def test_constant_rows_leave_weights_alone():
    codes = np.zeros((20, 4), np.float32)
    rng = np.random.RandomState(0)
    flat = initial_parameters(SPEC, codes, np.arange(20), rng, 0.5)
    assert np.isfinite(flat).all()
    assert 0.5 < split(flat)[0, "weights"].std() < 1.5


def test_the_random_state_decides():
    np.testing.assert_array_equal(make()[2], make()[2])
    assert (make()[2] != make(seed=1)[2]).any()


def test_few_rows_give_no_other_row_a_huge_score():
    codes = make()[0]
    codes[:, 1] /= 30
    for n in range(1, 9):
        rng = np.random.RandomState(n)
        flat = initial_parameters(SPEC, codes, np.arange(n), rng, 0.5)
        scores = predict_outputs(SPEC, flat, "identity", codes, 1)
        assert np.abs(scores).max() < 6
