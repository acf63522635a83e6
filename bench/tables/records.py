"""The file of all runs: a JSON object a line, of a run or of the machine."""

import json

# Fields in which two runs differ.
KEY = ("table", "model", "rows", "seed", "threads")


def read(path):
    """Return the runs and the descriptions of machines in a file."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    runs = [line for line in lines if "machine" not in line]
    return runs, [line["machine"] for line in lines if "machine" in line]


class Records:
    """Runs by `KEY`, kept in a file if there is one.

    Parameters
    ----------
    path : Path or None
        Runs that it holds are not run again.
    machine : dict
        The result of `machine.describe`.
    """

    def __init__(self, path, machine):
        self._path = path
        there = read(path)[0] if path is not None and path.exists() else []
        self._runs = {tuple(run[name] for name in KEY): run for run in there}
        self._write({"machine": machine})

    def _write(self, line):
        if self._path is not None:
            with self._path.open("a") as file:
                print(json.dumps(line), file=file, flush=True)

    def get(self, key, make):
        """Return a run; unless it is there, ``make()`` returns its results as a dict.

        Parameters
        ----------
        key : tuple
            Values of `KEY`.
        make : callable
        """
        if key not in self._runs:
            self._runs[key] = dict(zip(KEY, key, strict=True)) | make()
            self._write(self._runs[key])
        return self._runs[key]
