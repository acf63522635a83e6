"""The charts of a run: ratios of the contestants, and growth."""

import logging

from bench import growth, report


def draw(folder, rows, limits, quick):
    """Draw the charts of the sections that are there: ratios.png, growth.png.

    Parameters
    ----------
    folder : Path
    rows : list of Row
    limits : dict
        The result of `machine.measure_limits`.
    quick : bool
        As when `rows` were measured.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    # Matplotlib logs each font that it does not find.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    bars = [row for row in rows if row.section in ("training", "prediction")]
    if any(row.ratio is not None for row in bars):
        report.draw_ratios(folder / "ratios.png", bars)
    curves = [row for row in rows if row.section == "growth"]
    if curves:
        growth.draw(folder / "growth.png", quick, curves, limits["float32"])
