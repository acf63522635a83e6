"""The cache of machine code: found again, never trusted blindly, never in the way.

Each test runs small kernels in processes of their own, from a package of a copy of
`_jit` and two files more.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastmlp.kernels import _jit

NAMES = ("FASTMLP_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "NUMBA_BOUNDSCHECK")

CALLEE = """
from ._jit import jit

@jit
def add(x):
    return x + {number}
"""

CALLER = """
from numba import types
from ._callee import add
from ._jit import callback, entry, own_name

@entry
def total(x):
    sum = 0.0
    for value in x:
        sum += add(value)
    return sum

def loop():
    def scaled(x):
        return 2.0 * add(x)
    name = own_name(add, "scaled")
    return callback(scaled, types.float64(types.float64), name)
"""

SCRIPT = """
import json, os, warnings
import numpy as np
{before}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from copied import _caller, _jit
    result = float(_caller.total(np.ones(3, {dtype!r})))
    scaled = _caller.loop()
    answer = scaled.ctypes(1.0)
print(json.dumps({{
    "result": result,
    "scaled": answer,
    "hits": sum(_caller.total.stats.cache_hits.values()) + scaled.cache_hits,
    "folder": str(_jit._CACHE_FOLDER),
    "warnings": [str(w.message) for w in caught],
    "kinds": sorted({{w.category.__name__ for w in caught}}),
}}))
"""

# One for the entry, one for the callback.
ALL = 2


@pytest.fixture
def package(tmp_path):
    """Folder of a package with an entry and a callback that call another file."""
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copy(_jit.__file__, copied)
    (copied / "__init__.py").write_text("")
    (copied / "_callee.py").write_text(CALLEE.format(number=1.0))
    (copied / "_caller.py").write_text(CALLER)
    return tmp_path


def _start(package, before="", dtype="float64", **environment):
    kept = {key: value for key, value in os.environ.items() if key not in NAMES}
    home = {"HOME": str(package / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(before=before, dtype=dtype)],
        env=kept | home | {key: str(value) for key, value in environment.items()},
        cwd=package,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process):
    output, errors = process.communicate(timeout=300)
    assert (errors, process.returncode) == ("", 0)
    found = json.loads(output)
    assert set(found["kinds"]) <= {"RuntimeWarning"}
    return found


def _run(package, before="", **settings):
    return _finish(_start(package, before, **settings))


def _assert_right(found, number=1.0):
    assert (found["result"], found["scaled"]) == (3 * (1 + number), 2 * (1 + number))


def test_second_process_compiles_nothing(package):
    first = _run(package, FASTMLP_CACHE_DIR=package / "cache")
    second = _run(package, FASTMLP_CACHE_DIR=package / "cache")
    for found, hits in ((first, 0), (second, ALL)):
        _assert_right(found)
        assert found["warnings"] == []
        assert found["hits"] == hits
        assert Path(found["folder"]).parent == package / "cache"


def test_default_place_is_beside_the_package(package):
    found = _run(package)
    assert Path(found["folder"]).parent == package / "copied" / "__pycache__"
    assert _run(package)["hits"] == ALL


def test_numbas_own_setting_is_followed(package):
    found = _run(package, NUMBA_CACHE_DIR=package / "numba")
    assert Path(found["folder"]).parent == package / "numba" / "fastmlp"
    assert found["warnings"] == []


def test_unwritable_package_falls_back_to_the_home(package):
    # A regular file stands in the way: even root cannot write below it.
    (package / "copied" / "__pycache__").write_text("")
    found = _run(package)
    _assert_right(found)
    assert found["warnings"] == []
    assert Path(found["folder"]).parent == package / "home" / ".cache" / "fastmlp"
    elsewhere = _run(package, XDG_CACHE_HOME=package / "xdg")
    assert Path(elsewhere["folder"]).parent == package / "xdg" / "fastmlp"


@pytest.mark.parametrize("chosen", [False, True])
def test_no_writable_place_is_one_warning(chosen, package):
    (package / "copied" / "__pycache__").write_text("")
    (package / "home").write_text("")
    environment = {"FASTMLP_CACHE_DIR": package / "home" / "x"} if chosen else {}
    found = _run(package, **environment)
    _assert_right(found)
    (warning,) = found["warnings"]
    assert "FASTMLP_CACHE_DIR" in warning
    assert found["folder"] == "None"


def _damage(folder, suffix, change):
    paths = list(Path(folder).glob(f"*{suffix}"))
    assert len(paths) == ALL
    for path in paths:
        path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"garbage" * 100,
        lambda content: content[:-1] + b"\0",
    ],
    ids=["truncated", "garbage", "last byte"],
)
def test_damaged_file_is_replaced(suffix, change, package):
    cache = package / "cache"
    folder = _run(package, FASTMLP_CACHE_DIR=cache)["folder"]
    _damage(folder, suffix, change)
    found = _run(package, FASTMLP_CACHE_DIR=cache)
    _assert_right(found)
    # One for each of the two files.
    assert len(found["warnings"]) == ALL
    assert all(folder in warning for warning in found["warnings"])
    after = _run(package, FASTMLP_CACHE_DIR=cache)
    _assert_right(after)
    assert (after["warnings"], after["hits"]) == ([], ALL)


def test_file_of_another_kernel_is_not_run_for_this_one(package):
    """As when two versions of a file were mixed up."""
    cache = package / "cache"
    folder = Path(_run(package, FASTMLP_CACHE_DIR=cache)["folder"])
    a, b = sorted(folder.glob("*.nbc"))
    content = a.read_bytes(), b.read_bytes()
    a.write_bytes(content[1])
    b.write_bytes(content[0])
    _assert_right(_run(package, FASTMLP_CACHE_DIR=cache))


def test_edited_callee_in_another_file_is_noticed(package):
    cache = package / "cache"
    _assert_right(_run(package, FASTMLP_CACHE_DIR=cache))
    (package / "copied" / "_callee.py").write_text(CALLEE.format(number=5.0))
    found = _run(package, FASTMLP_CACHE_DIR=cache)
    _assert_right(found, 5.0)
    assert found["hits"] == 0


def test_checked_and_unchecked_code_are_kept_apart(package):
    cache = package / "cache"
    plain = _run(package, FASTMLP_CACHE_DIR=cache)
    checked = _run(package, FASTMLP_CACHE_DIR=cache, NUMBA_BOUNDSCHECK=1)
    assert checked["hits"] == 0
    assert checked["folder"] != plain["folder"]


def test_other_cpu_has_its_own_folder(package):
    cache = package / "cache"
    plain = _run(package, FASTMLP_CACHE_DIR=cache)
    other = _run(
        package,
        FASTMLP_CACHE_DIR=cache,
        NUMBA_CPU_NAME="generic",
        NUMBA_CPU_FEATURES="",
    )
    assert other["hits"] == 0
    assert other["folder"] != plain["folder"]


def test_processes_that_fill_an_empty_cache_at_once(package):
    cache = package / "cache"
    processes = [_start(package, FASTMLP_CACHE_DIR=cache) for _ in range(4)]
    for process in processes:
        found = _finish(process)
        _assert_right(found)
        assert found["warnings"] == []
    assert _run(package, FASTMLP_CACHE_DIR=cache)["hits"] == ALL


# Called before the first kernel is: makes the steps of two processes that save at once
# interleave in the worst order. What is loaded is as old as it can be.
INTERLEAVED = """
import time
from pathlib import Path
from numba.core.caching import IndexDataCacheFile as File

