"""Calls a function in a process that cannot hang, and looks on."""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.fresh import ROOT


def run_watched(module, function, *arguments, seconds=300):
    """Call a function of `module` in a process of its own.

    One that takes longer than `seconds` is ended, and says where its threads stood.

    Returns
    -------
    figures : dict
        What the function returns.
    busy : list of int
        How many threads of the process were running or ready to, every 5 ms.
    """
    code = (
        "import faulthandler, json, signal\n"
        # What a shell starts in the background ignores Ctrl-C, and so would this.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"faulthandler.dump_traceback_later({seconds}, exit=True)\n"
        f"from {module} import {function}\n"
        f"print(json.dumps({function}(*{arguments!r})))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    busy = []
    while process.poll() is None:
        busy.append(_running(process.pid))
        time.sleep(0.005)
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{function} ended with {process.returncode}:\n{errors}")
    return json.loads(output.splitlines()[-1]), busy


def run_in_full(module, *runs):
    """Call functions of `module` as `run_watched` does, and print a line for each.

    Parameters
    ----------
    module : str
    *runs : tuple of callable, int
        A function and the number it is called with.

    Yields
    ------
    figures, busy
        What `run_watched` returns; of the figures, "crowded" is not printed.
    """
    for function, number in runs:
        started = time.perf_counter()
        figures, busy = run_watched(module, function.__name__, number, seconds=600)
        printed = (f"{n} {what}" for what, n in figures.items() if what != "crowded")
        print(f"{', '.join(printed)} in {time.perf_counter() - started:.1f} s")
        yield figures, busy


def _running(pid):
    """Return how many threads of a process run or are ready to, on Linux."""
    n = 0
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            # The name, in brackets, may hold anything.
            n += stat.read_text().rpartition(")")[2].split()[0] == "R"
        except OSError:
            continue
    return n
