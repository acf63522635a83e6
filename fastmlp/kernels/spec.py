"""A network as a list of operations: widths, activations, inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NamedTuple

from .names import did_you_mean
from .ops import (
    ACTIVATIONS,
    ENCODINGS,
    OPERATIONS,
    Form,
    Numbers,
    Operation,
    numbers_of,
)
from .ops.base import Parameter, packing_rank
from .ops.bfloat16_dense import BFloat16Dense
from .ops.csr import CsrDense
from .ops.dense import Dense
from .ops.dropout import Dropout
from .ops.input_noise import InputNoise
from .ops.inputs import Gather
from .ops.scale import Scale
from .ops.scaled_dense import ScaledDense
from .update.regularisation import Regularisation

# (name, setting) of an activation or operation; the setting is None if it takes none.
Kind = tuple[str, Any]

# Streams of random numbers: noise on the inputs, dropout of them, and from
# _HIDDEN_STREAM on dropout of each hidden layer.
_NOISE_STREAM, _INPUT_STREAM, _HIDDEN_STREAM = 0, 1, 2

# Columns of both x and y from which products in bfloat16 save more than packing takes.
_LEAST_ROUNDED = 32

# Names in other libraries, see `did_you_mean`. Softmax is not for hidden layers.
ACTIVATION_ALIASES = {
    "linear": "identity",
    "none": "identity",
    "sigmoid": "logistic",
    "softmax": "",
}

_IDENTITY: Kind = ("identity", None)


class NetworkSpec(NamedTuple):
    """Widths and operations of a network.

    Parameters
    ----------
    units : tuple of int
        Features, units of each hidden layer, outputs.
    activations : tuple of (name, setting)
        Of each hidden layer, see `layer_activations`.
    inputs : tuple of (name, setting), default=()
        Operations of OPERATIONS and ENCODINGS that the inputs go through first.
    """

    units: tuple[int, ...]
    activations: tuple[Kind, ...]
    inputs: tuple[Kind, ...] = ()


@lru_cache(maxsize=256)
def parameters_of(spec: NetworkSpec) -> tuple[tuple[int | None, Parameter], ...]:
    """Return (layer, parameter) of all parameters, in scikit-learn's packing.

    All weights, all biases, then everything else in the operations' order.
    """
    numbers = numbers_of("float64")
    operations = make_operations(spec, numbers, Form(numbers.storage))
    found = [(op.layer, each) for op in operations for each in op.parameters]
    return tuple(sorted(found, key=lambda entry: packing_rank(entry[1])))


@lru_cache(maxsize=256)
def count_products(spec: NetworkSpec) -> int:
    """Return the multiplications of a row on its way forward."""
    weights = (each for _, each in parameters_of(spec) if each.name == "weights")
    return sum(math.prod(each.shape) for each in weights)


def make_operations(
    spec: NetworkSpec,
    numbers: Numbers,
    form: Form,
    regularisation: Regularisation | None = None,
) -> list[Operation]:
    """Return the operations of a network, new ones.

    Parameters
    ----------
    spec : NetworkSpec
    numbers : Numbers
    form : Form
        Of X.
    regularisation : Regularisation, default=None
        Its noise and dropout are for training. None: there is neither.
    """
    settings = regularisation or Regularisation()
    operations: list[Operation] = []
    n = spec.units[0]
    if not form.multiplied:
        operations.append(Gather(n, form))
    rates = dict(enumerate(settings.dropout))
    if settings.input_noise:
        deviation, seed = settings.input_noise, settings.seed
        operations.append(InputNoise(n, deviation, _NOISE_STREAM, seed))
    if rates.get(0):
        operations.append(Dropout(n, rates[0], _INPUT_STREAM, settings.seed))
    for name, setting in spec.inputs:
        kind = OPERATIONS.get(name) or ENCODINGS[name]
        n_in = operations[-1].n_in if kind.beside else n
        operations.append(kind(n_in, setting, numbers))
        n = operations[-1].n_out
    factors = _factors_behind(operations, numbers, settings)
    for layer, width in enumerate(spec.units[1:]):
        last = layer == len(spec.activations)
        kind = _IDENTITY if last else spec.activations[layer]
        made = _layer(n, width, kind, numbers, None if operations else form, factors)
        factors = None
        rate = rates.get(layer + 1)
        if rate:
            stream = _HIDDEN_STREAM + layer
            made.append(Dropout(width, rate, stream, settings.seed))
        for operation in made:
            operation.layer = layer
        operations += made
        n = width
    return operations


def _factors_behind(operations, numbers, settings):
    """Return trained factors that `ScaledDense` takes over, and mark them so.

    They are last of the inputs' operations, of which no other learns. None if there
    are none, or if `ScaledDense` cannot follow: products are rounded, or
    norms bounded, for which the blocks of one panel must follow each other.
    """
    learning = [op for op in operations if op.parameters]
    if numbers.rounds or settings.max_norm or len(learning) != 1:
        return None
    last = operations[-1]
    if type(last) is not Scale:
        return None
    last.summed_behind = last.in_place = True
    return last


def _layer(n, units, kind, numbers, form, factors):
    """Return the operations of a layer.

    `form` is that of X where it reads X itself, `factors` those before it that it sums.
    """
    name, setting = kind
    own = OPERATIONS.get(name)
    fused, pieces = (kind, 1) if own is None else (_IDENTITY, own.pieces(setting))
    arguments = n, units, fused, numbers, pieces
    if form is not None:
        dense: Dense = CsrDense(form, *arguments)
    elif factors is not None:
        dense = ScaledDense(factors, *arguments)
    elif numbers.rounds and min(n, units) >= _LEAST_ROUNDED:
        dense = BFloat16Dense(*arguments)
    else:
        dense = Dense(*arguments)
    return [dense] if own is None else [dense, own(units, setting, numbers)]


def layer_activations(activation: Any, n_hidden: int) -> tuple[Kind, ...]:
    """Return (name, parameter) of each hidden layer's activation, a tuple of pairs.

    Parameters
    ----------
    activation : str, (str, number) or sequence
        A name of ACTIVATIONS or OPERATIONS, a name with a parameter, or a sequence with
        one of these per hidden layer. The result is a valid argument too.
    n_hidden : int

    Raises
    ------
    TypeError
        If there is no order of the layers, a name is not a string or a parameter not a
        number.
    ValueError
        If a name is not known, takes no parameter or not this one, or a sequence has
        another length than there are hidden layers.
    """
    if isinstance(activation, str):
        return _by_name(activation, n_hidden)
    if _is_setting(activation):
        return (_checked(activation),) * n_hidden
    if isinstance(activation, Mapping | Set):
        raise TypeError(
            f"{activation!r} is neither a name, nor (name, parameter), nor a sequence "
            "with one of these per hidden layer."
        )
    entries = list(activation)
    if len(entries) != n_hidden:
        raise ValueError(
            f"it has {len(entries)} entries, but the number of hidden layers is "
            f"{n_hidden}: give one per hidden layer, or a name without a list for all."
        )
    return tuple(_checked(entry) for entry in entries)


# Cached since every prediction calls it.
@lru_cache(maxsize=256)
def _by_name(name, n_hidden):
    return (_checked(name),) * n_hidden


def _is_setting(activation):
    """Return whether this is a name with its parameter, not two layers' names."""
    return (
        isinstance(activation, tuple)
        and len(activation) == 2
        and isinstance(activation[0], str)
        and not isinstance(activation[1], str | tuple | list)
    )


