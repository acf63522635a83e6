"""Numbers at the ends of what floats hold: a finite model or an error that says why.

For every solver, activation and loss there is; and the same bits again with other
threads, in another process and behind a pickle.
"""

import hashlib
import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier, MLPRegressor, inspection
from fastmlp.estimators._learning import NON_FINITE
from fastmlp.estimators._pairings import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from tests.estimators import parameters
from tests.fresh import run_python
from tests.kernels_api import ACTIVATIONS, rules

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ("lbfgs", *rules.solvers())
N, N_FEATURES = 24, 3

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((N, N_FEATURES))

# What may stand in the columns of X.
INPUTS = {
    "1e300": 1e300 * NORMAL,
    "1e-300": 1e-300 * NORMAL,
    "denormals": 1e-310 * NORMAL,
    "float32 denormals": 1e-40 * NORMAL,
    "the largest": np.sign(NORMAL) * np.finfo(float).max,
    "float32's largest": np.sign(NORMAL) * float(np.finfo(np.float32).max),
    "float32 overflow": 1e38 * NORMAL,
    "1e20": 1e20 * NORMAL,
    "mixed": NORMAL * [1e300, 1e-300, 1.0],
    "constant columns": np.ones((N, N_FEATURES)),
    "zeros": np.zeros((N, N_FEATURES)),
    "one row": NORMAL[:1],
    "duplicated rows": np.repeat(NORMAL[:2], N // 2, axis=0),
}
# The type of X, and the parameter `dtype`.
DTYPES = [("float32", None), ("float64", None), ("float64", "float32")]
KINDS = {MLPClassifier: CLASSIFICATION_LOSSES, MLPRegressor: REGRESSION_LOSSES}
# On which no solver may diverge at its default learning rate.
ORDINARY = (
    "1e-300", "denormals", "float32 denormals", "constant columns", "zeros", "one row",
    "duplicated rows",
)  # fmt: skip
LOSSES = [(kind, loss) for kind, losses in KINDS.items() for loss in losses]
BEFORE, AFTER = NON_FINITE.split("{period}")
# scikit-learn's words.
TOO_LARGE = "Input {} contains infinity or a value too large for dtype('float32')."


def make_target(loss, n):
    """Return y of n rows that any estimator can learn with this loss."""
    return np.arange(n) % 2 + (loss in ("gamma", "poisson"))


def learn(Estimator, X, y, **params):
    """Fit; return the estimator, or None where the documented error was raised."""
    settings = {"hidden_layer_sizes": (5, 4), "max_iter": 2, "random_state": 0}
    settings |= {"batch_size": 8, "n_threads": 1}
    estimator = Estimator(**settings | params)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Got `batch_size` less than 1 or larger")
        # In scikit-learn's search for infinite numbers.
        warnings.filterwarnings("ignore", "invalid value encountered in reduce")
        try:
            return estimator.fit(X, y)
        except ValueError as error:
            assert_says_why(str(error))
            assert not hasattr(estimator, "coefs_")
            return None


def assert_says_why(message):
    """Assert that a message names epoch, cause and remedy, or what is too large."""
    if message == TOO_LARGE.format("X"):
        return
    if "too large for float32" in message or ", 0.0 in float32," in message:
        return
    assert message.startswith(BEFORE), message
    period, number = message.removeprefix(BEFORE).split(":")[0].split()
    assert period in ("epoch", "iteration")
    assert int(number) >= (period == "epoch")
    assert message.endswith(("or lower learning_rate_init.", "or raise alpha."))


def assert_finite(estimator):
    """Assert that nothing that was fitted is infinite or NaN, nor the loss NaN."""
    assert np.isfinite(parameters(estimator)).all()
    assert not np.isnan(estimator.loss_)
    assert not np.isnan(getattr(estimator, "loss_curve_", 0.0)).any()


def learn_all(Estimator, make_y=make_target, inputs=INPUTS, **params):
    """Fit to all inputs in all types; return how many models and errors there were."""
    fitted = failed = 0
    for (name, X), (type_of_X, dtype) in itertools.product(inputs.items(), DTYPES):
        with np.errstate(over="ignore", under="ignore"):
            rows = X.astype(type_of_X)
        if not np.isfinite(rows).all():
            continue
        y = make_y(params.get("loss"), len(rows))
        estimator = learn(Estimator, rows, y, dtype=dtype, **params)
        if estimator is None:
            assert name not in ORDINARY, name
            failed += 1
        else:
            assert_finite(estimator)
            fitted += 1
    return fitted, failed


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("Estimator, loss", LOSSES)
def test_every_loss(Estimator, loss, solver):
    fitted, _ = learn_all(Estimator, loss=loss, solver=solver)
    assert fitted >= 3 * len(ORDINARY)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, solver):
    fitted, _ = learn_all(MLPClassifier, activation=activation, solver=solver)
    assert fitted >= 3 * len(ORDINARY)


