"""``python -m bench.page``: the published figures, where they are read.

Fills the parts of README.md and docs/benchmarks.md between ``<!-- bench NAME -->`` and
``<!-- end -->``, draws the charts and writes the whole table, all from
bench/published.json. ``python -m bench.page RESULTS`` publishes another run first: the
results.json that ``python -m bench`` wrote.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from bench import charts, report
from bench.report import Row, format_seconds

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "bench" / "published.json"
PAGES = ("README.md", "docs/benchmarks.md")
TABLE = ROOT / "bench" / "published.txt"

TRAINERS = {
    "scikit-learn": "scikit-learn f32",
    "PyTorch": "PyTorch f32",
    "JAX": "JAX f32",
    "scikit-learn float64": "scikit-learn f64",
}
RESTRICTED = {"scikit-learn": "sklearn", "PyTorch": "torch", "JAX": "jax"}
PREDICTORS = {
    "scikit-learn": "scikit-learn f32",
    "PyTorch": "PyTorch f32",
    "ONNX Runtime": "ONNX Runtime f32",
}
REAL = {
    "digits": "digits",
    "adult": "adult",
    "california_housing": "California housing",
}
NONE = "–"


class Results:
    """A run of the suite, read from its JSON.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        self.about = json.loads(path.read_text("utf-8"))
        self.rows = [Row.from_dict(row) for row in self.about.pop("rows")]

    def of(self, section):
        """Return the rows of a section, by job and contestant."""
        return {(r.job, r.contestant): r for r in self.rows if r.section == section}

    def jobs(self, section):
        """Return the names of a section's jobs, in their order."""
        return list(dict.fromkeys(job for job, _ in self.of(section)))


def _ratio(row):
    if row is None or row.ratio is None:
        return NONE
    return f"{row.ratio:.3g}"


def _beside(row, peer):
    """Return both times and the ratio."""
    if row is None or peer is None or peer.ratio is None:
        return NONE
    times = format_seconds(peer.times.best), format_seconds(row.times.best)
    return f"{times[0]} / {times[1]} = {peer.ratio:.1f}"


def run(results):
    """Return where and when the suite ran, in sentences."""
    machine, limits = results.about["machine"], results.about["limits"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v)
    return (
        f"By `{results.about['command']}` (the `bench` extra) on "
        f"{machine['date'][:10]}: {machine['cores_available']} cores, "
        f"{machine['cpu']} ({machine['cpu_llvm']}), all contestants in one process, "
        f"{results.about['rounds']} rounds. Python {machine['python']}, {versions}. "
        "The microkernel on data in the first-level cache gives "
        f"{limits['float32'] / 1e9:.0f} GFLOP/s in float32 and "
        f"{limits['float64'] / 1e9:.0f} in float64, the peak in the shares below; "
        f"copying gives {limits['bandwidth'] / 1e9:.0f} GB/s. Ratios are of the best "
        "rounds, the other's time / fastmlp's. FOLDER holds the files of adult and "
        "California housing (`bench/real_data.py`)."
    )


def real(results):
    """Return the table of real data."""
    rows = results.of("real data")
    lines = [
        "| table | score of fastmlp and of scikit-learn | float32: scikit-learn / "
        "fastmlp | float64 |",
        "| --- | --- | --- | --- |",
    ]
    for job in results.jobs("real data"):
        pairs = [
            [rows.get((job, f"{name} {short}")) for name in ("fastmlp", "scikit-learn")]
            for short in ("f32", "f64")
        ]
        if all(pairs[0]):
            notes = " / ".join(row.note.split(" over ")[0] for row in pairs[0])
            cells = " | ".join(_beside(*pair) for pair in pairs)
            lines.append(f"| {REAL[job]} | {notes} | {cells} |")
    return "\n".join(lines)


def training(results):
    """Return the table of the main training jobs."""
    rows = results.of("training")
    lines = [
        f"| rows × layers, batch | best, median | of the peak | "
        f"{' | '.join(TRAINERS)} |",
        f"| --- {'| --- ' * (len(TRAINERS) + 2)}|",
    ]
    for job in results.jobs("training"):
        ours = rows[job, "fastmlp f32"]
        best, median = (format_seconds(s) for s in (ours.times.best, ours.times.median))
        ratios = [_ratio(rows.get((job, label))) for label in TRAINERS.values()]
        lines.append(
            f"| {_described(ours)} | {best}, {median} | "
            f"{ours.share:.0%} | {' | '.join(ratios)} |"
        )
    return "\n".join(lines)


