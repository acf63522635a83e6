"""The cache of machine code: found again, never trusted blindly, never in the way.

Each test runs small kernels in processes of their own, from a package of copies of
`_jit` and `_cache` and two files more.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastmlp.kernels import _cache, _jit
from tests.fresh import run_python

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
    from copied import _cache, _caller
    result = float(_caller.total(np.ones(3, {dtype!r})))
    scaled = _caller.loop()
    answer = scaled.ctypes(1.0)
print(json.dumps({{
    "result": result,
    "scaled": answer,
    "hits": sum(_caller.total.stats.cache_hits.values()) + scaled.cache_hits,
    "folder": str(_cache.FOLDER),
    "warnings": [str(w.message) for w in caught],
    "kinds": sorted({{w.category.__name__ for w in caught}}),
}}))
"""

ME = os.getuid()

# One for the entry, one for the callback.
ALL = 2


@pytest.fixture
def package(tmp_path):
    """Folder of a package with an entry and a callback that call another file."""
    return _write_package(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a place in which another copy of the package has put its kernels."""
    place = tmp_path_factory.mktemp("filled")
    _run(_write_package(place), FASTMLP_CACHE_DIR=place / "cache")
    return place / "cache"


@pytest.fixture
def folder(package, filled):
    """Return the folder of compiled kernels in the place ``package / "cache"``."""
    shutil.copytree(filled, package / "cache")
    (folder,) = (package / "cache").iterdir()
    return folder


def _write_package(place):
    copied = place / "copied"
    copied.mkdir()
    for module in (_jit, _cache):
        shutil.copy(module.__file__, copied)
    (copied / "__init__.py").write_text("")
    (copied / "_callee.py").write_text(CALLEE.format(number=1.0))
    (copied / "_caller.py").write_text(CALLER)
    return place


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


def test_no_permission_to_write_anywhere(package):
    before = """
import pathlib
def refuse(*arguments, **settings):
    raise PermissionError("on purpose")
pathlib.Path.mkdir = refuse
"""
    found = _run(package, before)
    _assert_right(found)
    assert (found["folder"], len(found["warnings"])) == ("None", 1)


def test_chosen_place_that_cannot_be_written_to(package):
    (package / "file").write_text("")
    found = _run(package, FASTMLP_CACHE_DIR=package / "file" / "x")
    _assert_right(found)
    (warning,) = found["warnings"]
    assert f"{package / 'file' / 'x'} is not used" in warning
    assert Path(found["folder"]).parent == package / "copied" / "__pycache__"


def test_user_without_a_home(package):
    (package / "copied" / "__pycache__").write_text("")
    before = """
import pathlib
def refuse():
    raise RuntimeError("on purpose")
pathlib.Path.home = refuse
"""
    found = _run(package, before)
    _assert_right(found)
    assert (found["folder"], len(found["warnings"])) == ("None", 1)


def _kernels(folder):
    paths = sorted(Path(folder).iterdir())
    assert len(paths) == ALL
    return paths


def _flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"garbage" * 100,
        # A bit of the machine code, which unpickles as well as any other.
        lambda content: _flipped(content, content.index(b"\x7fELF") + 2000),
        lambda content: _flipped(content, len(content) - 1),
    ],
    ids=["truncated", "empty", "garbage", "one bit", "last bit"],
)
def test_damaged_file_is_replaced(change, package, folder):
    cache = folder.parent
    for path in _kernels(folder):
        path.write_bytes(change(path.read_bytes()))
    found = _run(package, FASTMLP_CACHE_DIR=cache)
    _assert_right(found)
    (warning,) = found["warnings"]
    assert str(folder) in warning
    after = _run(package, FASTMLP_CACHE_DIR=cache)
    _assert_right(after)
    assert (after["warnings"], after["hits"]) == ([], ALL)


def test_file_of_another_kernel_is_not_run_for_this_one(package, folder):
    """As when two files were mixed up."""
    a, b = _kernels(folder)
    content = a.read_bytes(), b.read_bytes()
    a.write_bytes(content[1])
    b.write_bytes(content[0])
    found = _run(package, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found)
    assert (found["hits"], len(found["warnings"])) == (0, 1)


def test_file_of_another_version_is_not_run(package, folder):
    """It has the right name, unpickles, and its machine code would run."""
    (package / "copied" / "_callee.py").write_text(CALLEE.format(number=5.0))
    new = _run(package, FASTMLP_CACHE_DIR=folder.parent)["folder"]
    for path in _kernels(folder):
        shutil.copy(path, new)
    found = _run(package, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found, 5.0)
    assert (found["hits"], len(found["warnings"])) == (0, 1)


def test_edited_callee_in_another_file_is_noticed(package, folder):
    (package / "copied" / "_callee.py").write_text(CALLEE.format(number=5.0))
    found = _run(package, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found, 5.0)
    assert found["hits"] == 0


@pytest.mark.parametrize("option", ["BOUNDSCHECK", "LOOP_VECTORIZE", "OPT"])
def test_code_of_other_options_is_kept_apart(option, package, folder):
    value = {"LOOP_VECTORIZE": 0}.get(option, 1)
    other = _run(package, FASTMLP_CACHE_DIR=folder.parent, **{f"NUMBA_{option}": value})
    assert other["hits"] == 0
    assert other["folder"] != str(folder)


@pytest.mark.parametrize("number", [1.0, 5.0])
def test_package_in_a_zip_file(number, package, folder):
    """Its sources are told apart too."""
    (package / "copied" / "_callee.py").write_text(CALLEE.format(number=number))
    shutil.make_archive(package / "zipped", "zip", package, "copied")
    shutil.rmtree(package / "copied")
    before = "import sys\nsys.path.insert(0, 'zipped.zip')"
    found = _run(package, before, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found, number)
    assert found["hits"] == (ALL if number == 1.0 else 0)


def test_package_without_sources(package):
    """What cannot be told from another version is not kept."""
    (package / "copied" / "_cache.py").write_text(
        (package / "copied" / "_cache.py")
        .read_text()
        .replace("SOURCES = _sources()", "SOURCES = []")
    )
    found = _run(package)
    _assert_right(found)
    assert found["folder"] == "None"
    assert "sources" in found["warnings"][0]


def test_without_compilation():
    run = run_python("import fastmlp", NUMBA_DISABLE_JIT="1")
    assert "ImportError: fastmlp runs nothing that Numba has not" in run.stderr


def test_other_cpu_has_its_own_folder(package, folder):
    other = _run(
        package,
        FASTMLP_CACHE_DIR=folder.parent,
        NUMBA_CPU_NAME="generic",
        NUMBA_CPU_FEATURES="",
    )
    assert other["hits"] == 0
    assert other["folder"] != str(folder)


def test_processes_that_fill_an_empty_cache_at_once(package):
    cache = package / "cache"
    processes = [_start(package, FASTMLP_CACHE_DIR=cache) for _ in range(3)]
    for process in processes:
        found = _finish(process)
        _assert_right(found)
        assert found["warnings"] == []
    assert _run(package, FASTMLP_CACHE_DIR=cache)["hits"] == ALL


def test_processes_that_save_other_types_at_once(package):
    """Neither is handed the other's machine code afterwards."""
    cache, types = package / "cache", ("float32", "float64")
    processes = [_start(package, "", name, FASTMLP_CACHE_DIR=cache) for name in types]
    for process in processes:
        _assert_right(_finish(process))
    for dtype in types:
        found = _run(package, dtype=dtype, FASTMLP_CACHE_DIR=cache)
        _assert_right(found)
        assert found["hits"] == ALL


def test_folder_deleted_while_in_use(package):
    cache = package / "cache"
    before = (
        "import shutil\nfrom copied import _cache\nshutil.rmtree(_cache.FOLDER)\n"
        # As private as the first one, whatever the umask.
        "os.umask(0)\n"
    )
    found = _run(package, before, FASTMLP_CACHE_DIR=cache)
    _assert_right(found)
    assert found["warnings"] == []
    after = _run(package, FASTMLP_CACHE_DIR=cache)
    _assert_right(after)
    assert (after["hits"], after["warnings"]) == (ALL, [])


def test_place_deleted_while_in_use(package):
    cache = package / "cache"
    before = (
        f"import shutil\nfrom copied import _cache\nshutil.rmtree({str(cache)!r})\n"
    )
    found = _run(package, before, FASTMLP_CACHE_DIR=cache)
    _assert_right(found)
    assert len(found["warnings"]) == 1


def _assert_refused(found, package):
    """Assert that the package's own folder is taken instead of what was asked for."""
    _assert_right(found)
    (warning,) = found["warnings"]
    assert "is not used" in warning
    assert found["hits"] == 0
    assert Path(found["folder"]).parent == package / "copied" / "__pycache__"


def _world_writable(folder):
    folder.chmod(0o777)


def _group_writable(folder):
    folder.chmod(0o770)


def _in_a_writable_place(folder):
    folder.parent.chmod(0o777)


def _far_below_one(folder):
    folder.parent.parent.chmod(0o777)


@pytest.mark.parametrize(
    "opened",
    [
        _world_writable,
        _group_writable,
        _in_a_writable_place,
        _far_below_one,
    ],
)
def test_nothing_is_run_from_a_folder_that_others_can_write_to(opened, package, folder):
    above = package / "above"
    above.mkdir()
    folder.parent.rename(above / "cache")
    opened(above / "cache" / folder.name)
    _assert_refused(_run(package, FASTMLP_CACHE_DIR=above / "cache"), package)


@pytest.mark.parametrize(
    "owner, group, mode, problem",
    [
        (ME, 1, 0o755, None),
        (0, 0, 0o775, None),
        (ME, 0, 0o775, None),
        (ME, os.getgid(), 0o775, None),
        (ME, 2, 0o775, "a group"),
        (ME, 2**30, 0o775, "a group"),
        (ME, 1, 0o757, "everybody"),
        (0, 1, 0o1777, None),
        (ME + 1, 1, 0o755, "somebody else's"),
        (ME + 1, 1, 0o1777, "somebody else's"),
    ],
)
def test_folders_above(owner, group, mode, problem):
    """No folder of another user, or of a group but root's and the user's own."""
    found = os.stat_result((mode, 0, 0, 1, owner, group, 0, 0, 0, 0))
    if problem is None:
        _cache._check_parent(found, "above", ME)
        return
    with pytest.raises(_cache.UnsafeFolderError, match=problem):
        _cache._check_parent(found, "above", ME)


def test_folders_that_are_made_are_closed_to_others(package):
    place = package / "one" / "two" / "three"
    found = _run(package, "import os\nos.umask(0)\n", FASTMLP_CACHE_DIR=place)
    assert (found["warnings"], Path(found["folder"]).parent) == ([], place)
    assert (package / "one").stat().st_mode & 0o777 == 0o755


def test_home_has_a_short_name(package):
    found = _run(package, FASTMLP_CACHE_DIR="~/kernels")
    assert Path(found["folder"]).parent == package / "home" / "kernels"


def test_place_where_only_owners_remove_is_taken(package):
    """As /tmp, which everybody can write to."""
    cache = package / "cache"
    cache.mkdir()
    cache.chmod(0o1777)
    found = _run(package, FASTMLP_CACHE_DIR=cache)
    assert (found["warnings"], Path(found["folder"]).parent) == ([], cache)


SOMEBODY_ELSE = "user = os.getuid() + 1\nos.getuid = lambda: user"


def test_nothing_is_run_from_a_folder_of_somebody_else(package, folder):
    found = _run(package, SOMEBODY_ELSE, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found)
    # Whoever this is, no folder here is his.
    assert (found["hits"], found["folder"], len(found["warnings"])) == (0, "None", 1)


def test_link_is_not_followed(package, folder):
    """Whoever made it could point it elsewhere later."""
    folder.rename(package / "elsewhere")
    folder.symlink_to(package / "elsewhere")
    _assert_refused(_run(package, FASTMLP_CACHE_DIR=folder.parent), package)


def test_folder_that_others_may_write_to_later_is_left(package, folder):
    before = f"from copied import _cache\nos.chmod({str(folder)!r}, 0o777)\n"
    found = _run(package, before, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found)
    assert (found["hits"], len(found["warnings"])) == (0, 1)


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
