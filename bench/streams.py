"""Rows read in blocks beside the same rows in memory.

The files are in the page cache; a quarter of the rows are in the buffer. The ratio is
the time of `fit` on an array in memory divided by that on the file.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np

from bench.report import Row
from bench.timing import interleave

FEATURES = 100
EPOCHS = 3
NETWORKS = ((100,), (256, 256))


def make_sources(folder, X, y, rows_per_block):
    """Write the rows to files; return the files as sources, by name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fastmlp.data import ArraySource, ParquetSource

    np.save(folder / "X.npy", X)
    mapped = np.load(folder / "X.npy", mmap_mode="r")
    names = [f"x{i}" for i in range(FEATURES)]
    table = pa.table([*X.T.copy(), y], names=[*names, "y"])
    pq.write_table(table, folder / "rows.parquet", row_group_size=rows_per_block)
    return {
        "memory map": ArraySource(mapped, y, rows_per_block=rows_per_block),
        "Parquet, cached": ParquetSource(
            folder / "rows.parquet", "y", cache=folder / "cache"
        ),
    }


def measure(settings):
    """Return the section's rows."""
    from sklearn.exceptions import ConvergenceWarning

    n_rows = 100_000 if settings.quick else 1_000_000
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, FEATURES), dtype=np.float32)
    y = X[:, :3].sum(axis=1) > 0
    rows = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            sources = make_sources(Path(folder), X, y, n_rows // 100)
        except ImportError as error:
            return [Row("streams", "", "Parquet", note=f"missing: {error}")]
        for hidden in NETWORKS[: 1 if settings.quick else None]:
            settings.progress(f"streams: {hidden}")
            rows += compare(settings, hidden, X, y, sources)
    return rows


def compare(settings, hidden, X, y, sources):
    """Return the rows of a network."""
    from fastmlp import MLPClassifier

    epochs = 2 if settings.quick else EPOCHS
    job = f"{len(X):,} × {FEATURES} float32, {hidden}"
    models = {
        name: MLPClassifier(
            hidden, max_iter=epochs, n_iter_no_change=epochs, random_state=0
        )
        for name in ("memory", *sources)
    }
    buffer_rows = len(X) // 4

    def fit(name):
        if name == "memory":
            return models[name].fit(X, y)
        return models[name].fit_stream(sources[name], buffer_rows=buffer_rows)

    jobs = {name: lambda name=name: fit(name) for name in models}
    for warm_up in jobs.values():
        warm_up()
    times = interleave(jobs, settings.rounds)
    rows = []
    for name, model in models.items():
        row = Row("streams", job, name, times=times[name])
        row.note = f"{epochs * len(X) / times[name].best:,.0f} rows a second"
        if name != "memory":
            row.ratio = times["memory"].best / times[name].best
            # The blocks are the same, and so are the bits.
            if model.loss_curve_ != models["memory map"].loss_curve_:
                row.note = "WRONG: another loss than of the memory map"
        rows.append(row)
    return rows
