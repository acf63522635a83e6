"""A round of one replica: some steps on its own rows, a pure function."""

import contextlib
import copy
import heapq
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastmlp.cluster.averaging import Trained, average
from fastmlp.cluster.blocks import (
    Encoded,
    Reading,
    check_block,
    encode_block,
    gather_rows,
)
from fastmlp.data.buffers import Buffers, RowNumbers
from fastmlp.estimators._checks import is_bfloat16
from fastmlp.estimators._targets import Goal
from fastmlp.kernels import (
    Data,
    NetworkSpec,
    Objective,
    Optimizer,
    Regularisation,
    Trainer,
)

# Bytes of X in a buffer, whose rows are shuffled together; at least one block.
BUFFER_BYTES = 64 * 2**20

# A process keeps the orders of its replicas, so as not to draw those of earlier epochs
# anew. If all together take more than KEPT_BYTES, those of other fits, which may have
# ended, are dropped. ORDERS_BYTES are for the random generator of each.
KEPT_BYTES, ORDERS_BYTES = 64 * 2**20, 4096


@dataclass(frozen=True)
class Job:
    """The settings that all replicas of a fit have in common.

    Parameters
    ----------
    token : str
        Of the fit.
    model : estimator
        Parameters of the local estimator, to check blocks that are read in each epoch.
        Loading it registers the activations and losses that it names.
    goal : Goal
    class_weights : (n_classes,) float array or None
    spec : NetworkSpec
    dtype : numpy dtype
        Of the network.
    batch_size : int
    optimizer : Optimizer
    regularisation : Regularisation
        Without a seed.
    n_rounds : int
        Rounds of an epoch.
    buffer_rows : int
    weight : float
        Of all rows, for L-BFGS: see `sum_weights`.
    """

    token: str
    model: Any
    goal: Goal
    class_weights: np.ndarray | None
    spec: NetworkSpec
    dtype: np.dtype
    batch_size: int
    optimizer: Optimizer
    regularisation: Regularisation
    n_rounds: int
    buffer_rows: int
    weight: float


