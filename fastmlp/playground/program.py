"""The steps of a session, as a Python program that repeats them.

A session records its steps, and `render` writes them down. Both take the same calls in
the same order, so that the program ends with the same weights.
"""

from dataclasses import dataclass, field
from typing import Any

HEAD = """\
import numpy as np

from fastmlp import {name}
from fastmlp.playground import datasets, features
"""

ROWS = """\
X = features.columns(data.points, {features})
X_train, y_train = X[~data.test], data.targets[~data.test]"""

CONTINUED = """\
weights = network.coefs_, network.intercepts_, network.slopes_
{made}
network.coefs_, network.intercepts_, network.slopes_ = weights"""


@dataclass
class Edit:
    """A call of `datasets.edited`: rows by the name of its argument."""

    rows: dict[str, list]

    def __str__(self) -> str:
        given = ", ".join(f"{name}={rows}" for name, rows in self.rows.items())
        return f"data = datasets.edited(data, {given})"


@dataclass
class Made:
    """An estimator is made; with `continued` it starts from the last one's weights.

    `random_state` is an expression.
    """

    parameters: dict[str, Any]
    random_state: str
    continued: bool = False


@dataclass
class Changed:
    """Parameters are set on the estimator."""

    parameters: dict[str, Any]


@dataclass
class Weight:
    """A weight, or with row -1 a bias, is set."""

    layer: int
    row: int
    column: int
    value: float

    def __str__(self) -> str:
        if self.row < 0:
            return f"network.intercepts_[{self.layer}][{self.column}] = {self.value}"
        place = f"[{self.layer}][{self.row}, {self.column}]"
        return f"network.coefs_{place} = {self.value}"


@dataclass
class Trained:
    """Epochs of training, or iterations of L-BFGS, from where it last started."""

    epochs: int


def append(steps: list[Any], step: Any) -> None:
    """Append a step, or unite it with the last one.

    Epochs are added up; of the moves of a point the last one counts.
    """
    last = steps[-1] if steps else None
    match step, last:
        case Trained(epochs), Trained(before):
            steps[-1] = Trained(before + epochs)
        case Edit(rows), Edit(before) if {*rows} == {*before} == {"move"}:
            moved = {row[0]: row for row in (*before["move"], *rows["move"])}
            steps[-1] = Edit({"move": list(moved.values())})
        case _:
            steps.append(step)


@dataclass
class Recorder:
    """The steps of a session since its network was last made.

    Parameters
    ----------
    name : str
        Of the estimator's class.
    data : list of str or Edit
        Statements that make `data`.
    features : list of str
    n_classes : int
        0: regression.
    steps : list of Made, Changed, Weight, Edit, Trained
    """

    name: str
    data: list[Any]
    features: list[str]
    n_classes: int
    steps: list[Any] = field(default_factory=list)

    def render(self) -> str:
        """Return the program."""
        rows = ROWS.format(features=self.features)
        lines = [HEAD.format(name=self.name), *map(str, self.data), rows]
        minimises = trained = False
        last = max(
            (i for i, step in enumerate(self.steps) if isinstance(step, Trained)),
            default=-1,
        )
        for i, step in enumerate(self.steps):
            match step:
                case Made(continued=True) if i > last:
                    # It would not be fitted.
                    pass
                case Made():
                    minimises, trained = step.parameters.get("solver") == "lbfgs", False
                    lines.append(self._made(step))
                case Changed(parameters):
                    lines.append(_call("network.set_params", _texts(parameters)))
                case Edit():
                    lines += [str(step), rows]
                case Trained(iterations) if minimises:
                    settings = f"max_iter={iterations}, warm_start={trained}"
                    lines.append(
                        f"network.set_params({settings}).fit(X_train, y_train)"
                    )
                    trained = True
                case Trained(epochs):
                    lines.append(self._epochs(epochs))
                case _:
                    lines.append(str(step))
        if last >= 0:
            lines.append("print(network.score(X_train, y_train))")
        return "\n".join(lines) + "\n"

    def _made(self, step):
        parameters = _texts(step.parameters) | {"random_state": step.random_state}
        made = f"network = {_call(self.name, parameters)}"
        return CONTINUED.format(made=made) if step.continued else made

    def _epochs(self, epochs):
        classes = f", classes={[*range(self.n_classes)]}" if self.n_classes else ""
        return (
            f"for _ in range({epochs}):\n"
            f"    network.partial_fit(X_train, y_train{classes})"
        )


def _call(name, parameters):
    lines = [f"    {key}={text},\n" for key, text in parameters.items()]
    return f"{name}(\n{''.join(lines)})"


def _texts(parameters):
    return {key: repr(value) for key, value in parameters.items()}
