"""A fit of networks to a table: check, divide the rows, train, predict those held out.

The estimator does not change before training has ended: `learn_table` returns a
`Learned`, as `_learning.learn` does.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing, check_random_state

from fastmlp.estimators._calibration import fit_temperature
from fastmlp.estimators._checks import hidden_units
from fastmlp.estimators._folds import deal_folds
from fastmlp.estimators._holdout import name_of_scoring, scorer_score
from fastmlp.estimators._learning import Learned
from fastmlp.estimators._problem import COLUMNS, Given, stand_in
from fastmlp.estimators._table_problem import Rows, TableProblem, check_table
from fastmlp.estimators._targets import Goal, Labels
from fastmlp.kernels import Data, Trainer, available_cores
from fastmlp.network.network import blocks_of
from fastmlp.tables.columns import Column
from fastmlp.tables.encoding import operations_on
from fastmlp.tables.ensemble import (
    ATTEMPTS,
    SLOWER,
    Ensemble,
    Part,
    train_ensemble,
)
from fastmlp.tables.initial import packed
from fastmlp.tables.member import Member, Task, network_for
from fastmlp.tables.recipe import Recipe, make_recipe
from fastmlp.training.holdout import Holdout, Score
from fastmlp.training.loop import History, Outcome, Steps

# A single network holds out the first of so many folds.
FOLDS_OF_ONE = 5

# Lines that `verbose` prints for each network.
LINES = 10

# Takes the number of a network and its epochs; returns `Steps`.
MakeSteps = Callable[[int, int], Steps]


class Split(NamedTuple):
    """Who trains on which rows.

    Parameters
    ----------
    n_networks : int
    fold : (n,) int array or None
        The number of the network that holds out a row; one that there is not for rows
        that all networks train on. None if the user gave validation rows.
    of_counted : (n_counted,) int array or None
        That of the rows to train on.
    """

    n_networks: int
    fold: np.ndarray | None
    of_counted: np.ndarray | None


def learn_table(
    estimator: Any,
    given: Given,
    goal_of: Callable[[Any], Goal],
    make_steps: MakeSteps | None,
) -> Learned:
    """Fit networks to a table.

    Parameters
    ----------
    estimator : estimator
        Its parameters are read.
    given : Given
    goal_of : callable
        Returns the `Goal` of validated y.
    make_steps : MakeSteps or None
    """
    problem = check_table(estimator, given, goal_of)
    model, goal = problem.model, problem.goal
    random_state = check_random_state(model.random_state)
    split = split_rows(problem, random_state)
    if split.of_counted is None:
        trained = [problem.rows] * split.n_networks
    else:
        trained = [problem.rows[split.of_counted != i] for i in range(split.n_networks)]
    recipe = recipe_of(model, goal, min(map(len, trained)))
    n_outputs = problem.sample.target.n_outputs
    # Scores of classes, since a temperature divides them.
    of_classes = isinstance(goal, Labels)
    ensemble = make_ensemble(
        recipe.hidden_layer_sizes,
        "identity" if of_classes else goal.pairing.out_activation,
        problem.columns,
        n_outputs,
    )
    parts, steps = [], []
    for number, rows in enumerate(trained):
        data, held, score = held_out(problem, split, number, ensemble)
        inner = make_steps and make_steps(number, recipe.max_epochs)
        if model.verbose:
            inner = reporter = Reporter(
                f"network {number + 1}/{split.n_networks}",
                metric_of(model, goal),
                recipe.max_epochs,
                score,
                inner,
            )
            score = reporter.score
        parts.append(Part(rows, Holdout(data, held, score)))
        steps.append(inner)
    trained_ensemble, members = train_ensemble(
        Task(*goal.pairing, n_outputs),
        recipe,
        inputs_of(problem.columns),
        problem.data,
        parts,
        random_state,
        threads_of(model),
        steps.__getitem__,
    )
    report(members, model, recipe)
    ensemble = ensemble._replace(parameters=trained_ensemble.parameters)
    return _learned(problem, split, ensemble, members)


def split_rows(problem: TableProblem, random_state: np.random.RandomState) -> Split:
    """Return which network holds out which rows."""
    n_networks, n = problem.model.n_networks, len(problem.rows)
    if problem.validation is not None:
        return Split(n_networks, None, None)
    n_networks = min(n_networks, n)
    strata = np.zeros(n)
    if isinstance(problem.goal, Labels):
        strata = problem.sample.target.values[problem.rows, 0]
    n_folds = n_networks if n_networks > 1 else min(FOLDS_OF_ONE, n)
    of_counted = deal_folds(strata, n_folds, random_state)
    return Split(n_networks, of_counted[problem.place], of_counted)


def threads_of(model: Any) -> int | None:
    """Return the number of threads; None: as the networks come and go."""
    return available_cores() if model.n_threads == -1 else model.n_threads


def recipe_of(model: Any, goal: Goal, n_rows: int) -> Recipe:
    """Return the recipe for networks that train on so many rows.

    Outputs behind an exponential, also those of 'poisson', change as classes' do.
    """
    hidden, plain = model.hidden_layer_sizes, goal.pairing.out_activation == "identity"
    return make_recipe(
        "regression" if plain else "classification",
        n_rows,
        hidden_layer_sizes=None if hidden is None else tuple(hidden_units(hidden)),
        learning_rate=model.learning_rate,
        max_epochs=model.max_epochs,
        batch_size=model.batch_size,
    )


def inputs_of(columns: tuple[Column, ...]) -> tuple[tuple[str, Any], ...]:
    """Return the operations on codes; none on the zeros of a table of no columns."""
    return operations_on(columns) if columns else ()


def make_ensemble(
    hidden: tuple[int, ...],
    out_activation: str,
    columns: tuple[Column, ...],
    n_outputs: int,
) -> Ensemble:
    """Return an ensemble without parameters yet."""
    inputs, n_columns = inputs_of(columns), max(1, len(columns))
    spec = network_for(hidden, inputs, n_columns, n_outputs)
    return Ensemble(spec, out_activation, ())


# -- the score of an epoch -------------------------------------------------------------


def held_out(
    problem: TableProblem, split: Split, number: int, ensemble: Ensemble
) -> tuple[Data, np.ndarray | None, Score]:
    """Return the data, the rows and the score by which a network is judged."""
    if problem.validation is not None and problem.validation_data is not None:
        rows, data, sample = None, problem.validation_data, problem.validation
        judged = np.arange(len(sample.y))
    else:
        data, sample = problem.data, problem.sample
        rows = problem.rows[split.of_counted == number]
        judged = np.flatnonzero((split.fold == number) & (sample.weight > 0))
    scoring = problem.model.scoring
    if scoring is None:
        return data, rows, lambda engine, loss: -loss
    return data, rows, _scorer(problem, sample, judged, ensemble)


def _scorer(
    problem: TableProblem, sample: Rows, rows: np.ndarray, ensemble: Ensemble
) -> Score:
    """Return the score named by `scoring` on some rows of a sample."""
    current = packed([np.zeros(blocks_of(ensemble.spec)[1])])
    ensemble = ensemble._replace(parameters=(current,))
    X, weight = _safe_indexing(sample.X, rows), sample.scorer_weight
    model = predicting(problem, ensemble)
    model._known = X, sample.codes[rows]
    return scorer_score(
        model.scoring,
        model,
        current,
        X,
        sample.y[rows],
        None if weight is None else weight[rows],
    )


def metric_of(model: Any, goal: Goal) -> tuple[str, float]:
    """Return the name of an epoch's measure, and its factor in the score."""
    if model.scoring is not None:
        return name_of_scoring(model.scoring), 1.0
    name = goal.pairing.loss.replace("log_loss", "log-loss")
    return name if isinstance(goal, Labels) else f"{name} of scaled y", -1.0


