"""No loop and no network steps beyond its arrays, at any size, see `tests.byte_run`.

Every optimizer, activation and loss of the package's tables.
"""

import os
import subprocess
import sys
from time import perf_counter

from tests.fresh import ROOT


def run(every, *dtypes):
    """Run in a process of its own, which a step beyond would end; raise if it did."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.byte_run", str(every), *dtypes],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # An error inside a callback is only printed.
    assert (done.returncode, done.stdout) == (0, ""), (done.returncode, done.stdout)


def main(every=1):
    """Run all sizes of both types and print how long that took."""
    start = perf_counter()
    run(every, "float32", "float64")
    print(f"all sizes in {perf_counter() - start:.0f} s")
