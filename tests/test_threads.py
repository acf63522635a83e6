"""Python threads that train and predict at once: the short version of a stress run."""

import pytest

from tests.stress import threads
from tests.watched import run_watched


@pytest.mark.parametrize(
    "function, number",
    [
        (threads.fits_side_by_side, threads.N_WORKERS),
        (threads.predictions_side_by_side, 6),
        (threads.troubles, 1),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_threads_in_short(function, number):
    assert run_watched(threads.__name__, function.__name__, number)
