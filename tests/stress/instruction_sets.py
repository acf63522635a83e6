"""All kernels for each instruction set, see `tests.kernels.test_instruction_sets`."""

import os
import subprocess
import sys

from tests.fresh import ROOT

TESTS = "tests/kernels/test_instruction_sets.py"


def main():
    """Run the tests with all sets, both dtypes and checked indices."""
    environment = os.environ | {"FASTMLP_ALL_INSTRUCTION_SETS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", TESTS]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
