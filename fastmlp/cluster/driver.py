"""A fit in rounds: plan, train, and go on from a checkpoint.

The driver holds the network. In each round every replica trains on its own rows, and
the driver takes the mean. It knows tasks only by `executors.Executor`; epochs with
their stopping rules are those of `fastmlp.training.loop`.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fastmlp.cluster.blocks import join_facts
from fastmlp.cluster.checkpoints import Checkpoint, Checkpoints, Start
from fastmlp.cluster.executors import Executor
from fastmlp.cluster.plan import (
    check_blocks,
    collect,
    count_replicas,
    encode_blocks,
    fingerprint,
    hold_out_blocks,
    make_job,
    make_problem,
    make_replicas,
    warn_if_sorted,
)
from fastmlp.cluster.rounds import (
    NOTHING_DONE,
    ClusterObjective,
    Driver,
    RoundRows,
    Rounds,
)
from fastmlp.cluster.tasks import Limits, Tasks
from fastmlp.estimators._holdout import judge_on
from fastmlp.estimators._learning import (
    Learned,
    MakeSteps,
    build,
    first_progress,
    minimise,
    train,
)
from fastmlp.estimators._problem import (
    Given,
    Problem,
    Sample,
    check_model,
    stand_in,
    training_sample,
    validation_sample,
)
from fastmlp.network import Network
from fastmlp.training.holdout import Judge
from fastmlp.training.loop import Progress, unseen


def learn_in_rounds(
    estimator: Any,
    local: Any,
    blocks: list[Any],
    executor: Executor,
    limits: Limits,
    given: Given,
    make_steps: MakeSteps = unseen,
    classes: Any = None,
) -> Learned:
    """Fit on blocks of rows; return the `Learned`.

    Parameters
    ----------
    estimator : estimator
        Its parameters and attributes are read.
    local : estimator
        With the same parameters. The workers get it without its scorer.
    blocks : list
        Lists of handles of X, y and weights, or `Reading`. Emptied once the tasks that
        encode them are submitted, so that the workers can free the given rows.
    executor : Executor
    limits : Limits
    given : Given
        Its X and y are None; the validation rows are arrays.
    make_steps : MakeSteps, default=unseen
    classes : array-like, default=None
        All labels. None: those of y.
    """
    tasks = Tasks(executor, limits)
    basis = check_model(
        estimator, incremental=False, own_validation=given.X_val is not None
    )
    # Only the client scores: the scorer need not be picklable.
    sent = stand_in(local)
    sent.scoring = None
    checked, facts_of = check_blocks(tasks, sent, blocks)
    facts = join_facts([each for each in facts_of if each is not None])
    block_rows = [0 if each is None else each.n_rows for each in facts_of]
    problem = make_problem(basis, given, facts, classes)
    random_state = check_random_state(estimator.random_state)
    network = build(problem, random_state)
    filled = {*np.flatnonzero(block_rows).tolist()}
    held: set[int] = set()
    holds_out = estimator.early_stopping and estimator.solver != "lbfgs"
    if holds_out and not given.has_validation:
        held = hold_out_blocks(filled, estimator.validation_fraction, random_state)
    n_replicas = count_replicas(estimator, limits, len(filled - held), executor)
    checkpoints = found = None
    if limits.checkpoint_dir is not None:
        mark = fingerprint(local, facts, block_rows, network.spec, n_replicas, limits)
        checkpoints = Checkpoints(limits.checkpoint_dir, mark)
        found = checkpoints.load()
    if held:
        if found is not None:
            # Those that the interrupted fit drew. Without a seed this one drew others.
            held = filled.difference(*(each.blocks for each in found.replicas))
        problem = replace(problem, given=collect(tasks, sent, checked, held))
        block_rows = [0 if i in held else n for i, n in enumerate(block_rows)]
    own = validation_sample(problem, network.dtype)
    holdout = None if own is None else judge_on(problem, own, None, network)
    replicas = make_replicas(block_rows, n_replicas, random_state)
    if len(replicas) > 1:
        warn_if_sorted(facts)
    dealt = encode_blocks(tasks, problem, network, replicas, checked)
    blocks.clear()
    checked.clear()
    job = make_job(problem, sent, network, facts, sum(block_rows), replicas, limits)
    driver = Driver(tasks, job, replicas, dealt)
    # It has no rows, and says how X is stored.
    sample = training_sample(problem, network.dtype)
    if estimator.solver == "lbfgs":
        learned = run_lbfgs(
            driver, problem, network, sample, make_steps, checkpoints, found
        )
    else:
        learned = run_rounds(
            driver,
            problem,
            network,
            sample,
            holdout,
            random_state,
            make_steps,
            checkpoints,
            found,
        )
    if checkpoints is not None:
        checkpoints.remove()
    learned.attributes["n_replicas_"] = n_replicas
    return learned


def run_rounds(
    driver: Driver,
    problem: Problem,
    network: Network,
    sample: Sample,
    holdout: Judge | None,
    random_state: np.random.RandomState,
    make_steps: MakeSteps,
    checkpoints: Checkpoints | None,
    found: Checkpoint | None,
) -> Learned:
    """Train round by round, from the checkpoint if one was found; see `train`."""
    progress, done = first_progress(problem, network, incremental=False), NOTHING_DONE
    if holdout is not None and holdout.decides:
        progress = progress._replace(best=network.parameters.copy())
    if found is not None:
        driver, done = driver._replace(replicas=found.replicas), found.done
        parameters, *moments = found.vectors
        network.parameters[:] = parameters
        state = replace(found.state, moments=tuple(moments))
        progress = Progress(state, found.history, found.best)
    n_rows = sum(sum(replica.block_rows) for replica in driver.replicas)
    return train(
        problem,
        network,
        sample.data.form,
        driver.job.batch_size,
        RoundRows(n_rows, driver.job.n_rounds, done),
        holdout,
        random_state,
        incremental=False,
        make_steps=make_steps,
        kind=partial(Rounds, driver, progress, checkpoints),
        progress=progress,
    )


def run_lbfgs(
    driver: Driver,
    problem: Problem,
    network: Network,
    sample: Sample,
    make_steps: MakeSteps,
    checkpoints: Checkpoints | None,
    found: Start | None,
) -> Learned:
    """Minimise the loss; evaluations in the checkpoint are not made again."""
    if found is not None:
        network.parameters[:] = found.parameters
    elif checkpoints is not None:
        # Evaluations without a start may be of another fit.
        checkpoints.remove()
        checkpoints.save(Start(checkpoints.fingerprint, network.parameters.copy()))
    kind = partial(ClusterObjective, driver, checkpoints)
    return minimise(problem, network, sample, make_steps, kind)