class Replica(NamedTuple):
    """A logical replica of the network, and the rows that it trains on.

    Parameters
    ----------
    number : int
    blocks : tuple of int
        The numbers of its blocks.
    block_rows : tuple of int
        Rows of each.
    random_state : RandomState
        At the start of training.
    """

    number: int
    blocks: tuple[int, ...]
    block_rows: tuple[int, ...]
    random_state: np.random.RandomState

    def count_steps(self, batch_size: int) -> int:
        """Return the steps of an epoch."""
        return -(-sum(self.block_rows) // min(batch_size, sum(self.block_rows)))


class State(NamedTuple):
    """The network at the beginning of a round, and the round.

    Parameters
    ----------
    job : Job
    vectors : tuple of (n_parameters,) arrays
        Parameters and the optimizer's moments, in scikit-learn's packing.
    t : int
        Steps so far.
    epoch : int
        From 0 on.
    round : int
        Of the epoch, from 0 on.
    rates : float or (n,) array
        Learning rates, for each step of the replica that makes most steps.
    """

    job: Job
    vectors: tuple[np.ndarray, ...]
    t: int
    epoch: int
    round: int
    rates: float | np.ndarray


def deal_blocks(block_rows: Sequence[int], n_replicas: int) -> list[tuple[int, ...]]:
    """Return the blocks of each replica, by numbers and rows of the blocks alone.

    The largest block goes to the replica with the fewest rows, then the next one.

    Parameters
    ----------
    block_rows : sequence of int
        Rows of each block. Those without rows are left out.
    n_replicas : int
        At most as many as there are blocks with rows.
    """
    dealt: list[list[int]] = [[] for _ in range(n_replicas)]
    fewest = [(0, 0, number) for number in range(n_replicas)]
    for block in sorted(range(len(block_rows)), key=lambda i: (-block_rows[i], i)):
        if block_rows[block]:
            n_rows, n_blocks, number = heapq.heappop(fewest)
            dealt[number].append(block)
            n_rows += block_rows[block]
            heapq.heappush(fewest, (n_rows, n_blocks + 1, number))
    return [tuple(sorted(blocks)) for blocks in dealt]


def share(n: int, part: int, n_parts: int) -> range:
    """Return which of n things belong to a part of them."""
    return range(part * n // n_parts, (part + 1) * n // n_parts)


class Orders:
    """The order of a replica's rows, epoch by epoch.

    A replica whose rows fill one buffer visits them as `fit` does. One with more visits
    its blocks in a random order; they fill a buffer whose rows are visited in a random
    order, see `fastmlp.data.buffers`.

    Parameters
    ----------
    job : Job
    replica : Replica

    Attributes
    ----------
    regularisation : Regularisation
        With the replica's seed.
    n_drawn : int
        Epochs drawn.
    nbytes : int
        Its memory.
    """

    def __init__(self, job: Job, replica: Replica) -> None:
        self._random_state = copy.deepcopy(replica.random_state)
        self.regularisation = job.regularisation.seeded(self._random_state)
        self.n_drawn = 0
        self._batch_size, self._buffer_rows = job.batch_size, job.buffer_rows
        self._shuffles = job.model.shuffle
        self._numbers, n_rows = RowNumbers(replica.block_rows), sum(replica.block_rows)
        self._fills_one = len(replica.block_rows) == 1 or n_rows <= job.buffer_rows
        self._parts = [np.arange(n_rows)]
        self.nbytes = ORDERS_BYTES + self._parts[0].nbytes

    def of_epoch(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of an epoch, buffer by buffer, counted through all blocks.

        Parameters
        ----------
        epoch : int
            At least ``n_drawn - 1``.
        """
        while self.n_drawn <= epoch:
            self._draw()
            self.n_drawn += 1
        return self._parts

    def _draw(self):
        if self._fills_one:
            # Another task may still read the earlier one.
            self._parts = [self._parts[0].copy()]
            if self._shuffles:
                self._random_state.shuffle(self._parts[0])
            return
        block_rows = self._numbers.block_rows
        blocks, random_state = np.arange(len(block_rows)), None
        if self._shuffles:
            random_state = self._random_state
            random_state.shuffle(blocks)
        buffers = Buffers(block_rows, self._buffer_rows, self._batch_size)
        filled = buffers.visit(self._numbers, blocks.tolist(), random_state)
        self._parts = [chunk.X[order] for chunk, order in filled]


# In the order of their last use.
_orders: dict[tuple[str, int], Orders] = {}
_lock = threading.Lock()


def _orders_of(job, replica, epoch):
    """Return the rows of an epoch, and the replica's regularisation.

    They follow from the job and the replica alone. This process keeps the orders
    that it has drawn, since epoch 100 takes the draws of all epochs before it.
    """
    with _lock:
        key = job.token, replica.number
        orders = _orders.pop(key, None)
        if orders is None or orders.n_drawn > epoch + 1:
            orders = Orders(job, replica)
            _make_room(job.token, orders.nbytes)
        _orders[key] = orders
        return orders.of_epoch(epoch), orders.regularisation


def _make_room(token, nbytes):
    """Drop orders of other fits than this one's, the longest unused first."""
    excess = nbytes + sum(each.nbytes for each in _orders.values()) - KEPT_BYTES
    for key in [each for each in _orders if each[0] != token]:
        if excess <= 0:
            return
        excess -= _orders.pop(key).nbytes


def train_replica(state: State, replica: Replica, blocks: Sequence[Any]) -> Trained:
    """Train for a round on the rows of a replica; return the parameters reached.

    Parameters
    ----------
    state : State
    replica : Replica
    blocks : sequence of Encoded or Reading
        Those of the replica.
    """
    job = state.job
    batch_size = min(job.batch_size, sum(replica.block_rows))
    order, regularisation = _orders_of(job, replica, state.epoch)
    steps = share(replica.count_steps(batch_size), state.round, job.n_rounds)
    optimizer = copy.copy(job.optimizer)
    optimizer.rates = _stretched(state.rates, len(steps))
    optimizer.t = state.t
    vectors = state.vectors
    n_rows, loss = 0, 0.0
    trainer = None
    with contextlib.ExitStack() as stack:
        for rows in _cut(order, steps.start * batch_size, steps.stop * batch_size):
            data, own_order = _data_of(job, replica, blocks, rows)
            # Blocks of few stored entries are multiplied as they are, others copied.
            if trainer is None or trainer.form != data.form:
                trainer = stack.enter_context(
                    Trainer(
                        *engine_arguments(job, data, trains=True),
                        batch_size=batch_size,
                        loss_settings=job.goal.pairing.settings,
                        n_threads=job.model.n_threads,
                        optimizer=optimizer,
                        regularisation=regularisation,
                    )
                )
                trainer.load(vectors[0], vectors[1:])
            optimizer.first_step = optimizer.t - state.t
            trainer.train_epoch(data, own_order, job.model.alpha)
            total, counted = trainer.last_sums
            loss += total
            n_rows += counted
            vectors = trainer.stored(), *trainer.store_moments()
    return Trained(n_rows, loss, vectors if n_rows else ())


def _stretched(rates, n):
    """Return the learning rates of a replica that makes n steps."""
    if np.ndim(rates) == 0 or not n:
        return rates
    return rates[np.arange(n) * len(rates) // n]


def _cut(parts, begin, end):
    """Yield the rows between two positions of parts that follow each other."""
    for rows in parts:
        if begin < min(end, len(rows)) and end > 0:
            yield rows[max(0, begin) : end]
        begin, end = begin - len(rows), end - len(rows)


def _data_of(job, replica, blocks, rows):
    """Return some rows of a replica as `Data`, and their order in it."""
    if len(blocks) == 1:
        return make_data(job, open_block(job, blocks[0])), rows
    ends = np.cumsum(replica.block_rows)
    needed = np.unique(np.searchsorted(ends, rows, side="right"))
    # Less these, rows are counted through the needed blocks alone.
    shifts = ends[needed] - np.cumsum(np.take(replica.block_rows, needed))
    place = np.searchsorted(ends[needed], rows, side="right")
    opened = [open_block(job, blocks[number]) for number in needed]
    gathered, order = gather_rows(opened, rows - shifts[place])
    return make_data(job, gathered), order


def open_block(job: Job, block: Any) -> Encoded:
    """Return the rows of a block as kernels take them."""
    if not isinstance(block, Reading):
        return block
    checked = check_block(job.model, block.number, block)
    return encode_block(checked, job.goal, job.dtype, job.class_weights)


def engine_arguments(job: Job, data: Data, trains: bool = False) -> tuple:
    """Return the first arguments of the engines in `fastmlp.kernels`.

    One that `trains` computes in bfloat16 if the model says so.
    """
    pairing, rounded = job.goal.pairing, trains and is_bfloat16(job.model.dtype)
    dtype = "bfloat16" if rounded else job.dtype
    return job.spec, pairing.out_activation, pairing.loss, dtype, data.form


def make_data(job: Job, block: Encoded) -> Data:
    """Return the `Data` of a block."""
    X, values, weight = block
    return Data(X, values, weight, copied=job.regularisation.changes_inputs)


def sum_weights(state: State, replica: Replica, blocks: Sequence[Any]) -> Trained:
    """Return the weight of all rows of a replica in the place of their number."""
    weight = 0.0
    for block in blocks:
        weight += make_data(state.job, open_block(state.job, block)).weight
    return Trained(weight, 0.0, ())


def average_gradients(state: State, replica: Replica, blocks: Sequence[Any]) -> Trained:
    """Return loss and gradient over all rows of a replica, for L-BFGS.

    Parameters
    ----------
    state : State
        Its one vector are the parameters.
    replica : Replica
    blocks : sequence of Encoded or Reading

    Returns
    -------
    mean : Trained
        Of the blocks, by weight. Its vectors are the loss, (1,), and the gradient.
    """
    job, (parameters,) = state.job, state.vectors
    parts = []
    for block in blocks:
        data = make_data(job, open_block(job, block))
        if data.weight == 0:
            continue
        # Each block adds its part of the penalties.
        part = data.weight / job.weight
        engine = Objective(
            *engine_arguments(job, data),
            loss_settings=job.goal.pairing.settings,
            n_threads=job.model.n_threads,
            l1=job.regularisation.l1 * part,
        )
        with engine:
            engine.load(parameters)
            gradient = np.empty(parameters.size, parameters.dtype)
            loss = engine.loss_gradient(data, job.model.alpha * part, gradient)
        parts.append(Trained(data.weight, 0.0, (np.array([loss]), gradient)))
    return average(parts or [Trained(0, 0.0, ())])
