"""Running the same calls on scikit-learn's estimators and on fastmlp's.

A `Case` names a problem, constructor parameters and a sequence of calls; `run` carries
it out with either library and `assert_same` compares what came of it.
"""

import warnings
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal

import fastmlp

REFERENCE = sklearn.neural_network
COMPUTED = fastmlp

PROBLEMS = (
    "binary",
    "multiclass",
    "multilabel",
    "regression",
    "multioutput",
    "poisson",
)
CLASSIFICATION = PROBLEMS[:3]

# Solver with schedule, and parameters under which five epochs of it do something.
SOLVERS = {
    "adam": {"solver": "adam", "learning_rate_init": 0.005},
    "adam, other betas": {
        "solver": "adam",
        "beta_1": 0.7,
        "beta_2": 0.95,
        "epsilon": 1e-4,
    },
    "sgd constant": {"solver": "sgd", "learning_rate_init": 0.004},
    "sgd without momentum": {
        "solver": "sgd",
        "learning_rate_init": 0.02,
        "momentum": 0.0,
        "nesterovs_momentum": False,
    },
    "sgd plain momentum": {
        "solver": "sgd",
        "learning_rate_init": 0.004,
        "nesterovs_momentum": False,
    },
    "sgd invscaling": {
        "solver": "sgd",
        "learning_rate": "invscaling",
        "learning_rate_init": 0.02,
        "power_t": 0.3,
    },
    "sgd adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "learning_rate_init": 0.004,
        "n_iter_no_change": 1,
        "tol": 0.2,
    },
    "lbfgs": {"solver": "lbfgs"},
}

# Call sequences: the names of the calls on one estimator, one after the other.
SEQUENCES = {
    "fit": ("fit",),
    "fit twice": ("fit", "fit"),
    "warm_start": ("fit", "fit"),
    "partial_fit": ("partial_fit",) * 5,
    "fit, partial_fit": ("fit", "partial_fit", "partial_fit"),
    "partial_fit, fit": ("partial_fit", "partial_fit", "fit"),
}

ATTRIBUTES = (
    "n_features_in_",
    "n_iter_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "t_",
)
CURVES = (
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
)


@dataclass(frozen=True)
class Case:
    """One problem, the estimator's parameters, and the calls of its methods.

    `nudged` moves every value of X to a neighbour of it in its dtype.
    """

    problem: str = "multiclass"
    sequence: str = "fit"
    weights: str = "none"
    layout: str = "dense"
    dtype: str = "float64"
    n_samples: int = 45
    n_features: int = 7
    seed: int = 0
    nudged: bool = False
    params: dict = field(default_factory=dict)

    @property
    def is_classifier(self):
        return self.problem in CLASSIFICATION

    @property
    def tolerance(self):
        """Relative error that is granted to every array."""
        if self.dtype == "float32":
            return 2e-3
        return 1e-4 if self.params.get("solver") == "lbfgs" else 1e-6


def make_data(case):
    """Return X, y, sample_weight, and all classes (None for regression)."""
    rng = np.random.default_rng(case.seed)
    X = rng.normal(size=(case.n_samples, case.n_features))
    X *= min(1.0, 3.0 / np.sqrt(case.n_features))  # or SGD diverges on many features
    if case.layout != "dense":
        X *= rng.random(X.shape) < 0.4
    scores = X @ rng.normal(size=(case.n_features, 3))
    scores /= scores.std()
    scores += 0.5 * rng.normal(size=scores.shape)
    y = {
        "binary": (scores[:, 0] > np.median(scores[:, 0])).astype(int),
        "multiclass": np.argsort(np.argsort(scores[:, 0])) * 4 // case.n_samples,
        "multilabel": (scores > 0).astype(int),
        "regression": scores[:, 0],
        "multioutput": scores,
        "poisson": rng.poisson(np.exp(np.clip(scores[:, 0], -1, 1))).astype(float),
    }[case.problem]
    X = X.astype(case.dtype)
    if case.nudged:
        signs = np.random.default_rng(1).choice([-1, 1], X.shape)
        X = (X * (1 + signs * np.finfo(X.dtype).eps)).astype(case.dtype)
    if not case.is_classifier:
        y = y.astype(case.dtype)
    X = {"dense": np.asarray, "csr": sp.csr_array, "csc": sp.csc_array}[case.layout](X)
    weights = {
        "none": None,
        "ones": np.ones(case.n_samples),
        "random": rng.uniform(0.1, 3.0, case.n_samples),
        "some zero": rng.uniform(0.1, 3.0, case.n_samples)
        * (np.arange(case.n_samples) % 4 > 0),
    }[case.weights]
    # Columns are the classes of a multilabel problem.
    n_classes = {"binary": 2, "multiclass": 4, "multilabel": 3}.get(case.problem)
    classes = None if n_classes is None else np.arange(n_classes)
    return X, y, weights, classes


