"""Estimators under calls that are drawn: a state machine for Hypothesis.

Each example draws a constructor's parameters, valid ones and others, and then calls,
one after the other. Whatever is drawn, a call succeeds or raises an exception that says
what was wrong in words of fastmlp's or scikit-learn's; one that raises leaves the model
predicting what it did, bit by bit; one that succeeds leaves numbers, not NaN.
"""

import contextlib
import inspect
import io
import linecache
import math
import pickle
import traceback
import warnings
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import scipy.sparse as sp
import sklearn
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.estimators._pairings import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from fastmlp.network.initializers import INITIALIZERS
from fastmlp.training.schedules import SCHEDULES
from tests.kernels_api import ACTIVATIONS, LOSSES, rules

DOCUMENTED = (ValueError, TypeError, NotFittedError, AttributeError, MemoryError)
KINDS = [MLPClassifier, MLPRegressor]
OURS, THEIRS = (Path(package.__file__).parent for package in (fastmlp, sklearn))

N_FEATURES = 3


def falling_rate(progress):
    """Return a factor of the learning rate, as a callable `learning_rate` does."""
    return 1.0 - progress


def wrong_rate(progress):
    """Return what is no factor."""
    return -1.0 if progress > 0.4 else 1.0


def constant_score(estimator, X, y):
    """Return a score, as a callable `scoring` does."""
    return float(len(estimator.predict(X)))


def wrong_score(estimator, X, y):
    """Return what is no score."""
    return "good"


# Values of every parameter that one is drawn from; some go together, some do not.
PARAMETERS = {
    "hidden_layer_sizes": [(), 3, (4,), [2, 3], (1, 1, 1), np.array([5, 2]), (70, 33)],
    "activation": [
        *ACTIVATIONS,
        ("leaky_relu", 0.3),
        ("maxout", 3),
        ("tanh", "prelu"),
        [("elu", 2.0), "maxout"],
        ("maxout", ("maxout", 3), "relu"),
    ],
    "solver": ["lbfgs", *rules.solvers()],
    "alpha": [0, 1e-4, 10.0, 1e300],
    "batch_size": ["auto", "full", 1, 3, 1000],
    "learning_rate": [*SCHEDULES, falling_rate, wrong_rate],
    "learning_rate_init": [1e-3, 0.1, 1e6, 1e-300, 1e300],
    "power_t": [0.0, 0.5, 1e3],
    "max_iter": [1, 2, 4],
    "shuffle": [True, False],
    "random_state": [0, 1, 2**32 - 1],
    "tol": [0.0, 1e-4, 1e300],
    "verbose": [False, True, 3],
    "warm_start": [False, True],
    "momentum": [0.0, 0.9, 1.0],
    "nesterovs_momentum": [True, False],
    "early_stopping": [False, True],
    "validation_fraction": [0.0, 0.1, 0.3, 0.99],
    "beta_1": [0.0, 0.9, 0.999999],
    "beta_2": [0.0, 0.999],
    "epsilon": [1e-8, 1e-300, 1e300],
    "n_iter_no_change": [1, 2, np.inf],
    "max_fun": [1, 2, 15],
    "dtype": [None, "float32", "float64", "bfloat16"],
    "n_threads": [None, 1, 2, 10**6],
    "out_activation": [None, "identity", "logistic", "softmax", "exp"],
    "init": [*INITIALIZERS],
    "init_scale": [0.0, 1.0, 1e3, 1e300],
    "T_0": [None, 1, 3],
    "T_mult": [None, 1, 2],
    "eta_min": [None, 0.0, 1e-4, 1e3],
    "step_size": [None, 1, 2],
    "gamma": [None, 0.5, 1e-300, 1e300],
    "scoring": [
        None, "loss", "accuracy", "r2", "neg_log_loss", constant_score, wrong_score,
    ],
    "validation_ties": ["first", "last"],
    "l1": [0.0, 0.1, 1e300],
    "weight_decay": [None, 0.0, 0.1, 1e6],
    "dropout": [None, 0.0, 0.5, (0.2, 0.3), [0.1, 0.0, 0.5], 0.999999],
    "max_norm": [None, 1e-300, 1.0],
    "clip_norm": [None, 1e-300, 1.0],
    "input_noise": [0.0, 0.1, 1e300],
}  # fmt: skip
OF_KIND = {
    MLPClassifier: {
        "loss": [*CLASSIFICATION_LOSSES],
        "label_smoothing": [0.0, 0.1, 0.999],
        "class_weight": [None, "balanced", {0: 2.0}, {0: 0.0}, {7: 1.0}, {1: -1.0}],
    },
    MLPRegressor: {
        "loss": [
            *REGRESSION_LOSSES,
            *[
                (key[1], 0.3)
                for key, row in LOSSES.items()
                if row.parameter is not None
            ],
            ("quantile", [0.1, 0.5]),
            ("quantile", [0.5, 0.1]),
            ("huber", -1),
            ["huber", 1e300],
        ],
    },
}

