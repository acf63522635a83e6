"""The one place where Numba's options and its cache are set, each with its reason."""

import functools
import hashlib
import os
import platform
import sys
import tempfile
import warnings
from pathlib import Path
from typing import ClassVar

import llvmlite
import numba
from numba.core import caching
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target

# nogil: the team's threads run side by side.
# error_model "numpy": Python's division tests for zero, which keeps a loop from being
#   vectorised.
# fastmath "contract": a * b + c in one rounding. Nothing else is allowed: "nnan" and
#   "ninf" would turn isnan into False, "reassoc" would undo the exact argument
#   reduction of exp and make sums depend on how a loop was unrolled, "nsz" would lose
#   the sign of zero.
# boundscheck is left to NUMBA_BOUNDSCHECK.
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function):
    """Compile a function that only other kernels call; its code is part of theirs.

    Without the wrappers that would let Python call it, which take half of the time to
    compile a small function.
    """
    return numba.njit(function, **OPTIONS, **_NO_WRAPPERS)


def inlined(function):
    """Compile as `jit` does a function that LLVM finds too long to inline.

    A loop with a call in it is not vectorised.
    """
    return numba.njit(function, forceinline=True, **OPTIONS, **_NO_WRAPPERS)


def entry(function):
    """Compile a function that Python calls; its machine code is kept on disk.

    What it calls is linked into it, so that entries alone fill the cache.
    """
    dispatcher = numba.njit(function, **OPTIONS)
    if _CACHE_FOLDER is not None:
        dispatcher._cache = _EntryCache(function, function.__qualname__)
    return dispatcher


def callback(function, signature, name):
    """Compile a function that kernels call through its address, kept on disk too.

    Kernels that are handed an address need not be compiled anew for another
    activation, loss or optimizer, and what nobody uses is never compiled.

    Parameters
    ----------
    function : Python function
        Takes scalars: addresses, counts and settings. May be a closure.
    signature : numba signature
    name : str or None
        Names `function` together with all that it closes over, if that is defined in
        this package; None for anything else, which is then not kept on disk.

    Returns
    -------
    compiled : numba CFunc
        Keep it for as long as its ``address`` is in use.
    """
    arguments, result = signature.args, signature.return_type
    compiled = CFunc(function, (arguments, result), locals={}, options=OPTIONS)
    if _CACHE_FOLDER is not None and name is not None:
        compiled._cache = _EntryCache(function, name)
    compiled.compile()
    return compiled


def own_name(function, *parts):
    """Return a name for `callback`, or None where `function` is not of this package.

    It begins with the function's: the same key of a table may mean another one day.
    """
    source = function.py_func
    if Path(source.__code__.co_filename).parent != Path(__file__).parent:
        return None
    return "-".join(getattr(part, "__name__", part) for part in (source, *parts))


def kept_by_row(table):
    """Compile once for each row of a table and dtype, and anew for a row in its place.

    A decorator of ``build(*key, dtype)``. What has been compiled stays: engines hold
    addresses.
    """

    def decorate(build):
        @functools.cache
        def built(row, *arguments):
            return build(*arguments)

        @functools.wraps(build)
        def find(*arguments):
            key = arguments[:-1]
            return built(table[key if len(key) > 1 else key[0]], *arguments)

        return find

    return decorate


def _fingerprint():
    """Hash of all that the compiled code depends on.

    Numba's own cache looks at the file that defines a function and misses an edited
    callee in another file, so the folder's name carries the sources of all kernels.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    versions = (numba.__version__, llvmlite.__version__, sys.version)
    machine = cpu_target.target_context.codegen().magic_tuple()
    checks = numba.config.BOUNDSCHECK
    digest.update(repr((versions, machine, platform.machine(), checks)).encode())
    return digest.hexdigest()[:16]


def _places():
    """Folders that may hold the cache, the preferred one first."""
    chosen = os.environ.get("FASTMLP_CACHE_DIR")
    if chosen:
        yield Path(chosen)
        return
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR) / "fastmlp"
    yield Path(__file__).parent / "__pycache__"
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    yield Path(home).expanduser() / "fastmlp"


def _open_cache_folder():
    """Return the first place this user can write to and nobody else can, or None."""
    for place in _places():
        folder = place / f"fastmlp-{_FINGERPRINT}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            status = folder.stat()
        except OSError:
            continue
        # Machine code is executed from here: never from a folder of somebody else.
        if os.name == "nt" or (
            status.st_uid == os.getuid() and not status.st_mode & 0o002
        ):
            return folder
    warnings.warn(
        "fastmlp found no folder to keep its compiled kernels in and compiles them "
        "anew in every process. Set FASTMLP_CACHE_DIR to a folder that you can write "
        "to.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def cache_folder():
    """Return the folder in which compiled kernels are kept, a Path, or None."""
    return _CACHE_FOLDER


class _Locator(caching._CacheLocator):
    """Where machine code lies: the folder's name carries the whole fingerprint."""

    def __init__(self, path):
        self._py_file = path

    def get_cache_path(self):
        return str(_CACHE_FOLDER)

    def get_source_stamp(self):
        return _FINGERPRINT

    def get_disambiguator(self):
        return ""

    @classmethod
    def from_function(cls, function, path):
        return cls(path)


class _EntryCacheImpl(caching.CompileResultCacheImpl):
    _locator_classes: ClassVar = [_Locator]


class _EntryCache(caching.FunctionCache):
    """Numba's cache, for which a file that cannot be read is a file that is not there.

    Truncated or foreign files raise anything from EOFError to AttributeError when they
    are unpickled; the entry is then compiled anew and written over them.
    """

    _impl_class = _EntryCacheImpl

    def __init__(self, function, name):
        super().__init__(function)
        self._entry_name = name
        self._cache_file = caching.IndexDataCacheFile(
            self._cache_path, name, _FINGERPRINT
        )

    def _index_key(self, sig, codegen):
        # The fingerprint covers the rest. Numba's key would hash what a closure holds,
        # and a compiled function in it hashes differently in every process.
        return sig, self._entry_name

    def _open(self, sig):
        digest = hashlib.sha256(repr(sig).encode()).hexdigest()[:8]
        self._file_name = f"{self._entry_name}-{digest}"
        self._cache_file = caching.IndexDataCacheFile(
            self._cache_path, self._file_name, _FINGERPRINT
        )

    def load_overload(self, sig, target_context):
        self._open(sig)
        try:
            found = super().load_overload(sig, target_context)
            if found is not None and found.signature.args != getattr(sig, "args", sig):
                raise TypeError(f"{found.signature} is not {sig}")
            return found
        except Exception as error:
            self._warn("read", error)
            self._forget()
            return None

    def save_overload(self, sig, data):
        self._open(sig)
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self._warn("write", error)

    def _forget(self):
        for path in Path(self.cache_path).glob(f"{self._file_name}.*"):
            try:
                path.unlink()
            except OSError:
                return

    def _warn(self, verb, error):
        warnings.warn(
            f"fastmlp could not {verb} its compiled kernels in {self.cache_path} "
            f"({type(error).__name__}: {error}) and goes on without them.",
            RuntimeWarning,
            stacklevel=2,
        )


_FINGERPRINT = _fingerprint()
_CACHE_FOLDER = _open_cache_folder()
