"""scikit-learn's own tests of its callbacks, with an MLP for the estimator watched.

The installed `sklearn/callback/tests` are read with one class exchanged: what stands
there for any estimator that iterates is `callback_stand_in.MaxIterEstimator`. File
names and line numbers are kept, so that a traceback shows scikit-learn's source.
"""

from importlib import import_module, resources

import pytest

from tests.estimators.callback_stand_in import MaxIterEstimator

pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")

# Those of ProgressBar and ScoringMonitor test the callbacks more than what they watch.
FILES = ("test_callback_support", "test_callback_context", "test_pickle")

# As in scikit-learn's own configuration, where only some warnings are errors.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def load_tests(file):
    """Return the tests of one file, run with our estimator."""
    source = resources.files("sklearn.callback.tests") / f"{file}.py"
    code = compile(source.read_text("utf-8"), str(source), "exec")
    namespace = {"__name__": __name__, "__file__": str(source)}
    utilities = import_module("sklearn.callback.tests._utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "MaxIterEstimator", MaxIterEstimator)
        exec(code, namespace)
    assert namespace["MaxIterEstimator"] is MaxIterEstimator
    return {
        name: value for name, value in namespace.items() if name.startswith("test_")
    }


for _file in FILES:
    _tests = load_tests(_file)
    assert not _tests.keys() & globals().keys()
    globals().update(_tests)