def make_estimator(library, case):
    params = {"random_state": case.seed} | case.params
    if case.sequence == "warm_start":
        params["warm_start"] = True
    if case.is_classifier:
        return library.MLPClassifier(**params)
    if case.problem == "poisson":
        params["loss"] = "poisson"
    return library.MLPRegressor(**params)


def run(library, case):
    """Carry the case out; return the estimator and what it warned and raised."""
    X, y, sample_weight, classes = make_data(case)
    estimator = make_estimator(library, case)
    error = None
    before = None
    with warnings.catch_warnings(record=True, action="always") as seen:
        for call in SEQUENCES[case.sequence]:
            before = snapshot(estimator)
            kwargs = {} if sample_weight is None else {"sample_weight": sample_weight}
            if call == "partial_fit" and case.is_classifier:
                kwargs["classes"] = classes
            try:
                getattr(estimator, call)(X, y, **kwargs)
            except Exception as raised:
                error = raised
                break
    warned = [(warning.category, str(warning.message)) for warning in seen]
    return SimpleNamespace(
        estimator=estimator, warned=warned, error=error, before=before
    )


def snapshot(estimator):
    """Return copies of the parameters and the best score, None before a fit."""
    if not hasattr(estimator, "coefs_"):
        return None
    return SimpleNamespace(
        coefs=[W.copy() for W in estimator.coefs_],
        intercepts=[b.copy() for b in estimator.intercepts_],
        best_validation_score=getattr(estimator, "best_validation_score_", None),
    )


def assert_close(comp, ref, tolerance, what=""):
    """Assert that no error is large beside the array's largest value."""
    comp, ref = np.asarray(comp), np.asarray(ref)
    assert comp.shape == ref.shape, what
    assert_array_equal(np.isfinite(comp), np.isfinite(ref), err_msg=what)
    finite = np.isfinite(ref)
    if not finite.any():
        return
    scale = np.abs(ref[finite]).max()
    error = np.abs(comp[finite].astype(float) - ref[finite]).max()
    assert error <= tolerance * scale, f"{what}: error {error:.2e}, scale {scale:.2e}"


def assert_same_warnings_and_error(comp, ref):
    """Assert the same warnings in the same order, and the same error.

    Left out are NumPy's warnings of overflow and the like, which scikit-learn lets
    through, and ours of parameters that are not used.
    """
    comp_warned = [each for each in comp.warned if " is not used " not in each[1]]
    ref_warned = [
        each for each in ref.warned if not issubclass(each[0], RuntimeWarning)
    ]
    assert [category for category, _ in comp_warned] == [c for c, _ in ref_warned]
    for (_, comp_text), (_, ref_text) in zip(comp_warned, ref_warned, strict=True):
        assert comp_text.startswith(ref_text[:40])
    assert type(comp.error) is type(ref.error), comp.error
    if ref.error is not None:
        assert str(comp.error).startswith(str(ref.error)[:40])