def _ratios(section, ours, peers, name):
    """Return a function that returns a table of fastmlp's times and peers' ratios."""

    def table(results):
        rows = results.of(section)
        lines = [
            f"| job | fastmlp | {' | '.join(peers)} |",
            f"| --- {'| --- ' * (len(peers) + 1)}|",
        ]
        for job in results.jobs(section):
            if (job, ours) in rows:
                time = format_seconds(rows[job, ours].times.best)
                ratios = [_ratio(rows.get((job, label))) for label in peers.values()]
                job = name(rows[job, ours])
                lines.append(f"| {job} | {time} | {' | '.join(ratios)} |")
        return "\n".join(lines)

    return table


def _described(row):
    """Return the name of a training job with its rows, layers and batch."""
    return f"{row.job}: {row.detail.removeprefix('epoch of ')}"


def _listed(section):
    """Return a function that returns a section's rows, as they are."""

    def table(results):
        rows = results.of(section).values()
        if not rows:
            return "Not measured in this run."
        lines = ["| job | | best | median | ratio | |", "| --- " * 6 + "|"]
        for row in rows:
            times = (row.times.best, row.times.median) if row.times else ()
            best, median = map(format_seconds, times) if times else (NONE, NONE)
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            cells = row.job, row.contestant, best, median, ratio, row.note
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)

    return table


def profile(results):
    """Return where the time of a training step goes, as a table."""
    return results.about["profile"]


def summary(results):
    """Return the README's rows, and where they were measured."""
    machine = results.about["machine"]
    lines = [
        "| float32 | fastmlp | scikit-learn | ratio |",
        "| --- | --- | --- | --- |",
    ]

    def add(section, job, describe):
        rows = results.of(section)
        pair = [rows.get((job, f"{name} f32")) for name in ("fastmlp", "scikit-learn")]
        if all(pair):
            times = " | ".join(format_seconds(row.times.best) for row in pair)
            lines.append(f"| {describe(*pair)} | {times} | {pair[1].ratio:.1f} |")

    def scores(ours, theirs):
        metric, score, *_ = ours.note.split()
        name = REAL[ours.job]
        return (
            f"{name}, the whole pipeline ({metric} {score}, {theirs.note.split()[1]})"
        )

    for job in REAL:
        add("real data", job, scores)
    add("training", "wide", lambda ours, _: f"an {ours.detail} (rows × layers, batch)")
    add("selection", "GridSearchCV", lambda ours, _: f"a grid {ours.detail}")
    versions = machine["versions"]
    return (
        "\n".join(lines) + f"\n\nBy `{results.about['command']}` on "
        f"{machine['date'][:10]}, {machine['cores_available']} cores, "
        f"{machine['cpu']} ({machine['cpu_llvm']}), scikit-learn "
        f"{versions['scikit-learn']}, numpy {versions['numpy']}; ratios of the best "
        "rounds."
    )


# By the name of its part of a page.
PARTS = {
    "summary": summary,
    "run": run,
    "real": real,
    "training": training,
    "shapes": _ratios("shapes", "fastmlp f32", TRAINERS, _described),
    "avx2": _ratios("avx2", "fastmlp", RESTRICTED, _described),
    "prediction": _ratios("prediction", "fastmlp f32", PREDICTORS, lambda row: row.job),
    "profile": profile,
    **{
        name: _listed(name)
        for name in (
            "bfloat16", "activations", "inspection", "callbacks", "small", "selection",
            "start", "growth", "threads", "memory", "streams",
        )
    },
}  # fmt: skip

PART = re.compile(r"(<!-- bench (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text, results):
    """Return the text of a page with all its parts made anew."""
    return PART.sub(
        lambda found: f"{found[1]}\n{PARTS[found[2]](results)}\n\n{found[3]}", text
    )


def whole(results):
    """Return the table of all rows, with the machine above it."""
    about = report.format_machine(results.about["machine"], results.about["limits"])
    table = report.format_table(results.rows)
    return f"{about}\n\n{table}\n"


def main(arguments):
    """Publish a run: write its tables into the pages, and draw its pictures."""
    source = Path(arguments[0]) if arguments else PUBLISHED
    results = Results(source)
    pages = [ROOT / name for name in PAGES]
    texts = [filled(page.read_text("utf-8"), results) for page in pages]
    # Nothing is written of a run that lacks a figure of a page.
    if arguments:
        shutil.copyfile(source, PUBLISHED)
    for page, text in zip(pages, texts, strict=True):
        page.write_text(text, encoding="utf-8")
    TABLE.write_text(whole(results), encoding="utf-8")
    about = results.about
    charts.draw(PUBLISHED.parent, results.rows, about["limits"], about["quick"])


if __name__ == "__main__":
    main(sys.argv[1:])
