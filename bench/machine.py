"""Where the suite ran: CPU, versions, thread counts, date; and the CPU's limits."""

import os
import platform
import threading
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import joblib
import llvmlite.binding
import numba
import numpy as np
from threadpoolctl import threadpool_info

import fastmlp
from fastmlp.kernels.compile.options import OPTIONS
from fastmlp.kernels.simd.bfloat16 import (
    SQUARE_ROWS,
    bfloat16_unit,
    call_multiply,
    multiply_loop,
)
from fastmlp.kernels.simd.bfloat16_tiles import SQUARE
from fastmlp.kernels.simd.microkernel import panel_product
from fastmlp.kernels.simd.tiles import (
    TILE_PARTS,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    panel_width,
)

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "numba", "torch", "jax", "optax", "skorch",
    "onnxruntime", "skl2onnx", "pandas", "lightgbm", "xgboost", "catboost", "pytabkit",
)  # fmt: skip


def describe():
    """Return a dict that json can write."""
    features = llvmlite.binding.get_host_cpu_features()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_llvm": llvmlite.binding.get_host_cpu_name(),
        "cpu_features": sorted(name for name, there in features.items() if there),
        "cores": os.cpu_count(),
        "cores_available": joblib.cpu_count(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "tile": f"{TILE_ROWS} rows x {TILE_VECTORS} vectors of {VECTOR_BYTES} bytes",
        "python": platform.python_version(),
        "versions": {"fastmlp": fastmlp.__version__}
        | {name: _version(name) for name in PACKAGES},
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "FASTMLP_"))
        },
    }


def describe_pools():
    """Return the thread pools of the libraries loaded by now, threads of each."""
    return {
        f"{pool['internal_api']} {pool.get('version') or ''}".strip(): {
            "threads": pool["num_threads"],
            "architecture": pool.get("architecture"),
        }
        for pool in threadpool_info()
    }


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    return next(names, platform.processor())


# Of a measurement of one rate.
_SECONDS = 0.5


@numba.njit(**OPTIONS)
def _repeat_product(shape, a, a_at, b, b_at, c, c_at, repeats):
    for _ in range(repeats):
        panel_product(shape, a, a_at, b, b_at, c, c_at, c, c_at)


def fma_peak(dtype, n_threads):
    """Floating-point operations a second of one register tile on data in L1.

    Parameters
    ----------
    dtype : float32 or float64
    n_threads : int
        Each works on data of its own; their best rates are added.
    """
    depth, width = 128, panel_width(dtype)
    shape = TILE_ROWS, depth, TILE_PARTS
    a_at, b_at, c_at = (0, 1, TILE_ROWS, depth, 0), (0, width), (0, width)
    rates = [0.0] * n_threads

    def work(thread):
        # Zeros: the sums neither overflow nor become subnormal.
        sizes = TILE_ROWS * depth, depth * width, TILE_ROWS * width
        a, b, c = (np.zeros(size, dtype) for size in sizes)
        repeats = 2_000
        operations = 2 * TILE_ROWS * depth * width * repeats
        end = time.perf_counter() + _SECONDS
        while (start := time.perf_counter()) < end:
            _repeat_product(shape, a, a_at, b, b_at, c, c_at, repeats)
            rate = operations / (time.perf_counter() - start)
            rates[thread] = max(rates[thread], rate)

    empty = np.zeros(0, dtype)
    _repeat_product((0, 0, 1), empty, a_at, empty, b_at, empty, c_at, 1)
    _in_threads(work, n_threads)
    return sum(rates)


@numba.njit(**OPTIONS)
def _repeat_multiply(multiply, operands, repeats):
    for _ in range(repeats):
        call_multiply(multiply, operands)


def bfloat16_peak(unit, n_threads):
    """Floating-point operations a second of products in bfloat16 on data in L1.

    See `fma_peak`.
    """
    multiply, depth = multiply_loop(unit).address, 8
    rates = [0.0] * n_threads

    def work(thread):
        sizes = depth * SQUARE, depth * SQUARE, SQUARE_ROWS * 4, SQUARE_ROWS**2 * 4
        a, b, start, c = (np.zeros(size + 64, np.uint8) for size in sizes)
        a_at, b_at, start_at, c_at = (
            each.ctypes.data + -each.ctypes.data % 64 for each in (a, b, start, c)
        )
        operands = SQUARE_ROWS, depth, a_at, SQUARE, b_at, start_at, c_at
        repeats = 2_000
        operations = 2 * SQUARE_ROWS**3 * depth * repeats
        end = time.perf_counter() + _SECONDS
        while (begin := time.perf_counter()) < end:
            _repeat_multiply(multiply, operands, repeats)
            rate = operations / (time.perf_counter() - begin)
            rates[thread] = max(rates[thread], rate)

    _repeat_multiply(multiply, (0,) * 7, 1)
    _in_threads(work, n_threads)
    return sum(rates)


def memory_bandwidth(n_threads):
    """Bytes a second, read and written, of copying arrays larger than the caches."""
    size = 256 * 2**20 // n_threads
    source = [np.ones(size, np.uint8) for _ in range(n_threads)]
    target = [np.zeros(size, np.uint8) for _ in range(n_threads)]
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        _in_threads(lambda i: np.copyto(target[i], source[i]), n_threads)
        best = min(best, time.perf_counter() - start)
    return 2 * size * n_threads / best


def _in_threads(work, n_threads):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure_limits():
    """Return the limits of all cores together and of one."""
    cores = joblib.cpu_count()
    limits = {"cores": cores, "bandwidth": memory_bandwidth(cores)}
    for dtype in (np.float32, np.float64):
        name = np.dtype(dtype).name
        limits[name] = fma_peak(dtype, cores)
        limits[f"{name}_one_core"] = fma_peak(dtype, 1)
    unit = bfloat16_unit()
    if unit is not None:
        limits["bfloat16"] = bfloat16_peak(unit, cores)
        limits["bfloat16_one_core"] = bfloat16_peak(unit, 1)
    return limits
