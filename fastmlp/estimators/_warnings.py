"""Warnings that name the user's line."""

import os
import sys
import warnings
from pathlib import Path

import joblib
import sklearn

# A line in a file below one of these is not the user's: scikit-learn and joblib lie
# between a search and the fits that it makes.
_LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in (
        Path(__file__).parents[1],
        Path(sklearn.__file__).parent,
        Path(joblib.__file__).parent,
    )
)


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn as `warnings.warn` does, at the line that called the first library.

    Python 3.12 has `skip_file_prefixes` for it.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_LIBRARIES):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
