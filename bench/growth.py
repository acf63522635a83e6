"""Growth: the time of fastmlp against rows, width and depth, and a chart of it."""

from dataclasses import replace

from bench.report import Row
from bench.timing import interleave
from bench.training import make_trainer
from bench.workloads import Workload

BASE = Workload("growth", 10_000, 64, (100,), 10, 200, 1)

# Epochs of a round: so many that the fixed cost of a fit is a small share.
ROWS = {1_000: 100, 10_000: 10, 100_000: 1, 1_000_000: 1}
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
DEPTHS = (1, 2, 4, 8, 16, 32)


def make_series(quick):
    """Return the axes: name: list of (value, Workload)."""
    rows, widths, depths = list(ROWS.items()), WIDTHS, DEPTHS
    if quick:
        rows, widths, depths = rows[:3], WIDTHS[::3], DEPTHS[::2]
    return {
        "rows": [(n, replace(BASE, rows=n, epochs=e)) for n, e in rows],
        "width": [
            (w, replace(BASE, rows=4_000, hidden=(w, w), epochs=max(1, 256 // w)))
            for w in widths
        ],
        "depth": [
            (d, replace(BASE, rows=4_000, hidden=(64,) * d, epochs=max(1, 16 // d)))
            for d in depths
        ],
    }


def measure(settings):
    """Return the section's rows, and draw the chart.

    The ratio is the time of a row of data and an epoch, divided by that of the smallest
    in the series. For `rows` it should stay 1.
    """
    result = []
    for axis, points in make_series(settings.quick).items():
        settings.progress(f"growth: {axis}")
        jobs = {}
        for value, workload in points:
            jobs[value] = make_trainer("fastmlp", workload).train
            jobs[value]()
        times = interleave(jobs, settings.rounds)
        series = []
        for value, workload in points:
            per_row = times[value].per(workload.epochs * workload.rows)
            row = Row("growth", f"{axis} {value:,}", "fastmlp f32", "row of data")
            row.times = per_row
            row.flops = workload.flops / workload.rows / per_row.best
            row.share = row.flops / settings.limits["float32"]
            series.append(row)
        for row in series:
            row.ratio = row.times.best / series[0].times.best
            row.note = "ratio: to the smallest"
        result += series
    return result


def draw(path, quick, rows, peak):
    """Draw the three series as a PNG, beside the time of the products at the peak.

    Parameters
    ----------
    path : Path
    quick : bool
        As when `rows` were measured.
    rows : list of Row
    peak : float
        Floating-point operations a second.
    """
    from matplotlib.figure import Figure

    series = make_series(quick)
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (axis, points) in zip(figure.subplots(1, 3), series.items(), strict=True):
        mine = [row for row in rows if row.job.startswith(axis)]
        values = [value for value, _ in points]
        limit = [1e6 * load.flops / load.rows / peak for _, load in points]
        axes.loglog(values, [row.times.best * 1e6 for row in mine], "o-", label="time")
        axes.loglog(values, limit, "--", color="gray", label="operations / peak")
        axes.set(xlabel=axis, ylabel="µs for a row and an epoch")
        axes.legend()
    figure.savefig(path, dpi=120)
