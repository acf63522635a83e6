"""The cache of compiled kernels, damaged and shared: the right answer every time."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fresh import ROOT

N_PROCESSES = 6

# Appended to a file whose functions are compiled into those of other files.
EDIT = """

_unedited_log = log


@jit
def log(x):
    return _unedited_log(x) + type(x)(1)
"""

FIT = """
import json, time, warnings
started = time.perf_counter()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", RuntimeWarning)
    import numpy as np
    from fastmlp import MLPClassifier
    from fastmlp.kernels import cache_folder
    X = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    model = MLPClassifier((20,), max_iter=5, random_state=0, n_threads=2)
    model.fit(X, np.arange(300) % 3)
print(json.dumps({
    "loss": model.loss_,
    "weights": model.predict_proba(X).tobytes().hex(),
    "folder": str(cache_folder()),
    "warnings": [str(w.message) for w in caught if w.category is RuntimeWarning],
    "seconds": time.perf_counter() - started,
}))
"""


class Package:
    """A copy of the package in a temporary folder, with its own place for kernels."""

    def __init__(self, folder):
        self.folder, self.cache = folder, folder / "cache"
        ignored = shutil.ignore_patterns("__pycache__", "pictures")
        shutil.copytree(ROOT / "fastmlp", folder / "fastmlp", ignore=ignored)

    def start(self, cache=None):
        """Start a process that fits a model."""
        places = {"FASTMLP_CACHE_DIR": str(cache or self.cache)}
        places |= {"HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", FIT],
            env=os.environ | places,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fit(self, cache=None):
        """Return what such a process found."""
        return finish(self.start(cache))

    def edit(self):
        """Change what the kernels compute."""
        with (self.folder / "fastmlp/kernels/math/functions.py").open("a") as file:
            file.write(EDIT)


def finish(process):
    """Return what a process of `Package.start` found."""
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def assert_same(found, ref, n_warnings=0):
    """Assert that a fit gave the same bits, and how often it warned."""
    assert (found["loss"], found["weights"]) == (ref["loss"], ref["weights"])
    assert len(found["warnings"]) == n_warnings, found["warnings"]


def say(what, *seconds):
    """Print how long one or several fits took, with the start of Python."""
    listed = ", ".join(f"{s:.1f}" for s in sorted(seconds))
    print(f"{what}: the same bits, fits of {listed} s", flush=True)


def kernels(folder):
    """Return the files of a cache folder."""
    return sorted(Path(folder).iterdir())


DAMAGES = {
    "files cut to half": lambda content: content[: len(content) // 2],
    "files of random bytes": lambda content: os.urandom(len(content)),
}


def main():
    """Run everything in full, and print a line for each."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        package = Package(folder)
        processes = [package.start() for _ in range(N_PROCESSES)]
        found = [finish(process) for process in processes]
        for each in found:
            assert_same(each, found[0])
        ref, seconds = found[0], [each["seconds"] for each in found]
        say(f"{N_PROCESSES} processes that fill an empty cache at once", *seconds)
        kept = kernels(ref["folder"])

        again = package.fit()
        assert_same(again, ref)
        assert kernels(ref["folder"]) == kept
        say("a process that finds it full", again["seconds"])

        for name, change in DAMAGES.items():
            for path in kept:
                path.write_bytes(change(path.read_bytes()))
            after = package.fit()
            assert_same(after, ref)
            say(name, after["seconds"])

        file = folder / "file"
        file.write_text("")
        nowhere = package.fit(cache=file)
        assert_same(nowhere, ref, n_warnings=1)
        say("no place that can be written to, one warning", nowhere["seconds"])

        package.edit()
        edited = package.fit()
        assert abs(edited["loss"] - ref["loss"] - 1) < 1e-5
        assert edited["folder"] != ref["folder"]
        print("a function edited that other files call: compiled anew, the new answer")
