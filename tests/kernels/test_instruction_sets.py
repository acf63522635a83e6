"""The kernels compiled for each instruction set that this machine has.

Each set runs `kernel_run` in a process of its own: every array ends, or starts, beside
an unreadable page there, so that an access beyond one ends the process.

In short: the narrowest set and this machine's, in float32, without the rows of tables
whose loops are the same for vectors of any width. All sets and rows, both dtypes and
indices that are checked take minutes: ``python -m tests.stress instruction_sets``.
"""

import os
import signal
import subprocess
import sys

import llvmlite.binding
import numpy as np
import pytest

from fastmlp._platform import MACHINE
from tests.fresh import ROOT, run_python
from tests.guarded import SIDES

# Everything that a Haswell has and NumPy's builds for it use.
_AVX2 = (
    "+64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,"
    "+movbe,+popcnt,+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave"
)


def _sets():
    """Return, per set that this machine can run, its environment and its tile."""
    features = llvmlite.binding.get_host_cpu_features()
    sets = {
        "narrowest": (
            {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
            (16, 4, 4) if MACHINE == "aarch64" else (16, 4, 2),
        ),
    }
    if features.get("avx2") and features.get("fma"):
        sets["avx2"] = (
            {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": _AVX2},
            (32, 4, 3),
        )
    if features.get("avx512f"):
        sets["avx512"] = ({}, (64, 8, 2))
    return sets


# Set by `tests.stress.instruction_sets`.
FULL = "FASTMLP_ALL_INSTRUCTION_SETS" in os.environ
SETS = _sets()
if not FULL:
    names = [*SETS]
    SETS = {name: SETS[name] for name in (names[0], names[-1])}
DTYPES = ("float32", "float64") if FULL else ("float32",)
RUNS = [(name, dtype) for name in SETS for dtype in DTYPES]
# Indices of the loops that are written in Python, checked too; compiling with checks
# takes twice as long, and the loops are the same ones for both dtypes.
CHECKED = [("checked", "float32")] if FULL else []


def _environment(changes):
    names = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_BOUNDSCHECK")
    kept = {key: value for key, value in os.environ.items() if key not in names}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Start all sets side by side: most of their time is compiling."""
    folder = tmp_path_factory.mktemp("results")
    environments = {name: changes for name, (changes, _) in SETS.items()}
    environments |= {name: {"NUMBA_BOUNDSCHECK": "1"} for name, _ in CHECKED}
    processes = {
        name: subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.kernel_run", folder / f"{name}.npz"),
                "all" if FULL else "wide",
                *(dtype for run, dtype in RUNS + CHECKED if run == name),
            ],
            env=_environment(changes),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, changes in environments.items()
    }
    output = {name: process.communicate()[0] for name, process in processes.items()}
    codes = {name: process.returncode for name, process in processes.items()}
    return folder, output, codes


def _load(runs, name, key):
    with np.load(runs[0] / f"{name}.npz") as results:
        return results[key]


@pytest.mark.parametrize("name", sorted({name for name, _ in RUNS + CHECKED}))
def test_kernel_run_accesses_nothing_beyond_any_array(name, runs):
    _, output, codes = runs
    # An error inside a callback is only printed.
    assert (codes[name], output[name]) == (0, "")


@pytest.mark.parametrize("name", SETS)
def test_tile_is_that_of_the_instruction_set(name, runs):
    assert tuple(_load(runs, name, "tile")) == SETS[name][1]


@pytest.mark.parametrize("name, dtype", RUNS + CHECKED)
def test_results_do_not_depend_on_the_place_in_memory(name, dtype, runs):
    end, start = (_load(runs, name, f"{dtype}-{side}") for side in SIDES)
    assert np.isfinite(end).all()
    assert end.size > 5_000
    assert end.tobytes() == start.tobytes()


@pytest.mark.parametrize("name, dtype", RUNS + CHECKED)
def test_results_agree_with_the_narrowest(name, dtype, runs):
    """Sums run in one order everywhere; what differs is fused rounding."""
    ref = _load(runs, "narrowest", f"{dtype}-agree")
    comp = _load(runs, name, f"{dtype}-agree")
    assert comp.size > 10_000
    bound = 100 * np.finfo(dtype).eps * (1 + abs(ref))
    assert (abs(comp - ref) <= bound).all()


@pytest.mark.parametrize("side", SIDES)
def test_guarded_page_ends_the_process(side):
    """What the tests above rest on."""
    beyond = "array.nbytes" if side == "end" else "-1"
    code = (
        "import ctypes, numpy as np\n"
        "from tests.guarded import guarded\n"
        f"array = guarded(np.arange(1000.0), {side!r})\n"
        "assert array.sum() == 499500\n"
        "print('inside', flush=True)\n"
        f"ctypes.c_char.from_address(array.ctypes.data + {beyond}).value\n"
    )
    run = run_python(code)
    assert run.stdout == "inside\n"
    assert run.returncode in (-signal.SIGSEGV, -signal.SIGBUS)
