"""Settings of a run of the suite."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Settings:
    """Options of the command line, and limits measured once for all sections.

    Parameters
    ----------
    quick : bool
        Fewer contestants, workloads and repetitions.
    rounds : int
        Of every timing.
    contestants : tuple of str
        Keys of `contestants.CONTESTANTS`.
    workloads : tuple of str
        Keys of `workloads.WORKLOADS`.
    data : Path or None
        Folder of the real data; None: they are left out.
    output : Path
        Folder for JSON and charts.
    limits : dict or None
        The result of `machine.measure_limits`.
    """

    quick: bool
    rounds: int
    contestants: tuple
    workloads: tuple
    data: Path | None
    output: Path
    limits: dict | None = None
    started: float = field(default_factory=time.perf_counter)

    def progress(self, message):
        """Print the current measurement and the time to stderr."""
        seconds = time.perf_counter() - self.started
        print(f"{seconds:6.0f} s  {message}", file=sys.stderr, flush=True)
