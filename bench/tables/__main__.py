"""``python -m bench.tables``: fastmlp's estimators for tables beside their peers.

A fifth of the rows, drawn by the seed, is the test set; of the others at most --rows
train. Prints Markdown; --out keeps each run, so that a run that was stopped goes on.
"""

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import joblib

from bench import machine
from bench.tables import records, scaling
from bench.tables.ablation import VARIANTS
from bench.tables.data import BUILT_IN, WIDE, BuiltIn, Folder
from bench.tables.models import MODELS
from bench.tables.runs import run
from bench.tables.summary import format_all


def make_parser():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of tables.json and NAME.csv.gz, see bench/tables/data.py; "
        "default: tables that scikit-learn ships, and synthetic ones",
    )
    source.add_argument(
        "--wide", action="store_true", help="tables of many columns, made here"
    )
    add("--models", nargs="+", metavar="MODEL", help=f"of {', '.join(MODELS)}")
    add("--tables", nargs="+", metavar="NAME", help="default: all")
    add("--rows", type=int, default=3_000, help="to train on, at most (default 3000)")
    add("--seeds", type=int, default=1, help="test sets of each table (default 1)")
    add("--threads", type=int, default=joblib.cpu_count(), help="default: all cores")
    add("--out", type=Path, metavar="FILE", help="runs kept, as JSON lines")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--scaling",
        type=int,
        nargs="*",
        metavar="ROWS",
        help=f"time and memory by rows, by default {scaling.ROWS}",
    )
    kind.add_argument(
        "--ablation",
        action="store_true",
        help=f"one ingredient changed; --models are of {', '.join(VARIANTS)}",
    )
    kind.add_argument(
        "--show", type=Path, nargs="+", metavar="FILE", help="of --out; run nothing"
    )
    return parser


def parse(arguments=None):
    """Return the options."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.show:
        return options
    known = VARIANTS if options.ablation else MODELS
    options.models = options.models or list(known)
    tables = WIDE if options.wide else BUILT_IN
    source = BuiltIn(tables) if options.data is None else Folder(options.data)
    options.source, options.tables = source, options.tables or list(source.names)
    for given, choices in ((options.models, known), (options.tables, source.names)):
        for name in given:
            if name not in choices:
                parser.error(f"{name!r} is none of {', '.join(choices)}")
    return options


def measure_tables(options, kept):
    """Yield the runs of all models on all tables."""
    for name in options.tables:
        for seed in range(options.seeds):
            table = options.source.load(name, options.rows, seed)
            for model in options.models:
                context = VARIANTS[model] if options.ablation else nullcontext()
                own = "fastmlp" if options.ablation else model

                def make(context=context, own=own, table=table, seed=seed):
                    with context:
                        return run(own, table, seed, options.threads)

                key = (name, model, options.rows, seed, options.threads)
                yield kept.get(key, make)


def measure_scaling(options, kept):
    """Yield the runs of all models on a table of more and more rows."""
    for n_rows in options.scaling or scaling.ROWS:
        for model in options.models:

            def make(n_rows=n_rows, model=model):
                return scaling.run(model, n_rows, 0, options.threads)

            yield kept.get((scaling.TABLE, model, n_rows, 0, options.threads), make)


def main(arguments=None):
    """Run what the options say, or read it; print the summary."""
    options = parse(arguments)
    if options.show:
        runs, machines = [], []
        for path in options.show:
            for found, more in zip((runs, machines), records.read(path), strict=True):
                found += more
        if options.models:
            runs = [run for run in runs if run["model"] in options.models]
        print(format_all(runs, machines))
        return
    about = machine.describe()
    kept = records.Records(options.out, about)
    measure = measure_tables if options.scaling is None else measure_scaling
    runs, start = [], time.perf_counter()
    for run_ in measure(options, kept):
        runs.append(run_)
        print(f"{time.perf_counter() - start:6.0f} s  {_line(run_)}", file=sys.stderr)
    print(format_all(runs, [about]))


def _line(run_):
    """Return a run as one line."""
    what = f"{run_['table']}, {run_['model']}, seed {run_['seed']}: "
    if "failed" in run_:
        return what + run_["failed"]
    return what + f"error {run_['error']:.4f}, {run_['seconds']:.2f} s"


if __name__ == "__main__":
    main()
