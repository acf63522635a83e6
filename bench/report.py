"""Rows of results: the table, the JSON file and the bar chart."""

import json
from dataclasses import dataclass

from bench.timing import Times


@dataclass
class Row:
    """One line of the table.

    Parameters
    ----------
    section, job, contestant : str
    detail : str
        The work that one of the times measures.
    times : Times or None
        None: not timed; `note` says why.
    ratio : float or None
        Its time divided by fastmlp's, or the ratio in the section's docstring.
    flops : float or None
        Floating-point operations a second.
    share : float or None
        Of the CPU's peak in the same dtype.
    note : str
        The answer it gave, or why there is no time.
    """

    section: str
    job: str
    contestant: str
    detail: str = ""
    times: Times | None = None
    ratio: float | None = None
    flops: float | None = None
    share: float | None = None
    note: str = ""

    @property
    def failed(self):
        """True if the contestant gave a wrong answer."""
        return self.note.startswith("WRONG")

    def to_dict(self):
        """Return a dict that json can write."""
        result = vars(self).copy()
        if self.times is not None:
            times = self.times
            result["times"] = list(times.rounds)
            result |= {"best": times.best, "median": times.median}
        return result

    @classmethod
    def from_dict(cls, found):
        """Return the row that `to_dict` wrote."""
        found = found.copy()
        if found["times"] is not None:
            del found["best"], found["median"]
            found["times"] = Times(tuple(found["times"]))
        return cls(**found)


HEADER = (
    "section", "job", "contestant", "best", "median", "ratio", "GFLOP/s", "of peak",
    "note",
)  # fmt: skip


def format_seconds(seconds):
    """Return the time with three digits and its unit."""
    if seconds >= 1:
        return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"


def _cells(row):
    note = row.note.splitlines()[0] if row.note else ""
    return (
        row.section,
        row.job,
        row.contestant,
        "" if row.times is None else format_seconds(row.times.best),
        "" if row.times is None else format_seconds(row.times.median),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.flops is None else f"{row.flops / 1e9:.1f}",
        "" if row.share is None else f"{row.share:.0%}",
        note.replace("|", "/"),
    )


def format_table(rows):
    """Return the rows as a Markdown table, readable as it is."""
    return format_markdown(HEADER, map(_cells, rows), left=3, note=True)


def format_markdown(header, lines, left, note=False):
    """Return a Markdown table, readable as it is.

    Parameters
    ----------
    header : sequence of str
    lines : iterable of sequences of str
    left : int
        So many columns are flush left, those behind them flush right.
    note : bool, default=False
        The last column is flush left, too.
    """
    lines = [header, *lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    right = range(left, len(header) - note)

    def join(cells):
        padded = (
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (w - 1) + ":" if i in right else "-" * w for i, w in enumerate(widths)
    ]
    return "\n".join([join(header), join(rule), *map(join, lines[1:])])


def format_machine(machine, limits):
    """Return a few lines on the machine, the versions and the limits."""
    versions = (f"{k} {v}" for k, v in machine["versions"].items() if v)
    lines = [
        f"{machine['date']}, {machine['cpu']} ({machine['cpu_llvm']}), "
        f"{machine['cores_available']} of {machine['cores']} cores, "
        f"tile {machine['tile']}, load {machine['load_average']}",
        f"{machine['system']}, Python {machine['python']}, {', '.join(versions)}",
    ]
    if limits:
        # A CPU that multiplies no bfloat16 numbers has no peak in them.
        peaks = ", ".join(
            f"{dtype} {limits[dtype] / 1e9:.0f} "
            f"(one core {limits[f'{dtype}_one_core'] / 1e9:.0f})"
            for dtype in ("float32", "float64", "bfloat16")
            if dtype in limits
        )
        lines.append(
            f"peak of {limits['cores']} cores in GFLOP/s: {peaks}; "
            f"copying: {limits['bandwidth'] / 1e9:.1f} GB/s"
        )
    return "\n".join(lines)


def write_json(path, rows, **about):
    """Write the rows and all that is known about the run."""
    result = about | {"rows": [row.to_dict() for row in rows]}
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


TITLES = {
    "training": "training: an epoch of rows × layers",
    "prediction": "prediction: one call",
}


def draw_ratios(path, rows):
    """Draw the ratios of `rows` as bars: one chart a section, one group a job.

    Parameters
    ----------
    path : Path
        Of the PNG.
    rows : list of Row
        Of the sections "training" and "prediction"; those without a ratio are left out.
    """
    from matplotlib.figure import Figure

    rows = [row for row in rows if row.ratio is not None]
    sections = list(dict.fromkeys(row.section for row in rows))
    names = list(dict.fromkeys(row.contestant for row in rows))
    figure = Figure(figsize=(11, 3.8 * len(sections)), layout="constrained")
    charts = figure.subplots(len(sections), squeeze=False)[:, 0]
    for axes, section in zip(charts, sections, strict=True):
        _draw_bars(axes, [row for row in rows if row.section == section], names)
        axes.set(title=TITLES[section], yscale="log", ylabel="time / fastmlp's time")
    figure.savefig(path, dpi=120)


def _draw_bars(axes, rows, names):
    """Draw one group of bars for each job; a contestant has one colour everywhere."""
    jobs = list(dict.fromkeys(row.job for row in rows))
    here = [name for name in names if any(row.contestant == name for row in rows)]
    width = 0.85 / len(here)
    for i, name in enumerate(here):
        mine = [row for row in rows if row.contestant == name]
        shift = (i - (len(here) - 1) / 2) * width
        places = [jobs.index(row.job) + shift for row in mine]
        color = f"C{names.index(name)}"
        bars = axes.bar(places, [row.ratio for row in mine], width, color=color)
        bars.set_label(name)
        labels = [f"{row.ratio:.3g}" for row in mine]
        axes.bar_label(bars, labels, fontsize=7)
    axes.axhline(1, color="black", linewidth=1)
    beside = axes.get_yaxis_transform()  # x in shares of the axes, y of the data
    axes.text(1.005, 1, "fastmlp = 1", fontsize=8, va="center", transform=beside)
    labels = jobs
    if rows[0].section == "training":
        parts = {row.job: row.detail.rpartition(", ") for row in rows}
        labels = [
            f"{job}\n{work.removeprefix('epoch of ')}\nbatch {size}"
            for job, (work, _, size) in parts.items()
        ]
    axes.set_xticks(range(len(jobs)), labels, fontsize=8)
    axes.legend(fontsize=8)