# What else may bound, hide or blow up a gradient.
SETTINGS = {
    "clip_norm": {"clip_norm": 1.0},
    "max_norm": {"max_norm": 1.0},
    "both": {"clip_norm": 1e-300, "max_norm": 1e-300},
    "dropout": {"dropout": 0.5},
    "noise": {"input_noise": 1.0},
    "without hidden layers": {"hidden_layer_sizes": ()},
}


@pytest.mark.parametrize("solver", ["sgd", "nadam"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_settings(settings, solver):
    fitted, _ = learn_all(MLPRegressor, solver=solver, **settings)
    assert fitted >= 3 * len(ORDINARY)


# Of which training may diverge whatever the input.
VIOLENT = {
    "learning rate": {"learning_rate_init": 1e6},
    "larger": {"learning_rate_init": 1e300},
    "alpha": {"alpha": 1e300},
    "l1": {"l1": 1e300},
    "weights": {"init_scale": 1e300},
    "decay": {"weight_decay": 1e6},
    "gamma": {"learning_rate": "exponential", "gamma": 1e300},
    "noise": {"input_noise": 1e300},
}
FEW_INPUTS = {name: INPUTS[name] for name in ("1e300", "denormals")}


@pytest.mark.parametrize("settings", VIOLENT.values(), ids=VIOLENT)
@pytest.mark.parametrize("Estimator, loss", LOSSES)
@pytest.mark.filterwarnings("ignore:.* is not used by")
def test_violent_settings(Estimator, loss, settings, monkeypatch):
    monkeypatch.setattr("tests.estimators.test_extremes.ORDINARY", ())
    outcomes = np.zeros(2, int)
    for solver in SOLVERS:
        unused = solver == "lbfgs" and {"weight_decay", "input_noise"} & settings.keys()
        if not unused:
            params = {"loss": loss, "solver": solver} | settings
            outcomes += learn_all(Estimator, inputs=FEW_INPUTS, **params)
    assert outcomes.sum() >= 5 * 5


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("Estimator, loss", LOSSES)
def test_targets_of_one_value(Estimator, loss, solver):
    """One class is accepted, as in scikit-learn, and predicted."""
    for value, dtype in itertools.product((1, 0.5, 1e-300), ("float32", "float64")):
        if Estimator is MLPClassifier and value != 1:
            continue
        X, y = NORMAL.astype(dtype), np.full(N, value)
        estimator = learn(Estimator, X, y, loss=loss, solver=solver)
        if estimator is None:
            assert (loss, value) == ("gamma", 1e-300)
            continue
        assert_finite(estimator)
        predicted = estimator.predict(X)
        assert np.isfinite(predicted).all()
        if Estimator is MLPClassifier:
            np.testing.assert_array_equal(predicted, y)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "loss", [loss for loss in REGRESSION_LOSSES if loss != "log_loss"]
)
def test_huge_targets(loss, solver):
    for scale in (1e30, 1e38, 1e300):

        def make_y(loss, n, scale=scale):
            return scale * (1.0 + np.arange(n) % 3)

        inputs = {"normal": NORMAL, "1e20": INPUTS["1e20"]}
        learn_all(MLPRegressor, make_y, inputs, loss=loss, solver=solver)


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_what_float32_cannot_hold_is_named(name):
    X, arrays = (
        NORMAL.astype(np.float32),
        {"y": np.ones(N), "sample_weight": np.ones(N)},
    )
    arrays[name][3] = 1e300
    estimator = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1)
    with pytest.raises(ValueError, match=rf"^{name} holds 1e\+300, which is too large"):
        estimator.fit(X, **arrays)


ROWS = NORMAL.astype(np.float32)
LABELS = make_target("log_loss", N)
WAYS_IN = {
    "fit": lambda model, X: model.fit(X, LABELS),
    "fit by lbfgs": lambda model, X: model.set_params(solver="lbfgs").fit(X, LABELS),
    "partial_fit": lambda model, X: model.partial_fit(X, LABELS),
    "X_val": lambda model, X: model.fit(ROWS, LABELS, X_val=X, y_val=LABELS),
    "predict": lambda model, X: model.predict(X),
    "predict of a row": lambda model, X: model.predict(X[:1]),
    "predict_proba": lambda model, X: model.predict_proba(X),
    "transform": lambda model, X: model.transform(X),
    "sample_losses": lambda model, X: inspection.sample_losses(model, X, LABELS),
    "layer_outputs": inspection.layer_outputs,
}


