"""Fresh processes, for measurements that depend on a process's past."""

import json
import os
import subprocess
import sys
from pathlib import Path


def run(module, *arguments, **environment):
    """Run ``python -m bench.<module>`` in a new process and return its output.

    Parameters
    ----------
    module : str
        Prints JSON.
    *arguments : str
    **environment : str
        Variables to set.

    Raises
    ------
    ImportError
        If the process ended because something is not installed.
    RuntimeError
        If it ended otherwise than well; with its stderr.
    """
    process = subprocess.run(
        [sys.executable, "-m", f"bench.{module}", *arguments],
        cwd=Path(__file__).parents[1],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no message"]
        if lines[-1].startswith(("ImportError", "ModuleNotFoundError")):
            raise ImportError(lines[-1].partition(": ")[2])
        raise RuntimeError(process.stderr)
    return json.loads(process.stdout)
