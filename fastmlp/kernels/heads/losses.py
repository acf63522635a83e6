"""Per-sample losses and their derivative in the raw score; the table LOSSES.

Each function takes C-contiguous arrays flattened to one dimension and works in place:

z : (rows * width,) raw scores; overwritten with the derivative of the weighted loss
    in them. width is n_outputs, or for outputs that are worked on by rows (see OUTPUTS)
    that rounded up to whole vectors, where the padding is -inf.
y : (rows * columns,) targets: class indices (columns = 1) for losses of a label, one
    column per output elsewhere; see `Loss`.
w : (rows,) sample weights.
loss_out : (rows,) float64 weighted loss of each sample, overwritten.
scratch : (rows,) overwritten.
n_outputs : int
settings : (FIXED_SETTINGS + n_outputs,) float64 array of `make_settings`: low and high,
    the bounds of one term of a log-loss (infinite ones leave it as it is); the
    smoothing of the targets; the loss's own parameter for each output.

Where a loss has a kink its derivative there is 0. A score that is NaN makes loss and
derivative NaN.

A log-loss is taken in float64 of probabilities in the dtype of z, as scikit-learn's is:
where all rows cost the same, as on a plateau, differences vanish in float32 and a line
search cannot compare.

To add a loss, write such a function and its row of LOSSES, from which the estimators
take the names of losses and the kinds of y that these accept::

    LOSSES["identity", "fourth_power"] = Loss(_fourth_power)

is ``MLPRegressor(loss="fourth_power")``, with `targets` "label" or "binary" a loss of
`MLPClassifier`; see `Loss`. In the tests it needs a formula in LOSSES of `naive.py`.
"""

import math
from functools import cache
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numba import types

from ..compile.options import callback, compiled_once, jit, own_name
from ..math import functions
from ..simd.llvm import array_at, caller
from ..simd.vectors import normalize_rows, shift_rows
from .outputs import row_width

FIXED_SETTINGS = 3


def _is_number(value):
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _number(value):
    if not _is_number(value):
        raise ValueError("the parameter must be a finite number.")
    return float(value)


def _delta(value):
    if not (_is_number(value) and value > 0):
        raise ValueError(
            "delta must be a finite number above 0, the size of the residuals from "
            "which on the loss is linear."
        )
    return float(value)


def _levels(value):
    try:
        levels = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        levels = np.empty(0)
    valid = levels.ndim == 1 and levels.size and ((levels > 0) & (levels < 1)).all()
    if not (valid and (np.diff(levels) > 0).all()):
        raise ValueError(
            "the level must be a number between 0 and 1, both excluded, or a list of "
            "such in increasing order."
        )
    return tuple(levels.tolist())


class Loss(NamedTuple):
    """One row of the table.

    Parameters
    ----------
    function : jitted function
        See the module's docstring.
    targets : str, default="real"
        Values of y: a class index ("label") or, in each output, 0 or 1 ("binary"), a
        number from 0 to 1 ("share"), at least 0 ("count"), above 0 ("positive"), any
        ("real"). Classifiers take rows of a label where there are several classes,
        otherwise binary ones and those of a share on logistic outputs; regressors take
        all but the first two kinds. Where a loss has several rows for a kind of y, the
        first is taken unless `out_activation` names another.
    logarithmic : bool, default=False
        True: scikit-learn clips the loss's terms. Targets may be smoothed, and those
        of a regressor need not be 0 or 1.
    parameter : float, default=None
        The loss's own parameter, unless a regressor gets a pair of name and parameter.
        None: the loss has none.
    averaged : bool, default=False
        True: the loss is a mean over the outputs, its derivative that of their sum.
    check : function, optional
        ``check(parameter)`` returns the parameter as a float or a tuple of floats, or
        raises ValueError. By default it accepts finite numbers.
    judged_by_r2 : bool, default=False
        True: early stopping of a regressor judges by R² if `scoring` is None. False:
        it judges by the loss. R² is largest at the mean: for a loss that is
        least elsewhere, or weighs errors in another way, it chooses the wrong epoch.
    public_name : str, default=None
        Name of the loss in estimators; None: as in the key. Two rows may share it.
    """

    function: Any
    targets: str = "real"
    logarithmic: bool = False
    parameter: float | None = None
    averaged: bool = False
    check: Any = _number
    judged_by_r2: bool = False
    public_name: str | None = None


