"""The plan of a fit: blocks checked, the problem, replicas with their rows."""

import copy
import uuid
from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np
from sklearn.base import is_classifier

from fastmlp.cluster.blocks import (
    Facts,
    Reading,
    check_block,
    describe,
    describe_reading,
    encode_block,
)
from fastmlp.cluster.executors import Executor, same
from fastmlp.cluster.replicas import BUFFER_BYTES, Job, Replica, deal_blocks
from fastmlp.cluster.tasks import Limits, Tasks
from fastmlp.estimators._blocks import (
    SORTED,
    check_labels,
    join_chunks,
    split_blocks,
)
from fastmlp.estimators._learning import clipped_batch_size
from fastmlp.estimators._problem import Basis, Given, Problem
from fastmlp.estimators._streams import balanced, goal_of_source, problem_of_blocks
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import NetworkSpec, Optimizer
from fastmlp.network import Network

# Rounds of an epoch where the user sets none; a single replica has nothing to average.
ROUNDS_PER_EPOCH = 4


def check_blocks(
    tasks: Tasks, local: Any, blocks: Sequence[Any]
) -> tuple[list[Any], list[Facts | None]]:
    """Return handles of the validated blocks, and facts about each."""
    classifies = is_classifier(local)
    if isinstance(blocks[0], Reading):
        checked = list(blocks)
        calls: list[tuple] = [
            (describe_reading, local, number, block, classifies)
            for number, block in enumerate(blocks)
        ]
    else:
        checked = [
            tasks.executor.submit(check_block, local, number, block)
            for number, block in enumerate(blocks)
        ]
        calls = [
            (describe, block, number, classifies)
            for number, block in enumerate(checked)
        ]
    facts = tasks.results(calls)
    if not any(facts):
        raise ValueError(
            "Found array with 0 sample(s) in all partitions while a minimum of 1 is "
            f"required by {type(local).__name__}."
        )
    return checked, facts


def make_problem(basis: Basis, given: Given, facts: Facts, classes: Any) -> Problem:
    """Return the `Problem` of a fit whose rows are elsewhere."""
    if facts.weight == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if basis.anew:
        state = vars(basis.model)
        state["n_features_in_"] = facts.n_features
        state.pop("feature_names_in_", None)
        if facts.names is not None:
            state["feature_names_in_"] = np.array(facts.names, dtype=object)
    targets = facts.targets.summary()
    goal = goal_of_source(basis.model, classes, targets, facts.example_y)
    check_labels(goal, targets.classes)
    return problem_of_blocks(
        basis,
        given,
        balanced(goal, targets),
        facts.example_y,
        facts.n_features,
        facts.dtype,
    )


def hold_out_blocks(
    filled: set[int], fraction: float, random_state: np.random.RandomState
) -> set[int]:
    """Return the blocks that early stopping holds out, a share of those with rows."""
    blocks = np.array(sorted(filled))
    _, held = split_blocks(blocks, fraction, random_state, "partitions")
    return {*held.tolist()}


def collect(tasks: Tasks, local: Any, checked: list[Any], held: set[int]) -> Given:
    """Return the rows of some blocks as those to validate on."""
    rows = tasks.results(
        [
            (check_block, local, i, checked[i])
            if isinstance(checked[i], Reading)
            else (same, checked[i])
            for i in sorted(held)
        ]
    )
    return Given(None, None, None, *join_chunks([each[:3] for each in rows]))


def warn_if_sorted(facts: Facts) -> None:
    """Warn if y differs more between partitions than in shuffled rows."""
    between = facts.targets.summary().between
    if between > SORTED:
        warn(
            f"{between:.0%} of the variance of y lies between partitions, as in rows "
            "sorted by y: each replica trains on one kind of rows. Shuffle the rows "
            "first, for example by a frame's sort_values of a random column.",
        )


def count_replicas(
    estimator: Any, limits: Limits, n_blocks: int, executor: Executor
) -> int:
    """Return the number of replicas; `n_blocks` have rows to train on."""
    if limits.n_replicas is None:
        earlier = getattr(estimator, "n_replicas_", None)
        return min(n_blocks, earlier or max(1, len(executor.workers())))
    if limits.n_replicas > n_blocks:
        raise ValueError(
            f"n_replicas={limits.n_replicas} needs as many partitions with rows, but "
            f"there are {n_blocks}: repartition X and y, or choose fewer replicas."
        )
    return limits.n_replicas


def make_replicas(
    block_rows: Sequence[int], n_replicas: int, random_state: np.random.RandomState
) -> list[Replica]:
    """Return the replicas with their rows and random numbers.

    A single one draws the numbers that `fit` would draw.
    """
    states = [copy.deepcopy(random_state)]
    if n_replicas > 1:
        seeds = random_state.randint(np.iinfo(np.int32).max, size=n_replicas)
        states = [np.random.RandomState(seed) for seed in seeds]
    dealt = deal_blocks(block_rows, n_replicas)
    return [
        Replica(number, blocks, tuple(block_rows[i] for i in blocks), state)
        for number, (blocks, state) in enumerate(zip(dealt, states, strict=True))
    ]


def make_job(
    problem: Problem,
    local: Any,
    network: Network,
    facts: Facts,
    n_rows: int,
    replicas: Sequence[Replica],
    limits: Limits,
) -> Job:
    """Return the `Job` of a fit; `Rounds` sets its optimizer."""
    batch_size = clipped_batch_size(problem.model.batch_size, n_rows)
    n_steps = max(replica.count_steps(batch_size) for replica in replicas)
    n_rounds = limits.rounds_per_epoch
    if n_rounds is None:
        n_rounds = ROUNDS_PER_EPOCH if len(replicas) > 1 else 1
    row_bytes = facts.n_features * facts.dtype.itemsize
    return Job(
        token=uuid.uuid4().hex,
        model=local,
        goal=problem.goal,
        class_weights=problem.class_weights,
        spec=network.spec,
        dtype=network.dtype,
        batch_size=batch_size,
        optimizer=Optimizer("gradient", learning_rate=0.0),
        regularisation=problem.regularisation,
        n_rounds=min(n_rounds, n_steps),
        buffer_rows=limits.buffer_rows or max(1, BUFFER_BYTES // row_bytes),
        weight=facts.weight,
    )


def fingerprint(
    local: Any,
    facts: Facts,
    block_rows: Sequence[int],
    spec: NetworkSpec,
    n_replicas: int,
    limits: Limits,
) -> str:
    """Return a hash that a fit and one that goes on from its checkpoint share.

    It covers nothing that is drawn: without a seed the two draw other numbers.
    """
    params = local.get_params()
    for name in ("n_threads", "verbose"):
        del params[name]
    described = facts.n_features, facts.names, spec, block_rows
    divided = n_replicas, limits.rounds_per_epoch, limits.buffer_rows
    return joblib.hash((sorted(params.items()), described, divided))


def encode_blocks(
    tasks: Tasks,
    problem: Problem,
    network: Network,
    replicas: Sequence[Replica],
    checked: Sequence[Any],
) -> list[list[Any]]:
    """Return handles of each replica's blocks as the network reads them.

    They are encoded on the workers that the replicas prefer. A `Reading` stays one.
    """
    dealt = [[checked[i] for i in replica.blocks] for replica in replicas]
    tasks.place(replicas, dealt)
    if isinstance(checked[0], Reading):
        return dealt
    settings = problem.goal, network.dtype, problem.class_weights
    return [
        [
            tasks.executor.submit(encode_block, each, *settings, home=home)
            for each in handles
        ]
        for home, handles in zip(tasks.homes, dealt, strict=True)
    ]
