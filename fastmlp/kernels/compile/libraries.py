"""How LLVM treats the code of kernels: wide vectors, and no work that is done twice.

For most of Intel's CPUs with AVX-512 LLVM makes loops of half its vectors, since code
with few of them would slow the core's clock. Products in these kernels use whole ones
anyway; in the other loops they save a sixth of a step with Mish.

Numba would optimize each function in full and make machine code of it, and then do both
again in the code of every caller. Without that for functions that are only linked into
their callers a first fit takes four fifths of the time; the code that runs is as fast
and returns the same bits.

The passes that Numba runs on single functions before it links them stay as they are: of
two products that are added, one is fused with the sum, and these passes decide which.

Numba's classes for this are private.
"""

from typing import Any

from llvmlite import ir
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

_WIDE = '"prefer-vector-width"="512"'


class _Whole(JITCodeLibrary):
    """Code whose loops have the widest vectors of the CPU."""

    def add_ir_module(self, ir_module: ir.Module) -> None:
        """Add a module of functions."""
        for function in ir_module.functions:
            # A declaration has no loops.
            if not function.is_declaration:
                # llvmlite's own `add` takes no attributes with a value.
                set.add(function.attributes, _WIDE)
        super().add_ir_module(ir_module)


class _Part(_Whole):
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


class WholeCompiler(Compiler):
    """Numba's, for functions that are called from outside."""

    library: type[JITCodeLibrary] = _Whole

    def compile_extra(self, func: Any) -> Any:
        """Compile a Python function."""
        codegen = self.state.targetctx.codegen()
        self.state.library = self.library(codegen, func.__qualname__)
        # As Numba does for libraries that it makes: machine code can be kept.
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class PartCompiler(WholeCompiler):
    """Numba's, for functions that only compiled functions call."""

    library = _Part
