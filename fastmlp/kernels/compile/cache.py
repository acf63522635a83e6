"""Compiled kernels on disk, and one line that says when kernels are compiled.

The folder's name is a hash of all that machine code depends on. It holds one file per
kernel and signature, so that two processes which write the same file write the same;
usually one writes it, and the other waits for it.

Numba's own files are not used: they belong to the source file of one function and miss
an edited callee in another, and two processes that write one index at once may take
each other's machine code.
"""

import atexit
import contextlib
import functools
import hashlib
import importlib.resources
import logging
import operator
import os
import pickle
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import llvmlite
import numba

# All of Numba that is private and that the cache needs; `options` sets `_cache`.
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from ..._platform import MACHINE, check_private

_LOGGER = logging.getLogger("fastmlp")

# A file that stands beside a kernel's while a process compiles it; seconds after which
# others compile it too, and between their looks.
_CLAIM = ".claim"
_LONGEST_CLAIM = 30
_POLL = 0.01

# Seconds without a process that opens a folder after which it is removed.
_STALE = 30 * 24 * 3600


def _fingerprint() -> str:
    """Hash the sources of all kernels, the versions, the CPU and Numba's options."""
    digest = hashlib.sha256()
    kernels = __package__.rpartition(".")[0]
    package = importlib.resources.files(kernels.rpartition(".")[0])
    platform_files = (f for f in package.iterdir() if f.name.startswith("_platform."))
    for source in (*platform_files, *_sources(importlib.resources.files(kernels))):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    versions = (numba.__version__, llvmlite.__version__, sys.version)
    machine = cpu_target.target_context.codegen().magic_tuple()
    config = numba.config
    options = (config.BOUNDSCHECK, config.OPT, config.LOOP_VECTORIZE)
    digest.update(repr((versions, machine, MACHINE, options)).encode())
    return digest.hexdigest()[:16]


def _sources(folder):
    """Yield the files of a package, which may lie in a zip file or be compiled."""
    for entry in sorted(folder.iterdir(), key=operator.attrgetter("name")):
        if entry.name.endswith((".py", ".pyc")):
            yield entry
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry)


def _places() -> list[Path]:
    """Return the folders that may hold the cache, the preferred one first."""
    if chosen := os.environ.get("FASTMLP_CACHE_DIR"):
        return [Path(chosen)]
    places = [
        Path(__file__).parent / "__pycache__",
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "fastmlp"),
    ]
    if numba.config.CACHE_DIR:
        places.insert(0, Path(numba.config.CACHE_DIR, "fastmlp"))
    return places


def _open_folder() -> Path | None:
    """Return the first folder that only this user can write to; warn if there is none.

    A file in it is run as machine code.
    """
    name, errors = f"fastmlp-{_fingerprint()}", []
    for place in _places():
        try:
            folder = place.expanduser().absolute() / name
            folder.mkdir(0o700, parents=True, exist_ok=True)
            check_private(folder)
            # Marks the folder as used; raises on a read-only disk.
            os.utime(folder)
        # RuntimeError: a user without a home, as in some containers.
        except (OSError, RuntimeError) as error:
            errors.append(str(error))
            continue
        _remove_stale(folder.parent)
        return folder
    warnings.warn(
        "fastmlp compiles its kernels anew in every process, because no folder can "
        f"keep them: {'; '.join(errors)}. Set FASTMLP_CACHE_DIR to a folder that you "
        "own and can write to.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _remove_stale(place: Path) -> None:
    """Remove the folders of other versions that have long not been opened."""
    for folder in place.glob("fastmlp-" + 16 * "[0-9a-f]"):
        # Another process may be removing the same one.
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE:
                shutil.rmtree(folder)


FOLDER = _open_folder()


class KernelCache(NullCache):
    """Load and save the machine code of one function, a file for each signature.

    Parameters
    ----------
    name : str
        Of the function, with all that it closes over.
    """

    def __init__(self, name: str):
        self._name = name

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for a signature; None: this process compiles it.

        While another process compiles it, wait.
        """
        # Loaded code calls this runtime alone. A refresh of the whole target, which
        # compiling does, takes 0.2 s.
        rtsys.initialize(target_context)
        path = self._path(sig)
        found = _load(path, target_context)
        if found is None:
            _announce()
            while not _claim(path):
                time.sleep(_POLL)
            found = _load(path, target_context)
            if found is not None:
                _end_claim(path)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled function; other processes read all of it or nothing."""
        path = self._path(sig)
        written = path.with_suffix(f".{uuid.uuid4().hex}")
        try:
            written.write_bytes(dumps(data._reduce()))
            written.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                written.unlink()
            warnings.warn(
                f"fastmlp cannot keep compiled kernels in {FOLDER} ({error.strerror}): "
                "the next process compiles them again.",
                RuntimeWarning,
                stacklevel=2,
            )
        _end_claim(path)

    def _path(self, sig: Any) -> Path:
        digest = hashlib.sha256(repr(sig).encode()).hexdigest()[:16]
        return cast(Path, FOLDER) / f"{self._name}-{digest}.kernel"


def _load(path: Path, target_context: Any) -> Any:
    """Return the compiled function in a file, or None."""
    # There is no file, or it is damaged.
    with contextlib.suppress(Exception):
        content = pickle.loads(path.read_bytes())
        return CompileResult._rebuild(target_context, *content)
    return None


# Kernels that this process compiles, or would have if it had not failed or been
# interrupted.
_claimed: set[Path] = set()


def _claim(path: Path) -> bool:
    """Return False while another process compiles a kernel; True: this one does now."""
    claim = path.with_suffix(_CLAIM)
    try:
        claim.touch(exist_ok=path in _claimed)
    except FileExistsError:
        # The claim may vanish at any time; an old one is of a process that was killed.
        try:
            if time.time() - claim.stat().st_mtime <= _LONGEST_CLAIM:
                return False
        except OSError:
            return False
    # The folder is gone, or the disk is full.
    except OSError:
        return True
    _claimed.add(path)
    return True


def _end_claim(path):
    _claimed.discard(path)
    with contextlib.suppress(OSError):
        path.with_suffix(_CLAIM).unlink()


@atexit.register
def _end_claims() -> None:
    for path in [*_claimed]:
        _end_claim(path)


_listeners: list[Callable[[str], object]] = []


@contextlib.contextmanager
def watch_compilation(listener: Callable[[str], object]) -> Iterator[None]:
    """Call ``listener(message)`` if the process compiles its first kernel meanwhile.

    It takes the place of the line on the terminal.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@functools.cache
def _announce():
    """Say once per process that kernels are compiled: log, listener or terminal."""
    message = (
        "compiling kernels for this CPU, once (3 to 8 s); "
        "`python -m fastmlp warmup` compiles all of them"
    )
    _LOGGER.info(message)
    if _listeners:
        _listeners[-1](message)
    elif sys.stderr and sys.stderr.isatty():
        print(f"fastmlp: {message}", file=sys.stderr, flush=True)
