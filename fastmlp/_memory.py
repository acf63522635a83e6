"""Whether a network can be trained in the memory that there is, before any is taken.

Linux hands out memory that it does not have and ends the process that then uses it, so
that waiting for NumPy's own MemoryError is not enough.
"""

import math
import os
import sys
from pathlib import Path

from fastmlp.kernels import parameters_of

# What a container may have, as it sees it itself: cgroups version 2 and 1.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def available_bytes():
    """Return the most bytes that this process can have, used ones included.

    The least of memory with swap space, the limits of its cgroup and of the process
    itself, and what an address can reach.
    """
    limits = [sys.maxsize, *_physical_limit(), *_process_limit()]
    for path in _LIMITS:
        text = _read(path).strip()
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def _physical_limit():
    """Return [memory and swap space], or nothing where the system does not say."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return []
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("SwapTotal:"):
            memory += int(line.split()[1]) << 10
    return [memory]


def _process_limit():
    """Return [the limit of the address space], or nothing where there is none."""
    try:
        import resource
    except ImportError:
        return []
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if limit == resource.RLIM_INFINITY else [limit]


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def training_bytes(spec, itemsize, batch_size, n_moments):
    """Return a lower bound of what training a network takes, whatever its size.

    The parameters as they are fitted and as kernels take them, the optimizer's moments
    and one minibatch's outputs with their deltas; the padding, the transposed weights
    and X are left out.

    Parameters
    ----------
    spec : NetworkSpec
    itemsize : int
        Bytes of a parameter.
    batch_size : int
        Rows of a minibatch.
    n_moments : int
    """
    n_parameters = sum(math.prod(each.shape) for _, each in parameters_of(spec))
    n_outputs = sum(spec.units[1:])
    return itemsize * ((2 + n_moments) * n_parameters + 2 * batch_size * n_outputs)


def check_memory(units, needed):
    """Refuse a network that takes more than this process can have.

    Raises
    ------
    MemoryError
        Naming both numbers of bytes.
    """
    available = available_bytes()
    if needed > available:
        raise MemoryError(
            f"Training a network of {tuple(units)} units takes at least {needed:,} "
            f"bytes, and this process can have {available:,}: choose narrower "
            "hidden_layer_sizes, a smaller batch_size, or dtype='float32'."
        )
