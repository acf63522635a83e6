"""Records as Markdown: each table, means over tables, ratios, growth with the rows."""

import numpy as np
import pandas as pd

from bench.report import format_machine, format_markdown
from bench.tables import ablation, scaling
from bench.tables.models import BOOSTERS

# The peers of its kind, the first that was run is compared with.
REALMLP = ("realmlp_td", "realmlp_td_s")


def shifted_mean(errors):
    """Return the geometric mean of errors + 0.01, minus 0.01: that of RealMLP's paper.

    Without the shift a table with hardly an error would decide alone.
    """
    return float(np.exp(np.mean(np.log(np.asarray(errors) + 0.01))) - 0.01)


def format_all(runs, machines):
    """Return everything that there is to say about runs.

    Parameters
    ----------
    runs : list of dict
    machines : list of dict
        Results of `machine.describe`.
    """
    parts = [format_machine(machine, None) for machine in _without_repeats(machines)]
    failed = [run for run in runs if "failed" in run]
    parts += [
        f"failed: {run['model']} on {run['table']}, seed {run['seed']}: {run['failed']}"
        for run in failed
    ]
    runs = [run for run in runs if "failed" not in run]
    growing = [run for run in runs if run["table"] == scaling.TABLE]
    frame = pd.DataFrame([run for run in runs if run["table"] != scaling.TABLE])
    if len(frame):
        for (rows, threads), part in frame.groupby(["rows", "threads"]):
            parts.append(f"## At most {rows:,} rows to train on, threads: {threads}")
            parts += _parts(part)
    if growing:
        parts += ["## Growth with the rows", format_growth(growing)]
    return "\n\n".join(parts)


def _without_repeats(machines):
    """Return the last description of each CPU and set of versions."""
    found = {(each["cpu"], *each["versions"].items()): each for each in machines}
    return list(found.values())


def _parts(frame):
    models = list(dict.fromkeys(frame.model))
    errors = frame.pivot_table("error", "table", "model", sort=False)[models]
    # Means compare models on the same tables.
    common = frame[frame.table.isin(errors.dropna().index)]
    n_tables = common.table.nunique()
    missing = len(errors) - n_tables
    note = f"Means over the {n_tables} tables that all models have"
    yield "### Errors: 1 − accuracy, or RMSE / standard deviation of y"
    yield _format("table", errors)
    if common.empty:
        yield "No table has runs of all models: choose fewer of them with --models."
        return
    yield f"### {note}" + (f", {missing} left out" if missing else "")
    means = mean_scores(common)
    yield _format("model", means)
    ratios = compare(means)
    if len(ratios.columns):
        yield _format("model", ratios)


def _format(index, frame):
    """Return a frame of numbers as a Markdown table."""
    lines = [[name, *map(_digits, row)] for name, row in frame.iterrows()]
    return format_markdown([index, *frame], lines, left=1)


def mean_scores(frame):
    """Return means over tables as a frame by model.

    Errors and log-losses have shifted means, AUC the plain one, times the median. Of
    the shares of rows in intervals of 90 % the tables with the least and most stand.
    """
    models = list(dict.fromkeys(frame.model))
    frame = frame.assign(per_1000=frame.seconds / frame.trained * 1000)
    tables = frame.groupby(["model", "table", "task"]).mean(numeric_only=True)
    found = {}
    for model in models:
        mine = tables.loc[model]
        regression = mine.index.get_level_values("task") == "regression"
        classes = mine[~regression]
        row = found[model] = {}
        if len(classes):
            row["error of classes"] = shifted_mean(classes.error)
            row["log-loss"] = shifted_mean(classes.log_loss)
            row["AUC"] = classes.auc.mean()
        if regression.any():
            row["error of regression"] = shifted_mean(mine.error[regression])
            if "covered" in mine and mine.covered.notna().any():
                covered = mine.covered[regression]
                row["least in intervals"] = covered.min()
                row["most in intervals"] = covered.max()
        row["error of all"] = shifted_mean(mine.error)
        row["s / 1,000 rows"] = mine.per_1000.median()
        row["predict, µs / row"] = mine.predict_us.median()
    return pd.DataFrame.from_dict(found, orient="index")


def compare(means):
    """Return errors and fit times divided by those of the models to compare with.

    These are the best booster, RealMLP and, of an ablation, fastmlp as it is.
    """
    errors = means["error of all"]
    boosters = errors[errors.index.isin(BOOSTERS)]
    references = [boosters.idxmin()] if len(boosters) else []
    references += [name for name in REALMLP if name in errors][:1]
    references += [name for name in (ablation.COMPLETE,) if name in errors]
    return pd.DataFrame(
        {
            f"{short} / {name}'s": means[column] / means.loc[name, column]
            for short, column in (("error", errors.name), ("time", "s / 1,000 rows"))
            for name in references
        },
        index=means.index,
    )


def format_growth(runs):
    """Return fits of the synthetic table by rows and model."""
    header = (
        "rows", "model", "fit, s", "peak above the table, MiB", "table, MiB",
        "predict, µs / row", "one row, µs", "error",
    )  # fmt: skip
    names = ("seconds", "peak_mib", "table_mib", "predict_us", "one_row_us", "error")
    runs = sorted(runs, key=lambda run: run["rows"])
    lines = [
        [f"{run['rows']:,}", run["model"], *(_digits(run[name]) for name in names)]
        for run in runs
    ]
    return format_markdown(header, lines, left=2)


def _digits(value):
    """Return a number with four digits behind the point, or in all; NaN as a dash."""
    if np.isnan(value):
        return "–"
    places = 4 if value < 1 else max(0, 4 - len(str(int(value))))
    return f"{value:,.{places}f}"
