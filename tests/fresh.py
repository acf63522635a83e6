"""Python in fresh processes, for what depends on what a process has done before."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_python(code, *arguments, **environment):
    """Run code in a new interpreter, which finds the tests too.

    Parameters
    ----------
    code : str
    *arguments : str or path
        What the code finds in ``sys.argv[1:]``.
    **environment : str
        Variables to set.

    Returns
    -------
    subprocess.CompletedProcess
        Ended, well or not; what it printed, and its errors, are text.
    """
    return run_interpreter("-c", code, *arguments, **environment)


def run_interpreter(*arguments, timeout=300, **environment):
    """Run a new interpreter with arguments of its own; see `run_python`."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
