"""No loop steps beyond its arrays: ``tests.stress.bytes`` and ``bounds``, in short."""

import pytest

from tests import byte_run
from tests.fresh import ROOT, run_python
from tests.kernels_api import ACTIVATIONS
from tests.networks import DTYPES
from tests.stress import bounds, bytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_byte_run_of_every_row_of_every_table(dtype):
    bytes.run(8, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_byte_run_has_networks_of_every_size(dtype, monkeypatch):
    """Of every row some, of the tables all, and of each pass all of them."""
    seen = []

    def note(network, rule, n, batch, dtype):
        seen.append((network["units"][0], n, repr((network | {"units": 0}, rule))))

    monkeypatch.setattr(byte_run, "train", note)
    byte_run.run_networks(dtype, 8)
    features, rows, cases = (set(column) for column in zip(*seen, strict=True))
    assert features == set(byte_run.sizes(dtype)) - {0}
    assert rows == set(range(1, 2 * byte_run.TILE_ROWS + 2))
    # "identity" and the base's own activation and loss stand in more than one row.
    assert len(cases) >= len(byte_run.RULES) + len(byte_run.LOSSES)
    for name in ACTIVATIONS:
        assert any(f"'activation': '{name}'" in case for case in cases)


STEPS_BEYOND = {
    "loops": """
byte_run.guarded = lambda array, side: guarded(array[1:], side)
byte_run.run_loops(np.float32, "end", 1)
""",
    # Matrices of rows without their last row.
    "operations": """
def without_a_row(array, side):
    rows = array.shape[1] if array.ndim == 3 else 1
    return guarded(array[:, :-1] if rows > 1 else array, side)

byte_run.guarded = without_a_row
for make in byte_run.operations():
    byte_run.run_operation(make, 3, np.float32, "end")
""",
    # The memory without the tiles of gradients: the first one, of a full panel, begins
    # at the page.
    "networks": """
width = panel_width(np.float32)
tiles = (TILE_PARTS + 1) * width**2

def without_tiles(array, side):
    return guarded(array[:-tiles] if array.size > tiles else array, side)

kernel_run.guarded = without_tiles
kernel_run.fence_all("end")
kernel_run.train(BASE | {"units": (5, width, 3)}, "adam", 9, 4, np.float32)
""",
}


@pytest.mark.parametrize("name", STEPS_BEYOND)
def test_guard_pages_notice_a_step_beyond(name):
    """The tests above rest on this."""
    code = """
import numpy as np
from tests import byte_run, kernel_run
from tests.guarded import guarded
from tests.kernels_api import TILE_PARTS, panel_width
from tests.networks import BASE
"""
    assert run_python(code + STEPS_BEYOND[name]).returncode < 0


def test_checks_of_indices_notice_one_beyond():
    """In compiled loops, with the setting that ``bounds`` and the suite's run use."""
    code = (
        "import numpy as np\n"
        "from tests.kernels_api import options\n"
        "@options.entry\n"
        "def beyond(x, i):\n"
        "    return x[i]\n"
        "try:\n"
        "    beyond(np.zeros(3), 3)\n"
        "except IndexError:\n"
        "    print('noticed')\n"
    )
    run = run_python(code, NUMBA_BOUNDSCHECK="1")
    assert run.stdout == "noticed\n", run.stderr


def test_bounds_runs_modules_that_there_are():
    for name in bounds.MODULES:
        assert (ROOT / "tests" / "kernels" / name).exists()
