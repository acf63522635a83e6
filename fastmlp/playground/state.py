"""The settings of a lesson: data, network and training; their table.

A state travels as JSON, to the page and in its address. Where the estimators have a
parameter for a setting, it has the parameter's name, values and meaning.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from fastmlp.estimators._pairings import CLASSIFICATION_LOSSES, DOMAINS, paired
from fastmlp.kernels import ACTIVATIONS, LOSSES, OPERATIONS, solvers
from fastmlp.network import INITIALIZERS
from fastmlp.playground.datasets import GENERATORS
from fastmlp.playground.features import FEATURES
from fastmlp.training.schedules import SCHEDULES, schedule_of

MOST_LAYERS = 6
MOST_UNITS = 8
MOST_SEED = 2**32 - 1

# The value of `data` for points that were edited or read from a table.
OWN = "own"


@dataclass(frozen=True)
class State:
    """The settings; see `make_fields` for their values.

    Lists are tuples here.
    """

    problem: str = "classification"
    data: str = "circle"
    noise: float = 0.1
    test_share: float = 0.5
    data_seed: int = 0
    n_points: int = 500
    features: tuple[str, ...] = ("x", "y")
    hidden_layer_sizes: tuple[int, ...] = (4, 2)
    activation: tuple[str, ...] = ("tanh", "tanh")
    solver: str = "adam"
    learning_rate_init: float = 0.01
    learning_rate: str = "constant"
    max_iter: int = 500
    loss: str = "log_loss"
    alpha: float = 0.0001
    l1: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    batch_size: int = 10
    init: str = "glorot_uniform"
    random_state: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def changed(self, other: "State") -> set[str]:
        """Return the names of the settings that differ."""
        mine, others = asdict(self), asdict(other)
        return {name for name in mine if mine[name] != others[name]}


class InvalidSetting(ValueError):
    """A setting that is not valid.

    Attributes
    ----------
    field : str
        Its name.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def regression_losses() -> list[str]:
    """Return the losses whose targets may be any numbers."""
    return [
        name
        for name, outputs in paired("regression").items()
        if LOSSES[next(iter(outputs.items()))].targets not in DOMAINS
    ]


def schedules_for(solver: str) -> list[str]:
    """Return the schedules that a solver follows."""
    return [name for name in SCHEDULES if schedule_of(solver, name) == name]


class Field(NamedTuple):
    """The values that a setting may have.

    Parameters
    ----------
    label : str
        Its name for people.
    kind : {'choice', 'number', 'integer', 'list'}
    values : list or None, default=None
        Of a choice, or of an element of a list; of a number the values that a page
        offers, others being valid too.
    minimum, maximum : float or None, default=None
        Of a number, both included, or of the numbers in a list.
    applies : dict or None, default=None
        By the name of another setting, its values with which this one is used.
    values_by : tuple or None, default=None
        The name of another setting, and a function that returns the choices by its
        value.
    lengths : tuple of int or None, default=None
        Least and largest length of a list.
    """

    label: str
    kind: str
    values: Any = None
    minimum: float | None = None
    maximum: float | None = None
    applies: dict[str, list] | None = None
    values_by: tuple[str, Callable[[str], list]] | None = None
    lengths: tuple[int, int] | None = None


# An edge of the page is one weight; maxout has several.
NOT_DRAWN = ("maxout",)


