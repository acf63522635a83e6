"""Every row of the table of update rules, against the formulas in NumPy."""

import numpy as np
import pytest
from sklearn.base import clone

from fastmlp import MLPClassifier
from tests import naive
from tests.estimators import make, parameters
from tests.fresh import run_python
from tests.kernels_api import (
    DECAY,
    GROUP,
    N_SETTINGS,
    N_STEP,
    RULES,
    WEIGHTS,
    Optimizer,
    Rule,
    compile_update,
    lanes,
    options,
)
from tests.naive_engine import NaiveOptimizer
from tests.networks import DTYPES, TRAINING_RULES, make_optimizer

SCALE, ALPHA = 0.25, 0.5


def _update(rule, dtype, places, n, step, scale, alpha, settings):
    group = np.array([(*WEIGHTS, True)], GROUP)
    step, settings = (np.ascontiguousarray(a) for a in (step, settings))
    pointers = settings.ctypes.data, group.ctypes.data, 0, 0
    compile_update(rule, dtype).ctypes(
        *places, n, step.ctypes.data, scale, alpha, *pointers
    )


def _steps(rule, dtype, n, n_steps=4):
    """Return parameters and moments after some steps: computed and by `naive`."""
    rng = np.random.default_rng(n)
    optimizer = make_optimizer(rule)
    w = rng.standard_normal(n).astype(dtype)
    moments = [np.zeros(n, dtype) for _ in range(2)]
    settings = optimizer.settings(dtype)
    ref = make_optimizer(rule, NaiveOptimizer)
    ref_w = w.astype(np.float64)
    ref_moments = [np.zeros(n)] * optimizer.n_moments
    for step in optimizer.steps(n_steps):
        g = rng.standard_normal(n).astype(dtype)
        gradient = SCALE * (g.astype(np.float64) + ALPHA * ref_w)
        places = [a.ctypes.data for a in (w, g, *moments)]
        _update(rule, dtype, places, n, step, SCALE, ALPHA, settings)
        ref_w, ref_moments = ref.step(ref_w, gradient, ref_moments)
    return (w, *moments[: optimizer.n_moments]), (ref_w, *ref_moments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_update_equals_the_formulas(rule, dtype):
    for n in (0, 1, lanes(dtype) - 1, lanes(dtype) + 1, 4 * lanes(dtype) + 3):
        comp, ref = _steps(rule, dtype, n)
        for a, b in zip(comp, ref, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_added_up(dtype):
    w, g, m = (np.arange(5, dtype=dtype) + i for i in range(3))
    ref_w, ref_m = w.copy(), m + g
    places = [a.ctypes.data for a in (w, g, m, m)]
    _update("gradient", dtype, places, 5, np.zeros(N_STEP), 1, 1, np.zeros(N_SETTINGS))
    np.testing.assert_array_equal(w, ref_w)
    np.testing.assert_array_equal(m, ref_m)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_nan_gradient_shows_in_the_parameter(rule, dtype):
    w, m, v = np.ones(3, dtype), np.zeros(3, dtype), np.zeros(3, dtype)
    g = np.array([1, np.nan, 1], dtype)
    optimizer = make_optimizer(rule)
    settings, [step] = optimizer.settings(dtype), optimizer.steps(1)
    places = [a.ctypes.data for a in (w, g, m, v)]
    _update(rule, dtype, places, 3, step, 1, 0, settings)
    np.testing.assert_array_equal(np.isnan(w), [False, True, False])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", ["adam", "adamw", "rmsprop", "nadam"])
def test_a_parameter_without_gradient_is_left_alone(rule, dtype):
    """Padding is one, whatever epsilon becomes in the dtype."""
    optimizer = Optimizer(rule, learning_rate=0.1, epsilon=1e-300)
    w, g, m, v = np.ones((4, 3), dtype)
    g[:], m[:], v[:] = 0, 0, 0
    settings, [step] = optimizer.settings(dtype), optimizer.steps(1)
    places = [a.ctypes.data for a in (w, g, m, v)]
    _update(rule, dtype, places, 3, step, 1, 0, settings)
    np.testing.assert_array_equal(w, 1)


@pytest.mark.parametrize(
    "settings, rule",
    [
        ({"name": "sgd", "momentum": 0}, "sgd"),
        ({"name": "sgd", "momentum": 0, "nesterovs_momentum": True}, "sgd"),
        ({"name": "sgd", "momentum": 0.9}, "momentum"),
        ({"name": "sgd", "momentum": 0.9, "nesterovs_momentum": True}, "nesterov"),
        ({"name": "adam"}, "adam"),
        ({"name": "adamw"}, "adamw"),
        ({"name": "rmsprop"}, "rmsprop"),
        ({"name": "nadam"}, "nadam"),
    ],
)
def test_rule_follows_from_the_settings(settings, rule):
    optimizer = Optimizer(**settings, learning_rate=1.0)
    assert optimizer.rule == rule
    assert optimizer.n_moments == RULES[rule].n_moments


def test_adams_rates_go_on_from_step_t():
    optimizer = Optimizer("adam", learning_rate=0.5, beta_1=0.8, beta_2=0.9)
    whole = optimizer.steps(10)[:, 0]
    t = np.arange(1, 11)
    ref = 0.5 * np.sqrt(1 - 0.9**t) / (1 - 0.8**t)
    np.testing.assert_allclose(whole, ref, rtol=1e-15)
    optimizer.t = 4
    np.testing.assert_array_equal(optimizer.steps(6)[:, 0], whole[4:])


@pytest.mark.parametrize("n_steps", [1, 2, 17, 400])
def test_adams_factors_are_the_same_bits_however_steps_are_cut_into_epochs(n_steps):
    optimizer = Optimizer("adam", learning_rate=0.5, beta_1=0.87, beta_2=0.993)
    whole, parts, out = optimizer.steps(1200), [], None
    for optimizer.t in range(0, 1200, n_steps):
        out = optimizer.steps(min(n_steps, 1200 - optimizer.t), out)
        parts.append(out.copy())
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_steps_overwrite_an_earlier_result_of_as_many():
    optimizer = Optimizer("sgd", learning_rate=0.5)
    out = optimizer.steps(3)
    optimizer.rates = np.array([0.1, 0.2, 0.3])
    assert optimizer.steps(3, out) is out
    np.testing.assert_array_equal(out[:, 0], [0.1, 0.2, 0.3])
    assert len(optimizer.steps(2, out)) == 2
    np.testing.assert_array_equal(out[:, 0], [0.1, 0.2, 0.3])


def test_sgds_rate_is_constant_within_an_epoch():
    optimizer = Optimizer("sgd", learning_rate=0.5, momentum=0.9)
    np.testing.assert_array_equal(optimizer.steps(3)[:, 0], [0.5] * 3)
    optimizer.rates = 0.25
    np.testing.assert_array_equal(optimizer.steps(2)[:, 0], [0.25] * 2)


@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_a_rate_for_each_step(rule):
    optimizer = make_optimizer(rule)
    optimizer.t, optimizer.rates = 3, 1.0
    factors = optimizer.steps(4)
    rates = np.array([0.5, 0.0, 0.25, 2.0])
    optimizer.rates = rates
    np.testing.assert_allclose(
        optimizer.steps(4)[:, 0], rates * factors[:, 0], rtol=1e-15
    )
    np.testing.assert_allclose(optimizer.steps(4)[:, 2], rates * factors[:, 2])
    np.testing.assert_array_equal(optimizer.steps(4)[:, 3], factors[:, 3])


@pytest.mark.parametrize("given, used", [(None, 0.0), (0.0, 0.0), (0.25, 0.25)])
def test_weight_decay_is_a_share_of_the_rate(given, used):
    for rule in TRAINING_RULES:
        optimizer = Optimizer(
            rule if rule in ("adam", "adamw", "rmsprop", "nadam") else "sgd",
            learning_rate=0.5,
            weight_decay=given,
        )
        optimizer.rates = np.array([0.5, 0.1])
        decay = 0.01 if given is None and rule == "adamw" else used
        # The bias corrections have no part in it.
        np.testing.assert_allclose(
            optimizer.steps(2)[:, DECAY], decay * np.array([0.5, 0.1])
        )


def test_nadams_factors_go_on_from_step_t():
    """Also where the product of all momenta has been left to itself."""
    optimizer = Optimizer("nadam", learning_rate=0.5, beta_1=0.8, beta_2=0.99)
    whole = optimizer.steps(2000)
    mu = 0.8 * (1 - 0.5 * 0.96 ** (0.004 * np.arange(1, 2002)))
    product = np.cumprod(mu)
    np.testing.assert_allclose(
        whole[:, 0], 0.5 * mu[1:] / (1 - product[1:]), rtol=1e-14
    )
    ref = 0.5 * (1 - mu[:-1]) / (1 - product[:-1])
    np.testing.assert_allclose(whole[:, 2], ref, rtol=1e-14)
    for optimizer.t in (1, 3, 300, 1999):
        rest = optimizer.steps(2000 - optimizer.t)
        np.testing.assert_allclose(rest, whole[optimizer.t :], rtol=1e-14)
    optimizer = Optimizer("nadam", learning_rate=0.5, beta_1=0.0)
    np.testing.assert_array_equal(optimizer.steps(3)[:, [0, 2]], [[0, 0.5]] * 3)


# -- one row of the table --------------------------------------------------------------


@options.jit
def _signum(w, g, m, v, step, scale, alpha, settings):
    """Take steps of one size along the sign of the momentum (Bernstein et al. 2018)."""
    rate, momentum = step[0], settings[0]
    zero, one = type(rate)(0), type(rate)(1)
    for i in range(w.size):
        gradient = (g[i] + alpha * w[i]) * scale
        m[i] = momentum * m[i] + gradient
        sign = one if m[i] > zero else (-one if m[i] < zero else zero)
        w[i] -= rate * sign


SIGNUM = Rule(_signum, 1, parameters=("momentum",))
DATA = np.random.default_rng(0).standard_normal((60, 4))
LABELS = (DATA[:, 0] - DATA[:, 1] / 2 > 0).astype(int)


@pytest.fixture
def signum(monkeypatch):
    monkeypatch.setitem(RULES, "signum", SIGNUM)
    return "signum"


def _model(solver, **settings):
    """Return a classifier that takes one step per epoch."""
    settings = {"activation": "tanh", "batch_size": "full", "alpha": 0.1} | settings
    return make(MLPClassifier, solver=solver, **settings)


def _gradient(model):
    """Return the parameters and the gradient of the log-loss with penalty."""
    coefs = [W.astype(np.float64) for W in model.coefs_]
    intercepts = [b.astype(np.float64) for b in model.intercepts_]
    layers = naive.forward(DATA, coefs, intercepts, "tanh", "logistic")
    delta, ones = layers[-1] - LABELS[:, None], np.ones(60)
    gradients = naive.backward(layers, delta, coefs, intercepts, 0.1, "tanh", ones)
    flat = [np.hstack([a.ravel() for a in arrays]) for arrays in (coefs, intercepts)]
    return np.hstack(flat), naive.pack(*gradients)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_optimizer_is_one_row_of_the_table(signum, n_threads, dtype):
    model = _model(signum, dtype=dtype, n_threads=n_threads, momentum=0.5)
    still = clone(model).set_params(learning_rate_init=1e-300, max_iter=1)
    w, gradient = _gradient(still.fit(DATA, LABELS))
    # No sign is a matter of rounding.
    assert abs(gradient).min() > 1e-5
    stepped = clone(model).set_params(learning_rate_init=0.1, max_iter=1)
    stepped.fit(DATA, LABELS)
    atol = 20 * np.finfo(dtype).eps
    ref = w - 0.1 * np.sign(gradient)
    np.testing.assert_allclose(parameters(stepped), ref, rtol=0, atol=atol)
    # The second step follows the momentum, and differs from one without it.
    moment = 0.5 * gradient + _gradient(stepped)[1]
    stepped.partial_fit(DATA, LABELS)
    ref = ref - 0.1 * np.sign(moment)
    np.testing.assert_allclose(parameters(stepped), ref, rtol=0, atol=2 * atol)
    assert parameters(stepped).dtype == dtype


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "restraint", [{"l1": 0.1, "weight_decay": 0.1}, {"clip_norm": 0.1, "max_norm": 0.5}]
)
def test_an_optimizer_of_one_row_is_restrained(signum, restraint):
    """By loops that are compiled around its update."""
    kept = {"learning_rate_init": 0.1, "momentum": 0.0, "max_iter": 1}
    still = _model(signum, learning_rate_init=1e-300, max_iter=1).fit(DATA, LABELS)
    comp = _model(signum, **kept, **restraint).fit(DATA, LABELS)
    w, gradient = _gradient(still)
    n_weights = sum(W.size for W in still.coefs_)
    if "l1" in restraint:
        gradient[:n_weights] += 0.1 / 60 * np.sign(w[:n_weights])
        w[:n_weights] *= 1 - 0.1 * 0.1
    # What is clipped has the same sign.
    ref = w - 0.1 * np.sign(gradient)
    if "max_norm" in restraint:
        hidden, output = ref[:20].reshape(4, 5), ref[20:25].reshape(5, 1)
        for W in (hidden, output):
            W *= np.minimum(1, 0.5 / np.linalg.norm(W, axis=0))
    np.testing.assert_allclose(parameters(comp), ref, rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_an_optimizer_of_one_row_reads(signum, monkeypatch):
    with pytest.raises(ValueError, match=r"Got 'signun'.* Did you mean 'signum'\?"):
        _model("signun").fit(DATA, LABELS)
    _model(signum, momentum=0.5).fit(DATA, LABELS)
    for name, value in (
        ("beta_2", 0.5),
        ("nesterovs_momentum", False),
        ("max_fun", 5),
        ("learning_rate", "adaptive"),
    ):
        model = _model(signum, **{name: value})
        with pytest.warns(UserWarning, match=f"{name}=.* not used by solver='signum'"):
            model.fit(DATA, LABELS)
    monkeypatch.setitem(RULES, signum, SIGNUM._replace(all_schedules=True))
    settings = {"learning_rate": "invscaling", "max_iter": 2}
    model = _model(signum, **settings).fit(DATA, LABELS)
    np.testing.assert_allclose(model.lr_curve_, [1e-3, 1e-3 / 61**0.5])
    monkeypatch.delitem(RULES, signum)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(ValueError, match="The 'solver' parameter of MLPClassifier mus"):
        model.fit(DATA, LABELS)


def test_settings_are_what_the_row_names(monkeypatch):
    named = ("epsilon", "momentum", "beta_1")
    monkeypatch.setitem(RULES, "toy", Rule(_signum, 1, parameters=named))
    optimizer = Optimizer(
        "toy", learning_rate=1.0, epsilon=1e-3, momentum=0.5, beta_1=0.75
    )
    settings = optimizer.settings(np.float64)
    np.testing.assert_array_equal(settings, [1e-3, 0.5, 0.75, 0.25, 0, 0])
    named = ("momentum", "beta_1", "beta_2", "epsilon")
    monkeypatch.setitem(RULES, "toy", Rule(_signum, 1, parameters=named))
    with pytest.raises(ValueError, match=r"6.*5"):
        optimizer.settings(np.float64)


_SCRIPT = """
import sys
import numpy as np
from tests.kernels.update.test_rules import _steps
for rule in sys.argv[1:]:
    for comp, ref in zip(*_steps(rule, np.float64, 3), strict=True):
        np.testing.assert_allclose(comp, ref, rtol=1e-12)
"""


def test_rules_kept_on_disk_by_different_processes_are_not_mixed_up(tmp_path):
    """In each process another one is the first of its kind."""
    for rules in (["nesterov"], ["sgd", "nesterov"]):
        run = run_python(_SCRIPT, *rules, FASTMLP_CACHE_DIR=str(tmp_path))
        assert (run.stderr, run.returncode) == ("", 0)
