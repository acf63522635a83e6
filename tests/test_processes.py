"""Fits in other processes: the short version of a stress run."""

import pytest

from tests.fresh import run_python
from tests.stress import processes
from tests.watched import run_watched


@pytest.mark.parametrize(
    "function, number",
    [
        (processes.children, 1),
        (processes.child_of_a_busy_parent, 1),
        (processes.backends, 2),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_short(function, number):
    assert run_watched(processes.__name__, function.__name__, number)


# A thread loads or compiles for long: the child of a fork would wait for its locks.
FORKED = """
import multiprocessing, threading, time
from numba.core.compiler_lock import global_compiler_lock
from fastmlp import MLPClassifier
from fastmlp.kernels.compile.options import compiled_once

def fit():
    X = [[0.0], [1.0]] * 10
    MLPClassifier((3,), tol=1, n_iter_no_change=1, n_threads=2).fit(X, [0, 1] * 10)

@compiled_once
def compile():
    with global_compiler_lock:
        held.set()
        time.sleep(0.5)
    time.sleep(0.5)

held = threading.Event()
threading.Thread(target=compile).start()
held.wait()
child = multiprocessing.get_context("fork").Process(target=fit)
child.start()
child.join(60)
fit()
print(child.exitcode)
child.kill()
"""


def test_fork_while_another_thread_compiles():
    run = run_python(FORKED)
    assert (run.stdout, run.stderr) == ("0\n", "")