def make_fields() -> dict[str, Field]:
    """Return the table of the settings, with the names that are known now."""
    drawn = {name: [*each, OWN] for name, each in GENERATORS.items()}
    generated = {"data": [name for each in GENERATORS.values() for name in each]}
    by_minibatches = {"solver": [*solvers()]}
    losses = {
        "classification": [*CLASSIFICATION_LOSSES],
        "regression": regression_losses(),
    }
    penalties = [0.0, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]
    rates = [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
    logarithmic = {"problem": ["classification"], "loss": ["log_loss"]}
    return {
        "problem": Field("Problem", "choice", [*GENERATORS]),
        "data": Field(
            "Data", "choice", [*generated["data"], OWN],
            values_by=("problem", drawn.__getitem__),
        ),
        "noise": Field("Noise", "number", None, 0.0, 0.5, generated),
        "test_share": Field("Share of test rows", "number", None, 0.0, 0.9),
        "data_seed": Field("Seed of the data", "integer", None, 0, MOST_SEED),
        "n_points": Field("Points", "integer", None, 10, 2000, generated),
        "features": Field(
            "Features", "list", [*FEATURES], lengths=(1, len(FEATURES))
        ),
        "hidden_layer_sizes": Field(
            "Units of the hidden layers", "list", None, 1, MOST_UNITS,
            lengths=(0, MOST_LAYERS),
        ),
        "activation": Field(
            "Activation", "list",
            [each for each in (*ACTIVATIONS, *OPERATIONS) if each not in NOT_DRAWN],
            lengths=(0, MOST_LAYERS),
        ),
        "solver": Field("Solver", "choice", [*solvers(), "lbfgs"]),
        "learning_rate_init": Field(
            "Learning rate", "number", rates, 1e-6, 1000.0, by_minibatches
        ),
        "learning_rate": Field(
            "Schedule", "choice", [*SCHEDULES], applies=by_minibatches,
            values_by=("solver", schedules_for),
        ),
        "max_iter": Field(
            "Schedule length", "integer", None, 1, 1_000_000,
            {**by_minibatches, "learning_rate": ["cosine", "one_cycle"]},
        ),
        "loss": Field(
            "Loss", "choice", [*dict.fromkeys(chain(*losses.values()))],
            values_by=("problem", losses.__getitem__),
        ),
        "alpha": Field("L2 penalty", "number", penalties, 0.0, 1000.0),
        "l1": Field("L1 penalty", "number", penalties, 0.0, 1000.0),
        "dropout": Field("Dropout", "number", None, 0.0, 0.9, by_minibatches),
        "label_smoothing": Field(
            "Label smoothing", "number", None, 0.0, 0.5, logarithmic
        ),
        "batch_size": Field(
            "Batch size", "integer", None, 1, 5000, by_minibatches
        ),
        "init": Field("Initial weights", "choice", [*INITIALIZERS]),
        "random_state": Field("Seed of the network", "integer", None, 0, MOST_SEED),
    }  # fmt: skip


def options() -> dict[str, dict[str, Any]]:
    """Return the table of the settings as JSON.

    `values_by` is ``{name: {value: choices}}``, `lengths` a pair.
    """
    table = make_fields()
    found = {}
    for name, field in table.items():
        entry = field._asdict()
        if field.values_by is not None:
            other, choices = field.values_by
            entry["values_by"] = {
                other: {value: choices(value) for value in table[other].values}
            }
        found[name] = entry
    return found


def merge(state: State, changes: Any) -> State:
    """Return a state with some settings changed.

    A setting that does not go with the changed ones, and is not among them, is set to
    its first choice; `activation` follows the number of layers.

    Parameters
    ----------
    state : State
    changes : dict
        As JSON has them.

    Raises
    ------
    InvalidSetting
        Naming the first that is not valid.
    """
    if not isinstance(changes, dict):
        raise InvalidSetting("state", "The state must be an object.")
    table = make_fields()
    for name in changes:
        if name not in table:
            raise InvalidSetting(name, f"There is no setting {name!r}.")
    checked = {name: check(name, table[name], value) for name, value in changes.items()}
    state = replace(state, **checked)
    if len({*state.features}) < len(state.features):
        raise InvalidSetting("features", "Features: each may be there only once.")
    for name, field in table.items():
        if field.values_by is None:
            continue
        other, choices = field.values_by
        valid, value = choices(getattr(state, other)), getattr(state, name)
        if value in valid:
            continue
        if name in changes:
            raise InvalidSetting(
                name,
                f"{field.label} {value!r} does not go with {other} "
                f"{getattr(state, other)!r}: choose one of {', '.join(valid)}.",
            )
        state = replace(state, **{name: valid[0]})
    return _with_activations(state, "activation" in changes)


def _with_activations(state, given):
    """Return a state with an activation per hidden layer."""
    n, names = len(state.hidden_layer_sizes), state.activation
    if len(names) == n:
        return state
    if given:
        raise InvalidSetting(
            "activation",
            f"There are {n} hidden layers and {len(names)} activations: one for each "
            "is needed.",
        )
    last = names[-1] if names else "tanh"
    return replace(state, activation=(*names, *[last] * n)[:n])


def check(name: str, field: Field, value: Any) -> Any:
    """Return a setting from JSON as a `State` holds it.

    Raises
    ------
    InvalidSetting
        If it is not valid.
    """
    if field.kind != "list":
        return _element(name, field, value)
    low, high = field.lengths or (0, 0)
    if not isinstance(value, list) or not low <= len(value) <= high:
        raise InvalidSetting(
            name, f"{field.label}: a list of {low} to {high} entries is needed."
        )
    return tuple(_element(name, field, each) for each in value)


def _element(name, field, value):
    if field.kind == "choice" or (field.kind == "list" and field.values is not None):
        if not isinstance(value, str) or value not in field.values:
            raise InvalidSetting(
                name,
                f"{field.label} {value!r} is not known: choose one of "
                f"{', '.join(field.values)}.",
            )
        return value
    whole = field.kind != "number"
    # JSON's true is an int to Python.
    valid = isinstance(value, int if whole else int | float)
    if (
        not valid
        or isinstance(value, bool)
        or not field.minimum <= value <= field.maximum
    ):
        raise InvalidSetting(
            name,
            f"{field.label} must be {'an integer' if whole else 'a number'} from "
            f"{field.minimum:g} to {field.maximum:g}, got {value!r}.",
        )
    return int(value) if whole else float(value)