class Reporter:
    """Prints some epochs of a network: a wrapper of its score and its `Steps`.

    Parameters
    ----------
    name : str
        Of the network.
    metric : tuple of str and float
        See `metric_of`.
    n_epochs : int
    score : Score
    steps : Steps or None
    """

    def __init__(
        self,
        name: str,
        metric: tuple[str, float],
        n_epochs: int,
        score: Score,
        steps: Steps | None,
    ) -> None:
        self._name, (self._metric, self._sign) = name, metric
        self._n_epochs, self._score, self._steps = n_epochs, score, steps
        self._scores: list[float] = []

    def score(self, engine: Trainer, loss: float) -> float:
        """Return the score."""
        self._scores.append(self._score(engine, loss))
        return self._scores[-1]

    def begin(self) -> None:
        """Begin an epoch."""
        if self._steps is not None:
            self._steps.begin()

    def end(self, usable: bool = True) -> bool:
        """End an epoch; print it if it is one of those."""
        if usable:
            epoch = len(self._scores)
            if epoch % max(1, self._n_epochs // LINES) == 0 or epoch == self._n_epochs:
                self._print(f"epoch {epoch}/{self._n_epochs}")
        else:
            self._scores = []
            self._print("diverged")
        return self._steps is not None and self._steps.end(usable)

    def _print(self, event):
        line = f"{self._name}, {event}"
        if self._scores:
            last, best = self._sign * self._scores[-1], self._sign * max(self._scores)
            line += f": {self._metric} {last:.4f} (best {best:.4f})"
        # One write, which lines of other threads do not split.
        print(f"{line}\n", end="", flush=True)


def report(members: list[Member], model: Any, recipe: Recipe) -> None:
    """Turn the outcomes of the networks into a warning or an error."""
    for number, (_, history, outcome) in enumerate(members):
        if outcome is Outcome.DIVERGED:
            raise ValueError(
                f"Network {number + 1} of {len(members)} diverged, at last with "
                f"learning_rate={recipe.learning_rate * SLOWER ** (ATTEMPTS - 1):g}: "
                "set a lower learning_rate, or look for extreme values in y."
            )
        if history.never_scored:
            raise ValueError(
                f"The validation score with scoring={model.scoring!r} was "
                f"{history.validation_scores[-1]} in every epoch of network "
                f"{number + 1}, on {history.n_iter} epochs: there is no best epoch. "
                "Choose another scoring, fewer networks, or validation rows that it is "
                "defined for."
            )
    if any(member.outcome is Outcome.INTERRUPTED for member in members):
        warnings.warn("Training interrupted by user.", stacklevel=2)


# -- the fitted attributes -------------------------------------------------------------


def prediction_attributes(
    problem: TableProblem, ensemble: Ensemble, temperature: float = 1.0
) -> dict[str, Any]:
    """Return the attributes that prediction reads."""
    goal, state = problem.goal, vars(problem.model)
    attributes: dict[str, Any] = {
        **{name: state[name] for name in COLUMNS if name in state},
        "columns_": problem.columns,
        "n_outputs_": problem.sample.target.n_outputs,
        "_out_activation": ensemble.out_activation,
        "_hidden": ensemble.spec.units[1:-1],
        "_ensemble": ensemble,
    }
    if isinstance(goal, Labels):
        return attributes | {"classes_": goal.classes, "temperature_": temperature}
    return attributes | goal.attributes | {"_scaling": tuple(problem.scaling or ())}


def predicting(
    problem: TableProblem, ensemble: Ensemble, temperature: float = 1.0
) -> Any:
    """Return an estimator that predicts, and that is not the one to fit."""
    model = stand_in(problem.model)
    vars(model).update(prediction_attributes(problem, ensemble, temperature))
    return model


def held_out_outputs(
    problem: TableProblem, split: Split, ensemble: Ensemble
) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Return rows that networks have not trained on, and these networks' outputs.

    Returns
    -------
    sample : Rows
    rows : (n_held,) int array
        Of the sample.
    outputs : (n_held, n, n_outputs) array
        Of n networks: of the one that held out a row, or of all for the user's rows.
    """
    threads = problem.model.n_threads
    every = range(len(ensemble.parameters))
    if problem.validation is not None:
        sample = problem.validation
        outputs = [ensemble.member_outputs(i, sample.codes, threads) for i in every]
        return sample, np.arange(len(sample.y)), np.stack(outputs, axis=1)
    sample = problem.sample
    held = [np.flatnonzero(split.fold == i) for i in every]
    outputs = [
        ensemble.member_outputs(i, sample.codes[held[i]], threads) for i in every
    ]
    return sample, np.concatenate(held), np.concatenate(outputs)[:, np.newaxis]


def _learned(
    problem: TableProblem, split: Split, ensemble: Ensemble, members: list[Member]
) -> Learned:
    """Return the `Learned` of trained networks."""
    sample, rows, outputs = held_out_outputs(problem, split, ensemble)
    temperature = 1.0
    if isinstance(problem.goal, Labels):
        labels = sample.target.values[rows, 0]
        temperature = fit_temperature(outputs, labels, sample.weight[rows])
    histories = [member.history for member in members]
    attributes = prediction_attributes(problem, ensemble, temperature) | {
        "loss_curve_": [history.loss_curve for history in histories],
        "validation_scores_": [history.validation_scores for history in histories],
        "best_epochs_": [best_epoch(history) for history in histories],
        "oof_predictions_": None,
        "oof_score_": None,
    }
    if problem.validation is None:
        model = predicting(problem, ensemble, temperature)
        predicted = model._predictions([outputs[:, 0]])
        every = np.full((len(sample.y), *predicted.shape[1:]), np.nan)
        every[rows] = predicted
        weight = sample.scorer_weight
        attributes["oof_predictions_"] = every
        attributes["oof_score_"] = model._score_of(
            predicted,
            sample.target.values[rows],
            None if weight is None else weight[rows],
        )
    return Learned(attributes, forgotten=frozenset({"quantiles_", *COLUMNS}))


def best_epoch(history: History) -> int:
    """Return after how many epochs the score was best, for the last time."""
    scores = history.validation_scores
    return max(
        epoch
        for epoch, score in enumerate(scores, start=1)
        if score == history.best_validation_score
    )
