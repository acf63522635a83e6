"""Training in rounds: the plan, the rounds, failures and deadlines.

The driver holds the network. In each round every replica trains on its own rows, and
the driver takes the mean. It knows tasks only by `executors.Executor`; epochs with
their stopping rules are those of `fastmlp.training.loop`.
"""

import copy
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from fastmlp.cluster.averaging import FAN_IN, Trained, average
from fastmlp.cluster.blocks import (
    Facts,
    Reading,
    check_block,
    describe,
    describe_reading,
    encode_block,
    join_facts,
)
from fastmlp.cluster.checkpoints import Checkpoint, Checkpoints, Done
from fastmlp.cluster.executors import ClusterError, Executor, LostTask, same
from fastmlp.cluster.replicas import (
    BUFFER_BYTES,
    Job,
    Replica,
    State,
    average_gradients,
    deal_blocks,
    share,
    sum_weights,
    train_replica,
)
from fastmlp.estimators._blocks import SORTED, check_labels
from fastmlp.estimators._holdout import judge_on
from fastmlp.estimators._learning import (
    Learned,
    Watch,
    build,
    clipped_batch_size,
    first_progress,
    minimise,
    train,
)
from fastmlp.estimators._problem import (
    Basis,
    Given,
    Problem,
    check_model,
    training_sample,
    validation_sample,
)
from fastmlp.estimators._streams import balanced, goal_of
from fastmlp.kernels import Objective, Optimizer, Trainer
from fastmlp.network import Network
from fastmlp.training.loop import Progress

# Rounds of an epoch where the user sets none; a single replica has nothing to average.
ROUNDS_PER_EPOCH = 4


@dataclass(frozen=True)
class Limits:
    """How a fit is divided, and how long it waits.

    Parameters
    ----------
    n_replicas : int or None
        None: that of the last fit, else the number of workers.
    rounds_per_epoch : int or None
        None: `ROUNDS_PER_EPOCH`, and 1 for one replica.
    round_timeout : float
        Seconds that a round may take.
    max_round_retries : int
    checkpoint_dir : path-like or None
    buffer_rows : int or None
        None: those of `BUFFER_BYTES`.
    """

    n_replicas: int | None = None
    rounds_per_epoch: int | None = None
    round_timeout: float = 3600.0
    max_round_retries: int = 3
    checkpoint_dir: Any = None
    buffer_rows: int | None = None


