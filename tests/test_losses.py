"""Every row of the table of losses: NumPy, scikit-learn, central differences."""

import numpy as np
import pytest
from sklearn.neural_network._base import LOSS_FUNCTIONS

from fastmlp.kernels._losses import LOSSES, limits, loss_loop
from fastmlp.kernels._simd import lanes
from tests import naive
from tests.networks import DTYPES, make_targets

N_OUTPUTS = [1, 2, 3, 16, 17, 33]


def _evaluate(key, z, y, weight=None, *, clipped=True):
    """Return weighted losses (rows,) and deltas (rows, n_outputs)."""
    row, dtype = LOSSES[key], z.dtype.type
    rows, n_outputs = z.shape
    lane = lanes(dtype)
    width = -(-n_outputs // lane) * lane if row.by_rows else n_outputs
    padded = np.full((rows, width), -np.inf, dtype)
    padded[:, :n_outputs] = z
    y = np.ascontiguousarray(y, dtype)
    weight = np.ones(rows, dtype) if weight is None else weight
    losses, scratch = np.empty(rows, dtype), np.empty(rows, dtype)
    places = [a.ctypes.data for a in (padded, y, weight, losses, scratch)]
    low, high = limits(row, dtype) if clipped else (-np.inf, np.inf)
    loss_loop(*key, dtype).ctypes(*places, rows, n_outputs, width, low, high)
    return losses, padded[:, :n_outputs]


def _example(key, rows, n_outputs, dtype, scale=2.0):
    rng = np.random.default_rng([rows, n_outputs])
    z = scale * rng.standard_normal((rows, n_outputs)).astype(dtype)
    return z, make_targets(rng, rows, n_outputs, key[0], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", N_OUTPUTS)
@pytest.mark.parametrize("key", LOSSES)
def test_loss_and_delta_equal_naive(key, n_outputs, dtype):
    z, y = _example(key, 9, n_outputs, dtype)
    wide_z, wide_y = z.astype(np.float64), y.astype(np.float64)
    output = naive.ACTIVATIONS[key[0]](wide_z)
    target = naive.target_matrix(wide_y, key[0], n_outputs)
    losses, deltas = _evaluate(key, z, y)
    eps = np.finfo(dtype).eps
    ref = naive.sample_losses(wide_y, output, key[1], key[0])
    # Each clipped term may differ by eps, as float64 clips later.
    np.testing.assert_allclose(losses, ref, rtol=30 * eps, atol=2 * n_outputs * eps)
    np.testing.assert_allclose(deltas, output - target, rtol=30 * eps, atol=30 * eps)
    assert losses.dtype == deltas.dtype == dtype


@pytest.mark.parametrize("n_outputs", N_OUTPUTS)
@pytest.mark.parametrize("key", LOSSES)
def test_delta_is_the_derivative_of_the_loss(key, n_outputs):
    z, y = _example(key, 5, n_outputs, np.float64)
    _, deltas = _evaluate(key, z, y)
    h = 1e-5
    for k in range(n_outputs):
        step = h * (np.arange(n_outputs) == k)
        up, _ = _evaluate(key, z + step, y, clipped=False)
        down, _ = _evaluate(key, z - step, y, clipped=False)
        ref = (up - down) / (2 * h)
        # The squared error reports a mean over outputs and steps along the sum.
        ref *= n_outputs if key[1] == "squared_error" else 1
        np.testing.assert_allclose(deltas[:, k], ref, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key", LOSSES)
def test_weights_multiply(key, dtype):
    z, y = _example(key, 7, 3, dtype)
    weight = np.array([0, 1, 2, 0.5, 4, 0, 8], dtype)
    losses, deltas = _evaluate(key, z, y)
    comp_losses, comp_deltas = _evaluate(key, z, y, weight)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(comp_losses, losses * weight, rtol=4 * eps)
    ref = deltas * weight[:, None]
    np.testing.assert_allclose(comp_deltas, ref, rtol=4 * eps, atol=8 * eps)
    assert (comp_deltas[weight == 0] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key", [key for key in LOSSES if LOSSES[key].logarithmic])
def test_clipped_as_scikit_learn_clips(key, dtype):
    """Scores so large that probabilities round to 0 and 1, and up to there."""
    top = 16 if dtype == np.float32 else 36
    scores = np.array([0, 1, top / 2, top, top + 4, 50, 100, 800], dtype)
    scores = np.concatenate([scores, -scores])
    if key[0] == "softmax":
        z = np.stack([scores, np.zeros_like(scores)], axis=1)
        name = "log_loss"
    else:
        z = scores[:, None]
        name = "binary_log_loss"
    with np.errstate(over="ignore"):
        output = naive.ACTIVATIONS[key[0]](z)
    for label in (0, 1):
        y = np.full((len(z), 1), label, dtype)
        losses, _ = _evaluate(key, z, y)
        one_hot = naive.target_matrix(y, key[0], z.shape[1])
        low, high = limits(LOSSES[key], dtype)
        eps = np.finfo(dtype).eps
        for i, loss in enumerate(losses):
            ref = LOSS_FUNCTIONS[name](one_hot[i : i + 1], output[i : i + 1])
            # scikit-learn rounds 1 - p before the logarithm, unless it is clipped.
            size = abs(float(scores[i]))
            rounding = eps * np.exp(size) if size < high else 0
            bound = 2 * eps * (1 + abs(ref)) + rounding
            assert abs(loss - ref) <= bound, scores[i]
        assert (losses.min(), losses.max()) == (dtype(low), dtype(high))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key", LOSSES)
def test_nan_score_shows_in_loss_and_delta(key, dtype):
    for column in range(3):
        z, y = _example(key, 4, 3, dtype)
        ref_losses, ref_deltas = _evaluate(key, z, y)
        z[1, column] = np.nan
        losses, deltas = _evaluate(key, z, y)
        assert np.isnan(losses[1])
        assert np.isnan(deltas[1, column])
        others = [0, 2, 3]
        np.testing.assert_array_equal(losses[others], ref_losses[others])
        np.testing.assert_array_equal(deltas[others], ref_deltas[others])


@pytest.mark.parametrize("dtype", DTYPES)
def test_poisson_of_zero_counts(dtype):
    z = np.array([[-1.0], [0.0], [2.0]], dtype)
    losses, deltas = _evaluate(("exp", "poisson"), z, np.zeros((3, 1), dtype))
    np.testing.assert_allclose(losses, np.exp(z[:, 0]), rtol=1e-6)
    np.testing.assert_allclose(deltas, np.exp(z), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_loss_keeps_small_losses(dtype):
    """log(sigmoid(z)) would round them to zero, as it does where they are bounded."""
    z = np.array([[6.0], [10.0]], dtype)
    y = np.ones((2, 1), dtype)
    losses, _ = _evaluate(("logistic", "log_loss"), z, y, clipped=False)
    eps = np.finfo(dtype).eps
    ref = np.log1p(np.exp(-z[:, 0].astype(np.float64)))
    np.testing.assert_allclose(losses, ref, rtol=4 * eps)