@jit
def _clip(x, low, high):
    """Clip to [low, high]; a NaN stays one."""
    above = low if x < low else x
    return high if above > high else above


@jit
def _softmax_log_loss(z, y, w, loss_out, scratch, n_outputs, settings):
    """Cross-entropy of softmax(z): log(sum_k exp(z_k)) - sum_k t_k z_k; softmax(z) - t.

    t_k = (1 - s) (k == y) + s / n_outputs with the smoothing s (Szegedy et al. 2016,
    section 7). The exponentials run over all samples at once, the only part that gains
    from vectors; the logarithm's argument lies in [1, n_outputs]. The largest score
    being 0, no term is negative and nothing cancels.
    """
    real = z.dtype.type
    low, high, smoothing = settings[0], settings[1], real(settings[2])
    share, rest = smoothing / real(n_outputs), real(1) - smoothing
    rows = w.size
    width = z.size // rows
    shift_rows(z, rows, width)
    for i in range(rows):
        loss_out[i] = -z[i * width + np.intp(y[i])]
    if smoothing > 0:
        for i in range(rows):
            smoothed = rest * loss_out[i]
            for k in range(i * width, i * width + n_outputs):
                smoothed -= share * z[k]
            loss_out[i] = smoothed
    for k in range(z.size):
        z[k] = functions.exp(z[k])
    normalize_rows(z, rows, width, w, scratch)
    for i in range(rows):
        loss = loss_out[i] + functions.log(np.float64(scratch[i]))
        loss_out[i] = _clip(loss, low, high) * w[i]
    if smoothing > 0:
        for i in range(rows):
            for k in range(i * width, i * width + n_outputs):
                z[k] -= share * w[i]
    for i in range(rows):
        z[i * width + np.intp(y[i])] -= rest * w[i]


@jit
def _logistic_log_loss(z, y, w, loss_out, scratch, n_outputs, settings):
    """Cross-entropy of sigmoid(z), summed over outputs: log(1 + e^z) - t z; a - t.

    t = (1 - s) y + s / 2 with the smoothing s. With log(1 + e^-|z|) and the part of |z|
    that is not expected nothing cancels. Where the terms are bounded they are taken
    from the probability as it rounds, as scikit-learn does with targets of 0 and 1: for
    a score of 30 to 36 on the wrong side the two differ by up to 1 in 1000.
    """
    real = z.dtype.type
    zero, one = real(0), real(1)
    low, high, smoothing = settings[0], settings[1], real(settings[2])
    bounded = high < np.inf
    half, rest = smoothing / real(2), one - smoothing
    for i in range(w.size):
        loss = 0.0
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            score = z[k]
            a = one / (one + functions.exp(-score))
            target = rest * y[k] + half
            if bounded:
                likely = a if target != zero else one - a
                loss += _clip(-functions.log(np.float64(likely)), low, high)
            else:
                tail = functions.log1p(functions.exp(-abs(score)))
                loss += tail + abs(score) * (one - target if score > zero else target)
            z[k] = (a - target) * w[i]
        loss_out[i] = loss * w[i]


