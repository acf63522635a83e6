"""An AArch64 CPU, emulated: the same numbers, NEON, and no unaligned access.

Needs Debian's `debootstrap`, `qemu-user` and `gcc`, and to be root. ``python -m
tests.stress.aarch64 FOLDER`` keeps the small Debian for AArch64, with NumPy, Numba and
what else the kernels need, for the next time.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from tests.fresh import ROOT

# The tool of each of Debian's packages.
TOOLS = {"debootstrap": "debootstrap", "qemu-user": "qemu-aarch64", "gcc": "gcc"}

# The release, and its Python.
RELEASE, PYTHON = "bookworm", "3.11"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64")

WRAPPER = """#!/bin/sh
export PYTHONHOME={debian}/usr PYTHONNOUSERSITE=1
exec qemu-aarch64 -0 "$0" -L {debian} {debian}/usr/bin/python{version} "$@"
"""

SCRIPT = "tests.stress.aarch64"

# In ``tests/kernels``: what the kernels consist of, and how threads meet. The others
# compile whole networks, of which `compare_kernels` runs every kind.
MODULES = ("simd", "math", "heads", "runtime", "test_rows.py", "test_spec.py")

# QEMU 7.2 ends a child, forked from a process of several threads, that starts a thread.
LEFT_OUT = "test_a_forked_child_starts_helpers_of_its_own"


def prepare(folder):
    """Make the Debian in a folder, unless it is there; return its Python, a script.

    The script is of the host's own architecture, so that processes of the emulated
    Python can start others by ``sys.executable``.
    """
    python, debian = folder / "python", folder / "debian"
    if python.exists():
        return python
    folder.mkdir(exist_ok=True)
    # Its second stage would run programs of the new system; unpacked is all that a
    # Python needs.
    options = ("--foreign", "--variant=minbase", "--arch=arm64", "--include=python3")
    _quietly("debootstrap", *options, RELEASE, debian)
    for package in (debian / "var/cache/apt/archives").glob("*.deb"):
        _quietly("dpkg-deb", "-x", package, debian)
    _quietly(
        *(sys.executable, "-m", "pip", "install", "--only-binary=:all:"),
        *(f"--platform={name}" for name in PLATFORMS),
        *(f"--python-version={PYTHON}", "--target"),
        *(debian / "usr/lib/python3/dist-packages", *_requirements()),
    )
    python.write_text(WRAPPER.format(debian=debian, version=PYTHON))
    python.chmod(0o755)
    return python


def _quietly(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def _requirements():
    """Return what the package needs, and its tests of the kernels."""
    needed = [r for r in importlib.metadata.requires("fastmlp") if ";" not in r]
    return [*needed, "pytest", "pytest-timeout"]


def run(python, *arguments, **environment):
    """Run a Python in the root of the tree and return what it printed."""
    done = subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


# -- fits ------------------------------------------------------------------------------


def fits(dtype):
    """Yield the name of each fit of a type, and the numbers that it gave."""
    from fastmlp import MLPClassifier, MLPRegressor, TabularClassifier

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 13)), np.arange(300) % 3
    settings = {"max_iter": 5, "random_state": 0, "n_threads": 2}
    rows = X.astype(dtype)
    model = MLPClassifier((20, 7), **settings).fit(rows, y)
    yield "classifier", model.predict_proba(rows), model.loss_curve_
    yield "classifier's weights", *model.coefs_, *model.intercepts_
    settings |= {"hidden_layer_sizes": (20,), "activation": "tanh"}
    model = MLPRegressor(**settings).fit(rows, rows[:, 0])
    yield "regressor", model.predict(rows), model.loss_curve_
    yield "regressor's weights", *model.coefs_, *model.intercepts_
    if dtype == "float32":
        settings = {"n_networks": 2, "hidden_layer_sizes": (16,), "max_epochs": 3}
        settings |= {"categorical_features": [13], "random_state": 0, "n_threads": 2}
        table = np.column_stack([X, rng.integers(0, 4, 300)])
        model = TabularClassifier(**settings).fit(table, y)
        yield "table", model.predict_proba(table)


def write_fits(dtype, path):
    """Fit all models, write their numbers, and print where code of no file lies."""
    results = {
        name: np.concatenate([np.ravel(x) for x in arrays])
        for name, *arrays in fits(dtype)
    }
    np.savez(path, **results)
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        place, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
        if "x" in rights and not name:
            print(place)


def compare(dtype, host, emulated):
    """Compare the numbers of two CPUs; print how far they are apart."""
    with np.load(host) as host, np.load(emulated) as emulated:
        assert set(host) == set(emulated)
        for name, ref in host.items():
            apart = np.max(abs(emulated[name] - ref) / (1 + abs(ref)))
            roundings = apart / np.finfo(dtype).eps
            apart = f"{roundings:.1f} roundings apart"
            print(f"{name}, {dtype}: {ref.size} numbers, {apart}", flush=True)
            assert roundings < 100


# -- the code --------------------------------------------------------------------------


def inner_loop(assembler):
    """Return the lines of the block with the most multiply-adds."""
    blocks = re.split(r"^\.L\w+:.*$", assembler, flags=re.MULTILINE)
    block = max(blocks, key=lambda block: block.count("fmla"))
    return [line.strip() for line in block.splitlines() if line.strip()]


def look_at_code():
    """Check the tile, and that the product's sums stay in NEON's registers."""
    from fastmlp.kernels.simd import panels, tiles

    rows, vectors = tiles.TILE_ROWS, tiles.TILE_VECTORS
    assert (tiles.VECTOR_BYTES, rows, vectors) == (16, 4, 4)
    for dtype, lanes in ((np.float32, "4s"), (np.float64, "2d")):
        assembler = panels.product_loop(dtype)._library.get_asm_str()
        loop = inner_loop(assembler)
        sums = {
            m[1] for line in loop if (m := re.match(rf"fmla\s+(v\d+)\.{lanes}", line))
        }
        assert len(sums) == rows * vectors, loop
        # Neither in memory nor by a call.
        assert not [line for line in loop if "[sp" in line or line.startswith("bl")]
        print(f"{dtype.__name__}: {len(sums)} sums in registers of {lanes}, by fmla")


def count_unaligned(path, places):
    """Return the accesses to memory at some places of code and elsewhere.

    Parameters
    ----------
    path : Path
        The file of `alignment.c`.
    places : list of str
        Ranges of addresses, as in ``/proc/self/maps``.

    Returns
    -------
    counts : Counter
        By (whether at one of the places, whether unaligned).
    """
    ranges = [tuple(int(end, 16) for end in place.split("-")) for place in places]
    counts = Counter()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            address, accesses, unaligned = map(int, line.split())
            inside = any(begin <= address < end for begin, end in ranges)
            counts[inside, True] += unaligned
            counts[inside, False] += accesses - unaligned
    return counts


def compare_kernels(python, folder, **cache):
    """Run all kernels on edge sizes, see `tests.kernel_run`, here and there; compare.

    Here they are compiled for the narrowest x86-64.
    """
    narrow = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    results = []
    for where, settings in ((python, cache), (sys.executable, narrow)):
        path = folder / f"kernels{len(results)}.npz"
        printed = run(
            where, "-m", "tests.kernel_run", path, "all", "float32", **settings
        )
        # An error inside a callback is only printed.
        assert not printed, printed
        with np.load(path) as found:
            results.append(found["float32-agree"])
            assert np.array_equal(found["float32-start"], found["float32-end"])
    emulated, host = results
    apart = np.max(abs(emulated - host) / (1 + abs(host))) / np.finfo("float32").eps
    print(
        f"all kernels: {host.size:,} numbers, {apart:.1f} roundings apart", flush=True
    )
    assert apart < 100


def check_alignment(python, dtype, folder):
    """Fit again, from the cache, with all accesses to memory counted."""
    plugin, counted = folder / "alignment.so", folder / "accesses"
    source = Path(__file__).with_name("alignment.c")
    _quietly("gcc", "-O2", "-shared", "-fPIC", "-o", plugin, source)
    element = np.dtype(dtype).itemsize
    printed = run(
        *(python, "-m", SCRIPT, "--fits", dtype, folder / "again.npz"),
        QEMU_PLUGIN=f"file={plugin},out={counted},element={element}",
        FASTMLP_CACHE_DIR=str(folder / "cache"),
    )
    counts = count_unaligned(counted, printed.split())
    print(
        f"compiled code, {dtype}: {counts[True, False]:,} aligned accesses to memory, "
        f"{counts[True, True]:,} others; elsewhere, such as in the C library: "
        f"{counts[False, False]:,} and {counts[False, True]:,}",
        flush=True,
    )
    assert counts[True, False] > 100_000
    assert counts[False, True] > 0  # they are seen
    assert counts[True, True] == 0


# --------------------------------------------------------------------------------------


def main(folder=None):
    """Prepare the emulated Debian, run everything on it and print the figures."""
    if missing := [name for name, tool in TOOLS.items() if not shutil.which(tool)]:
        print(f"left out, it needs: apt-get install {' '.join(missing)}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        python = prepare(Path(folder).absolute() if folder else place)
        cache = {"FASTMLP_CACHE_DIR": f"{place}/cache"}
        print(run(python, "-m", SCRIPT, "--code", **cache), end="", flush=True)
        host, emulated = place / "host.npz", place / "emulated.npz"
        for dtype in ("float32", "float64"):
            run(python, "-m", SCRIPT, "--fits", dtype, emulated, **cache)
            run(sys.executable, "-m", SCRIPT, "--fits", dtype, host)
            compare(dtype, host, emulated)
            check_alignment(python, dtype, place)
        compare_kernels(python, place, **cache)
        for name in MODULES:
            options = ("-q", "-p", "no:cacheprovider", "--timeout=0")
            options += ("-k", f"not {LEFT_OUT}")
            tests = f"tests/kernels/{name}"
            printed = run(python, "-m", "pytest", *options, tests, **cache)
            print(f"{tests}: {printed.splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fits"]:
        write_fits(*sys.argv[2:])
    elif sys.argv[1:] == ["--code"]:
        look_at_code()
    else:
        main(*sys.argv[1:])
