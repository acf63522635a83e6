"""No loop and no network steps beyond its arrays, at any size, see `tests.byte_run`.

Every optimizer, activation and loss of the package's tables.
"""

from time import perf_counter

from tests.fresh import run_interpreter


def run(every, *dtypes):
    """Run in a process of its own, which a step beyond would end; raise if it did."""
    arguments = "-m", "tests.byte_run", str(every), *dtypes
    done = run_interpreter(*arguments, timeout=None, OMP_NUM_THREADS="1")
    # An error inside a callback is only printed.
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), done


def main(every=1):
    """Run all sizes of both types and print how long that took."""
    start = perf_counter()
    run(every, "float32", "float64")
    print(f"all sizes in {perf_counter() - start:.0f} s")