@jit
def _softmax_squared_error(z, y, w, loss_out, scratch, n_outputs, settings):
    """Half the squared error of p = softmax(z): 1/2 sum_k (p_k - (k == y))^2.

    Its derivative through the whole Jacobian, p_j (e_j - sum_k e_k p_k) with the errors
    e, in terms of r = 1 - p_y, the other classes' sum, and Q, that of their squares:
    -p_y (r^2 + Q) for the class, p_j (p_j + p_y r - Q) for the others. Neither r nor
    the derivative for the class loses digits where p_y rounds to 1.
    """
    real = z.dtype.type
    zero, half = real(0), real(0.5)
    rows = w.size
    width = z.size // rows
    shift_rows(z, rows, width)
    for k in range(z.size):
        z[k] = functions.exp(z[k])
    for i in range(rows):
        scratch[i] = 1
    normalize_rows(z, rows, width, scratch, scratch)
    for i in range(rows):
        first, chosen = i * width, i * width + np.intp(y[i])
        p = z[chosen]
        z[chosen] = zero
        others, squares = zero, zero
        for k in range(first, first + n_outputs):
            others += z[k]
            squares += z[k] * z[k]
        for k in range(first, first + n_outputs):
            z[k] = z[k] * (z[k] + (p * others - squares)) * w[i]
        total = others * others + squares
        z[chosen] = -p * total * w[i]
        loss_out[i] = half * total * w[i]


@jit
def _logistic_squared_error(z, y, w, loss_out, scratch, n_outputs, settings):
    """Half the squared error of a = sigmoid(z), summed over outputs; (a - y) a (1 - a).

    The smaller of a and 1 - a is computed, so that neither the error nor the derivative
    loses digits where the other rounds to 1.
    """
    real = z.dtype.type
    zero, half, one = real(0), real(0.5), real(1)
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            small = functions.sigmoid(-abs(z[k]))
            error = (one - y[k]) - small if z[k] > zero else small - y[k]
            loss += error * error
            z[k] = error * (small * (one - small)) * w[i]
        loss_out[i] = half * loss * w[i]


@jit
def _hinge(z, y, w, loss_out, scratch, n_outputs, settings):
    """Hinge loss, summed over outputs: max(0, 1 - t z) with t = 2 y - 1; -t or 0."""
    real = z.dtype.type
    zero, one = real(0), real(1)
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            sign = y[k] + y[k] - one
            missing = one - sign * z[k]
            loss += zero if missing <= zero else missing
            derivative = -sign if missing > zero else zero
            z[k] = (derivative if missing == missing else missing) * w[i]
        loss_out[i] = loss * w[i]


@jit
def _label_hinge(z, y, w, loss_out, scratch, n_outputs, settings):
    """Crammer & Singer's hinge loss (2001): max(0, 1 - (z_y - max_{k != y} z_k)).

    Its derivative is -1 for the class and 1 for the largest other, the first of equals.
    """
    real = z.dtype.type
    zero, one = real(0), real(1)
    for i in range(w.size):
        first, chosen = i * n_outputs, i * n_outputs + np.intp(y[i])
        top, best, nan = real(-np.inf), chosen, zero
        for k in range(first, first + n_outputs):
            if z[k] > top and k != chosen:
                top, best = z[k], k
            nan = nan if z[k] == z[k] else z[k]
        missing = one - (z[chosen] - top) + nan
        # A row that holds a NaN becomes one.
        for k in range(first, first + n_outputs):
            z[k] = nan
        if missing > zero:
            z[best] = w[i]
            z[chosen] = -w[i]
        loss_out[i] = (zero if missing <= zero else missing) * w[i]


@jit
def _squared_error(z, y, w, loss_out, scratch, n_outputs, settings):
    """Half the squared error, averaged over outputs; z - y, which is not.

    scikit-learn reports the average and steps along the gradient of the sum.
    """
    real = z.dtype.type
    zero = real(0)
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            error = z[k] - y[k]
            loss += error * error
            z[k] = error * w[i]
        loss_out[i] = loss * w[i] / real(2 * n_outputs)


@jit
def _absolute_error(z, y, w, loss_out, scratch, n_outputs, settings):
    """Absolute error, summed over outputs: |z - y|; the sign of z - y."""
    real = z.dtype.type
    zero, one = real(0), real(1)
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            error = z[k] - y[k]
            loss += abs(error)
            sign = -one if error < zero else error
            z[k] = (one if error > zero else sign) * w[i]
        loss_out[i] = loss * w[i]


