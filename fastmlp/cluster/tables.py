"""Networks on folds of a table: each is trained by a task of its own."""

from typing import Any

import numpy as np
from sklearn.base import clone

from fastmlp.cluster.executors import Executor
from fastmlp.cluster.tasks import Limits, Tasks
from fastmlp.data import Chunk
from fastmlp.estimators._learning import publish
from fastmlp.estimators._problem import Given
from fastmlp.estimators._table_learning import Plan, finish, plan_table, train_planned
from fastmlp.tables.ensemble import draw_seeds
from fastmlp.tables.initial import packed
from fastmlp.tables.member import Member
from fastmlp.training.loop import unseen


def fit_networks(
    local: Any, table: Any, validation: Any, executor: Executor, limits: Limits
) -> Any:
    """Fit an estimator for tables; return a fitted copy, see `join_networks`.

    Parameters
    ----------
    local : estimator
        Not fitted; its `random_state` is not None.
    table : handle of Chunk
        The whole table.
    validation : handle of Chunk
        The user's validation rows; their X is None if there are none.
    executor : Executor
    limits : Limits
    """

    def start():
        arguments = executor.scatter(local), table, validation
        n_kept = executor.submit(count_columns, *arguments)
        members = [
            executor.submit(train_network, *arguments, n_kept, number)
            for number in range(local.n_networks)
        ]
        joined = executor.submit(join_networks, *arguments, n_kept, members)
        return [n_kept, *members, joined]

    return Tasks(executor, limits).last(start)


def count_columns(local: Any, table: Chunk, validation: Chunk) -> int:
    """Return how many columns each network reads.

    Networks on trial may decide that: this task trains them once for all tasks.
    """
    return plan_again(local, table, validation, None)[0].n_kept


def plan_again(
    local: Any, table: Chunk, validation: Chunk, n_kept: int | None
) -> tuple[Plan, np.random.RandomState]:
    """Return the result of `plan_table`, which is the same in each task."""
    # A copy, whose random numbers no other task draws.
    local, given = clone(local), Given(*table, *validation)
    return plan_table(local, given, local._goal, unseen, n_kept)


def train_network(
    local: Any, table: Chunk, validation: Chunk, n_kept: int, number: int
) -> Member | None:
    """Train one network on the rows of its folds; None if there are fewer networks."""
    plan, random_state = plan_again(local, table, validation, n_kept)
    if number >= len(plan.parts):
        return None
    (member,) = train_planned(plan, random_state, [number])
    return member


def join_networks(
    local: Any,
    table: Chunk,
    validation: Chunk,
    n_kept: int,
    members: list[Member | None],
) -> Any:
    """Return the estimator fitted with networks that were trained elsewhere.

    Its `random_state` has drawn the numbers that `fit` draws.
    """
    local = clone(local)
    plan, random_state = plan_again(local, table, validation, n_kept)
    # As training does, so that later draws give the same numbers.
    draw_seeds(random_state, len(plan.parts))
    # Kernels need room behind the parameters, which a copy does not have.
    trained = [
        each._replace(parameters=packed([each.parameters]))
        for each in members
        if each is not None
    ]
    publish(local, finish(plan, trained, random_state))
    local.random_state = random_state
    return local
