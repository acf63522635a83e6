"""Every row of the table of losses: NumPy, scikit-learn, central differences."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import hinge_loss
from sklearn.neural_network._base import LOSS_FUNCTIONS

from tests import naive
from tests.kernels_api import (
    FIXED_SETTINGS,
    LOSSES,
    OUTPUTS,
    compile_loss,
    lanes,
    make_settings,
)
from tests.networks import DTYPES, make_targets

N_OUTPUTS = [1, 2, 3, 16, 17, 33]

# The settings that rows are tried with beside their defaults.
SETTINGS = {
    ("softmax", "log_loss"): [{"smoothing": 0.1}, {"smoothing": 0.9}],
    ("logistic", "log_loss"): [{"smoothing": 0.1}, {"soft": True}],
    ("identity", "huber"): [{"parameter": 0.3}, {"parameter": 5.0}],
    ("identity", "quantile"): [{"parameter": 0.1}, {"parameter": 0.99}],
}
CASES = [(key, given) for key in LOSSES for given in [{}, *SETTINGS.get(key, [])]]


def _evaluate(key, z, y, weight=None, **given):
    """Return weighted losses (rows,) and deltas (rows, n_outputs)."""
    dtype = z.dtype.type
    rows, n_outputs = z.shape
    lane, output = lanes(dtype), OUTPUTS[key[0]]
    by_rows = output is not None and output.by_rows
    width = -(-n_outputs // lane) * lane if by_rows else n_outputs
    padded = np.full((rows, width), -np.inf, dtype)
    padded[:, :n_outputs] = z
    y = np.ascontiguousarray(y, dtype)
    weight = np.ones(rows, dtype) if weight is None else weight
    losses, scratch = np.empty(rows), np.empty(rows, dtype)
    settings = make_settings(*key, dtype, n_outputs, **given)
    arrays = (padded, y, weight, losses, scratch)
    places = [array.ctypes.data for array in arrays]
    shape = rows, n_outputs, width
    compile_loss(*key, dtype).ctypes(*places, *shape, settings.ctypes.data)
    return losses, padded[:, :n_outputs]


def _example(key, rows, n_outputs, dtype, scale=2.0, soft=False):
    rng = np.random.default_rng([rows, n_outputs])
    z = scale * rng.standard_normal((rows, n_outputs)).astype(dtype)
    y = make_targets(rng, rows, n_outputs, *key, dtype)
    return z, rng.random(y.shape).astype(dtype) if soft else y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", N_OUTPUTS)
@pytest.mark.parametrize("key, given", CASES)
def test_loss_and_delta_equal_naive(key, given, n_outputs, dtype):
    z, y = _example(key, 9, n_outputs, dtype, soft=given.get("soft", False))
    wide_z, wide_y = z.astype(np.float64), y.astype(np.float64)
    output = naive.ACTIVATIONS[key[0]](wide_z)
    ref = naive.losses_and_deltas(wide_y, output, key[1], key[0], given)
    losses, deltas = _evaluate(key, z, y, **given)
    eps = np.finfo(dtype).eps
    # Each clipped term may differ by eps, as float64 clips later.
    np.testing.assert_allclose(losses, ref[0], rtol=30 * eps, atol=4 * n_outputs * eps)
    np.testing.assert_allclose(deltas, ref[1], rtol=30 * eps, atol=30 * eps)
    assert deltas.dtype == dtype


@pytest.mark.parametrize("n_outputs", N_OUTPUTS)
@pytest.mark.parametrize("key, given", CASES)
def test_delta_is_the_derivative_of_the_loss(key, given, n_outputs):
    z, y = _example(key, 5, n_outputs, np.float64, soft=given.get("soft", False))
    _, deltas = _evaluate(key, z, y, **given)
    # A smoothing that changes no number lifts the bounds.
    unbounded = given if given or key[1] != "log_loss" else {"smoothing": 1e-300}
    h = 1e-5
    for k in range(n_outputs):
        step = h * (np.arange(n_outputs) == k)
        up, _ = _evaluate(key, z + step, y, **unbounded)
        down, _ = _evaluate(key, z - step, y, **unbounded)
        ref = (up - down) / (2 * h)
        # This one reports a mean over outputs and steps along the sum.
        ref *= n_outputs if key == ("identity", "squared_error") else 1
        np.testing.assert_allclose(deltas[:, k], ref, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key, given", CASES)
def test_weights_multiply(key, given, dtype):
    z, y = _example(key, 7, 3, dtype)
    weight = np.array([0, 1, 2, 0.5, 4, 0, 8], dtype)
    losses, deltas = _evaluate(key, z, y, **given)
    comp_losses, comp_deltas = _evaluate(key, z, y, weight, **given)
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
        low, high, _ = make_settings(*key, dtype, z.shape[1])[:FIXED_SETTINGS]
        eps = np.finfo(dtype).eps
        for i, loss in enumerate(losses):
            ref = LOSS_FUNCTIONS[name](one_hot[i : i + 1], output[i : i + 1])
            # scikit-learn rounds 1 - p before the logarithm, unless it is clipped.
            size = abs(float(scores[i]))
            rounding = eps * np.exp(size) if size < high else 0
            bound = 2 * eps * (1 + abs(ref)) + rounding
            assert abs(loss - ref) <= bound, scores[i]
        assert (losses.min(), losses.max()) == (low, high)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key, given", CASES)
def test_nan_score_shows_in_loss_and_delta(key, given, dtype):
    for column in range(3):
        z, y = _example(key, 4, 3, dtype)
        ref_losses, ref_deltas = _evaluate(key, z, y, **given)
        z[1, column] = np.nan
        losses, deltas = _evaluate(key, z, y, **given)
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
def test_soft_log_loss_keeps_small_and_large_losses(dtype):
    """log(sigmoid(z)) would round them to zero, as it does where they are bounded."""
    z = np.array([[6.0], [10.0], [-80.0], [1e6], [-1e6]], dtype)
    y = np.array([[1], [1], [1], [0], [1]], dtype)
    losses, deltas = _evaluate(("logistic", "log_loss"), z, y, soft=True)
    eps = np.finfo(dtype).eps
    wide = np.where(y > 0, -1, 1) * z.astype(np.float64)
    ref = np.logaddexp(0, wide)
    np.testing.assert_allclose(losses, ref[:, 0], rtol=4 * eps)
    np.testing.assert_allclose(deltas, expit(z) - y, rtol=1e-3, atol=2 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", [0.001, 0.25, 0.5, 0.999])
def test_soft_log_loss_of_large_scores_loses_no_digits(target, dtype):
    z = np.array([[-1e4], [-200.0], [200.0], [1e4]], dtype)
    y = np.full((4, 1), target, dtype)
    losses, _ = _evaluate(("logistic", "log_loss"), z, y, soft=True)
    wide_z, wide_y = z.astype(np.float64), y.astype(np.float64)
    ref = np.where(wide_z > 0, wide_z * (1 - wide_y), -wide_z * wide_y)
    np.testing.assert_allclose(losses, ref[:, 0], rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_smoothed_softmax_is_torch_cross_entropy(dtype):
    """(1 - s) of the class's loss and s of the mean of all, unbounded."""
    z = np.array([[0, 1, 2], [300, 0, -300], [-5, 5, 0]], dtype)
    y, s = np.array([[1], [2], [0]], dtype), 0.2
    losses, deltas = _evaluate(("softmax", "log_loss"), z, y, smoothing=s)
    log_p = log_softmax(z.astype(np.float64), axis=1)
    chosen = log_p[np.arange(3), y[:, 0].astype(int)]
    eps = np.finfo(dtype).eps
    ref = -(1 - s) * chosen - s * log_p.mean(axis=1)
    np.testing.assert_allclose(losses, ref, rtol=8 * eps)
    target = (1 - s) * np.eye(3)[y[:, 0].astype(int)] + s / 3
    ref = softmax(z.astype(np.float64), axis=1) - target
    np.testing.assert_allclose(deltas, ref, atol=4 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_smoothed_loss_overflows_only_where_it_does(dtype):
    z = np.zeros((1, 8), dtype)
    z[0, 1] = np.finfo(dtype).max / 4
    losses, _ = _evaluate(
        ("softmax", "log_loss"), z, np.ones((1, 1), dtype), smoothing=0.1
    )
    ref = 0.1 / 8 * 7 * float(z[0, 1])
    np.testing.assert_allclose(losses.astype(float), ref, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_squared_error_keeps_its_small_derivative(dtype):
    """Where the sigmoid rounds to 1 in float32, on the right side and the wrong."""
    z = np.array([[20.0], [20.0], [-20.0], [-20.0], [80.0], [80.0]], dtype)
    y = np.array([[0], [1], [0], [1], [0], [1]], dtype)
    losses, deltas = _evaluate(("logistic", "squared_error"), z, y)
    wide = z.astype(np.float64)
    a, rest = expit(wide), expit(-wide)
    error = np.where(y > 0, -rest, a)
    rtol = 8 * np.finfo(dtype).eps
    # What is below the smallest normal number may vanish.
    tiny = np.finfo(dtype).smallest_normal
    np.testing.assert_allclose(losses, (error**2 / 2)[:, 0], rtol=rtol, atol=tiny)
    np.testing.assert_allclose(deltas, error * a * rest, rtol=rtol, atol=tiny)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_squared_error_where_it_saturates(dtype):
    z = np.array([[30, 0, 0], [0, 30, 0], [500, -500, 0], [-500, 500, 0]], dtype)
    y = np.zeros((4, 1), dtype)
    losses, deltas = _evaluate(("softmax", "squared_error"), z, y)
    np.testing.assert_allclose(losses, [3 * np.exp(-60), 1, 0, 1], rtol=1e-5)
    # On the right side -p_y (r^2 + Q) with r = 2 e^-30; on the wrong one e^-30.
    np.testing.assert_allclose(deltas[0, 0], -6 * np.exp(-60), rtol=1e-5)
    np.testing.assert_allclose(deltas[1, 0], -2 * np.exp(-30), rtol=1e-5)
    np.testing.assert_allclose(deltas[2:], 0, atol=1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "key, given, z, y, ref",
    [
        (("identity", "hinge"), {}, [[1.0, -1.0]], [[1, 0]], [[0, 0]]),
        (("identity", "label_hinge"), {}, [[3.0, 2.0, 0.0]], [[0]], [[0, 0, 0]]),
        (("identity", "label_hinge"), {}, [[2.0, 2.0, 2.0]], [[1]], [[1, -1, 0]]),
        (("identity", "absolute_error"), {}, [[2.0, -1.0]], [[2, -1]], [[0, 0]]),
        (("identity", "quantile"), {}, [[2.0, -1.0]], [[2, -1]], [[0, 0]]),
        (("identity", "huber"), {}, [[1.0, -1.0]], [[0, 0]], [[1, -1]]),
        (("identity", "huber"), {}, [[1.5, -7.0]], [[0, 0]], [[1, -1]]),
    ],
)
def test_derivative_at_kinks(key, given, z, y, ref, dtype):
    _, deltas = _evaluate(key, np.array(z, dtype), np.array(y, dtype), **given)
    np.testing.assert_array_equal(deltas, ref)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key, given", CASES)
@pytest.mark.parametrize("size", [100.0, 1e6])
def test_losses_of_large_scores(size, key, given, dtype):
    """No loss is NaN, none but those that overflow is infinite, no delta is NaN."""
    z = np.array([[size, 0], [-size, 0], [size, -size], [0, size]], dtype)
    y = np.array([[1, 0], [1, 1], [1, 1], [1, 0]], dtype)
    of_label = LOSSES[key].targets == "label"
    with np.errstate(over="ignore"):
        losses, deltas = _evaluate(key, z, y[:, 1:] if of_label else y + 0.0, **given)
    if key[1] == "gamma":
        losses, deltas = _evaluate(key, z, np.ones_like(y), **given)
    assert not np.isnan(losses).any()
    assert not np.isnan(deltas).any()
    if key[0] != "exp":
        assert np.isfinite(losses).all()
        assert np.isfinite(deltas).all()


@pytest.mark.parametrize("n_classes", [3, 5])
def test_label_hinge_is_scikit_learns(n_classes):
    key = ("identity", "label_hinge")
    z, y = _example(key, 50, n_classes, np.float64, scale=1.0)
    losses, _ = _evaluate(key, z, y)
    ref = hinge_loss(y[:, 0].astype(int), z, labels=np.arange(n_classes))
    np.testing.assert_allclose(losses.mean(), ref, rtol=1e-13)


def test_hinge_is_scikit_learns():
    key = ("identity", "hinge")
    z, y = _example(key, 50, 1, np.float64, scale=1.0)
    losses, _ = _evaluate(key, z, y)
    np.testing.assert_allclose(losses.mean(), hinge_loss(y[:, 0], z[:, 0]), rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_output_has_its_own_level(dtype):
    key, levels = ("identity", "quantile"), np.array([0.1, 0.5, 0.75])
    z, y = _example(key, 9, 3, dtype)
    _, deltas = _evaluate(key, z, y, parameter=levels)
    ref = np.where(z > y, 1 - levels, -levels).astype(dtype)
    np.testing.assert_allclose(deltas, ref, rtol=2 * np.finfo(dtype).eps)
    for k, level in enumerate(levels):
        alone = _evaluate(key, z[:, [k]], y[:, [k]], parameter=level)
        np.testing.assert_array_equal(alone[1][:, 0], deltas[:, k])