# Drawn for any parameter, in place of a value of its own.
NONSENSE = [
    -1, 0, 1, 2.5, ("elu", 10**400), -1e-300, math.nan, math.inf, "", "adm", None,
    True, (), [], (0,), (1.5,), (-2, 3), ("relu", "relu", "relu"), {}, {"a": 1},
    b"relu", 1j, np.float32(0.5), np.int8(2), np.array([1.0, 2.0]), np.array("relu"),
    [None], len,
]  # fmt: skip
HUGE = [10**30]


def valid_parameters(Estimator):
    """Return {name: values} for all parameters of an estimator, or fail by name."""
    pools = PARAMETERS | OF_KIND[Estimator]
    names = set(inspect.signature(Estimator).parameters)
    assert names == set(pools), names ^ set(pools)
    return pools


def one_in(n):
    """Return a strategy of bools, of which about one in n is true."""
    # Hypothesis likes the ends of a range.
    return st.integers(0, n - 1).map(lambda drawn: drawn == n // 2)


@st.composite
def settings_of(draw, Estimator, most=6):
    """Draw some parameters, of which one in 25 is nonsense."""
    pools = valid_parameters(Estimator)
    names = draw(st.lists(st.sampled_from(sorted(pools)), max_size=most, unique=True))
    # Nobody waits for so many epochs, should nothing else end them.
    wrong = {name: NONSENSE + HUGE * (name != "max_iter") for name in names}
    return {
        name: draw(st.sampled_from((wrong if draw(one_in(25)) else pools)[name]))
        for name in names
    }


def locked(X):
    """Return X as an array that cannot be written to."""
    X.flags.writeable = False
    return X


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "read-only": lambda X: locked(X),
    "csr": lambda X: sp.csr_array(np.where(X > 0.8, X, 0)),
    "full csr": sp.csr_matrix,
    "csc": sp.csc_array,
    "coo": sp.coo_array,
    "list": lambda X: X.tolist(),
    "one row": lambda X: X[0] if len(X) else X,
    "3-d": lambda X: X[:, :, None],
}
USUAL_LAYOUTS = ["C", "F", "reversed", "strided", "read-only", "csr", "full csr", "csc"]
DTYPES = ["f2", "i4", "u1", "?", "g", "c16", "O", "U"]
SCALES = [0.0, 1e-300, 1e30, 1e300]


