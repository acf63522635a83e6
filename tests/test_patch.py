"""fastmlp in place of scikit-learn's classes, in fresh processes."""

import pickle
import re

import numpy as np
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose
from sklearn.base import clone

import fastmlp
from fastmlp.__main__ import main
from tests.fresh import run_interpreter, run_python

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def run(code, *arguments):
    """Run code that begins with both names imported; return what it printed."""
    start = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
    ended = run_python(start + code, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended


def test_names_change_and_return_wherever_they_were_imported():
    ended = run("""
import sys, types
from sklearn.neural_network import MLPClassifier as Alias
import sklearn.neural_network
from sklearn.neural_network import _multilayer_perceptron
own = MLPClassifier, MLPRegressor
other = types.ModuleType("other")
other.MLPRegressor, other.MLPClassifier = MLPRegressor, "another thing"
sys.modules["other"] = other
import fastmlp
places = [sys.modules["__main__"], sklearn.neural_network, _multilayer_perceptron]
def names():
    return [(each.MLPClassifier, each.MLPRegressor) for each in places]
new = fastmlp.MLPClassifier, fastmlp.MLPRegressor
assert names() == [own] * 3
fastmlp.unpatch_sklearn()
assert names() == [own] * 3
for _ in range(2):
    fastmlp.patch_sklearn()
    fastmlp.patch_sklearn()
    assert names() == [new] * 3
    assert other.MLPRegressor is new[1] and other.MLPClassifier == "another thing"
    assert Alias is own[0]
    from sklearn.neural_network import MLPClassifier as Late
    assert Late is new[0]
    fastmlp.unpatch_sklearn()
    assert names() == [own] * 3
    assert other.MLPRegressor is own[1]
# A name that the program has bound anew stays.
fastmlp.patch_sklearn()
MLPClassifier = "mine"
fastmlp.unpatch_sklearn()
assert MLPClassifier == "mine" and MLPRegressor is own[1]
assert (fastmlp.MLPClassifier, fastmlp.MLPRegressor) == new
""")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("fastmlp: MLPClassifier and MLPRegressor are fastmlp's now")
    for module in ("sklearn.neural_network", "__main__", "other"):
        assert module in line


def test_context_manager_restores_and_classes_stay_what_they_are():
    run("""
import pickle
import fastmlp
from fastmlp import patch_sklearn, unpatch_sklearn
from sklearn.base import clone
own = MLPClassifier
def patched():
    return MLPClassifier is fastmlp.MLPClassifier
with patch_sklearn():
    assert patched()
    with patch_sklearn():
        assert patched()
    assert patched()
assert MLPClassifier is own
try:
    with patch_sklearn(), patch_sklearn():
        raise KeyError("inside")
except KeyError:
    assert MLPClassifier is own
with patch_sklearn():
    unpatch_sklearn()
    assert MLPClassifier is own
patch_sklearn()
with patch_sklearn():
    pass
assert patched()
unpatch_sklearn()
earlier = MLPClassifier()
class Earlier(MLPClassifier): pass
with patch_sklearn():
    later = MLPClassifier()
    assert isinstance(later, MLPClassifier) and not isinstance(earlier, MLPClassifier)
    assert type(clone(earlier)) is own and type(clone(later)) is MLPClassifier
    assert issubclass(Earlier, own)
    try:
        pickle.dumps(earlier)
    except pickle.PicklingError:
        pass
    else:
        raise AssertionError
    saved = pickle.dumps(later)
assert type(pickle.loads(pickle.dumps(earlier))) is own
assert type(pickle.loads(saved)) is fastmlp.MLPClassifier
""")


def test_scikit_learns_pickles_load(tmp_path):
    refs = [
        getattr(sklearn.neural_network, name)(first, max_iter=5)
        for name, first in (("MLPClassifier", (5,)), ("MLPRegressor", "poisson"))
    ]
    fitted = [clone(ref).fit(X, Y) for ref in refs]
    (tmp_path / "saved").write_bytes(pickle.dumps(refs + fitted))
    run(
        """
import pickle, sys
from pathlib import Path
import fastmlp
folder = Path(sys.argv[1])
with fastmlp.patch_sklearn():
    models = pickle.loads((folder / "saved").read_bytes())
assert all(type(model).__module__.startswith("fastmlp.") for model in models)
(folder / "loaded").write_bytes(pickle.dumps(models))
""",
        tmp_path,
    )
    models = pickle.loads((tmp_path / "loaded").read_bytes())
    for comp, ref in zip(models, refs + fitted, strict=True):
        assert type(comp) is getattr(fastmlp, type(ref).__name__)
        assert ref.get_params().items() <= comp.get_params().items()
    assert not any(hasattr(comp, "coefs_") for comp in models[:2])
    for comp, ref in zip(models[2:], fitted, strict=True):
        assert_allclose(comp.predict(X), ref.predict(X), rtol=1e-10)
        comp.partial_fit(X, Y)
        ref.partial_fit(X, Y)
        assert_allclose(comp.loss_curve_, ref.loss_curve_, rtol=1e-6)


# -- python -m fastmlp run -------------------------------------------------------------

PROGRAM = """
import sys
from sklearn.neural_network import MLPClassifier
from helper import answer

class Own:
    pass

if __name__ == "__main__":
    import pickle
    assert type(pickle.loads(pickle.dumps(Own()))) is Own
    print(MLPClassifier.__module__, sys.argv, answer)
    if "fail" in sys.argv:
        raise KeyError("of the program")
    sys.exit(7 if "seven" in sys.argv else None)
"""


@pytest.fixture
def program(tmp_path):
    """Return the path of a script that imports a module beside it."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    (tmp_path / "helper.py").write_text("answer = 42\n")
    return path


def run_program(*arguments, **environment):
    return run_interpreter("-m", "fastmlp", "run", *arguments, **environment)


def test_a_program_runs_as_ever(program):
    arguments = ["-m", "--help", "--", "seven"]
    ended = run_program(program, *arguments)
    assert ended.returncode == 7, ended.stderr
    assert ended.stdout == (
        f"fastmlp.estimators.classifier {[str(program), *arguments]} 42\n"
    )
    assert len(ended.stderr.splitlines()) == 1


def test_a_module_runs_as_ever(program):
    ended = run_program("-m", "program", "-x", PYTHONPATH=f"{program.parent}:.")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"fastmlp.estimators.classifier {[str(program), '-x']} 42\n"


def test_a_traceback_is_the_programs_own(program):
    ref = run_interpreter(program, "fail")
    comp = run_program(program, "fail")
    assert comp.returncode == ref.returncode == 1
    assert "KeyError: 'of the program'" in ref.stderr
    _, comp_traceback = comp.stderr.split("\n", 1)
    assert comp_traceback == ref.stderr


def test_there_is_no_program(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run"])
    assert stopped.value.code == 2
    assert "arguments are required: PROGRAM" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["missing.py"], "No such file or directory: .*missing.py"),
        (["-m", "missing"], "No module named missing"),
    ],
)
def test_the_program_is_not_there(arguments, message):
    ended = run_program(*arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.search(message, ended.stderr)
