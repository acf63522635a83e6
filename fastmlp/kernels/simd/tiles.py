"""Vector width and register tile of this CPU, from which all sizes in memory follow."""

from typing import Any

import numpy as np
from numba.core.registry import cpu_target

from ..._platform import MACHINE


def cpu_features() -> set[str]:
    """Names of the features that Numba compiles for, not those of the bare host."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    named = {name[1:] for name in features.split(",") if name.startswith("+")}
    # Every AArch64 CPU has NEON, which LLVM names only where it knows the CPU.
    return named | {"neon"} if MACHINE == "aarch64" else named


def _choose_tile(features):
    """Return vector bytes, rows and vectors of the register tile.

    The accumulators, one row of B and one broadcast element of A have to fit the
    register file (32 vectors with AVX-512 and NEON, 16 elsewhere), and at least 8
    independent accumulators hide the latency of a fused multiply-add; 16 where a core
    starts four at once, as AArch64's widest do. The rows divide the panel's width in
    both dtypes, so that a tile of a weight gradient never straddles two panels.
    """
    if "avx512f" in features:
        return 64, 8, 2
    if "avx2" in features and "fma" in features:
        return 32, 4, 3
    if "neon" in features:
        return 16, 4, 4
    return 16, 4, 2


# Of a line of the cache. Arrays begin at one, so that no vector straddles two.
LINE_BYTES = 64

VECTOR_BYTES, TILE_ROWS, TILE_VECTORS = _choose_tile(cpu_features())


# The last columns of a matrix are worked on in parts of a vector of this many bytes.
# Half of a 512-bit vector costs half where the CPU splits those into two.
PART_BYTES = min(VECTOR_BYTES, 32)
TILE_PARTS = TILE_VECTORS * VECTOR_BYTES // PART_BYTES


def describe_cpu() -> dict[str, str]:
    """Return the CPU that kernels are compiled for and its vectors, for reports."""
    _, cpu, _ = cpu_target.target_context.codegen().magic_tuple()
    named = {"avx512f", "avx2", "fma", "avx512bf16", "amx-bf16", "neon"}
    used = named & cpu_features()
    return {
        "CPU": cpu,
        "features": ", ".join(sorted(used)) or "those of every CPU",
        "vectors": f"{VECTOR_BYTES} bytes",
    }


def lanes(dtype: Any) -> int:
    """Elements of `dtype` in one vector register."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def panel_width(dtype: Any) -> int:
    """Columns of one panel: the width of the register tile in elements."""
    return TILE_VECTORS * lanes(dtype)
