"""A fit of networks to a table: check, divide the rows, train, predict those held out.

The estimator does not change before training has ended: `learn_table` returns a
`Learned`, as `_learning.learn` does.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from fastmlp.estimators._calibration import fit_temperature
from fastmlp.estimators._checks import hidden_units
from fastmlp.estimators._folds import Split, make_splits
from fastmlp.estimators._intervals import draw_residuals
from fastmlp.estimators._learning import Learned
from fastmlp.estimators._problem import COLUMNS, Given
from fastmlp.estimators._table_model import (
    make_ensemble,
    predicting,
    prediction_attributes,
    without_unread,
)
from fastmlp.estimators._table_problem import TableProblem, check_table
from fastmlp.estimators._table_scores import (
    Reporter,
    metric_of,
    score_of_epochs,
)
from fastmlp.estimators._table_selection import (
    TRIAL_EPOCHS,
    TRIAL_NETWORKS,
    Trial,
    choose_columns,
)
from fastmlp.estimators._targets import Goal, Labels
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import available_cores, predict_outputs
from fastmlp.tables.columns import codes_by_column
from fastmlp.tables.encoding import Selection, selection_of
from fastmlp.tables.ensemble import ATTEMPTS, SLOWER, Ensemble, Part, train_ensemble
from fastmlp.tables.importance import permutation_importances
from fastmlp.tables.member import Member, Task
from fastmlp.tables.recipe import Recipe, make_recipe, shortened
from fastmlp.training.holdout import Holdout, Score, loss_as_score
from fastmlp.training.loop import History, Outcome, Steps, unseen
from fastmlp.training.rows import InMemory, Rows

# Attributes of an earlier fit that end with the next one, which may not set them.
FORGOTTEN = frozenset({"quantiles_", "_residuals", *COLUMNS})

# Takes the number of a network and its epochs; returns `Steps`.
MakeSteps = Callable[[int, int], Steps]


def learn_table(
    estimator: Any,
    given: Given,
    goal_of: Callable[[Any], Goal],
    make_steps: MakeSteps,
) -> Learned:
    """Fit networks to a table.

    Parameters
    ----------
    estimator : estimator
        Its parameters are read.
    given : Given
    goal_of : callable
        Returns the `Goal` of validated y.
    make_steps : MakeSteps
    """
    plan, random_state = plan_table(estimator, given, goal_of, make_steps)
    return finish(plan, train_planned(plan, random_state), random_state)


def plan_table(
    estimator: Any,
    given: Given,
    goal_of: Callable[[Any], Goal],
    make_steps: MakeSteps,
    n_kept: int | None = None,
) -> tuple["Plan", np.random.RandomState]:
    """Return how the networks of a table are trained; see `learn_table`.

    `n_kept` is the `Plan`'s, if it is known.
    """
    problem = check_table(estimator, given, goal_of)
    random_state = check_random_state(estimator.random_state)
    splits = divide(problem, random_state)

    def rows_of(number: int, batch_size: int) -> Rows:
        return InMemory(problem.data, splits[number].trained())

    n_trained = [len(split.trained()) for split in splits]
    plan = plan_networks(problem, splits, n_trained, rows_of, make_steps, n_kept)
    return plan, random_state


class Plan(NamedTuple):
    """How the networks of a problem are trained.

    Parameters
    ----------
    problem : TableProblem
    splits : list of Split
    n_trained : list of int
        Rows that each network trains on.
    recipe : Recipe
    ensemble : Ensemble
        Without parameters.
    task : Task
    parts : list of Part
    steps : list of Steps
        Of each network.
    """

    problem: TableProblem
    splits: list[Split]
    n_trained: list[int]
    recipe: Recipe
    ensemble: Ensemble
    task: Task
    parts: list[Part]
    steps: list[Steps]

    @property
    def n_kept(self) -> int:
        """Columns that each network reads."""
        return len(selection_of(self.ensemble.specs[0].inputs).columns)


def plan_networks(
    problem: TableProblem,
    splits: list[Split],
    n_trained: list[int],
    rows_of: Callable[[int, int], Rows],
    make_steps: MakeSteps,
    n_kept: int | None = None,
) -> Plan:
    """Return the `Plan` of a problem.

    ``rows_of(number, batch_size)`` returns the rows of a network, of which `n_trained`
    has the number. `n_kept` is the plan's, if it is known.
    """
    plan_on = partial(_plan_on, problem, splits, n_trained, rows_of)

    def train(selections: list[Selection]) -> list[Trial] | None:
        return _on_trial(plan_on(selections, unseen, TRIAL_EPOCHS))

    return plan_on(choose_columns(problem, splits, train, n_kept), make_steps)


def _plan_on(
    problem: TableProblem,
    splits: list[Split],
    n_trained: list[int],
    rows_of: Callable[[int, int], Rows],
    selections: list[Selection],
    make_steps: MakeSteps,
    share: float | None = None,
) -> Plan:
    """Return the `Plan` of the first networks, given the columns of each.

    With a `share` the plan is for a trial: nothing is printed, the loss is the score,
    and training takes this share of the usual epochs.
    """
    goal, splits = problem.goal, splits[: len(selections)]
    recipe_on = partial(recipe_of, problem.model, goal, min(n_trained))
    recipe = recipe_on(len(selections[0].columns))
    if share is not None:
        recipe = shortened(recipe, recipe_on(1), share)
    task = Task(*goal.pairing, problem.sample.target.n_outputs)
    ensemble = make_ensemble(
        recipe.hidden_layer_sizes,
        # Scores of classes, since a temperature divides them.
        "identity" if isinstance(goal, Labels) else goal.pairing.out_activation,
        problem.columns,
        task.n_outputs,
        selections,
    )
    parts, steps = make_parts(
        problem, splits, rows_of, ensemble, recipe, make_steps, share is not None
    )
    return Plan(problem, splits, n_trained, recipe, ensemble, task, parts, steps)


def _on_trial(plan: Plan) -> list[Trial] | None:
    """Train TRIAL_NETWORKS networks for each of the plan's; None if one diverges.

    Raises
    ------
    KeyboardInterrupt
        If it ended their training.
    """
    several = plan._replace(
        parts=[part for part in plan.parts for _ in range(TRIAL_NETWORKS)],
        steps=[step for step in plan.steps for _ in range(TRIAL_NETWORKS)],
    )
    # No draw of the user's random state: `n_kept` may be known.
    members = train_planned(several, np.random.RandomState(0))
    outcomes = {member.outcome for member in members}
    if Outcome.INTERRUPTED in outcomes:
        raise KeyboardInterrupt
    if Outcome.DIVERGED in outcomes:
        return None
    trials, n_threads = [], plan.problem.model.n_threads
    for number, part in enumerate(plan.parts):
        holdout = part.make_holdout()
        data = holdout.data.take(holdout.counted())
        outputs = [
            predict_outputs(part.spec, member.parameters, "identity", data.X, n_threads)
            for member in members[number * TRIAL_NETWORKS :][:TRIAL_NETWORKS]
        ]
        trials.append(Trial(outputs, data))
    return trials


def train_planned(
    plan: Plan,
    random_state: np.random.RandomState,
    numbers: Sequence[int] | None = None,
) -> list[Member]:
    """Train the networks of these numbers, all by default."""
    n_threads = plan.problem.model.n_threads
    return train_ensemble(
        plan.task,
        plan.recipe,
        plan.problem.data,
        plan.parts,
        random_state,
        available_cores() if n_threads == -1 else n_threads,
        plan.steps,
        numbers,
    )


def finish(
    plan: Plan, members: list[Member], random_state: np.random.RandomState
) -> Learned:
    """Return the `Learned` of trained networks."""
    problem, splits = plan.problem, plan.splits
    estimator = problem.model
    report(members, estimator, plan.recipe)
    parameters = tuple(member.parameters for member in members)
    ensemble = plan.ensemble._replace(parameters=parameters)
    histories = [member.history for member in members]
    learned = after_training(problem, splits, ensemble, histories)
    holdouts = [part.make_holdout() for part in plan.parts]
    n_passes = sum(
        n * history.n_iter for n, history in zip(plan.n_trained, histories, strict=True)
    )
    codes = codes_by_column(problem.columns)
    rises = permutation_importances(
        ensemble,
        plan.task,
        holdouts,
        list(codes.values()),
        n_passes,
        random_state,
        estimator.n_threads,
    )
    n_features = problem.model.n_features_in_
    learned.attributes.update(importance_attributes(list(codes), rises, n_features))
    predictions = learned.attributes["oof_predictions_"]
    if predictions is not None and not isinstance(problem.goal, Labels):
        residuals = draw_residuals(problem.sample, predictions, random_state)
        learned.attributes["_residuals"] = residuals
    if plan.n_kept < len(problem.columns):
        narrow, columns = without_unread(ensemble, problem.columns)
        learned.attributes.update(_ensemble=narrow, columns_=columns)
    return learned


def divide(problem: TableProblem, random_state: np.random.RandomState) -> list[Split]:
    """Return the rows of each network."""
    n_networks, rows = problem.model.n_networks, problem.rows
    if problem.has_validation:
        held = np.arange(len(problem.validation.y))
        return [Split.of(rows, None, held)] * n_networks
    strata = np.zeros(len(rows))
    if isinstance(problem.goal, Labels):
        strata = problem.sample.target.values[rows, 0]
    return make_splits(rows, problem.place, strata, n_networks, random_state)


def recipe_of(model: Any, goal: Goal, n_rows: int, n_columns: int) -> Recipe:
    """Return the recipe for networks that train on so many rows of so many codes.

    Outputs behind an exponential, also those of 'poisson', change as classes' do.
    """
    hidden, plain = model.hidden_layer_sizes, goal.pairing.out_activation == "identity"
    return make_recipe(
        "regression" if plain else "classification",
        n_rows,
        n_columns,
        hidden_layer_sizes=None if hidden is None else tuple(hidden_units(hidden)),
        learning_rate=model.learning_rate,
        max_epochs=model.max_epochs,
        batch_size=model.batch_size,
    )


def make_parts(
    problem: TableProblem,
    splits: list[Split],
    rows_of: Callable[[int, int], Rows],
    ensemble: Ensemble,
    recipe: Recipe,
    make_steps: MakeSteps,
    on_trial: bool,
) -> tuple[list[Part], list[Steps]]:
    """Return the rows of each network with its score, and the `Steps` of its epochs.

    Networks on trial share a part. A scorer of the user's, which predicts with a model
    of its own, could not serve several at a time.
    """
    parts: list[Part] = []
    steps: list[Steps] = []
    for number, split in enumerate(splits):
        spec = ensemble.specs[number]
        score: Score = loss_as_score
        if not on_trial:
            score = score_of_epochs(problem, split, ensemble._replace(specs=(spec,)))
        own = make_steps(number, recipe.max_epochs)
        if problem.model.verbose and not on_trial:
            own = reporter = Reporter(
                f"network {number + 1}/{len(splits)}",
                metric_of(problem.model, problem.goal),
                recipe.max_epochs,
                score,
                own,
            )
            score = reporter.score
        make_rows = partial(rows_of, number, recipe.batch_size)
        make_holdout = partial(holdout_of, problem, split, score)
        parts.append(Part(spec, split.trained, make_rows, make_holdout))
        steps.append(own)
    return parts, steps


def holdout_of(problem: TableProblem, split: Split, score: Score) -> Holdout:
    """Return the rows that a network is judged on, with its score."""
    return Holdout(problem.validation_data, split.judged(), score)


def report(members: list[Member], model: Any, recipe: Recipe) -> None:
    """Turn the outcomes of the networks into a warning or an error."""
    for number, (_, history, outcome) in enumerate(members):
        if outcome is Outcome.DIVERGED:
            extreme = (
                "" if is_classifier(model) else ", or look for extreme values in y"
            )
            raise ValueError(
                f"Network {number + 1} of {len(members)} diverged, at last with "
                f"learning_rate={recipe.learning_rate * SLOWER ** (ATTEMPTS - 1):g}: "
                f"set a lower learning_rate{extreme}."
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
        warn("Training interrupted by user.")


def after_training(
    problem: TableProblem,
    splits: list[Split],
    ensemble: Ensemble,
    histories: list[History],
) -> Learned:
    """Return the `Learned` of trained networks."""
    validation, n_threads = problem.validation, problem.model.n_threads
    outputs = [
        ensemble.member_outputs(i, validation.codes[split.held()], n_threads)
        for i, split in enumerate(splits)
    ]
    temperature = 1.0
    if isinstance(problem.goal, Labels):
        temperature = temperature_of(problem, splits, outputs)
    attributes = prediction_attributes(problem, ensemble, temperature) | {
        "loss_curve_": [history.loss_curve for history in histories],
        "validation_scores_": [history.validation_scores for history in histories],
        "best_epochs_": [best_epoch(history) for history in histories],
        "oof_predictions_": None,
        "oof_score_": None,
    }
    if not problem.has_validation:
        model = predicting(problem, ensemble, temperature)
        # One network after another: predictions have float64 intermediates.
        predicted = np.concatenate([model._predictions([each]) for each in outputs])
        own = validation.scorer_weight
        attributes["oof_score_"] = model._score_of(
            predicted,
            validation.target.values[held_rows(splits)],
            None if own is None else own[held_rows(splits)],
        )
        every = np.full((len(validation.y), *predicted.shape[1:]), np.nan)
        ends = np.cumsum([len(each) for each in outputs])
        for split, part in zip(splits, np.split(predicted, ends[:-1]), strict=True):
            every[split.held()] = part
        attributes["oof_predictions_"] = every
    return Learned(attributes, forgotten=FORGOTTEN)


def temperature_of(
    problem: TableProblem, splits: list[Split], outputs: list[np.ndarray]
) -> float:
    """Return the temperature, given the outputs of each network for its held rows."""
    validation, n_networks = problem.validation, len(splits)
    if problem.has_validation:
        splits, by_row = splits[:1], np.stack(outputs, axis=1)
    else:
        by_row = np.concatenate(outputs)[:, np.newaxis]
    return fit_temperature(
        by_row,
        validation.target.values[held_rows(splits), 0],
        validation.weight[held_rows(splits)],
        n_networks,
    )


def held_rows(splits: list[Split]) -> np.ndarray:
    """Return the rows that each network has held out, one network after another."""
    return np.concatenate([split.held() for split in splits])


def importance_attributes(
    places: list[int], rises: np.ndarray, n_features: int
) -> dict[str, Any]:
    """Return the importances of all columns, given those at some places."""
    by_network = np.zeros((len(rises), n_features))
    by_network[:, places] = rises
    spread = np.full(by_network.shape[1], np.nan)
    if len(rises) > 1:
        spread = by_network.std(axis=0, ddof=1)
    return {
        "feature_importances_": by_network.mean(axis=0),
        "feature_importances_std_": spread,
    }


def best_epoch(history: History) -> int:
    """Return after how many epochs the score was best, for the last time."""
    scores, best = history.validation_scores, history.best_validation_score
    assert best is not None  # since each epoch has a score
    return len(scores) - scores[::-1].index(best)