@jit
def _huber(z, y, w, loss_out, scratch, n_outputs, settings):
    """Huber's loss (1964), summed over outputs; e = z - y, clipped to [-delta, delta].

    e^2 / 2 up to |e| = delta and delta (|e| - delta / 2) beyond: c (e - c / 2) with the
    clipped c.
    """
    real = z.dtype.type
    half = real(0.5)
    for i in range(w.size):
        loss = real(0)
        for k in range(n_outputs):
            at = i * n_outputs + k
            delta = real(settings[FIXED_SETTINGS + k])
            error = z[at] - y[at]
            clipped = _clip(error, -delta, delta)
            loss += clipped * (error - half * clipped)
            z[at] = clipped * w[i]
        loss_out[i] = loss * w[i]


@jit
def _quantile(z, y, w, loss_out, scratch, n_outputs, settings):
    """Pinball loss of each output's quantile (Koenker & Bassett 1978), their sum.

    level (y - z) below the target and (1 - level) (z - y) above; -level, 1 - level.
    """
    real = z.dtype.type
    zero, one = real(0), real(1)
    for i in range(w.size):
        loss = zero
        for k in range(n_outputs):
            at = i * n_outputs + k
            level = real(settings[FIXED_SETTINGS + k])
            error = z[at] - y[at]
            derivative = one - level if error > zero else -level
            loss += error * derivative
            z[at] = (error if not abs(error) > zero else derivative) * w[i]
        loss_out[i] = loss * w[i]


@jit
def _poisson(z, y, w, loss_out, scratch, n_outputs, settings):
    """Half the Poisson deviance of exp(z), summed over outputs; exp(z) - y.

    y log(y / e^z) - y + e^z with 0 log 0 = 0.
    """
    zero = z.dtype.type(0)
    for i in range(w.size):
        loss = zero
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            mean = functions.exp(z[k])
            entropy = y[k] * (functions.log(y[k]) - z[k]) if y[k] > 0 else zero
            loss += entropy - y[k] + mean
            z[k] = (mean - y[k]) * w[i]
        loss_out[i] = loss * w[i]


@jit
def _gamma(z, y, w, loss_out, scratch, n_outputs, settings):
    """Half the gamma deviance of exp(z), summed over outputs; 1 - y / exp(z).

    log(e^z / y) + y / e^z - 1: u + (e^-u - 1) with u = z - log(y), y > 0.
    """
    for i in range(w.size):
        loss = z.dtype.type(0)
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            distance = z[k] - functions.log(y[k])
            excess = functions.expm1(-distance)
            loss += distance + excess
            z[k] = -excess * w[i]
        loss_out[i] = loss * w[i]


# Keyed by the output's activation and the loss, which are differentiated as one.
LOSSES = {
    ("softmax", "log_loss"): Loss(_softmax_log_loss, "label", logarithmic=True),
    ("logistic", "log_loss"): Loss(
        _logistic_log_loss, "share", logarithmic=True, judged_by_r2=True
    ),
    ("identity", "squared_error"): Loss(
        _squared_error, averaged=True, judged_by_r2=True
    ),
    ("exp", "poisson"): Loss(_poisson, "count", judged_by_r2=True),
    ("softmax", "squared_error"): Loss(_softmax_squared_error, "label"),
    ("logistic", "squared_error"): Loss(
        _logistic_squared_error, "share", judged_by_r2=True
    ),
    ("identity", "hinge"): Loss(_hinge, "binary"),
    ("identity", "label_hinge"): Loss(_label_hinge, "label", public_name="hinge"),
    ("identity", "absolute_error"): Loss(_absolute_error),
    ("identity", "huber"): Loss(_huber, parameter=1.0, check=_delta),
    ("identity", "quantile"): Loss(_quantile, parameter=0.5, check=_levels),
    ("exp", "gamma"): Loss(_gamma, "positive"),
}