@st.composite
def inputs(draw):
    """Draw X, and its number of rows: mostly what an estimator takes, in any form."""
    rng = np.random.default_rng(draw(st.integers(0, 3)))
    n, shape, scale = 12, (12, N_FEATURES), 1.0
    dtype = draw(st.sampled_from(["f4", "f8"]))
    layout = draw(st.sampled_from(USUAL_LAYOUTS))
    if draw(one_in(5)):
        n = draw(st.sampled_from([0, 1, 2, 9, 30]))
        shape = n, draw(st.sampled_from([N_FEATURES, N_FEATURES, 0, 1, 5]))
    if draw(one_in(7)):
        scale = draw(st.sampled_from(SCALES))
    if draw(one_in(12)):
        dtype, layout = draw(st.sampled_from(DTYPES)), "C"
    if draw(one_in(12)):
        layout = draw(st.sampled_from(sorted(LAYOUTS)))
    X = scale * rng.standard_normal(shape)
    if X.size and draw(one_in(25)):
        X[-1, 0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    if dtype in ("f2", "g", "O", "U") and layout in ("csr", "full csr", "csc", "coo"):
        layout = "C"  # SciPy stores no such matrices
    with warnings.catch_warnings(action="ignore"):
        return LAYOUTS[layout](X.astype(dtype)), n


LABELS = {
    "two": lambda rng, n: np.arange(n) % 2,
    "three": lambda rng, n: np.arange(n) % 3,
    "words": lambda rng, n: np.array(["no", "yes", "may"])[np.arange(n) % 3],
    "objects": lambda rng, n: np.array(["b", "a"], dtype=object)[np.arange(n) % 2],
    "bools": lambda rng, n: np.arange(n) % 2 == 0,
    "shares": lambda rng, n: rng.random(n),
    "one": lambda rng, n: np.full(n, 7),
    "floats": lambda rng, n: (np.arange(n) % 2).astype(float),
    "several labels": lambda rng, n: np.eye(3, dtype=int)[np.arange(n) % 3],
    "sparse labels": lambda rng, n: sp.csr_array(
        np.eye(3, dtype=int)[np.arange(n) % 3]
    ),
    "two columns": lambda rng, n: rng.standard_normal((n, 2)),
    "column": lambda rng, n: np.arange(n)[:, None] % 2,
    "real": lambda rng, n: rng.standard_normal(n),
    "real float32": lambda rng, n: rng.standard_normal(n).astype("f4"),
    "positive": lambda rng, n: rng.gamma(1.0, 1.0, n),
    "counts": lambda rng, n: rng.poisson(2.0, n),
    "huge": lambda rng, n: 1e300 * rng.standard_normal(n),
    "constant": lambda rng, n: np.ones(n),
    "holes": lambda rng, n: np.where(np.arange(n) == 1, np.nan, 1.0),
    "list": lambda rng, n: [i % 2 for i in range(n)],
    "nothing": lambda rng, n: None,
    "short": lambda rng, n: np.arange(n // 2) % 2,
    "mixed": lambda rng, n: np.array([0, "a", None], dtype=object)[np.arange(n) % 3],
    "complex": lambda rng, n: np.arange(n) * 1j,
    "3-d": lambda rng, n: np.zeros((n, 1, 1)),
}
USUAL = {
    MLPClassifier: ["two", "three", "words", "bools", "several labels", "one"],
    MLPRegressor: ["real", "positive", "counts", "shares", "two columns", "constant"],
}
WEIGHTS = {
    "ones": np.ones,
    "random": lambda n: np.random.default_rng(0).uniform(0.1, 2, n),
    "integers": lambda n: np.arange(n),
    "single": lambda n: np.full(n, 0.5, np.float32),
    "tiny": lambda n: np.full(n, 1e-300),
    "huge": lambda n: np.full(n, 1e300),
    "zeros": np.zeros,
    "negative": lambda n: -np.ones(n),
    "NaN": lambda n: np.full(n, np.nan),
    "short": lambda n: np.ones(max(0, n - 1)),
    "matrix": lambda n: np.ones((n, 2)),
    "words": lambda n: np.array(["a"] * n),
    "number": lambda n: 2.0,
}
USUAL_WEIGHTS = ["ones", "random", "integers", "single"]


@st.composite
def targets(draw, Estimator, n):
    """Draw y for n rows: mostly what the estimator takes."""
    pool = sorted(LABELS) if draw(one_in(8)) else USUAL[Estimator]
    return LABELS[draw(st.sampled_from(pool))](np.random.default_rng(n), n)


@st.composite
def weights(draw, n):
    """Draw sample weights of n rows, mostly none, then mostly such as are fine."""
    if not draw(one_in(4)):
        return None
    pool = sorted(WEIGHTS) if draw(one_in(3)) else USUAL_WEIGHTS
    return WEIGHTS[draw(st.sampled_from(pool))](n)


# What users set coefs_ to, of its arrays: some fit, some do not.
CHANGES = {
    "the same": lambda arrays: arrays,
    "halved": lambda arrays: [a / 2 for a in arrays],
    "of the other layout": lambda arrays: [np.asfortranarray(a) for a in arrays],
    "float32": lambda arrays: [a.astype(np.float32) for a in arrays],
    "integers": lambda arrays: [np.ones(a.shape, int) for a in arrays],
    "lists": lambda arrays: [a.tolist() for a in arrays],
    "one less": lambda arrays: arrays[:-1],
    "transposed": lambda arrays: [a.T for a in arrays],
    "wider": lambda arrays: [np.hstack([a, a]) for a in arrays],
    "empty": lambda arrays: [a[:0] for a in arrays],
    "words": lambda arrays: [a.astype(str) for a in arrays],
    "complex": lambda arrays: [a * 1j for a in arrays],
    "3-d": lambda arrays: [a[..., None] for a in arrays],
}


def probe(estimator):
    """Return what an estimator predicts for some rows, or the error's type and words.

    As bytes of its raw outputs and of its predictions, so that NaN equals itself.
    """
    if not hasattr(estimator, "coefs_"):
        return None
    n_features = getattr(estimator, "n_features_in_", N_FEATURES)
    X = np.random.default_rng(5).standard_normal((4, n_features))
    try:
        with warnings.catch_warnings(action="ignore"):
            outputs, labels = estimator._outputs(X), estimator.predict(X)
    except DOCUMENTED as error:
        return type(error), str(error)
    labels = labels.toarray() if sp.issparse(labels) else labels
    return outputs.tobytes(), labels.tolist()


def check_error(error):
    """Fail unless an exception is one that says in our words what was wrong.

    It is raised by a ``raise`` of fastmlp's, or somewhere below scikit-learn.
    """
    assert isinstance(error, DOCUMENTED), repr(error)
    assert str(error).strip(), repr(error)
    frames = traceback.extract_tb(error.__traceback__)
    known = [
        (path, frame)
        for frame in frames
        for path in (OURS, THEIRS)
        if Path(frame.filename).is_relative_to(path)
    ]
    path, last = known[-1]
    if path == OURS:
        line = linecache.getline(last.filename, last.lineno).strip()
        assert last == frames[-1], f"{error!r} comes from elsewhere: {frames[-1]}"
        assert line.startswith("raise"), f"{error!r} in {last}"


def check_model(estimator):
    """Fail where training left numbers that are none."""
    arrays = [*estimator.coefs_, *estimator.intercepts_]
    arrays += [slopes for slopes in estimator.slopes_ if slopes is not None]
    assert all(np.isfinite(array).all() for array in arrays)
    assert not math.isnan(getattr(estimator, "loss_", 0.0))


class Calls(RuleBasedStateMachine):
    """One estimator and the calls on it."""

    @initialize(
        data=st.data(), Estimator=st.sampled_from([MLPClassifier, MLPRegressor])
    )
    def make(self, data, Estimator):
        small = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
        params = small | data.draw(settings_of(Estimator), "parameters")
        self.kind = Estimator
        self.estimator = Estimator(**params)
        if not data.draw(one_in(6), "not fitted"):
            self.learn(data, "fit")

    def call(self, name, *arguments, **options):
        """Call a method; return its result, or None after an error that is fine."""
        before = probe(self.estimator)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "", RuntimeWarning, r"fastmlp\.")
            # As in scikit-learn: the logarithm of a probability of 0.
            warnings.filterwarnings("ignore", "divide by zero encountered in log")
            result, failure = None, None
            try:
                result = getattr(self.estimator, name)(*arguments, **options)
            except Exception as error:
                failure = error
        if failure is not None:
            check_error(failure)
        if failure is None and name in ("fit", "partial_fit"):
            check_model(self.estimator)
        else:
            assert probe(self.estimator) == before, f"changed by {name}, {failure!r}"
        return result

    @rule(data=st.data(), name=st.sampled_from(["fit", "fit", "partial_fit"]))
    def learn(self, data, name):
        (X, n), options = data.draw(inputs(), "X"), {}
        y = data.draw(targets(self.kind, n), "y")
        options["sample_weight"] = data.draw(weights(n), "sample_weight")
        if name == "partial_fit" and self.kind is MLPClassifier:
            if not hasattr(self.estimator, "classes_") or data.draw(one_in(5)):
                options["classes"] = data.draw(
                    st.sampled_from([[0, 1], [0, 1, 2], ["may", "no", "yes"], [7], []])
                )
        elif name == "fit" and data.draw(one_in(6), "validated"):
            options["X_val"], n = data.draw(inputs(), "X_val")
            options["y_val"] = data.draw(targets(self.kind, n), "y_val")
            options["sample_weight_val"] = data.draw(weights(n), "its weight")
        self.call(name, X, y, **options)

    @rule(data=st.data())
    def set_params(self, data):
        self.estimator.set_params(**data.draw(settings_of(self.kind, 3), "parameters"))

    @rule(
        data=st.data(),
        name=st.sampled_from(
            [
                "predict",
                "predict_proba",
                "predict_log_proba",
                "decision_function",
                "transform",
            ]
        ),
    )
    def predict(self, data, name):
        if self.kind is MLPRegressor and name != "transform":
            name = "predict"
        X, n = data.draw(inputs(), "X")
        result = self.call(name, X)
        assert result is None or result.shape[0] == n

    @precondition(lambda self: hasattr(self.estimator, "coefs_"))
    @rule(data=st.data())
    def score(self, data):
        X, n = data.draw(inputs(), "X")
        y = data.draw(targets(self.kind, n), "y")
        self.call("score", X, y, data.draw(weights(n), "sample_weight"))

    @rule()
    def pickle(self):
        before = probe(self.estimator)
        self.estimator = pickle.loads(pickle.dumps(self.estimator))
        assert probe(self.estimator) == before

    @rule()
    def clone(self):
        copy = clone(self.estimator)
        assert not hasattr(copy, "coefs_")
        assert repr(copy.get_params()) == repr(self.estimator.get_params())

    @precondition(lambda self: hasattr(self.estimator, "coefs_"))
    @rule(
        name=st.sampled_from(["coefs_", "coefs_", "intercepts_", "slopes_"]),
        change=st.sampled_from(sorted(CHANGES)),
    )
    def set_attribute(self, name, change):
        arrays = getattr(self.estimator, name)
        if all(np.asarray(array).dtype.kind == "f" for array in arrays):
            arrays = [np.asarray(array) for array in arrays]
            setattr(self.estimator, name, CHANGES[change](arrays))
