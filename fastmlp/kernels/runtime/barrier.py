"""The barrier of the threads that train one network, and how a thread waits.

A barrier holds two int64 words, each on cache lines of its own:

- ARRIVED counts the threads that have arrived at the current barrier.
- GENERATION counts the barriers that are complete.

A thread reads GENERATION, then adds 1 to ARRIVED. The last thread to arrive sets
ARRIVED back to 0 and then raises GENERATION; the others wait until GENERATION is no
longer the value that they read. Each order matters:

- GENERATION is read before arriving: once a thread has arrived, the others may complete
  the barrier, and the thread would read the next generation and wait for ever.
- ARRIVED is reset before GENERATION is raised: a released thread may arrive at the next
  barrier at once, and its arrival must be counted from 0.
- A thread that is slow to leave does no harm: GENERATION only grows, so that it never
  returns to the value that the thread waits to see changed.

All three are atomic and sequentially consistent. The addition publishes everything that
a thread wrote before it arrived; the load that sees the new GENERATION makes all of it
visible to the thread that leaves, also on CPUs that reorder plain loads and stores.
"""

import numpy as np
from numba import types

from ..._platform import SLEEP, SLEEP_UNIT, YIELD
from ..compile.options import jit
from ..simd.llvm import atomic_add, atomic_load, atomic_store, pause

# Words from one polled word to the next: 128 bytes, since CPUs fetch cache lines of 64
# bytes in pairs. An arrival then does not take the line of GENERATION from the cores
# that poll it.
LINE = 16

# As types: a literal would have `wait_for_change` compiled anew for each caller.
_ARRIVED, _GENERATION = np.int64(0), np.int64(LINE)
BARRIER_WORDS = 2 * LINE

# Polls before a thread yields. A pause takes 10 ns (a virtual Sapphire Rapids) to 50
# ns, so this is 3 to 15 us. Where another thread needs this core every poll is lost:
# behind a PCA, whose BLAS threads spin on, 2000 polls made a fit 1.5 times as slow.
SPINS = 300

# Yields before a thread sleeps, some 300 us: with a third of it two threads were 1.5
# times as slow on a small data set, since a thread that sleeps wakes late. One that
# only yields keeps its core for milliseconds where the scheduler prefers it, and the
# thread that it waits for may need this core.
YIELDS = np.int64(1000)

# Sleeps grow from 50 us to 1 ms over 200 ms: a thread wakes late by at most a fraction
# of the time that it has waited, and costs next to nothing in a long wait.
_NAP, _GROWTH, _LONGEST_NAP = 50, 3, 1000

_yield_core = types.ExternalFunction(YIELD, types.int32())
_sleep = types.ExternalFunction(SLEEP, types.int32(types.uint32))


@jit
def rest(polls: int, yields: int) -> None:
    """Wait between two polls, the longer the more there have been.

    With a pause for the first SPINS polls; then the thread yields its core, `yields`
    times; then it sleeps.
    """
    if polls <= SPINS:
        pause()
    elif polls <= SPINS + yields:
        _yield_core()
    else:
        naps = polls - SPINS - yields
        nap = min(_NAP + _GROWTH * naps, _LONGEST_NAP)
        _sleep(np.uint32(max(1, nap // SLEEP_UNIT)))


@jit
def wait_for_change(words: np.ndarray, place: int, value: int, yields: int) -> int:
    """Wait until ``words[place]`` is no longer `value`; return its new value."""
    polls = 0
    while True:
        # Atomic: a plain load could be moved out of the loop.
        found = atomic_load(words, place)
        if found != value:
            return found
        polls += 1
        rest(polls, yields)


@jit
def wait(words: np.ndarray, n_threads: int) -> None:
    """Wait until `n_threads` threads are here.

    Everything that any of them wrote before is visible to all of them afterwards.

    Parameters
    ----------
    words : int64 array
        Begins with BARRIER_WORDS words, all 0 before the first barrier. A later barrier
        may have another number of threads if all of them pass that number.
    n_threads : int
    """
    if n_threads == 1:
        return
    generation = atomic_load(words, _GENERATION)
    if atomic_add(words, _ARRIVED, 1) == n_threads - 1:
        atomic_store(words, _ARRIVED, 0)
        atomic_store(words, _GENERATION, generation + 1)
    else:
        wait_for_change(words, _GENERATION, generation, YIELDS)
