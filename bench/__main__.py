"""``python -m bench``: fastmlp beside its peers, as one table, JSON and charts."""

import argparse
import sys
from functools import partial
from pathlib import Path

from bench import (
    activations,
    avx2,
    callbacks,
    charts,
    growth,
    inspection,
    machine,
    memory,
    prediction,
    profile,
    real_data,
    report,
    selection,
    small,
    start,
    streams,
    threads,
    training,
)
from bench.contestants import CONTESTANTS
from bench.settings import Settings
from bench.workloads import LARGE, MAIN, SHAPES, WORKLOADS

MAIN_CONTESTANTS = tuple(
    name for name in CONTESTANTS if CONTESTANTS[name].products != "bfloat16"
)

# Contestants of the section `shapes`.
SHAPE_CONTESTANTS = ("fastmlp", "sklearn", "torch", "jax", "fastmlp64", "sklearn64")

# Contestants of the section `bfloat16`, which measures those of float32 again.
LARGE_CONTESTANTS = ("fastmlp16", "fastmlp", "torch16", "torch")


def _train(settings, workloads, contestants, section, baseline=None):
    names = [name for name in contestants if name in settings.contestants]
    rows = []
    for workload in workloads:
        if workload.name in settings.workloads:
            if settings.quick:
                epochs = max(1, workload.epochs // 2)
                workload = workload.smaller(workload.rows, epochs)
            rows += training.measure(workload, settings, names, section, baseline)
    return rows


# In the order of the table. Each returns a list of Row.
SECTIONS = {
    "training": partial(
        _train, workloads=MAIN, contestants=MAIN_CONTESTANTS, section="training"
    ),
    "shapes": partial(
        _train, workloads=SHAPES, contestants=SHAPE_CONTESTANTS, section="shapes"
    ),
    "bfloat16": partial(
        _train,
        workloads=LARGE,
        contestants=LARGE_CONTESTANTS,
        section="bfloat16",
        baseline="fastmlp16",
    ),
    "activations": activations.measure,
    "inspection": inspection.measure,
    "callbacks": callbacks.measure,
    "avx2": avx2.measure,
    "prediction": prediction.measure,
    "small": small.measure,
    "selection": selection.measure,
    "start": start.measure,
    "growth": growth.measure,
    "threads": threads.measure,
    "memory": memory.measure,
    "streams": streams.measure,
    "real_data": real_data.measure,
}

CHOICES = tuple(CONTESTANTS) + tuple(
    name for name in prediction.PREDICTORS if name not in CONTESTANTS
)

# --quick keeps these contestants and shapes and skips these sections: the rest takes
# the most time to compile or to train.
QUICK_CONTESTANTS = (
    "fastmlp", "sklearn", "torch", "jax", "fastmlp16", "torch16", "onnxruntime",
)  # fmt: skip
SLOW_SECTIONS = ("activations", "avx2")
QUICK_SHAPES = ("odd", "regression", "sparse")


def parse(arguments=None):
    """Return the Settings, the names of the sections and a key of `profile.TABLES`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a selection, in less than 3 minutes")
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of adult-train.csv, adult-test.csv and california_housing.csv",
    )
    add(
        "--profile",
        nargs="?",
        choices=profile.TABLES,
        const="step",
        help="only print where the time of a training step goes, or of a small fit",
    )
    add("--sections", nargs="+", choices=SECTIONS)
    add("--workloads", nargs="+", choices=WORKLOADS)
    add("--contestants", nargs="+", choices=CHOICES)
    add("--rounds", type=int, default=5, help="of every timing (default 5)")
    add(
        "--output",
        type=Path,
        metavar="DIR",
        default=Path(__file__).parent / "results",
        help="folder for results.json and the charts (default bench/results)",
    )
    args = parser.parse_args(arguments)
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if args.data is not None and not args.data.is_dir():
        parser.error(f"--data {args.data} is not a folder")
    workloads, contestants, sections = args.workloads, args.contestants, args.sections
    if sections is None:
        sections = [s for s in SECTIONS if not (args.quick and s in SLOW_SECTIONS)]
    if workloads is None:
        main = tuple(workload.name for workload in MAIN)
        workloads = main + QUICK_SHAPES if args.quick else tuple(WORKLOADS)
    if contestants is None:
        contestants = QUICK_CONTESTANTS if args.quick else CHOICES
    settings = Settings(
        quick=args.quick,
        rounds=args.rounds,
        contestants=tuple(contestants),
        workloads=tuple(workloads),
        data=args.data,
        output=args.output,
    )
    return settings, sections, args.profile


def main(arguments=None):
    """Run the suite; return 1 if a contestant gave a wrong answer, else 0."""
    settings, sections, profiled = parse(arguments)
    about = machine.describe()
    settings.progress("limits of this CPU")
    settings.limits = machine.measure_limits()
    print(report.format_machine(about, settings.limits), flush=True)
    if profiled is not None:
        print(f"\n{profile.TABLES[profiled](settings)}")
        return 0
    rows = []
    for name, measure in SECTIONS.items():
        if name in sections:
            rows += measure(settings)
    print()
    print(report.format_table(rows))
    settings.output.mkdir(parents=True, exist_ok=True)
    about["thread_pools"] = machine.describe_pools()
    report.write_json(
        settings.output / "results.json",
        rows,
        command=command(settings),
        machine=about,
        limits=settings.limits,
        rounds=settings.rounds,
        quick=settings.quick,
        profile=profile.format_table(settings),
    )
    try:
        charts.draw(settings.output, rows, settings.limits, settings.quick)
    except ImportError as error:
        settings.progress(f"no charts: {error}")
    settings.progress(f"done; JSON and charts are in {settings.output}")
    return int(any(row.failed for row in rows))


def command(settings):
    """Return the command line in short, for the page of results."""
    parts = ["python -m bench"]
    parts += ["--quick"] * settings.quick
    parts += ["--data FOLDER"] * (settings.data is not None)
    return " ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