def learn_in_rounds(
    estimator: Any,
    local: Any,
    blocks: list[Any],
    executor: Executor,
    limits: Limits,
    given: Given,
    watch: Watch | None = None,
    classes: Any = None,
) -> Learned:
    """Fit on blocks of rows; return the `Learned`.

    Parameters
    ----------
    estimator : estimator
        Its parameters and attributes are read.
    local : estimator
        With the same parameters, for the workers.
    blocks : list
        Lists of handles of X, y and weights, or `Reading`. Emptied, so that the workers
        need not keep what they have encoded.
    executor : Executor
    limits : Limits
    given : Given
        Its X and y are None; the validation rows are arrays.
    watch : Watch or None, default=None
    classes : array-like, default=None
        All labels. None: those of y.
    """
    tasks = Tasks(executor, limits)
    basis = check_model(estimator, False, own_validation=given.X_val is not None)
    checked, facts_of = check_blocks(tasks, local, blocks)
    facts = join_facts([each for each in facts_of if each is not None])
    block_rows = [0 if each is None else each.n_rows for each in facts_of]
    problem = make_problem(basis, given, facts, classes)
    random_state = check_random_state(estimator.random_state)
    network = build(problem, random_state)
    if estimator.early_stopping and not given.has_validation:
        held = hold_out_blocks(block_rows, estimator.validation_fraction, random_state)
        problem = replace(problem, given=collect(tasks, local, checked, held))
        block_rows = [0 if i in held else n for i, n in enumerate(block_rows)]
    own = validation_sample(problem, network.dtype)
    holdout = None if own is None else judge_on(problem, own, None, network)
    replicas = make_replicas(
        block_rows,
        count_replicas(estimator, limits, block_rows, executor),
        random_state,
    )
    if len(replicas) > 1:
        warn_if_sorted(facts)
    dealt = [[checked[i] for i in replica.blocks] for replica in replicas]
    tasks.place(replicas, dealt)
    if not isinstance(blocks[0], Reading):
        settings = problem.goal, network.dtype, problem.class_weights
        for home, handles in zip(tasks.homes, dealt, strict=True):
            handles[:] = [
                executor.submit(encode_block, each, *settings, home=home)
                for each in handles
            ]
    blocks.clear()
    checked.clear()
    job = make_job(problem, local, network, facts, sum(block_rows), replicas, limits)
    # Of no rows: the engines are told how X is stored.
    sample = training_sample(problem, network.dtype)
    if estimator.solver == "lbfgs":
        driver = Driver(tasks, job, replicas, dealt)
        kind: Any = partial(ClusterObjective, driver)
        learned = minimise(problem, network, sample, watch, kind)
    else:
        progress = first_progress(problem, network, False)
        if holdout is not None and holdout.decides:
            progress = progress._replace(best=network.parameters.copy())
        checkpoints, done = None, NOTHING_DONE
        if limits.checkpoint_dir is not None:
            checkpoints = Checkpoints(
                limits.checkpoint_dir, fingerprint(local, facts, block_rows, job)
            )
            found = checkpoints.load()
            if found is not None:
                replicas, done = found.replicas, found.done
                network.parameters[:] = found.vectors[0]
                progress = Progress(
                    replace(found.state, moments=found.vectors[1:]),
                    found.history,
                    found.best,
                )
        driver = Driver(tasks, job, replicas, dealt)
        learned = train(
            problem,
            network,
            sample.data.form,
            job.batch_size,
            RoundRows(sum(block_rows), job.n_rounds, done),
            holdout,
            random_state,
            False,
            watch,
            partial(Rounds, driver, progress, checkpoints),
            progress,
        )
        if checkpoints is not None:
            checkpoints.remove()
    learned.attributes["n_replicas_"] = len(replicas)
    return learned


# -- the plan --------------------------------------------------------------------------