def repair_best_weights(ref, case):
    """Undo scikit-learn's loss of the best weights in a second early-stopped fit.

    Under warm_start its `_best_coefs` are the very arrays that the second fit trains:
    where that fit brings no better score, the best weights are overwritten.
    """
    estimator = ref.estimator
    if (
        case.sequence == "warm_start"
        and estimator.early_stopping
        and estimator.solver != "lbfgs"
        and estimator.best_validation_score_ == ref.before.best_validation_score
    ):
        estimator.coefs_ = ref.before.coefs
        estimator.intercepts_ = ref.before.intercepts


def assert_same_predictions(comp, ref, X, tolerance):
    """Assert the same outputs, and labels wherever the outputs do not all but tie."""
    if not hasattr(ref, "classes_"):
        assert_close(comp.predict(X), ref.predict(X), tolerance, "predict")
        return
    ref_proba, comp_proba = ref.predict_proba(X), comp.predict_proba(X)
    assert_close(comp_proba, ref_proba, tolerance, "predict_proba")
    # Not beside scikit-learn's: log(1 - p) magnifies the rounding of a p close to 1.
    with np.errstate(divide="ignore"):
        assert_allclose(comp.predict_log_proba(X), np.log(comp_proba), rtol=1e-6)
    assert_array_equal(comp.classes_, ref.classes_)
    ref_labels, comp_labels = ref.predict(X), comp.predict(X)
    assert comp_labels.dtype == ref_labels.dtype
    if ref_labels.ndim == 1:
        top = np.sort(ref_proba, axis=1)[:, -2:]
        clear = top[:, 1] - top[:, 0] > 2 * tolerance
    else:
        clear = np.abs(ref_proba - 0.5) > tolerance
    assert_array_equal(comp_labels[clear], ref_labels[clear])


def assert_same(comp, ref, case):
    """Assert that all that the two runs of a case left behind is the same."""
    assert_same_warnings_and_error(comp, ref)
    # The one error that a case may hold: a comparison of others would be empty.
    refused = ref.estimator.early_stopping and "partial_fit" in SEQUENCES[case.sequence]
    assert (ref.error is not None) == refused, ref.error
    if refused:
        return
    repair_best_weights(ref, case)
    comp, ref = comp.estimator, ref.estimator
    for name in ATTRIBUTES:
        assert getattr(comp, name) == getattr(ref, name), name
    for name in CURVES:
        assert hasattr(comp, name) == hasattr(ref, name), name
        ref_curve, comp_curve = getattr(ref, name, None), getattr(comp, name, None)
        assert (comp_curve is None) == (ref_curve is None), name
        if ref_curve is not None:
            assert_close(comp_curve, ref_curve, case.tolerance, name)
    for name in ("coefs_", "intercepts_"):
        ref_arrays, comp_arrays = getattr(ref, name), getattr(comp, name)
        assert len(comp_arrays) == len(ref_arrays)
        for i, (comp_array, ref_array) in enumerate(
            zip(comp_arrays, ref_arrays, strict=True)
        ):
            assert_close(comp_array, ref_array, case.tolerance, f"{name}[{i}]")
            assert comp_array.dtype == ref_array.dtype
    X, y, sample_weight, _ = make_data(case)
    assert_same_predictions(comp, ref, X, case.tolerance)
    if not case.is_classifier:
        ref_score, comp_score = (e.score(X, y, sample_weight) for e in (ref, comp))
        assert_close(1 - comp_score, 1 - ref_score, 2 * case.tolerance, "1 - score")


def is_well_posed(ref, case):
    """Return whether scikit-learn's own numbers stand when X is nudged.

    Where rounding X moves them by more than the tolerance, another order of sums cannot
    repeat them: a line search takes another path, or two scores tie.
    """
    if case.tolerance == 1e-6:  # 1e10 units in the last place
        return True
    nudged = run(REFERENCE, replace(case, nudged=True))
    repair_best_weights(nudged, case)
    try:
        assert_same(nudged, ref, case)
    except AssertionError:
        return False
    return True


def assert_case(case):
    """Run the case with both libraries and compare."""
    assert_same(run(COMPUTED, case), run(REFERENCE, case), case)