def _checked(entry):
    """Return (name, parameter) for one layer; the parameter is None without one."""
    name, parameter = entry if _is_setting(entry) else (entry, None)
    if not isinstance(name, str):
        raise TypeError(f"{entry!r} is neither a name nor (name, parameter).")
    name = str(name)
    if name not in ACTIVATIONS and name not in OPERATIONS:
        names = [*ACTIVATIONS, *OPERATIONS]
        hint = did_you_mean(name, names, ACTIVATION_ALIASES)
        raise ValueError(
            f"{name!r} is not known.{hint} There are {', '.join(map(repr, names))}; "
            "fastmlp.register_activation adds others, in each process."
        )
    default, least = _setting_of(name)
    if parameter is None:
        return name, default
    if default is None:
        raise ValueError(f"{name!r} has no parameter, got {parameter!r}.")
    whole = isinstance(default, int)
    kind = Integral if whole else Real
    if isinstance(parameter, bool) or not isinstance(parameter, kind):
        wanted = "an integer" if whole else "a number"
        raise TypeError(
            f"the parameter of {name!r} must be {wanted}, got {parameter!r}."
        )
    if not (math.isfinite(parameter) and parameter >= least):
        raise ValueError(
            f"the parameter of {name!r} must be at least {least} and finite, got "
            f"{parameter!r}."
        )
    return name, type(default)(parameter)


def _setting_of(name):
    """Return the default of a name's parameter, None if it has none, and the least."""
    if name in OPERATIONS:
        return OPERATIONS[name].setting, OPERATIONS[name].least
    row = ACTIVATIONS[name]
    return None if row is None else row.parameter, 0
