"""Calls a function in a process that cannot hang, and waits for what comes late."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.fresh import run_interpreter


def run_watched(module, function, *arguments, seconds=300):
    """Call a function of `module` in a process of its own; return its figures, a dict.

    One that takes longer than `seconds` is ended, and says where its threads stood.
    """
    code = (
        "import faulthandler, json, signal\n"
        # What a shell starts in the background ignores Ctrl-C, and so would this.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"faulthandler.dump_traceback_later({seconds}, exit=True)\n"
        f"from {module} import {function}\n"
        f"print(json.dumps({function}(*{arguments!r})))\n"
    )
    run = run_interpreter("-c", code, timeout=None)
    if run.returncode:
        raise RuntimeError(f"{function} ended with {run.returncode}:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def run_in_full(module, *runs):
    """Call functions of `module` as `run_watched` does, and print a line for each.

    Parameters
    ----------
    module : str
    *runs : tuple of callable, int or str
        A function and the argument it is called with.
    """
    for function, argument in runs:
        started = time.perf_counter()
        figures = run_watched(module, function.__name__, argument, seconds=600)
        printed = ", ".join(f"{n} {name}" for name, n in figures.items())
        print(f"{printed} in {time.perf_counter() - started:.1f} s")


def wait_until(holds):
    """Wait until a function returns True; fail if it takes longer than a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def in_threads(n, function):
    """Return what a function returns in each of n threads at once."""
    with ThreadPoolExecutor(n) as pool:
        return [call.result() for call in [pool.submit(function) for _ in range(n)]]


def count_threads():
    """Return the number of threads, without those that stay awake to help predict."""
    return sum(not each.name.endswith("(_live)") for each in threading.enumerate())
