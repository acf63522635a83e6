"""The one place where Numba's options are set, each with its reason."""

import functools
import itertools
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from ..._platform import hold_at_fork
from .cache import FOLDER, KernelCache
from .libraries import PartCompiler, WholeCompiler

if numba.config.DISABLE_JIT:
    raise ImportError(
        "fastmlp runs nothing that Numba has not compiled, and NUMBA_DISABLE_JIT is "
        "set: unset it."
    )

_compiling = threading.RLock()

# A child forked while another thread compiles or loads kernels would wait for ever for
# that thread's locks. What is registered last is called first before a fork, so that
# both are taken in the order of `compiled_once`.
for _lock in (global_compiler_lock, _compiling):
    hold_at_fork(_lock)

# nogil: the team's threads run side by side.
# error_model "numpy": Python's division tests for zero, which keeps a loop from being
#   vectorised.
# fastmath "contract": a * b + c in one rounding. Nothing else is allowed: "nnan" and
#   "ninf" would turn isnan into False, "reassoc" would undo the exact argument
#   reduction of exp and make sums depend on how a loop was unrolled, "nsz" would lose
#   the sign of zero.
# boundscheck is left to NUMBA_BOUNDSCHECK.
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

# The wrappers that would let Python call a function take half of the time to compile a
# small one.
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# Kernels own no memory, so that references to arrays need no counts; and they use
# nothing that Numba rewrites before it infers types.
PLAIN = {"_nrt": False, "no_rewrites": True}

_INSIDE = OPTIONS | _NO_WRAPPERS | PLAIN


def jit(function: Callable) -> Any:
    """Compile a function that only other kernels call; its code is part of theirs."""
    return numba.njit(_own_symbol(function), pipeline_class=PartCompiler, **_INSIDE)


def inlined(function: Callable) -> Any:
    """Compile as `jit` does a function that LLVM finds too long to inline.

    A loop with a call in it is not vectorised.
    """
    inside = _INSIDE | {"forceinline": True}
    return numba.njit(_own_symbol(function), pipeline_class=PartCompiler, **inside)


def _own_symbol(function):
    """Return the function; a closure gets a name that no other one has.

    LLVM links by symbol, code from other processes too: Numba numbers the functions of
    a process, and a closure over other values may have had the same number there.
    """
    if function.__closure__:
        function.__qualname__ += f"-{uuid.uuid4().hex}"
    return function


def entry(function: Callable) -> Any:
    """Compile a function that Python calls; its machine code is kept on disk.

    The functions that it calls are linked into it: entries alone fill the cache.
    """
    dispatcher = numba.njit(function, pipeline_class=WholeCompiler, **OPTIONS)
    if FOLDER is not None:
        dispatcher._cache = KernelCache(function.__qualname__)
    return dispatcher


_unnamed = itertools.count()


def callback(function: Callable, signature: Any, name: str | None) -> Any:
    """Compile a function that kernels call through its address, kept on disk too.

    Kernels that take an address need not be compiled anew for another activation,
    loss or optimizer, and callbacks that no network uses are never compiled.

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
    # LLVM links by symbol: closures that share one could be taken for each other.
    symbol = name or f"{function.__qualname__}-{next(_unnamed)}"
    function.__qualname__ = f"{function.__module__}.{symbol}"
    arguments, result = signature.args, signature.return_type
    options = OPTIONS | PLAIN
    compiled: Any = CFunc(
        function, (arguments, result), {}, options, pipeline_class=WholeCompiler
    )
    if FOLDER is not None and name is not None:
        compiled._cache = KernelCache(name)
    compiled.compile()
    return compiled


def own_name(function: Any, *parts: Any) -> str | None:
    """Return a name for `callback`, or None where `function` is not of this package.

    The name begins with the function's own, because a key of a table may stand for
    another function in a later version. A function that closes over others has the name
    of all of them in `kept_as`, or None there, see `custom`.
    """
    source = function.py_func
    name = getattr(source, "kept_as", source.__name__)
    own = Path(__file__).parents[1] in Path(source.__code__.co_filename).parents
    if name is None or not own:
        return None
    return "-".join([name, *(getattr(part, "__name__", part) for part in parts)])


def compiled_once(build: Callable[..., Any]) -> Callable[..., Any]:
    """Cache the results of `build`; threads that call it at once compile only once.

    Nothing leaves this cache: engines hold addresses of compiled code.
    """
    results: dict[tuple, Any] = {}

    @functools.wraps(build)
    def find(*arguments):
        if arguments not in results:
            with _compiling:
                if arguments not in results:
                    results[arguments] = build(*arguments)
        return results[arguments]

    return find


def cache_folder() -> Path | None:
    """Return the folder that keeps compiled kernels, a Path, or None."""
    return FOLDER
