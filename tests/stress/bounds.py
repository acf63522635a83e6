"""The tests of the kernels pass while every index of their Python loops is checked.

Under NUMBA_BOUNDSCHECK, with a cache folder of their own: all is compiled anew. The
suite runs all kernels on edge sizes in this way, see
`tests.kernels.test_instruction_sets`.
"""

import os
import subprocess
import sys
import tempfile

from tests.fresh import ROOT

# In ``tests/kernels``: folders and files.
MODULES = (
    "heads",
    "math",
    "ops",
    "simd",
    "update",
    "test_engine.py",
    "test_rows.py",
    "test_step.py",
    "test_trace.py",
)


def run(names):
    """Run the tests of some of MODULES, raise if one fails and return the last line."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-s"),
                # LLVM may leave a loop scalar in which indices are checked.
                *("-k", "not vectorised"),
                *(f"tests/kernels/{name}" for name in names),
            ],
            cwd=ROOT,
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT),
                "NUMBA_BOUNDSCHECK": "1",
                "FASTMLP_CACHE_DIR": folder,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    # An error inside a callback is only printed.
    assert "IndexError" not in done.stdout, done.stdout
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()[-1]


def main():
    """Run all of them and print pytest's summary."""
    print(run(MODULES))