@pytest.mark.parametrize(
    "container, sign", [(np.asarray, 1), (np.asfortranarray, -1), (sp.csr_array, -1)]
)
@pytest.mark.parametrize("way", WAYS_IN)
def test_rows_that_float32_cannot_hold(way, container, sign):
    """Refused as scikit-learn refuses them, and neither trained on nor predicted."""
    model = MLPClassifier((3,), max_iter=1, dtype="float32").fit(ROWS, LABELS)
    X = np.array(NORMAL)
    X[0, 1] = sign * 1e39
    before = parameters(model)
    with pytest.raises(ValueError) as raised:
        WAYS_IN[way](model, container(X))
    assert str(raised.value) == TOO_LARGE.format("X_val" if way == "X_val" else "X")
    np.testing.assert_array_equal(parameters(model), before)


def test_rows_of_another_type_in_a_later_partial_fit():
    """The network keeps the type that it began with."""
    model = MLPClassifier((3,)).partial_fit(ROWS, LABELS, classes=[0, 1])
    with pytest.raises(ValueError, match="too large for dtype"):
        model.partial_fit(1e39 * NORMAL, LABELS)
    model.partial_fit(NORMAL, LABELS)


def test_rows_that_float64_cannot_hold():
    model = MLPClassifier((3,), max_iter=1).fit(ROWS, LABELS)
    X = NORMAL.astype(np.longdouble) * 1e300 * 1e300
    with pytest.raises(ValueError, match="infinity or a value too large for dtype"):
        model.predict(X)


def test_the_largest_numbers_of_float32_are_held():
    """Those that round down to it, too; under ``assume_finite`` nothing is refused."""
    model = MLPClassifier((3,), max_iter=1, dtype="float32").fit(ROWS, LABELS)
    largest = float(np.finfo(np.float32).max)
    for X in (np.full((1, 3), largest), np.full((1, 3), -largest * (1 + 1e-9))):
        assert model.predict(X) in LABELS
    with sklearn.config_context(assume_finite=True):
        assert model.predict(np.full((1, 3), 1e39)) in LABELS


def test_weights_that_vanish_in_float32_are_named():
    X = NORMAL.astype(np.float32)
    estimator = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1)
    with pytest.raises(ValueError, match="sample_weight holds 1e-300, which is too sm"):
        estimator.fit(X, np.ones(N), sample_weight=np.full(N, 1e-300))


def test_a_loss_that_is_no_number_is_divergence(monkeypatch):
    """Though every parameter is finite."""
    estimator = learn(MLPRegressor, NORMAL, np.ones(N))
    before = estimator.predict(NORMAL)
    sums = property(lambda trainer: (float("nan"), N))
    monkeypatch.setattr("fastmlp.kernels.trainer.Trainer.last_sums", sums)
    with pytest.raises(ValueError, match="Training diverged in epoch 1") as info:
        estimator.fit(NORMAL, np.ones(N))
    assert_says_why(str(info.value))
    np.testing.assert_array_equal(estimator.predict(NORMAL), before)


def digest(estimator):
    """Return a hash of all that training left."""
    numbers = [parameters(estimator), np.ravel(getattr(estimator, "loss_curve_", 0.0))]
    numbers += [slopes for slopes in estimator.slopes_ if slopes is not None]
    data = b"".join(np.ascontiguousarray(each).tobytes() for each in numbers)
    return hashlib.sha256(data).hexdigest()[:16]


def make_problem(dtype):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((150, 9)).astype(dtype)
    return X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)


def make(Estimator, solver, n_threads=1, **params):
    if solver != "lbfgs":
        params |= {"dropout": 0.1, "clip_norm": 0.5}
    return Estimator(
        hidden_layer_sizes=(33, 20), activation=("prelu", "tanh"), solver=solver,
        max_iter=4, batch_size=70, random_state=0, n_threads=n_threads, **params,
    )  # fmt: skip


def digests(n_threads):
    """Return one hash for every estimator, type and solver."""
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return [
            digest(make(Estimator, solver, n_threads).fit(*make_problem(dtype)))
            for Estimator in KINDS
            for dtype in ("float32", "float64")
            for solver in SOLVERS
        ]


def test_same_bits_for_any_number_of_threads_and_in_a_fresh_process():
    ref = digests(1)
    assert len(set(ref)) == len(ref)
    assert digests(3) == ref
    code = "from tests.estimators.test_extremes import digests; print(digests(2))"
    run = run_python(code)
    assert run.stdout.strip() == str(ref), run.stderr
