"""fastmlp in place of scikit-learn's classes, for programs that do not name it."""

import functools
import runpy
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import ModuleType

from fastmlp.estimators import MLPClassifier, MLPRegressor
from fastmlp.estimators._conversion import sklearns_class

_CLASSES = (MLPClassifier, MLPRegressor)

# The modules in which a class was replaced, with the class that stands there now.
_replaced: list[tuple[ModuleType, type]] = []


def patch_sklearn() -> AbstractContextManager:
    """Have scikit-learn's `MLPClassifier` and `MLPRegressor` be those of fastmlp.

    `sklearn.neural_network` gets fastmlp's classes, and so does every loaded module
    that has imported one under its own name. Programs that import them afterwards need
    no change; ``python -m fastmlp run script.py`` runs one so. The first call prints a
    line to standard error that says which modules were changed.

    Returns
    -------
    patch : context manager
        In a ``with`` statement scikit-learn's classes return at its end, also after an
        exception. Inside of another patch it does nothing.

    See Also
    --------
    unpatch_sklearn : The end of the patch.
    MLPClassifier.from_sklearn : One fitted model.

    Notes
    -----
    While scikit-learn is patched:

    - ``isinstance(model, sklearn.neural_network.MLPClassifier)`` is true for fastmlp's
      estimators and not for those that were made before. These, and subclasses that
      were defined before, stay scikit-learn's. `sklearn.base.clone` keeps the class.
    - Pickles of scikit-learn's estimators load as fastmlp's, fitted as they were.
    - Pickles of new estimators are fastmlp's: they load where fastmlp is installed,
      patched or not. `MLPClassifier.to_sklearn` makes one for elsewhere.
    - Estimators that are scikit-learn's own can be pickled only after the end.
    - Another name, as in ``import MLPClassifier as Net``, keeps scikit-learn's class if
      it was bound before. So does a process that starts anew ("spawn").
    - `fit` also warns of parameters that have no effect with the values of others.

    A module that imports a class while scikit-learn is patched keeps fastmlp's
    afterwards.

    Examples
    --------
    >>> import fastmlp
    >>> from sklearn.neural_network import MLPClassifier
    >>> with fastmlp.patch_sklearn():
    ...     from sklearn.neural_network import MLPClassifier
    ...     MLPClassifier.__module__
    'fastmlp.estimators.classifier'
    >>> from sklearn.neural_network import MLPClassifier
    >>> MLPClassifier.__module__
    'sklearn.neural_network._multilayer_perceptron'
    """
    patch = ExitStack()
    if not _replaced:
        for module in list(sys.modules.values()):
            for cls in _CLASSES:
                # A module may import lazily: getattr would have it do so.
                names = getattr(module, "__dict__", {})
                if names.get(cls.__name__) is sklearns_class(cls):
                    names[cls.__name__] = cls
                    _replaced.append((module, cls))
        _announce()
        patch.callback(unpatch_sklearn)
    return patch


def unpatch_sklearn() -> None:
    """Give scikit-learn its classes back, in all modules that `patch_sklearn` changed.

    Without a patch it does nothing.

    Returns
    -------
    None

    Examples
    --------
    >>> import fastmlp, sklearn.neural_network
    >>> patch = fastmlp.patch_sklearn()
    >>> fastmlp.unpatch_sklearn()
    >>> sklearn.neural_network.MLPRegressor.__module__
    'sklearn.neural_network._multilayer_perceptron'
    """
    while _replaced:
        module, cls = _replaced.pop()
        # Unless the program has set another one since.
        if vars(module).get(cls.__name__) is cls:
            vars(module)[cls.__name__] = sklearns_class(cls)


@functools.cache
def _announce():
    """Name the changed modules, once per process."""
    modules = dict.fromkeys(module.__name__ for module, _ in _replaced)
    print(
        "fastmlp: MLPClassifier and MLPRegressor are fastmlp's now, in "
        f"{', '.join(modules)}",
        file=sys.stderr,
        flush=True,
    )


def run(program: str, arguments: Sequence[str], *, is_module: bool = False) -> None:
    """Run a program as Python would, with scikit-learn patched.

    Parameters
    ----------
    program : str
        Path of a script, or of a folder or archive with a ``__main__.py``; or the name
        of a module.
    arguments : sequence of str
        The program's own.
    is_module : bool, default=False
        True if `program` is the name of a module.

    Raises
    ------
    SystemExit
        With the program's exit code; 1 after an exception, whose traceback is printed.
    """
    patch_sklearn()
    sys.argv = [program, *arguments]
    try:
        if is_module:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            if not sys.flags.safe_path:
                # In place of the working directory, which `python -m` has put there.
                sys.path[0] = str(Path(program).resolve().parent)
            runpy.run_path(program, run_name="__main__")
    except Exception as error:
        traceback = error.__traceback__
        # The program's own lines only.
        while traceback and traceback.tb_frame.f_globals.get("__name__") in (
            __name__,
            "runpy",
        ):
            traceback = traceback.tb_next
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        sys.exit(1)
