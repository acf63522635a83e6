"""Figures for the pictures of all examples."""

from typing import Any

from sklearn.utils._optional_dependencies import check_matplotlib_support


def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = 4.0,
    height: float = 3.2,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Return a matplotlib figure that no window belongs to, and its axes.

    Parameters
    ----------
    rows, columns : int
        Of axes.
    width, height : float
        Of each, in inches.
    **kwargs
        For ``Figure.subplots``.
    """
    check_matplotlib_support("fastmlp.examples")
    from matplotlib.figure import Figure

    figure = Figure((columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, **kwargs)
