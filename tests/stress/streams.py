"""20 GB of rows on disk are trained on in 2 GB of memory.

``python -m tests.stress.streams GIGABYTES LIMIT PARQUET`` takes other sizes. The files
are made in the folder of `tempfile` (set TMPDIR). The limit is RLIMIT_DATA: it counts
all memory that is not a file's.
"""

import os
import resource
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np

from tests.fresh import ROOT

GIGABYTE = 2**30
FEATURES = 100
ROWS = 20_000  # of a row group


def draw(rng, n):
    """Return rows, and labels that a small network learns in an epoch."""
    X = rng.standard_normal((n, FEATURES), dtype=np.float32)
    return X, (X[:, :3].sum(axis=1) > 0).astype(np.int8)


def make_map(folder, n):
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n, FEATURES))
    y = np.empty(n, np.int8)
    for begin in range(0, n, ROWS):
        rows = slice(begin, min(n, begin + ROWS))
        X[rows], y[rows] = draw(rng, rows.stop - begin)
    np.save(folder / "y.npy", y)


def make_parquet(folder, n):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(FEATURES)]
    writer = None
    for _ in range(0, n, ROWS):
        X, y = draw(rng, ROWS)
        table = pa.table([*X.T.copy(), y], names=[*names, "y"])
        writer = writer or pq.ParquetWriter(folder / "rows.parquet", table.schema)
        writer.write_table(table)
    writer.close()


def train(form, folder, limit):
    """Train under a limit; print the time and the accuracy on other rows."""
    from sklearn.exceptions import ConvergenceWarning

    from fastmlp import MLPClassifier
    from fastmlp.data import ParquetSource

    warnings.simplefilter("ignore", ConvergenceWarning)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    model = MLPClassifier((32,), max_iter=2, random_state=0)
    start = perf_counter()
    if form == "map":
        y = np.load(folder / "y.npy", mmap_mode="r")
        model.fit(np.load(folder / "X.npy", mmap_mode="r"), y)
    else:
        source = ParquetSource(folder / "rows.parquet", "y", cache=folder / "cache")
        model.fit_stream(source)
    seconds = perf_counter() - start
    score = model.score(*draw(np.random.default_rng(1), 10_000))
    assert score > 0.9, score
    print(
        f"{form}: {model.t_:,} rows of {FEATURES} float32 in {seconds:.0f} s under "
        f"{limit / GIGABYTE:g} GiB, accuracy {score:.3f}",
        flush=True,
    )


def main(gigabytes=20.0, limit=2.0, parquet=8.0):
    """Make the files and train on each in a process of its own."""
    row = 4 * FEATURES
    for form, size in {"map": gigabytes, "parquet": parquet}.items():
        with tempfile.TemporaryDirectory() as folder:
            make = make_map if form == "map" else make_parquet
            make(Path(folder), int(size * GIGABYTE / row))
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "tests.stress.streams",
                    form,
                    folder,
                    str(limit),
                ],
                cwd=ROOT,
                # Arrow's own allocator reserves a gibibyte, used or not.
                env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
                check=True,
            )


if __name__ == "__main__":
    if sys.argv[1] in ("map", "parquet"):
        train(sys.argv[1], Path(sys.argv[2]), int(float(sys.argv[3]) * GIGABYTE))
    else:
        main(*map(float, sys.argv[1:]))
