"""The cache of machine code: found again, never stale, never in the way.

Each test runs small kernels in processes of their own, from a package of copies of
`_platform` and `kernels.compile`, and two files more.
"""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from fastmlp import MLPClassifier, _platform
from fastmlp.kernels.compile import cache, libraries, options
from tests.fresh import run_python

KERNELS = "copied/kernels"

NAMES = ("FASTMLP_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "NUMBA_BOUNDSCHECK")

CALLEE = """
from .compile.options import jit

@jit
def add(x):
    return x + {number}
"""

CALLER = """
from numba import types
from ._callee import add
from .compile.options import callback, entry, own_name

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
import json, logging, os, warnings
import numpy as np
{before}
lines = []
class Handler(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger("fastmlp").setLevel("INFO")
logging.getLogger("fastmlp").addHandler(Handler())
with warnings.catch_warnings(record=True, action="always") as caught:
    from copied.kernels import _caller
    from copied.kernels.compile import cache
    result = float(_caller.total(np.ones(3, {dtype!r})))
    scaled = _caller.loop()
    answer = scaled.ctypes(1.0)
print(json.dumps({{
    "result": result,
    "scaled": answer,
    "hits": sum(_caller.total.stats.cache_hits.values()) + scaled.cache_hits,
    "folder": str(cache.FOLDER),
    "log": lines,
    "warnings": [str(w.message) for w in caught],
    "kinds": sorted({{w.category.__name__ for w in caught}}),
}}))
"""

# What stands before it, to have the folder only, and nothing compiled.
OPENED = """
import sys
with warnings.catch_warnings(record=True, action="always") as caught:
    from copied.kernels.compile import cache
print(json.dumps({
    "folder": str(cache.FOLDER),
    "warnings": [str(w.message) for w in caught],
    "kinds": sorted({w.category.__name__ for w in caught}),
}))
sys.exit()
"""

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
    kernels = place / KERNELS
    (kernels / "compile").mkdir(parents=True)
    for module in (options, cache, libraries):
        shutil.copy(module.__file__, kernels / "compile")
    shutil.copy(_platform.__file__, kernels.parent)
    for package in (kernels.parent, kernels, kernels / "compile"):
        (package / "__init__.py").write_text("")
    (kernels / "_callee.py").write_text(CALLEE.format(number=1.0))
    (kernels / "_caller.py").write_text(CALLER)
    return place


def _start(package, before="", dtype="float64", stderr=subprocess.PIPE, **environment):
    kept = {key: value for key, value in os.environ.items() if key not in NAMES}
    home = {"HOME": str(package / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(before=before, dtype=dtype)],
        env=kept | home | {key: str(value) for key, value in environment.items()},
        cwd=package,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def _finish(process):
    output, errors = process.communicate(timeout=300)
    assert (errors or "", process.returncode) == ("", 0)
    found = json.loads(output)
    assert set(found["kinds"]) <= {"RuntimeWarning"}
    return found


def _run(package, before="", **settings):
    return _finish(_start(package, before, **settings))


def _assert_right(found, number=1.0):
    assert (found["result"], found["scaled"]) == (3 * (1 + number), 2 * (1 + number))


def _assert_no_folder(found):
    """Assert that nothing is kept, and that one warning names a remedy."""
    (warning,) = found["warnings"]
    assert "FASTMLP_CACHE_DIR" in warning
    assert found["folder"] == "None"


def test_second_process_compiles_nothing(package):
    first = _run(package, FASTMLP_CACHE_DIR=package / "cache")
    second = _run(package, FASTMLP_CACHE_DIR=package / "cache")
    for found, hits in ((first, 0), (second, ALL)):
        _assert_right(found)
        assert found["warnings"] == []
        assert found["hits"] == hits
        assert len(found["log"]) == (hits == 0)
        assert Path(found["folder"]).parent == package / "cache"


def test_first_compilation_is_logged_and_shown_once(package):
    """Shown on a terminal."""
    terminal, inside = os.openpty()
    start = _start(package, stderr=inside, FASTMLP_CACHE_DIR=package / "cache")
    (line,) = _finish(start)["log"]
    assert "python -m fastmlp warmup" in line
    os.write(inside, b"end")
    shown = b""
    while not shown.endswith(b"end"):  # a read may return one line
        shown += os.read(terminal, 1000)
    os.close(terminal)
    os.close(inside)
    assert shown.count(b"fastmlp: compiling kernels") == shown.count(b"\n") == 1


def test_first_compilation_is_printed_by_verbose(tmp_path):
    """The cache is this process's, without one kernel."""
    with warnings.catch_warnings(action="ignore"):
        MLPClassifier((3,), max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
    folder = tmp_path / options.FOLDER.name
    shutil.copytree(options.FOLDER, folder)
    (missing,) = folder.glob("_relu-value-relu-float64-*")
    missing.unlink()
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, fastmlp\n"
        "model = fastmlp.MLPClassifier((3,), max_iter=1, verbose=True)\n"
        "model.fit(np.eye(4), [0, 1, 0, 1])\n"
    )
    compiled = run_python(code, FASTMLP_CACHE_DIR=str(tmp_path))
    assert compiled.stderr == ""
    first, second = compiled.stdout.splitlines()
    assert "python -m fastmlp warmup" in first
    assert second.startswith("Iteration 1")


def test_default_place_is_beside_the_package(package):
    found = _run(package, OPENED)
    assert Path(found["folder"]).parent == package / KERNELS / "compile" / "__pycache__"


def test_numbas_own_setting_is_followed(package):
    found = _run(package, OPENED, NUMBA_CACHE_DIR=package / "numba")
    assert Path(found["folder"]).parent == package / "numba" / "fastmlp"


def test_unwritable_package_falls_back_to_the_home(package):
    # A regular file stands in the way: even root cannot write below it.
    (package / KERNELS / "compile" / "__pycache__").write_text("")
    found = _run(package, OPENED)
    assert found["warnings"] == []
    assert Path(found["folder"]).parent == package / "home" / ".cache" / "fastmlp"
    elsewhere = _run(package, OPENED, XDG_CACHE_HOME=package / "xdg")
    assert Path(elsewhere["folder"]).parent == package / "xdg" / "fastmlp"


def test_no_writable_place_is_one_warning(package):
    (package / KERNELS / "compile" / "__pycache__").write_text("")
    (package / "home").write_text("")
    found = _run(package)
    _assert_no_folder(found)
    _assert_right(found)
    assert found["hits"] == 0


def test_chosen_place_that_cannot_be_written_to_is_one_warning(package):
    (package / "file").write_text("")
    place = package / "file" / "x"
    found = _run(package, OPENED, FASTMLP_CACHE_DIR=place)
    _assert_no_folder(found)
    assert str(place) in found["warnings"][0]


def test_user_without_a_home(package):
    (package / KERNELS / "compile" / "__pycache__").write_text("")
    before = """
import pathlib
def refuse(path):
    raise RuntimeError("on purpose")
pathlib.Path.expanduser = refuse
"""
    _assert_no_folder(_run(package, before + OPENED))


def test_home_has_a_short_name(package):
    found = _run(package, OPENED, FASTMLP_CACHE_DIR="~/kernels")
    assert Path(found["folder"]).parent == package / "home" / "kernels"


def test_damaged_files_are_replaced(package, folder):
    cut, garbage = folder.iterdir()
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    garbage.write_bytes(b"garbage" * 100)
    for hits in (0, ALL):
        found = _run(package, FASTMLP_CACHE_DIR=folder.parent)
        _assert_right(found)
        assert (found["hits"], found["warnings"]) == (hits, [])


def test_edited_callee_in_another_file_is_noticed(package, folder):
    (package / KERNELS / "_callee.py").write_text(CALLEE.format(number=5.0))
    found = _run(package, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found, 5.0)
    assert found["hits"] == 0


def test_edited_file_of_the_platform_is_noticed(package, folder):
    with (package / "copied" / "_platform.py").open("a") as file:
        file.write("\n")
    found = _run(package, OPENED, FASTMLP_CACHE_DIR=folder.parent)
    assert found["folder"] != str(folder)


def test_edited_file_of_a_folder_in_the_package_is_noticed(package, folder):
    (package / KERNELS / "below").mkdir()
    (package / KERNELS / "below" / "new.py").write_text("")
    found = _run(package, OPENED, FASTMLP_CACHE_DIR=folder.parent)
    assert found["folder"] != str(folder)


@pytest.mark.parametrize(
    "options",
    [
        {"NUMBA_BOUNDSCHECK": 1},
        {"NUMBA_LOOP_VECTORIZE": 0},
        {"NUMBA_OPT": 1},
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    ],
)
def test_code_of_other_options_or_cpus_is_kept_apart(options, package, folder):
    other = _run(package, OPENED, FASTMLP_CACHE_DIR=folder.parent, **options)
    assert Path(other["folder"]).parent == folder.parent
    assert other["folder"] != str(folder)


def test_package_in_a_zip_file(package, folder):
    """The cache sees a change of a source in a zip file, too."""
    before = "import sys\nsys.path.insert(0, 'zipped.zip')"
    shutil.make_archive(package / "zipped", "zip", package, "copied")
    (package / KERNELS / "_callee.py").write_text(CALLEE.format(number=5.0))
    shutil.make_archive(package / "edited", "zip", package, "copied")
    shutil.rmtree(package / "copied")
    found = _run(package, before, FASTMLP_CACHE_DIR=folder.parent)
    _assert_right(found)
    assert found["hits"] == ALL
    before = before.replace("zipped", "edited") + OPENED
    found = _run(package, before, FASTMLP_CACHE_DIR=folder.parent)
    assert found["folder"] != str(folder)


def test_without_compilation():
    run = run_python("import fastmlp", NUMBA_DISABLE_JIT="1")
    assert "ImportError: fastmlp runs nothing that Numba has not" in run.stderr


def test_processes_that_fill_an_empty_cache_at_once(package):
    """Nothing is compiled twice, and no process gets code of other types."""
    cache, types = package / "cache", ("float64", "float64", "float32")
    processes = [_start(package, "", name, FASTMLP_CACHE_DIR=cache) for name in types]
    hits = 0
    for process in processes:
        found = _finish(process)
        _assert_right(found)
        assert found["warnings"] == []
        hits += found["hits"]
    entries, callbacks = len(set(types)), 1
    assert hits == ALL * len(types) - entries - callbacks
    for dtype in set(types):
        found = _run(package, dtype=dtype, FASTMLP_CACHE_DIR=cache)
        _assert_right(found)
        assert found["hits"] == ALL


def test_kernel_whose_compilation_was_interrupted(package, folder):
    for path in folder.iterdir():
        claim = path.with_suffix(".claim")
        path.rename(claim)
        os.utime(claim, (0, 0))
    for hits in (0, ALL):
        assert _run(package, FASTMLP_CACHE_DIR=folder.parent)["hits"] == hits
    assert {path.suffix for path in folder.iterdir()} == {".kernel"}


def test_claims_of_this_process_and_of_others(tmp_path):
    """One that failed to compile may try again at once; at its end all claims end."""
    path = tmp_path / "any.kernel"
    assert cache._claim(path)
    assert cache._claim(path)
    cache._claimed.discard(path)
    assert not cache._claim(path)
    os.utime(path.with_suffix(".claim"), (0, 0))
    assert cache._claim(path)
    cache._end_claims()
    assert not any(tmp_path.iterdir())
    assert cache._claim(tmp_path / "gone" / "any.kernel")


def test_folder_deleted_while_in_use(package):
    before = (
        "import shutil\nfrom copied.kernels.compile import cache\n"
        "shutil.rmtree(cache.FOLDER)\n"
    )
    found = _run(package, before, FASTMLP_CACHE_DIR=package / "cache")
    _assert_right(found)
    assert len(set(found["warnings"])) == 1


def test_folder_is_private(package):
    place = package / "one" / "two"
    found = _run(package, "os.umask(0)" + OPENED, FASTMLP_CACHE_DIR=place)
    assert Path(found["folder"]).stat().st_mode & 0o777 == 0o700


def _open_to_all(folder):
    folder.chmod(0o777)


def _link(folder):
    """Whoever made the link could point it elsewhere later."""
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("change", [_open_to_all, _link])
def test_nothing_is_run_from_a_folder_that_others_can_write_to(change, package, folder):
    change(folder)
    _assert_no_folder(_run(package, OPENED, FASTMLP_CACHE_DIR=folder.parent))


def test_nothing_is_run_from_a_folder_of_another_user(package, folder):
    before = "user = os.getuid() + 1\nos.getuid = lambda: user" + OPENED
    _assert_no_folder(_run(package, before, FASTMLP_CACHE_DIR=folder.parent))


def test_folders_of_old_versions_are_removed(package, folder):
    names = ("fastmlp-0123456789abcdef", "fastmlp-fedcba9876543210", "fastmlp-data")
    old, new, other = (folder.parent / name for name in names)
    for each in (old, new, other):
        shutil.copytree(folder, each)
    for each in (folder, old, other):
        os.utime(each, (0, 0))
    assert _run(package, FASTMLP_CACHE_DIR=folder.parent)["hits"] == ALL
    assert set(folder.parent.iterdir()) == {folder, new, other}
    assert folder.stat().st_mtime > 0


def test_what_the_options_keep():
    """NaN, infinities, the sign of zero and the order of sums."""

    def run(x, y):
        x[0] = 1 if np.isnan(y[0]) else 0
        x[1] = 1 if np.isinf(y[1]) else 0
        x[2] = (y[2] + y[3]) - y[2]
        x[3] = -0.0 * y[4]
        x[4] = y[5] / y[6]

    compiled = options.numba.njit(run, **options.OPTIONS)
    x = np.empty(5)
    compiled(x, np.array([np.nan, np.inf, 1e20, 1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(x, [1, 1, 0, 0, np.inf])
    assert np.signbit(x[3])
