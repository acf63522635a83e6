"""One network of an ensemble: its network, its training, its best epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastmlp.kernels import (
    Data,
    Group,
    NetworkSpec,
    Optimizer,
    Regularisation,
    Trainer,
    parameters_of,
)
from fastmlp.tables.initial import initial_parameters, packed
from fastmlp.tables.recipe import (
    BETA_2,
    PATIENCE_GROWTH,
    RATES,
    Recipe,
    rate_factors,
    restraint_factors,
)
from fastmlp.training.holdout import Holdout
from fastmlp.training.loop import History, Outcome, Settings, Steps, Training
from fastmlp.training.rows import Rows
from fastmlp.training.schedules import Constant, progress

# With a trained share of it (`parametric_mish`) networks are no better, and slower.
ACTIVATION = ("mish", None)


class Task(NamedTuple):
    """The outputs and the loss of a network.

    Parameters
    ----------
    out_activation, loss : str
        A key of the kernels' table of losses.
    loss_settings : dict
    n_outputs : int
    """

    out_activation: str
    loss: str
    loss_settings: dict[str, Any]
    n_outputs: int


class Member(NamedTuple):
    """A trained network.

    Parameters
    ----------
    parameters : (n_parameters,) float32 array
        Of the best epoch.
    history : History
        Losses and scores by epoch.
    outcome : Outcome
    """

    parameters: np.ndarray
    history: History
    outcome: Outcome


@dataclass(frozen=True)
class Annealed(Constant):
    """The recipe's schedule of rate, dropout and decay, step by step.

    Parameters
    ----------
    learning_rate_init : float
    n_epochs : int
    optimizer : Optimizer
        Its dropout and decay are set.
    weight_decay : float
    """

    optimizer: Optimizer
    weight_decay: float

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> np.ndarray:
        """Return the rates of the coming epoch's steps; set dropout and decay."""
        share = progress(epoch, n_steps, self.n_epochs)
        restraints = restraint_factors(share)
        self.optimizer.dropout = restraints
        self.optimizer.weight_decay = self.weight_decay * restraints
        return self.learning_rate_init * rate_factors(share)


def network_for(
    hidden_layer_sizes: tuple[int, ...],
    inputs: tuple[tuple[str, Any], ...],
    n_columns: int,
    n_outputs: int,
) -> NetworkSpec:
    """Return the recipe's network on codes of so many columns."""
    units = (n_columns, *hidden_layer_sizes, n_outputs)
    return NetworkSpec(units, (ACTIVATION,) * len(hidden_layer_sizes), inputs)


def train_member(
    spec: NetworkSpec,
    task: Task,
    recipe: Recipe,
    data: Data,
    some: Callable[[], np.ndarray],
    rows: Rows,
    holdout: Holdout,
    random_state: np.random.RandomState,
    n_threads: int | None,
    steps: Steps,
) -> Member:
    """Train a network on rows of data, and keep its best epoch.

    Parameters
    ----------
    spec : NetworkSpec
    task : Task
    recipe : Recipe
    data : Data
        Of codes, with ``copied=True``.
    some : callable
        Returns rows of `data` to draw initial parameters by, (n,) int array.
    rows : Rows
        To train on.
    holdout : Holdout
        Of rows that are not among them. It scores each epoch.
    random_state : RandomState
    n_threads : int or None
    steps : Steps
    """
    optimizer = Optimizer(
        "adamw",
        learning_rate=recipe.learning_rate,
        beta_2=BETA_2,
        weight_decay=recipe.weight_decay,
    )
    spread = recipe.frequency_spread
    start = initial_parameters(spec, data.X, some(), random_state, spread)
    trainer = _trainer(spec, task, recipe, data, optimizer, random_state, n_threads)
    schedule = Annealed(
        recipe.learning_rate, recipe.max_epochs, optimizer, recipe.weight_decay
    )
    with trainer:
        trainer.load(start)
        training = Training(
            trainer,
            start,
            rows,
            optimizer=optimizer,
            schedule=schedule,
            history=History(),
            settings=Settings(
                alpha=0.0,
                max_epochs=recipe.max_epochs,
                tol=0.0,
                patience=recipe.patience,
                patience_growth=PATIENCE_GROWTH,
                shuffle=True,
                verbose=False,
                ties="last",
            ),
            random_state=random_state,
            holdout=holdout,
        )
        outcome = training.run(steps)
        best = packed([np.zeros_like(start)])
        training.store(best)
    return Member(best, training.history, outcome)


def _trainer(
    spec: NetworkSpec,
    task: Task,
    recipe: Recipe,
    data: Data,
    optimizer: Optimizer,
    random_state: np.random.RandomState,
    n_threads: int | None,
) -> Trainer:
    """Return the trainer of a network; its dropout draws a seed."""
    hidden = recipe.hidden_layer_sizes
    rates = (0.0, *(recipe.dropout,) * len(hidden)) if recipe.dropout else ()
    return Trainer(
        spec,
        task.out_activation,
        task.loss,
        np.float32,
        data.form,
        batch_size=recipe.batch_size,
        loss_settings=task.loss_settings,
        n_threads=n_threads,
        regularisation=Regularisation(dropout=rates).seeded(random_state),
        groups=_groups(spec),
        optimizer=optimizer,
        averaging=recipe.averaging,
        flushes=True,
    )


def _groups(spec: NetworkSpec) -> dict[tuple[int | None, str], Group]:
    """Return how kinds of parameters are trained."""
    groups: dict[tuple[int | None, str], Group] = {
        (None, kind): Group(rate=rate) for kind, rate in RATES.items()
    }
    groups[None, "vectors"] = Group(decay=1.0)
    for layer, parameter in parameters_of(spec):
        if parameter.name == "weights":
            groups[layer, "weights"] = Group(rate=parameter.rows**-0.5, decay=1.0)
    return groups