def wait_for(name):
    for _ in range(6000):
        if Path(name).exists():
            return
        time.sleep(0.01)
    raise TimeoutError(name)

save_index, save_data = File._save_index, File._save_data

def save_index_in_turn(self, overloads):
    {before_index}
    save_index(self, overloads)
    {after_index}

def save_data_in_turn(self, name, data):
    {before_data}
    save_data(self, name, data)
    {after_data}

File._save_index, File._save_data = save_index_in_turn, save_data_in_turn
"""


def test_processes_that_save_other_types_at_once(package):
    """Neither is handed the other's machine code afterwards."""
    cache = package / "cache"
    first = INTERLEAVED.format(
        before_index="wait_for('second has loaded')",
        after_index="Path('first has an index').touch()",
        before_data="wait_for('second has saved')",
        after_data="",
    )
    second = INTERLEAVED.format(
        before_index="Path('second has loaded').touch(); "
        "wait_for('first has an index')",
        after_index="",
        before_data="",
        after_data="Path('second has saved').touch()",
    )
    processes = [
        _start(package, first, "float32", FASTMLP_CACHE_DIR=cache),
        _start(package, second, "float64", FASTMLP_CACHE_DIR=cache),
    ]
    for process in processes:
        _assert_right(_finish(process))
    for dtype in ("float32", "float64"):
        _assert_right(_run(package, dtype=dtype, FASTMLP_CACHE_DIR=cache))


def test_folder_deleted_while_in_use(package):
    cache = package / "cache"
    before = (
        "import shutil\nfrom copied import _jit\nshutil.rmtree(_jit._CACHE_FOLDER)\n"
    )
    found = _run(package, before, FASTMLP_CACHE_DIR=cache)
    _assert_right(found)
    _assert_right(_run(package, FASTMLP_CACHE_DIR=cache))


def test_nothing_is_run_from_a_folder_that_others_can_write_to(package):
    cache = package / "cache"
    folder = Path(_run(package, FASTMLP_CACHE_DIR=cache)["folder"])
    folder.chmod(0o777)
    found = _run(package, FASTMLP_CACHE_DIR=cache)
    _assert_right(found)
    assert (found["hits"], found["folder"], len(found["warnings"])) == (0, "None", 1)


def test_nothing_is_run_from_a_folder_of_somebody_else(package):
    cache = package / "cache"
    _run(package, FASTMLP_CACHE_DIR=cache)
    before = "user = os.getuid() + 1\nos.getuid = lambda: user"
    found = _run(package, before, FASTMLP_CACHE_DIR=cache)
    _assert_right(found)
    assert (found["hits"], found["folder"], len(found["warnings"])) == (0, "None", 1)


def test_what_the_options_keep():
    """NaN, infinities, the sign of zero and the order of sums."""

    def run(x, y):
        x[0] = 1 if np.isnan(y[0]) else 0
        x[1] = 1 if np.isinf(y[1]) else 0
        x[2] = (y[2] + y[3]) - y[2]
        x[3] = -0.0 * y[4]
        x[4] = y[5] / y[6]

    compiled = _jit.numba.njit(run, **_jit.OPTIONS)
    x = np.empty(5)
    compiled(x, np.array([np.nan, np.inf, 1e20, 1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(x, [1, 1, 0, 0, np.inf])
    assert np.signbit(x[3])
