"""Pairs of a loss and an output activation, read from the kernels' table LOSSES.

They are read anew each time, so that a row may be added to the table at any time.
"""

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from fastmlp.estimators._checks import Names
from fastmlp.kernels import LOSS_ALIASES, LOSSES, did_you_mean

# The kinds of y of a classifier.
CLASSES = ("binary", "multilabel", "multiclass")

# The kinds of y of a loss, by its `targets` in LOSSES; the others are for numbers.
KINDS = {"label": ("multiclass",), "binary": ("binary", "multilabel")}

# By `targets` in LOSSES: a test for values outside, a word for them, and the domain.
DOMAINS = {
    "count": (lambda y: y < 0, "negative", "y >= 0, counts and rates"),
    "positive": (lambda y: y <= 0, "not positive", "y > 0"),
    "share": (lambda y: (y < 0) | (y > 1), "outside [0, 1]", "y from 0 to 1"),
}


class Pairing(NamedTuple):
    """A row of the kernels' table of losses, and its settings.

    Parameters
    ----------
    out_activation, loss : str
    settings : dict
        Keyword arguments of `kernels.heads.losses.make_settings`.
    """

    out_activation: str
    loss: str
    settings: dict

    @property
    def judged_by_r2(self) -> bool:
        """True if R² suits the loss, see `Loss`."""
        return LOSSES[self.out_activation, self.loss].judged_by_r2


def paired(kind: str) -> dict[str, dict]:
    """Return the losses for y of a kind, and the outputs that each may have.

    Parameters
    ----------
    kind : {'binary', 'multilabel', 'multiclass', 'regression'}

    Returns
    -------
    losses : dict of dict
        By public name, then by output activation (the default first), the loss's name
        in LOSSES.
    """
    losses: dict[str, dict] = {}
    for (output, name), row in LOSSES.items():
        kinds = KINDS.get(row.targets, ("regression",))
        if row.targets == "share" and output == "logistic":
            kinds = ("binary", "multilabel", "regression")
        if kind in kinds:
            losses.setdefault(row.public_name or name, {})[output] = name
    return losses


def _outputs_for(*kinds):
    """Return the names of the outputs that y of these kinds may have."""
    every = [outputs for kind in kinds for outputs in paired(kind).values()]
    return dict.fromkeys(output for outputs in every for output in outputs)


CLASSIFICATION_LOSSES = Names(
    lambda: dict.fromkeys(name for kind in CLASSES for name in paired(kind))
)
CLASSIFICATION_OUTPUTS = Names(lambda: _outputs_for(*CLASSES))
REGRESSION_LOSSES = Names(lambda: paired("regression"))
REGRESSION_OUTPUTS = Names(lambda: _outputs_for("regression"))


def pair_classification(
    loss: str, out_activation: str | None, label_smoothing: float, kind: str
) -> Pairing:
    """Return the `Pairing` for y of a kind.

    Parameters
    ----------
    loss : str
        One of CLASSIFICATION_LOSSES.
    out_activation : str or None
        None: the one that belongs to the loss and the kind of y.
    label_smoothing : float
    kind : {'binary', 'multilabel', 'multiclass'}

    Raises
    ------
    ValueError
        If there is no such pair.
    """
    losses = paired(kind)
    if loss not in losses:
        raise ValueError(
            f"loss={loss!r} is not for {kind} y: choose one of {list(losses)}."
        )
    output, name = _choose(loss, out_activation, f"{kind} y", losses)
    smoothing = {"smoothing": label_smoothing} if label_smoothing > 0 else {}
    if smoothing and not LOSSES[output, name].logarithmic:
        smoothed = [
            repr(each)
            for each, outputs in losses.items()
            if any(LOSSES[key].logarithmic for key in outputs.items())
        ]
        raise ValueError(
            f"label_smoothing={label_smoothing} needs loss={' or '.join(smoothed)}, "
            f"got loss={loss!r}: set label_smoothing=0.0 or change the loss."
        )
    return Pairing(output, name, smoothing)


