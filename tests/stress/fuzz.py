"""Whatever is drawn, calls succeed or say in words what was wrong, and lose no model.

10,000 sequences of calls, see `tests.fuzzing`.
"""

from time import perf_counter

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzzing import Calls


def run(examples, steps=8):
    """Run so many sequences, always the same ones; raise where something is wrong."""
    run_state_machine_as_test(
        Calls,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def main(examples=10_000):
    """Run all of them and print how long they took."""
    start = perf_counter()
    run(examples)
    print(f"{examples} sequences of calls in {perf_counter() - start:.0f} s")
