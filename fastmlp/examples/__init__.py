"""Tasks and the lectures' networks, runnable: ``python -m fastmlp.examples NAME``.

One module each. Its title says what it shows, ``run()`` prints that with its numbers
and returns them, and ``draw(found)`` makes a picture of them. Pictures need the `plot`
extra; `cluster`, `deployment`, `image_features` and `tables` need the `examples` extra.
"""

import importlib
import pkgutil
from types import ModuleType

NAMES = tuple(
    sorted(
        module.name
        for module in pkgutil.iter_modules(__path__)
        if not module.name.startswith("_")
    )
)


def load(name: str) -> ModuleType:
    """Return the module of an example.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    """
    return importlib.import_module(f"{__name__}.{name}")


def purpose(name: str) -> str:
    """Return the title of an example's docstring."""
    return str(load(name).__doc__).strip().splitlines()[0]