def pair_regression(loss: Any, out_activation: str | None) -> Pairing:
    """Return the `Pairing`.

    Parameters
    ----------
    loss : str or sequence
        One of REGRESSION_LOSSES, or a pair of one and its parameter.
    out_activation : str or None
        None: the one that the loss is usually paired with.

    Raises
    ------
    ValueError
        If there is no such pair, or the loss's parameter is not valid.
    """
    public_name, parameter = split_loss(loss)
    output, name = _choose(
        public_name, out_activation, "regression", paired("regression")
    )
    settings = {} if parameter is None else {"parameter": parameter}
    if LOSSES[output, name].logarithmic:
        settings["soft"] = True
    return Pairing(output, name, settings)


def _choose(loss, out_activation, problem, losses):
    """Return the key in LOSSES of a loss in `losses`, which `paired` returned."""
    outputs = losses[loss]
    output = next(iter(outputs)) if out_activation is None else out_activation
    if output not in outputs:
        pairs = ", ".join(
            f"(loss={name!r}, out_activation={each!r})"
            for name, row in losses.items()
            for each in row
        )
        raise ValueError(
            f"out_activation={out_activation!r} does not go with loss={loss!r} for "
            f"{problem}. The pairs are {pairs}; out_activation=None takes the first "
            "that belongs to the loss."
        )
    return output, outputs[output]


def gives_scores(loss: Any, out_activation: str | None) -> bool:
    """Return whether a classifier's outputs are scores and not probabilities.

    Parameters
    ----------
    loss : object
        Anything but a loss gives False.
    out_activation : str or None
    """
    outputs = {
        output
        for kind in CLASSES
        for name, row in paired(kind).items()
        if name == loss
        for output in row
    }
    if out_activation in outputs:
        outputs = {out_activation}
    return outputs == {"identity"}


def split_loss(loss: Any) -> tuple[str, Any]:
    """Return the name of a loss and its parameter.

    Parameters
    ----------
    loss : str or sequence
        One of REGRESSION_LOSSES, or a pair of one and its parameter.

    Returns
    -------
    name : str
    parameter : float, tuple of float or None
        The delta of 'huber', the levels of 'quantile'; None for losses without.

    Raises
    ------
    ValueError
        If there is no such loss, or the parameter is not valid.
    """
    rows: dict[str, Any] = {
        name: LOSSES[next(iter(outputs.items()))]
        for name, outputs in paired("regression").items()
    }
    known = [name for name, row in rows.items() if row.parameter is not None]
    if isinstance(loss, str):
        name, parameter = loss, rows[loss].parameter
        if parameter is None:
            return name, None
    elif len(loss) == 2 and isinstance(loss[0], str) and loss[0] in known:
        name, parameter = loss
    else:
        hint = did_you_mean(loss[0], known, LOSS_ALIASES) if len(loss) else ""
        if all(isinstance(entry, Integral) for entry in loss):
            hint = f" Did you mean hidden_layer_sizes={loss!r}?"
        raise InvalidParameterError(
            "The 'loss' parameter must be a name or a pair of a name and a parameter, "
            f"which only {known} take: ('huber', 1.0), ('quantile', 0.9) or "
            f"('quantile', [0.1, 0.5, 0.9]). Got {loss!r} instead.{hint}"
        )
    try:
        return name, rows[name].check(parameter)
    except ValueError as error:
        raise ValueError(f"loss=({name!r}, {parameter!r}): {error}") from None


def check_domain(
    values: np.ndarray, pairing: Pairing, given: np.ndarray | None = None
) -> None:
    """Refuse targets outside the domain of a loss or an output activation.

    Parameters
    ----------
    values : (n, k) array
    pairing : Pairing
    given : (n, k) array, default=None
        The targets before conversion to `values`; None: `values` themselves.

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
        used, instead = f"loss={pairing.loss!r}", "loss='squared_error'"
        if pairing.out_activation != next(iter(paired("regression")[pairing.loss])):
            used += f" with out_activation={pairing.out_activation!r}"
            instead += " with out_activation=None"
        raise ValueError(
            f"Some values of y are {problem}: {used} is for {domain}. The first is "
            f"{first} in row {row}, column {column}. Use {instead}, or transform y."
        )
