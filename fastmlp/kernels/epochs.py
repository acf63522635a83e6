"""Epoch after epoch in one compiled call, each judged by its loss.

Thread 0 judges, between two barriers of the team. Hundreds of epochs of a small network
need no line of Python between them.
"""

import numpy as np

from .compile.options import entry, jit
from .runtime.barrier import wait
from .runtime.team import MOST_THREADS, next_command
from .simd.llvm import array_at
from .step import run_epoch

# A run goes on, or why it ended: all epochs are done; no improvement for longer than
# the patience; a parameter is not finite, or the loss no number.
GOES_ON, DONE, WAITED, DIVERGED = map(np.int64, range(4))

# The bits of an exponent that infinity and NaN have, in the upper half of a number.
_SINGLE, _DOUBLE = np.uint32(0x7F800000), np.uint32(0x7FF00000)


@jit
def _is_finite(place, n, size):
    """Return whether n float32 or float64 numbers of `size` bytes are finite."""
    halves = size // 4
    ones = _SINGLE if halves == 1 else _DOUBLE
    words = array_at(place, n * halves, np.uint32)
    found = False
    for i in range(halves - 1, n * halves, halves):
        found |= words[i] & ones == ones
    return not found


@jit
def _judge(run, epoch):
    """Enter an epoch that is done; return why the run ends, or `GOES_ON`."""
    run.n_done = epoch + 1
    if run.losses_of_epochs != 0:
        loss = run.total / max(1, run.visited)
        array_at(run.losses_of_epochs, run.n_epochs, np.float64)[epoch] = loss
        if np.isnan(loss) or not _is_finite(
            run.memory, run.n_parameters, run.bytes_of_number
        ):
            return DIVERGED
        waited = 0 if loss <= run.best_loss - run.tol else run.waited + 1
        run.waited, run.best_loss = waited, min(run.best_loss, loss)
        if waited > run.patience:
            return WAITED
    return DONE if run.n_done == run.n_epochs else GOES_ON


@jit
def _run(thread, n_threads, words, trainings):
    run, epoch = trainings[0], 0
    while True:
        run_epoch(thread, n_threads, words, trainings, epoch)
        if thread == 0:
            run.ending = _judge(run, epoch)
        wait(words, n_threads)
        if run.ending != GOES_ON:
            break
        epoch += 1
    # The caller changes the run once this barrier has been passed.
    wait(words, n_threads)


@entry
def train(
    thread: int, n_threads: int, words: np.ndarray, trainings: np.ndarray
) -> None:
    """Do one run as the caller's thread, or all runs of a team as a helper.

    Parameters
    ----------
    thread : int
        0: the caller's.
    n_threads : int
        Threads of the caller's run; 0: the helpers return. Not read by helpers.
    words : (words,) int64 array of `runtime.team.make_words`
    trainings : (1,) array of TRAINING
        Thread 0 writes the results.
    """
    command = np.int64(0)  # a literal would have `next_command` compiled twice
    while True:
        command = next_command(words, thread, n_threads, command)
        n_running = command % MOST_THREADS
        if thread < n_running:
            _run(thread, n_running, words, trainings)
        if thread == 0 or n_running == 0:
            return
