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
    """Return a new figure of pyplot and its axes.

    Parameters
    ----------
    rows, columns : int
        Of axes.
    width, height : float
        Of each, in inches.
    **kwargs
        For ``pyplot.subplots``.
    """
    check_matplotlib_support("fastmlp.examples")
    from matplotlib import pyplot as plt

    size = (columns * width, rows * height)
    return plt.subplots(rows, columns, figsize=size, layout="constrained", **kwargs)


def show() -> None:
    """Open a window with the picture, where there is a display."""
    from matplotlib import pyplot as plt

    plt.show()
