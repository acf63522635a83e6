"""No loop steps beyond its arrays: ``tests.stress.bytes`` and ``bounds``, in short."""

import pytest

from tests import byte_run
from tests.fresh import ROOT, run_python
from tests.networks import DTYPES
from tests.stress import bounds, bytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_row_of_every_table(dtype):
    bytes.run(8, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_networks_have_every_size_whatever_is_left_out(dtype, monkeypatch):
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
    for name in byte_run.ACTIVATIONS:
        assert any(f"'activation': '{name}'" in case for case in cases)


def test_a_step_beyond_is_noticed():
    """What the test above rests on: one element less than the docstrings say."""
    code = (
        "import numpy as np\n"
        "from tests import byte_run\n"
        "from tests.kernel_run import guarded\n"
        "whole = guarded\n"
        "byte_run.guarded = lambda array, side: whole(array[1:], side)\n"
        "byte_run.run_loops(np.float32, 'end')\n"
    )
    assert run_python(code).returncode < 0


def test_an_index_beyond_is_noticed_where_they_are_checked():
    """In compiled loops, with the setting that ``bounds`` and the suite's run use."""
    code = (
        "import numpy as np\n"
        "from tests.kernels_api import entry\n"
        "@entry\n"
        "def beyond(x, i):\n"
        "    return x[i]\n"
        "try:\n"
        "    beyond(np.zeros(3), 3)\n"
        "except IndexError:\n"
        "    print('noticed')\n"
    )
    run = run_python(code, NUMBA_BOUNDSCHECK="1")
    assert run.stdout == "noticed\n", run.stderr


def test_every_module_of_kernels_is_named():
    for name in bounds.MODULES:
        assert (ROOT / "tests" / f"test_{name}.py").is_file()
