"""scikit-learn's own tests of its MLP, with nothing changed but the import.

The installed `sklearn/neural_network/tests/test_mlp.py` is read, its import of the two
estimators is turned to fastmlp, and its tests become tests of this module. File name
and line numbers are kept, so that a traceback shows scikit-learn's source.
"""

import re
from importlib import resources

import pytest

import fastmlp

SOURCE = resources.files("sklearn.neural_network") / "tests" / "test_mlp.py"
IMPORT = re.compile(
    r"^from sklearn\.neural_network import MLPClassifier, MLPRegressor$", re.MULTILINE
)

# Each calls a private method of scikit-learn's class.
LEFT_OUT = {
    "test_gradient": "calls _loss_grad_lbfgs; ours is compared in test_same_numbers.py",
}

# As in scikit-learn's own configuration, where only some warnings are errors.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:power_t=.* is not used:UserWarning"),
]


@pytest.fixture
def global_random_seed():
    """Return the seed that scikit-learn's tests run with by default."""
    return 42


def load_tests():
    """Return the namespace of scikit-learn's test module, run with our classes."""
    source, n_imports = IMPORT.subn(
        "from fastmlp import MLPClassifier, MLPRegressor", SOURCE.read_text("utf-8")
    )
    assert n_imports == 1, "scikit-learn's tests import their estimators another way"
    namespace = {"__name__": __name__, "__file__": str(SOURCE)}
    exec(compile(source, str(SOURCE), "exec"), namespace)
    return namespace


_TESTS = load_tests()
globals().update(
    {
        name: value
        for name, value in _TESTS.items()
        if name.startswith("test_") and name not in LEFT_OUT
    }
)


def test_only_the_import_was_changed():
    assert _TESTS["MLPClassifier"] is fastmlp.MLPClassifier
    assert _TESTS["MLPRegressor"] is fastmlp.MLPRegressor


def test_left_out_tests_call_private_methods():
    for name, reason in LEFT_OUT.items():
        private = re.search(r"calls (_\w+)", reason).group(1)
        assert private in _TESTS[name].__code__.co_names + tuple(
            attribute
            for constant in _TESTS[name].__code__.co_consts
            if hasattr(constant, "co_names")
            for attribute in constant.co_names
        )