def check_blocks(
    tasks: "Tasks", local: Any, blocks: Sequence[Any]
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
    """Return the `Problem` of a fit whose rows are elsewhere: X has none."""
    if facts.weight == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if basis.anew:
        state = vars(basis.model)
        state["n_features_in_"] = facts.n_features
        state.pop("feature_names_in_", None)
        if facts.names is not None:
            state["feature_names_in_"] = np.array(facts.names, dtype=object)
    targets = facts.targets.summary()
    goal = goal_of(basis.model, classes, targets, facts.example_y)
    check_labels(goal, targets.classes)
    goal = balanced(goal, targets)
    target = goal.encode(facts.example_y)
    return Problem(
        given,
        basis.anew,
        (facts.n_features, *basis.hidden, target.n_outputs),
        basis.regularisation,
        basis.model,
        np.empty((0, facts.n_features), facts.dtype),
        facts.example_y[:0],
        goal,
        target._replace(values=target.values[:0]),
        goal.class_weights(facts.example_y),
        None,
    )


def hold_out_blocks(
    block_rows: Sequence[int], fraction: float, random_state: np.random.RandomState
) -> set[int]:
    """Return the blocks that early stopping holds out, a share of those with rows."""
    blocks = np.flatnonzero(block_rows)
    n_held = max(1, round(fraction * len(blocks)))
    if n_held >= len(blocks):
        raise ValueError(
            f"early_stopping=True holds out whole partitions, but there are "
            f"{len(blocks)}: pass X_val and y_val, or repartition X and y."
        )
    return {*random_state.permutation(blocks)[:n_held].tolist()}


def collect(tasks: "Tasks", local: Any, checked: list[Any], held: set[int]) -> Given:
    """Return the rows of some blocks as those to validate on."""
    rows = tasks.results(
        [
            (check_block, local, i, checked[i])
            if isinstance(checked[i], Reading)
            else (same, checked[i])
            for i in sorted(held)
        ]
    )
    X, y, weight, _ = zip(*rows, strict=True)
    return Given(
        None,
        None,
        None,
        sp.vstack(X, format="csr") if sp.issparse(X[0]) else np.concatenate(X),
        np.concatenate(y),
        None if weight[0] is None else np.concatenate(weight),
    )


def warn_if_sorted(facts: Facts) -> None:
    """Warn if y differs more between partitions than in shuffled rows."""
    between = facts.targets.summary().between
    if between > SORTED:
        warnings.warn(
            f"{between:.0%} of the variance of y lies between partitions, as in rows "
            "sorted by y: each replica trains on one kind of rows. Shuffle the rows "
            "first, for example by a frame's sort_values of a random column.",
            stacklevel=2,
        )


def count_replicas(
    estimator: Any, limits: Limits, block_rows: Sequence[int], executor: Executor
) -> int:
    """Return the number of replicas."""
    n_blocks = int(np.count_nonzero(block_rows))
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


def fingerprint(local: Any, facts: Facts, block_rows: Sequence[int], job: Job) -> str:
    """Return what a fit and one that goes on from its checkpoint have in common."""
    params = local.get_params()
    for name in ("n_threads", "verbose"):
        del params[name]
    described = facts.n_features, facts.names, job.spec, job.n_rounds, block_rows
    return joblib.hash((sorted(params.items()), described))


# -- tasks -----------------------------------------------------------------------------


class Tasks:
    """Runs tasks until they have results, or an error says why not.

    Parameters
    ----------
    executor : Executor
    limits : Limits

    Attributes
    ----------
    homes : list of str or None
        The worker that each replica prefers, see `place`.
    """

    def __init__(self, executor: Executor, limits: Limits) -> None:
        self.executor, self._limits = executor, limits
        self.homes: list[str | None] = []
        self._workers: dict[str, int] = {}

    def results(self, calls: Sequence[tuple]) -> list[Any]:
        """Return the results of some functions with their arguments."""
        results: list[Any] = [LostTask("not started")] * len(calls)
        for _ in range(self._limits.max_round_retries + 1):
            missing = [i for i, each in enumerate(results) if _is_lost(each)]
            if not missing:
                break
            handles = [self.executor.submit(*calls[i]) for i in missing]
            for i, result in zip(missing, self._gather(handles), strict=True):
                results[i] = result
        for each in results:
            if _is_lost(each):
                raise self._failed(each) from each
        return results

    def last(self, start: Callable[[], list[Any]]) -> Any:
        """Return the result of the last of the tasks that `start` starts."""
        for _ in range(self._limits.max_round_retries + 1):
            handles = start()
            (result,) = self._gather(handles[-1:], handles)
            if not _is_lost(result):
                return result
            self.executor.cancel(handles)
        raise self._failed(result) from result

    def mean(
        self,
        function: Callable,
        state: State,
        replicas: Sequence[Replica],
        blocks: Sequence[list],
        dtype: Any,
    ) -> Trained:
        """Return the `average` of the results of a function for each replica.

        Parameters
        ----------
        function : callable
            ``function(state, replica, blocks)`` returns a `Trained`.
        state : State
        replicas : sequence of Replica
        blocks : sequence of list of handles
            Of each replica.
        dtype : numpy dtype or None
        """
        leaves: list[Any] = [None] * len(replicas)
        missing = list(range(len(replicas)))
        for _ in range(self._limits.max_round_retries + 1):
            self.place(replicas, blocks)
            shared = self.executor.scatter(state)
            for i in missing:
                leaves[i] = self.executor.submit(
                    function, shared, replicas[i], blocks[i], home=self.homes[i]
                )
            inner = self._submit_averages(leaves, dtype)
            (result,) = self._gather(inner[-1:], [*leaves, *inner])
            if not _is_lost(result):
                return result
            self.executor.cancel(inner)
            found = self.executor.locate(leaves)
            missing = [i for i, where in enumerate(found) if not where]
            self.executor.cancel([leaves[i] for i in missing])
            self._move(missing)
        raise self._failed(result) from result

    def _submit_averages(self, leaves, dtype):
        """Start the tree's tasks; return their handles, that of the root last."""
        inner, level = [], leaves
        while len(level) > FAN_IN:
            level = [
                self.executor.submit(average, level[i : i + FAN_IN])
                for i in range(0, len(level), FAN_IN)
            ]
            inner += level
        return [*inner, self.executor.submit(average, level, dtype)]

    def _gather(self, handles, others=()):
        """Return results, with `LostTask` for those that may be tried again."""
        try:
            results = self.executor.gather(handles, self._limits.round_timeout)
        except BaseException:
            self.executor.cancel([*handles, *others])
            raise
        for each in results:
            if isinstance(each, Exception) and not _is_lost(each):
                self.executor.cancel([*handles, *others])
                raise each
        return results

    def _failed(self, lost: LostTask) -> ClusterError:
        return ClusterError(
            f"A task had no result in {self._limits.max_round_retries + 1} attempts. "
            f"The last time: {lost}"
        )

    def place(self, replicas: Sequence[Replica], blocks: Sequence[list]) -> None:
        """Choose `homes` anew if workers have come or gone.

        A replica stays where most of its rows are, unless its worker then has more
        replicas than its share by threads.
        """
        workers = self.executor.workers()
        if workers == self._workers and self.homes:
            return
        self._workers = workers
        self.homes = [None] * len(replicas)
        if not workers:
            return
        n_threads = sum(workers.values())
        room = {name: -(-len(replicas) * n // n_threads) for name, n in workers.items()}
        homeless = []
        for replica, own in zip(replicas, blocks, strict=True):
            held = dict.fromkeys(workers, 0)
            for rows, where in zip(replica.block_rows, self._locate(own), strict=True):
                for name in where:
                    if name in held:
                        held[name] += rows
            best = max(sorted(held), key=held.__getitem__)
            if held[best] and room[best]:
                self.homes[replica.number] = best
                room[best] -= 1
            else:
                homeless.append(replica.number)
        for number in homeless:
            best = max(sorted(room), key=room.__getitem__)
            self.homes[number] = best
            room[best] -= 1

    def _move(self, numbers):
        """Have replicas prefer another worker: theirs may be slow, and alive."""
        names = sorted(self._workers)
        for number in numbers:
            home = self.homes[number]
            if home in names:
                self.homes[number] = names[(names.index(home) + 1) % len(names)]

    def _locate(self, blocks):
        if isinstance(blocks[0], Reading):
            return [()] * len(blocks)
        return self.executor.locate(blocks)


def _is_lost(result: Any) -> bool:
    return isinstance(result, LostTask)


# -- rounds ----------------------------------------------------------------------------


class Driver(NamedTuple):
    """The plan of a fit and where its tasks run.

    Parameters
    ----------
    tasks : Tasks
    job : Job
    replicas : list of Replica
    blocks : sequence of list of handles
        Of each replica.
    """

    tasks: Tasks
    job: Job
    replicas: list[Replica]
    blocks: Sequence[list]

    def mean(self, function: Callable, state: State, dtype: Any = None) -> Trained:
        """Return the mean over the replicas, see `Tasks.mean`."""
        return self.tasks.mean(function, state, self.replicas, self.blocks, dtype)


NOTHING_DONE = Done(0, 0, 0, 0.0, 0)


class RoundRows:
    """Rows of an epoch, as `training.rows.Rows`: each part is a round.

    Parameters
    ----------
    n_rows : int
        Of all replicas.
    n_rounds : int
    done : Done
        Rounds of the first epoch that a checkpoint holds: its first part.
    """

    def __init__(self, n_rows: int, n_rounds: int, done: Done) -> None:
        self.n_rows, self._n_rounds, self._done = n_rows, n_rounds, done

    def parts(self, random_state: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the number of each round and its share of the rows.

        The replicas draw their orders themselves.
        """
        done, self._done = self._done, NOTHING_DONE
        if done.n_rounds:
            yield done, range(done.n_rows)
        for number in range(done.n_rounds, self._n_rounds):
            yield number, share(self.n_rows, number, self._n_rounds)


class Rounds(Trainer):
    """A `Trainer` whose steps are made by the replicas, round by round.

    Between two rounds it holds the mean network.

    Parameters
    ----------
    driver : Driver
    progress : Progress
        Of the training that it is the engine of.
    checkpoints : Checkpoints or None
    *arguments, **keywords : those of `Trainer`
    optimizer : Optimizer
    """

    def __init__(
        self,
        driver: Driver,
        progress: Progress,
        checkpoints: Checkpoints | None,
        *arguments: Any,
        optimizer: Optimizer,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, optimizer=optimizer, **keywords)
        self._driver, self._progress = driver, progress
        self._checkpoints, self._done = checkpoints, NOTHING_DONE
        self._job = replace(driver.job, optimizer=copy.copy(optimizer))
        self._last = 0.0, 0

    def count_steps(self, n_rows: int) -> int:
        """Return the steps of an epoch of the replica that makes most."""
        batch_size = self._job.batch_size
        return max(each.count_steps(batch_size) for each in self._driver.replicas)

    @property
    def last_sums(self) -> tuple[float, int]:
        """Of the last round, see `Trainer.last_sums`."""
        return self._last

    def train_epoch(self, data: Any, order: Any, alpha: float) -> float:
        """Train for a round.

        Parameters
        ----------
        data : int or Done
            The number of the round, or rounds that are done; see `RoundRows`.
        order : range
        alpha : float
            As the job has it.

        Returns
        -------
        loss : float
        """
        optimizer = self._optimizer
        if isinstance(data, Done):
            self._done, optimizer.t = data, data.t
            self._last = data.loss, data.counted
            return self.last_loss
        if data == 0:
            self._done = NOTHING_DONE
        steps = share(self.count_steps(0), data, self._job.n_rounds)
        rates = optimizer.learning_rate
        state = State(
            self._job,
            (self.stored(), *self.store_moments()),
            optimizer.t,
            self._progress.history.n_iter,
            data,
            rates[steps.start : steps.stop] if np.ndim(rates) else rates,
        )
        mean = self._driver.mean(train_replica, state, self.dtype)
        if mean.n_rows:
            self.load(mean.vectors[0], mean.vectors[1:])
        optimizer.t += len(steps)
        self._last = mean.loss, int(mean.n_rows)
        self._done = Done(
            data + 1,
            self._done.n_rows + len(order),
            optimizer.t,
            self._done.loss + mean.loss,
            self._done.counted + int(mean.n_rows),
        )
        if self._checkpoints is not None:
            self._save(self._checkpoints)
        return self.last_loss

    def _save(self, checkpoints):
        """Save the network, and training as it was when the epoch began."""
        state = self._progress.state
        rate = self._optimizer.learning_rate
        checkpoints.save(
            Checkpoint(
                checkpoints.fingerprint,
                self._driver.replicas,
                (self.stored(), *self.store_moments()),
                replace(
                    state,
                    t=self._optimizer.t - self._steps_done(),
                    # Schedules with a rate for each step carry none on.
                    learning_rate=state.learning_rate if np.ndim(rate) else rate,
                    moments=(),
                ),
                self._progress.history,
                self._progress.best,
                self._done,
            )
        )

    def _steps_done(self):
        """Return the steps of the epoch so far."""
        n_rounds = self._job.n_rounds
        return self.count_steps(0) * self._done.n_rounds // n_rounds


class ClusterObjective(Objective):
    """An `Objective` whose gradient is the mean over the replicas' rows.

    Parameters
    ----------
    driver : Driver
    *arguments, **keywords : those of `Objective`
    """

    def __init__(self, driver: Driver, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        state = State(driver.job, (), 0, 0, 0, 0.0)
        weight = driver.mean(sum_weights, state).n_rows
        self._driver = driver._replace(job=replace(driver.job, weight=weight))

    def loss_gradient(self, data: Any, alpha: float, gradient: np.ndarray) -> float:
        """Return the loss over all rows; its gradient overwrites `gradient`.

        The job has data and penalties.
        """
        state = State(self._driver.job, (self.stored(),), 0, 0, 0, 0.0)
        loss, gradient[:] = self._driver.mean(average_gradients, state).vectors
        return float(loss[0])
