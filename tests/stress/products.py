"""Every optimizer, activation and loss together, against NumPy; and as C code.

The suite takes each two of them together, and in C one after the other.
"""

import itertools
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

from sklearn.exceptions import ConvergenceWarning

from fastmlp.estimators._c_code import FORMS
from tests.estimators.test_c_code import KINDS_AND_LOSSES, assert_all_same, compile_all
from tests.kernels.test_step import assert_equals_naive
from tests.kernels_api import ACTIVATIONS, LOSSES
from tests.networks import DTYPES, TRAINING_RULES


def train():
    """Train all networks; return how many."""
    chosen = list(itertools.product(TRAINING_RULES, ACTIVATIONS, LOSSES, DTYPES))
    for rule, activation, loss, dtype in chosen:
        assert_equals_naive(rule, activation, *loss, dtype)
    return len(chosen)


def write_c():
    """Compile networks of all activations for each loss; return how many."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    for kind, loss, out_activation in KINDS_AND_LOSSES:
        with tempfile.TemporaryDirectory() as folder:
            compiled = partial(compile_all, Path(folder))
            settings = {"loss": loss, "out_activation": out_activation}
            assert_all_same(kind, compiled, FORMS, **settings)
    return len(KINDS_AND_LOSSES) * len(FORMS)


def main():
    """Run both and print how many networks they compared, and how long it took."""
    for run in (train, write_c):
        start = time.perf_counter()
        n = run()
        print(f"{run.__name__}: {n} networks in {time.perf_counter() - start:.0f} s")
