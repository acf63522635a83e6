"""The tests of the kernels pass while every index of their Python loops is checked.

Under NUMBA_BOUNDSCHECK, with a cache folder of their own: all is compiled anew. The
suite runs all kernels on edge sizes in this way, see
`tests.kernels.test_instruction_sets`.
"""

import tempfile

from tests.fresh import run_interpreter

# In ``tests/kernels``: folders and files.
MODULES = (
    "heads", "math", "ops", "simd", "update", "test_engine.py", "test_rows.py",
    "test_step.py", "test_trace.py",
)  # fmt: skip


def run(names):
    """Run the tests of some of MODULES, raise if one fails and return the last line."""
    with tempfile.TemporaryDirectory() as folder:
        done = run_interpreter(
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-s"),
            # LLVM may leave a loop scalar in which indices are checked.
            *("-k", "not vectorised"),
            *(f"tests/kernels/{name}" for name in names),
            timeout=None,
            NUMBA_BOUNDSCHECK="1",
            FASTMLP_CACHE_DIR=folder,
        )
    printed = done.stdout + done.stderr
    # An error inside a callback is only printed.
    assert "IndexError" not in printed, printed
    assert done.returncode == 0, printed
    return done.stdout.splitlines()[-1]


def main():
    """Run all of them and print pytest's summary."""
    print(run(MODULES))
