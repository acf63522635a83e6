"""Less work of LLVM for functions that are only linked into their callers.

Numba would optimize each of them in full and make machine code of it, and then do both
again in the code of every caller. Without that a first fit takes four fifths of the
time; the code that runs is as fast and returns the same bits.

The passes that Numba runs on single functions before it links them stay as they are: of
two products that are added, one is fused with the sum, and these passes decide which.

Numba's classes for this are private.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _Part(JITCodeLibrary):
    """Code that is linked into its callers': simplified, and not made to run."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager(
            opt=0, loop_vectorize=False, slp_vectorize=False, cost="cheap"
        )
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return NULL, as for all functions that Python cannot call."""
        return 0

    @property
    def codegen(self) -> Any:
        """The object whose `set_env` Numba calls; only Python objects need it."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing."""


class PartCompiler(Compiler):
    """Numba's, for functions that only compiled functions call."""

    def compile_extra(self, func: Any) -> Any:
        """Compile a Python function."""
        codegen = self.state.targetctx.codegen()
        self.state.library = _Part(codegen, func.__qualname__)
        return super().compile_extra(func)