# Names in other libraries, see `did_you_mean`.
LOSS_ALIASES = {
    "mae": "absolute_error",
    "l1": "absolute_error",
    "mean_absolute_error": "absolute_error",
    "mse": "squared_error",
    "rmse": "squared_error",
    "l2": "squared_error",
    "mean_squared_error": "squared_error",
    "smooth_l1": "huber",
    "pinball": "quantile",
    "cross_entropy": "log_loss",
    "crossentropy": "log_loss",
    "binary_crossentropy": "log_loss",
    "categorical_crossentropy": "log_loss",
    "bce": "log_loss",
    "nll": "log_loss",
}


def make_settings(
    out_activation: str,
    name: str,
    dtype: Any,
    n_outputs: int,
    *,
    parameter: Any = None,
    smoothing: float = 0.0,
    soft: bool = False,
) -> np.ndarray:
    """Return the settings of a loss, (FIXED_SETTINGS + n_outputs,) float64.

    Parameters
    ----------
    out_activation, name : str
        A key of LOSSES.
    dtype : float32 or float64
    n_outputs : int
    parameter : float or (n_outputs,) sequence, default=None
        The delta of 'huber', the level of 'quantile', of each output or of all. None:
        the row's own.
    smoothing : float, default=0.0
        Of the targets of a logarithmic loss, in [0, 1).
    soft : bool, default=False
        True: targets of a logistic log-loss may lie between 0 and 1.

    Notes
    -----
    Log-losses are bounded as scikit-learn's clipped probabilities imply: it clips them
    to [eps, 1 - eps] of the dtype before the logarithm, so that a single term lies
    between -log(1 - eps) and -log(eps). It has neither soft nor smoothed targets, and
    losses of these are not bounded.
    """
    row = LOSSES[out_activation, name]
    low, high = -np.inf, np.inf
    if row.logarithmic and smoothing == 0 and not soft:
        low, high = _log_bounds(dtype)
    settings = np.zeros(FIXED_SETTINGS + n_outputs)
    settings[:FIXED_SETTINGS] = low, high, smoothing
    own = row.parameter if parameter is None else parameter
    settings[FIXED_SETTINGS:] = 0.0 if own is None else own
    return settings


@cache
def _log_bounds(dtype):
    eps = float(np.finfo(dtype).eps)
    return -np.log1p(-eps), -np.log(eps)


LOSS = types.void(*[types.intp] * 9)
call_loss = caller(LOSS)


@compiled_once
def compile_loss(out_activation: str, name: str, dtype: type) -> Any:
    """Compile ``loss(z, y, w, loss_out, scratch, rows, n_outputs, width, settings)``.

    All but rows, n_outputs and width are addresses.
    """
    row = LOSSES[out_activation, name]
    function, of_label = row.function, row.targets == "label"

    def loss(z, y, w, loss_out, scratch, rows, n_outputs, width, settings):
        columns = 1 if of_label else n_outputs
        function(
            array_at(z, rows * width, dtype),
            array_at(y, rows * columns, dtype),
            array_at(w, rows, dtype),
            array_at(loss_out, rows, np.float64),
            array_at(scratch, rows, dtype),
            n_outputs,
            array_at(settings, FIXED_SETTINGS + n_outputs, np.float64),
        )

    key = own_name(function, "loss", row.targets, dtype)
    return callback(loss, LOSS, key)


def row_losses(
    names: tuple[str, str],
    scores: np.ndarray,
    y: np.ndarray,
    settings: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """Return the weighted loss of each row of raw scores, (n,) float64.

    Parameters
    ----------
    names : tuple
        A key of LOSSES.
    scores : (n, n_outputs) float array
    y : (n, columns) array of the same dtype, C-contiguous
    settings : array
        As `make_settings` returns.
    weight : (n,) array of the same dtype
    """
    dtype = scores.dtype.type
    n, n_outputs = scores.shape
    width = row_width(names[0], n_outputs, dtype)
    z = np.full((n, width), -np.inf, dtype)
    z[:, :n_outputs] = scores
    losses, scratch = np.empty(n), np.empty(n, dtype)
    arrays = (z, y, weight, losses, scratch)
    places = [array.ctypes.data for array in arrays]
    loss = compile_loss(*names, dtype).ctypes
    loss(*places, n, n_outputs, width, settings.ctypes.data)
    return losses
