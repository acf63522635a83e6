"""Which outputs a loss goes with, and the row of the kernels' table that they mean.

A loss for regression joins by its row of that table.
"""

from numbers import Real
from typing import NamedTuple

import numpy as np

from fastmlp._validation import did_you_mean
from fastmlp.kernels import LOSSES

# Output activations of each loss, the one that is taken by itself first.
REGRESSION: dict[str, tuple] = {}
for (_output, _name), _row in LOSSES.items():
    if _row.targets not in ("label", "binary"):
        REGRESSION[_name] = (*REGRESSION.get(_name, ()), _output)

_PROBABILITIES = {
    "binary": "logistic",
    "multilabel": "logistic",
    "multiclass": "softmax",
}

# Output activation of each loss by the kind of y.
CLASSIFICATION = {
    "log_loss": _PROBABILITIES,
    "squared_error": _PROBABILITIES,
    "hinge": dict.fromkeys(_PROBABILITIES, "identity"),
}

# Losses that take a parameter, and what it is if none is given.
DEFAULT_PARAMETERS = {
    name: row.parameter
    for (_, name), row in LOSSES.items()
    if row.parameter is not None
}

# What y may be, by the kernels' LOSSES: what is outside, and how to say so.
DOMAINS = {
    "count": (lambda y: y < 0, "negative", "y >= 0, counts and rates"),
    "positive": (lambda y: y <= 0, "not positive", "y > 0"),
    "share": (lambda y: (y < 0) | (y > 1), "outside [0, 1]", "y from 0 to 1"),
}


class Pairing(NamedTuple):
    """A row of the kernels' table of losses, and what it is told.

    Parameters
    ----------
    out_activation, loss : str
    settings : dict
        Keyword arguments of `kernels._losses.make_settings`.
    """

    out_activation: str
    loss: str
    settings: dict


def pair_classification(loss, out_activation, label_smoothing, kind):
    """Return the `Pairing` for y of a kind.

    Parameters
    ----------
    loss : str
        A key of CLASSIFICATION.
    out_activation : str or None
        None: the one that belongs to the loss and the kind of y.
    label_smoothing : float
    kind : {'binary', 'multilabel', 'multiclass'}

    Raises
    ------
    ValueError
        If the three do not go together.
    """
    if label_smoothing > 0 and loss != "log_loss":
        raise ValueError(
            f"label_smoothing={label_smoothing} needs loss='log_loss', got "
            f"loss={loss!r}: set label_smoothing=0.0 or change the loss."
        )
    paired = CLASSIFICATION[loss][kind]
    if out_activation not in (None, paired):
        pairs = [(name, kinds[kind]) for name, kinds in CLASSIFICATION.items()]
        raise ValueError(_mismatch(loss, out_activation, f"{kind} y", pairs))
    if loss == "hinge" and kind == "multiclass":
        return Pairing(paired, "label_hinge", {})
    return Pairing(paired, loss, {"smoothing": label_smoothing})


def pair_regression(loss, out_activation):
    """Return the `Pairing`.

    Parameters
    ----------
    loss : str or sequence
        A key of REGRESSION, or a pair of one and its parameter.
    out_activation : str or None
        None: the one that the loss is usually paired with.

    Raises
    ------
    ValueError
        If the two do not go together, or the loss's parameter is not valid.
    """
    name, parameter = split_loss(loss)
    allowed = REGRESSION[name]
    if out_activation not in (None, *allowed):
        pairs = [(key, output) for key, row in REGRESSION.items() for output in row]
        raise ValueError(_mismatch(loss, out_activation, "regression", pairs))
    settings = {} if parameter is None else {"parameter": parameter}
    if name == "log_loss":
        settings["soft"] = True
    return Pairing(out_activation or allowed[0], name, settings)


def split_loss(loss):
    """Return the name of a loss and its parameter.

    Parameters
    ----------
    loss : str or sequence
        A key of REGRESSION, or a pair of one and its parameter.

    Returns
    -------
    name : str
    parameter : float, (n_levels,) array or None
        The delta of 'huber', the levels of 'quantile'; None for the others.

    Raises
    ------
    ValueError
        If there is no such loss, or the parameter is not valid.
    """
    if isinstance(loss, str):
        name, parameter = loss, DEFAULT_PARAMETERS.get(loss)
    elif len(loss) == 2 and loss[0] in DEFAULT_PARAMETERS:
        name, parameter = loss
    else:
        known = list(DEFAULT_PARAMETERS)
        hint = did_you_mean(loss[0], known) if len(loss) else ""
        raise ValueError(
            f"loss={loss!r} must be a name or a pair of a name and a parameter, which "
            f"only {known} take: ('huber', 1.0), ('quantile', 0.9) or ('quantile', "
            f"[0.1, 0.5, 0.9]).{hint}"
        )
    if name == "huber":
        return name, _check_delta(parameter)
    if name == "quantile":
        return name, _check_levels(parameter)
    return name, None


def check_domain(values, pairing, given=None):
    """Refuse targets that a loss or an output activation has no meaning for.

    Parameters
    ----------
    values : (n, k) array
    pairing : Pairing
    given : (n, k) array, default=None
        What was converted to `values`; None: nothing was.

    Raises
    ------
    ValueError
        Saying which value does not fit and where it stands.
    """
    kind = LOSSES[pairing.out_activation, pairing.loss].targets
    if kind not in DOMAINS:
        return
    outside, problem, domain = DOMAINS[kind]
    wrong = outside(values)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        first = f"{values[row, column]}"
        if given is not None:
            first = f"{given[row, column]}, {first} in {values.dtype},"
        raise ValueError(
            f"Some values of y are {problem}: loss={pairing.loss!r} with "
            f"out_activation={pairing.out_activation!r} is for {domain}. The first is "
            f"{first} in row {row}, column {column}. Use "
            "loss='squared_error' with out_activation=None, or transform y."
        )


def _check_delta(delta):
    number = isinstance(delta, Real) and not isinstance(delta, bool)
    if not (number and np.isfinite(delta) and delta > 0):
        raise ValueError(
            f"loss=('huber', {delta!r}): delta must be a finite number above 0, the "
            "size of the residuals from which on the loss is linear."
        )
    return float(delta)


def _check_levels(levels):
    try:
        values = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    valid = values.ndim == 1 and values.size and ((values > 0) & (values < 1)).all()
    if not (valid and (np.diff(values) > 0).all()):
        raise ValueError(
            f"loss=('quantile', {levels!r}): the level must be a number between 0 and "
            "1, both excluded, or a list of such in increasing order."
        )
    return values


def _mismatch(loss, out_activation, problem, pairs):
    listed = ", ".join(f"(loss={a!r}, out_activation={b!r})" for a, b in pairs)
    return (
        f"out_activation={out_activation!r} does not go with loss={loss!r} for "
        f"{problem}. The pairs are {listed}; out_activation=None takes the first that "
        "belongs to the loss."
    )
