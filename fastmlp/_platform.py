"""Calls that depend on the operating system; no other module makes any.

Everything is tested on Linux. macOS and Windows were not tried; these things would
differ there:

==================  =========================  ================  =====================
                    Linux                      macOS             Windows
==================  =========================  ================  =====================
cores               affinity, cgroup           those of the CPU  those of the CPU
wait for a core     ``sched_yield``            the same          ``SwitchToThread``
sleep at a barrier  ``usleep``, from 50 us     the same          ``Sleep``, from 1 ms
fork                locks and cores put right  the same          there is none
kernels on disk     refused if other users     the same          whoever may write to
                    can write to the folder                      the folder
written file        takes the place of one     the same          an error while another
                    that is open                                 process has it open
memory              known                      known             not known: no early
                                                                 ``MemoryError``
rows of a file      read ahead                 read ahead        read when they are
                                                                 needed
file of codes       removed while it is open   the same          an error while it is
                                                                 mapped
bfloat16 by AMX     by a system call           never             never
==================  =========================  ================  =====================

`MACHINE` is the architecture of the CPU, which macOS and Windows name otherwise. Of
AArch64 everything but AMX and AVX-512 is there; its 128-bit vectors are NEON's.
"""

import ctypes
import functools
import mmap
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_MACHINE = platform.machine().lower()
MACHINE = _NAMES.get(_MACHINE, _MACHINE)

# Functions of the C library for a thread that waits: the one that leaves the core to
# another thread, the one that sleeps, and its unit in microseconds.
if os.name == "nt":
    YIELD, SLEEP, SLEEP_UNIT = "SwitchToThread", "Sleep", 1000
else:
    YIELD, SLEEP, SLEEP_UNIT = "sched_yield", "usleep", 1


# Linux: which hardware threads share a core.
_TOPOLOGY = Path("/sys/devices/system/cpu")


def allowed_cores() -> int | None:
    """Return the number of cores that this process may run on; None: not known.

    Physical cores, or hardware threads where the system does not say which share one.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    return _physical_cores(frozenset(os.sched_getaffinity(0)))


@functools.cache
def _physical_cores(cpus: frozenset[int]) -> int:
    """Return how many cores these hardware threads belong to: a file of 30 us each."""
    try:
        siblings = {
            (_TOPOLOGY / f"cpu{cpu}/topology/thread_siblings_list").read_text()
            for cpu in cpus
        }
    except OSError:
        return len(cpus)
    return len(siblings)


def hold_at_fork(lock: Any) -> None:
    """Take a lock before each fork: a child has no thread that would release it."""
    at_fork(
        before=lock.acquire,
        after_in_parent=lock.release,
        after_in_child=lock.release,
    )


def at_fork(**functions: Callable[[], object]) -> None:
    """Call functions before or after each fork, as `os.register_at_fork` does."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**functions)


def check_private(folder: Path) -> None:
    """Raise PermissionError if another user owns a folder or can write to it."""
    if not hasattr(os, "getuid"):
        return
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"other users can write to {folder}")


def machine_bytes() -> int:
    """Return the machine's memory in bytes; where it is not known, all addresses."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def read_ahead(mapped: mmap.mmap, begin: int, end: int) -> None:
    """Ask the system to read bytes of a mapped file, without waiting."""
    if hasattr(mapped, "madvise"):
        begin -= begin % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, begin, end - begin)


def forget_pages(mapped: mmap.mmap) -> None:
    """Release the memory of a read-only mapped file; its pages are read again later."""
    if hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


# The call by which a process asks Linux for registers that enlarge the state of its
# threads, and the number of the data of AMX's tiles.
_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18


def may_use_tiles() -> bool:
    """Ask for AMX's registers; return whether this process may use them."""
    if sys.platform != "linux" or MACHINE != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST, _TILE_DATA) == 0
