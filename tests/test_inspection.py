"""Per-sample losses and gradients, layers and statistics of fitted estimators."""

import copy
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor, inspection
from tests import naive
from tests.comparing import PROBLEMS, Case, assert_close, make_data, make_estimator
from tests.estimators import X as SMALL_X
from tests.estimators import Y as SMALL_Y
from tests.estimators import both, make
from tests.kernels_api import ACTIVATIONS, Objective

REAL = SMALL_X @ np.arange(1.0, 5.0)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

fitted_on = pytest.mark.parametrize("problem", PROBLEMS)

# Layers with slopes: both, above several pieces, and below them.
SLOPED = {
    "prelu": "prelu",
    "maxout, prelu": [("maxout", 3), "prelu"],
    "prelu, maxout": [("prelu", 0.5), "maxout"],
    "prelu, tanh": ["prelu", "tanh"],
    "scale, prelu": ["scale", "prelu"],
    "parametric_mish": ["parametric_mish", ("parametric_mish", 0.5)],
}
with_slopes = pytest.mark.parametrize("activation", SLOPED)


def _fitted(problem, layout="dense", dtype="float64", **params):
    """Return an estimator after three epochs, and its X and y."""
    defaults = {
        "hidden_layer_sizes": (9, 4), "activation": "tanh", "max_iter": 3,
        "alpha": 0.3,
    }  # fmt: skip
    case = Case(problem, layout=layout, dtype=dtype, params=defaults | params)
    X, y, _, _ = make_data(case)
    return make_estimator(fastmlp, case).fit(X, y), X, y


def _reference(model, X, y):
    """Return the outputs of all layers and the targets as the references take them."""
    X = X.toarray() if sparse.issparse(X) else X
    arrays = model.coefs_, model.intercepts_
    names = model.activation, model.out_activation_
    layers = naive.forward(X, *arrays, *names, model.slopes_)
    return layers, y[:, None] if y.ndim == 1 else y


def _in_float64(model):
    """Return a copy of the model with its parameters in float64."""
    exact = copy.copy(model)
    for name in ("coefs_", "intercepts_", "slopes_"):
        arrays = getattr(model, name)
        converted = [None if a is None else a.astype(np.float64) for a in arrays]
        setattr(exact, name, converted)
    return exact


def _assert_same_gradients(comp, ref, tolerance):
    """Compare `Gradients` with the three lists of the references."""
    for name, comp_arrays, ref_arrays in zip(comp._fields, comp, ref, strict=True):
        assert len(comp_arrays) == len(ref_arrays), name
        for a, b in zip(comp_arrays, ref_arrays, strict=True):
            assert (a is None) == (b is None), name
            if a is not None:
                assert_close(a, b, tolerance, name)


def _row_gradients(model, X, y):
    """Return each row's gradients by the references, alone and without penalties."""
    X = X.toarray() if sparse.issparse(X) else X
    _, y = _reference(model, X, y)
    for i in range(len(X)):
        rows = slice(i, i + 1)
        yield _gradients(model, X[rows], y[rows], 0.0)


def _gradients(model, X, y, alpha, weight=None):
    """Return the gradients of coefs, intercepts and slopes by the references."""
    layers, y = _reference(model, X, y)
    names = model.loss, model.out_activation_
    _, deltas = naive.losses_and_deltas(y, layers[-1], *names)
    weight = np.ones(len(y)) if weight is None else weight
    return naive.backward(
        layers, deltas, model.coefs_, model.intercepts_, alpha, model.activation,
        weight, model.slopes_,
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["dense", "csr", "csc"])
@fitted_on
def test_sample_losses(problem, layout):
    model, X, y = _fitted(problem, layout)
    layers, targets = _reference(model, X, y)
    ref, _ = naive.losses_and_deltas(
        targets, layers[-1], model.loss, model.out_activation_
    )
    assert_allclose(inspection.sample_losses(model, X, y), ref, rtol=1e-10, atol=1e-13)
    weight = np.random.default_rng(0).uniform(0, 2, len(ref))
    comp = inspection.sample_losses(model, X, y, sample_weight=weight)
    assert_allclose(comp, weight * ref, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@fitted_on
def test_sample_gradients_are_each_rows_own(problem, layout):
    model, X, y = _fitted(problem, layout)
    comp = inspection.sample_gradients(model, X, y, wrt="parameters")
    scores = inspection.sample_gradients(model, X, y)
    for i, (coefs, intercepts, _) in enumerate(_row_gradients(model, X, y)):
        for a, b in zip(comp.coefs, coefs, strict=True):
            assert_allclose(a[i], b, rtol=1e-9, atol=1e-12)
        for a, b in zip(comp.intercepts, intercepts, strict=True):
            assert_allclose(a[i], b, rtol=1e-9, atol=1e-12)
        assert_allclose(scores[i], intercepts[-1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@fitted_on
def test_norms_are_those_of_the_gradients(problem, layout, dtype):
    model, X, y = _fitted(problem, layout, dtype)
    gradients = inspection.sample_gradients(model, X, y, wrt="parameters")
    squares = sum(
        np.square(g.astype(float)).reshape(len(g), -1).sum(axis=1)
        for g in [*gradients.coefs, *gradients.intercepts]
    )
    norms = inspection.sample_gradients(model, X, y, wrt="parameters", norms_only=True)
    assert norms.dtype == dtype
    assert_allclose(norms, np.sqrt(squares), rtol=1e-5 if dtype == "float32" else 1e-12)
    scores = inspection.sample_gradients(model, X, y)
    norms = inspection.sample_gradients(model, X, y, norms_only=True)
    assert_allclose(norms, np.sqrt((scores**2).sum(axis=1)), rtol=1e-5)


def test_many_rows_are_the_same_as_few():
    """Blocks of 1,024 rows, and their edges."""
    X = np.random.default_rng(0).standard_normal((2050, 4))
    y = (X[:, 0] > 0).astype(int)
    model = make(MLPClassifier).fit(X, y)
    losses = inspection.sample_losses(model, X, y)
    norms = inspection.sample_gradients(model, X, y, wrt="parameters", norms_only=True)
    features = model.transform(X)
    scores = inspection.sample_gradients(model, X, y)
    for rows in (slice(0, 1), slice(1020, 1030), slice(2045, 2050)):
        assert_allclose(losses[rows], inspection.sample_losses(model, X[rows], y[rows]))
        alone = inspection.sample_gradients(
            model, X[rows], y[rows], wrt="parameters", norms_only=True
        )
        assert_allclose(norms[rows], alone)
        assert_allclose(features[rows], model.transform(X[rows]))
        alone = inspection.sample_gradients(model, X[rows], y[rows])
        assert_allclose(scores[rows], alone)


@pytest.mark.parametrize("weighted", [False, True])
@fitted_on
def test_loss_gradient_is_the_mean_of_the_rows_and_the_penalty(problem, weighted):
    model, X, y = _fitted(problem)
    weight = np.random.default_rng(0).uniform(0.1, 2, len(X)) if weighted else None
    ref = _gradients(model, X, y, model.alpha, weight)
    comp = inspection.loss_gradient(model, X, y, sample_weight=weight)
    for a, b in zip([*comp.coefs, *comp.intercepts], [*ref[0], *ref[1]], strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    rows = inspection.sample_gradients(model, X, y, wrt="parameters")
    for a, b, W in zip(comp.coefs, rows.coefs, model.coefs_, strict=True):
        total = np.tensordot(np.ones(len(X)) if weight is None else weight, b, 1)
        divisor = len(X) if weight is None else weight.sum()
        assert_allclose(a, (total + model.alpha * W) / divisor, atol=1e-12)


@pytest.mark.parametrize(
    "problem, activation",
    [
        *((problem, "tanh") for problem in PROBLEMS),
        *(("multiclass", activation) for activation in ACTIVATIONS),
    ],
)
def test_gradient_check_of_every_activation_and_loss(problem, activation):
    model, X, y = _fitted(problem, activation=activation)
    check = inspection.check_gradient(model, X, y, eps=1e-6, n_checks=12)
    assert check.max_relative_error < 1e-5
    assert len(check.places) == len(check.analytic) == len(check.numeric) == 12
    places = {f"{kind}_[{i}]" for kind in ("coefs", "intercepts") for i in range(3)}
    if activation in naive.SLOPE_DERIVATIVES:
        places |= {"slopes_[0]", "slopes_[1]"}
    assert {name for name, _ in check.places} == places
    name, index = check.places[0]
    exact = inspection.loss_gradient(model, X, y).coefs[0][index]
    assert name == "coefs_[0]"
    assert_allclose(check.analytic[0], exact)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@with_slopes
def test_slopes_of_each_row_and_of_all(activation, layout, dtype):
    model, X, y = _fitted("multiclass", layout, dtype, activation=SLOPED[activation])
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    exact, weight = _in_float64(model), np.random.default_rng(0).uniform(0.1, 2, len(y))
    ref = [
        [
            None if rows[0] is None else np.stack(rows)
            for rows in zip(*by_layer, strict=True)
        ]
        for by_layer in zip(*_row_gradients(exact, X, y), strict=True)
    ]
    comp = inspection.sample_gradients(model, X, y, wrt="parameters")
    assert any(slopes is not None for slopes in comp.slopes)
    assert all(g.dtype == dtype for g in comp.slopes if g is not None)
    _assert_same_gradients(comp, ref, tolerance)
    norms = inspection.sample_gradients(model, X, y, wrt="parameters", norms_only=True)
    squares = sum(
        np.square(g).reshape(len(y), -1).sum(axis=1)
        for lists in ref
        for g in lists
        if g is not None
    )
    assert_close(norms, np.sqrt(squares), tolerance)
    comp = inspection.loss_gradient(model, X, y, sample_weight=weight)
    ref = _gradients(exact, X, y, model.alpha, weight)
    _assert_same_gradients(comp, ref, tolerance)


@pytest.mark.parametrize("penalties", [{"l1": 5.0}, {"l1": 5.0, "alpha": 0.0}])
@fitted_on
def test_gradient_check_with_l1(problem, penalties):
    model, X, y = _fitted(problem, **penalties)
    check = inspection.check_gradient(model, X, y, eps=1e-6, n_checks=12)
    assert check.max_relative_error < 1e-5
    # The penalty weighs enough that leaving it out on one side would show.
    without = inspection.check_gradient(
        model.set_params(l1=0.0), X, y, eps=1e-6, n_checks=12
    )
    assert abs(check.analytic - without.analytic).max() > 0.05


def test_gradient_check_fails_on_a_wrong_gradient(monkeypatch):
    model, X, y = _fitted("multiclass")
    right = Objective.loss_gradient

    def wrong(self, data, alpha, gradient):
        loss = right(self, data, alpha, gradient)
        gradient *= 1.01
        return loss

    monkeypatch.setattr(Objective, "loss_gradient", wrong)
    assert inspection.check_gradient(model, X, y).max_relative_error > 1e-3


def test_gradient_check_draws_places_by_the_random_state():
    model, X, y = _fitted("multiclass")
    drawn = [
        inspection.check_gradient(model, X, y, random_state=seed).places
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@both
def test_model_is_left_alone(Estimator):
    model = make(Estimator, hidden_layer_sizes=(5, 4)).fit(SMALL_X, SMALL_Y)
    before = [a.tobytes() for a in [*model.coefs_, *model.intercepts_]]
    attributes = set(vars(model))
    inspection.sample_gradients(model, SMALL_X, SMALL_Y, wrt="parameters")
    inspection.loss_gradient(model, SMALL_X, SMALL_Y)
    inspection.check_gradient(model, SMALL_X, SMALL_Y, n_checks=4)
    inspection.activation_statistics(model, SMALL_X)
    inspection.gradient_statistics(model, SMALL_X, SMALL_Y)
    assert before == [a.tobytes() for a in [*model.coefs_, *model.intercepts_]]
    assert set(vars(model)) == attributes


def test_string_labels_and_unseen_ones():
    labels = np.array(["no", "yes"])[SMALL_Y]
    model = make(MLPClassifier).fit(SMALL_X, labels)
    p = model.predict_proba(SMALL_X)[range(60), SMALL_Y]
    assert_allclose(inspection.sample_losses(model, SMALL_X, labels), -np.log(p))
    assert_allclose(  # some of the classes only
        inspection.sample_losses(model, SMALL_X[:1], labels[:1]), -np.log(p[:1])
    )
    with pytest.raises(ValueError, match=r"'maybe'.*classes_ are \['no' 'yes'\]"):
        inspection.sample_losses(model, SMALL_X[:2], ["maybe", "no"])


def test_bad_input():
    model = make(MLPRegressor).fit(SMALL_X, SMALL_Y)
    with pytest.raises(ValueError, match="2 columns but the network has 1"):
        inspection.sample_losses(model, SMALL_X, np.c_[SMALL_Y, SMALL_Y])
    with pytest.raises(ValueError, match="3 features"):
        inspection.sample_losses(model, SMALL_X[:, :3], SMALL_Y)
    with pytest.raises(ValueError, match="inconsistent"):
        inspection.sample_losses(model, SMALL_X, SMALL_Y[:-1])
    with pytest.raises(ValueError, match="wrt must be"):
        inspection.sample_gradients(model, SMALL_X, SMALL_Y, wrt="weights")
    with pytest.raises(ValueError, match="must be positive"):
        inspection.check_gradient(model, SMALL_X, SMALL_Y, eps=0)
    with pytest.raises(ValueError, match="layers 0 to 1"):
        inspection.layer_outputs(model, SMALL_X, layer=2)
    with pytest.raises(TypeError, match="interpreted as an integer"):
        inspection.layer_outputs(model, SMALL_X, layer=1.5)
    with pytest.raises(ValueError, match="bins == 0, must be >= 1"):
        inspection.gradient_statistics(model, SMALL_X, SMALL_Y, bins=0)
    with pytest.raises(NotFittedError):
        inspection.summary(MLPRegressor())
    pipeline = make_pipeline(StandardScaler(), make(MLPRegressor))
    pipeline.fit(SMALL_X, SMALL_Y)
    for inspect in (inspection.sample_losses, inspection.loss_gradient):
        with pytest.raises(TypeError, match=r"pipeline\[-1\]"):
            inspect(pipeline, SMALL_X, SMALL_Y)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@fitted_on
def test_layer_outputs(problem, layout):
    model, X, y = _fitted(problem, layout)
    layers, _ = _reference(model, X, y)
    comp = inspection.layer_outputs(model, X)
    for a, b in zip(comp, layers[1:], strict=True):
        assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    for layer in (0, 1, 2, -1, -3):
        alone = inspection.layer_outputs(model, X, layer)
        assert_array_equal(alone, comp[layer])
    assert_array_equal(model.transform(X), comp[-2])


def test_activation_statistics():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 6))
    model = MLPClassifier((12, 8), activation="logistic", max_iter=1, random_state=0)
    model.fit(X, X[:, 0] > 0)
    model.coefs_[0] *= 15
    model.intercepts_[1][2] = 50.0
    comp = inspection.activation_statistics(model, X)
    a1 = expit(X @ model.coefs_[0] + model.intercepts_[0])
    a2 = expit(a1 @ model.coefs_[1] + model.intercepts_[1])
    assert_array_equal(comp.layer, [1, 2])
    assert_allclose(comp.mean, [a1.mean(), a2.mean()])
    assert_allclose(comp.std, [a1.std(), a2.std()])
    assert comp.saturated[0] > 0.2
    assert_allclose(comp.dead, [0, 1 / 8])
    for threshold in (0.01, 0.1):
        comp = inspection.activation_statistics(model, X, threshold=threshold)
        ref = [(a * (1 - a) < threshold).mean() for a in (a1, a2)]
        assert_allclose(comp.saturated, ref)


def test_dead_units_of_relu():
    model = make(MLPClassifier, hidden_layer_sizes=(10,)).fit(SMALL_X, SMALL_Y)
    model.intercepts_[0][:3] = -100
    model.intercepts_[0][3] = 100
    comp = inspection.activation_statistics(model, SMALL_X)
    z = SMALL_X @ model.coefs_[0] + model.intercepts_[0]
    assert_allclose(comp.dead, 0.3)
    assert_allclose(comp.saturated, (z <= 0).mean())


def test_no_hidden_layer():
    model = make(MLPClassifier, hidden_layer_sizes=()).fit(SMALL_X, SMALL_Y)
    assert inspection.activation_statistics(model, SMALL_X).layer.size == 0
    (outputs,) = inspection.layer_outputs(model, SMALL_X)
    assert_allclose(outputs[:, 0], model.predict_proba(SMALL_X)[:, 1])
    norms = inspection.sample_gradients(
        model, SMALL_X, SMALL_Y, wrt="parameters", norms_only=True
    )
    ref = abs(outputs[:, 0] - SMALL_Y) * np.sqrt(1 + (SMALL_X**2).sum(axis=1))
    assert_allclose(norms, ref)
    assert inspection.summary(model).parameters == 5
    assert not hasattr(model, "transform")
    assert not hasattr(make(MLPClassifier, hidden_layer_sizes=()), "fit_transform")
    with pytest.raises(AttributeError, match="no attribute 'transform'") as raised:
        model.transform(SMALL_X)
    assert "no hidden layer" in str(raised.value.__cause__)


def test_parameters_that_were_set_since_the_fit_change_nothing():
    """What is looked at is what was fitted, and it is not touched."""
    levels = make(MLPRegressor, loss=("quantile", [0.1, 0.5, 0.9])).fit(SMALL_X, REAL)
    squared = make(MLPRegressor).fit(SMALL_X, REAL)
    hinge = make(MLPClassifier, loss="hinge").fit(SMALL_X, SMALL_Y)
    for model, y, params in (
        (levels, REAL, {"loss": "squared_error"}),
        (squared, REAL, {"loss": ("quantile", [0.1, 0.9])}),
        (squared, REAL, {"loss": "poisson"}),
        (hinge, SMALL_Y, {"loss": "log_loss"}),
    ):
        model = copy.deepcopy(model)
        ref = inspection.sample_losses(model, SMALL_X, y)
        outputs, attributes = model.predict(SMALL_X), set(vars(model))
        model.set_params(**params)
        assert_array_equal(inspection.sample_losses(model, SMALL_X, y), ref)
        assert_array_equal(model.predict(SMALL_X), outputs)
        assert set(vars(model)) == attributes


@pytest.mark.parametrize("weight, why", [(1e300, "too large"), (1e-60, "too small")])
def test_weights_that_float32_cannot_hold(weight, why):
    model = make(MLPClassifier, dtype="float32").fit(SMALL_X, SMALL_Y)
    weights = np.full(len(SMALL_X), weight)
    for look in (inspection.sample_losses, inspection.loss_gradient):
        with pytest.raises(ValueError, match=f"sample_weight holds .* {why}"):
            look(model, SMALL_X, SMALL_Y, sample_weight=weights)


@fitted_on
def test_gradient_statistics(problem):
    model, X, y = _fitted(problem, l1=0.7)
    comp = inspection.gradient_statistics(model, X, y, bins=7)
    rows = inspection.sample_gradients(model, X, y, wrt="parameters")
    exact = inspection.loss_gradient(model.set_params(alpha=0.0, l1=0.0), X, y)
    pairs = ((comp.deltas, rows.intercepts), (comp.weights, exact.coefs))
    for histograms, arrays in pairs:
        for i, array in enumerate(arrays):
            largest = abs(array).max()
            assert_allclose(histograms.edges[i, [0, -1]], [-largest, largest])
            assert histograms.counts[i].sum() == array.size
            ref = np.histogram(array, histograms.edges[i])[0]
            assert abs(histograms.counts[i] - ref).sum() <= 2
            assert_allclose(histograms.std[i], np.sqrt((array**2).mean()))
        areas = (histograms.density * np.diff(histograms.edges)).sum(axis=1)
        assert_allclose(areas, 1)


def test_summary():
    X, y = load_digits(return_X_y=True)
    model = MLPClassifier((30, 20), max_iter=1, random_state=0).fit(X, y)
    comp = inspection.summary(model)
    assert [layer.layer for layer in comp.layers] == ["hidden 1", "hidden 2", "output"]
    assert [layer.activation for layer in comp.layers] == ["relu", "relu", "softmax"]
    assert [layer.shape for layer in comp.layers] == [(64, 30), (30, 20), (20, 10)]
    assert comp.parameters == sum(a.size for a in model.coefs_ + model.intercepts_)
    assert comp.multiply_adds == 64 * 30 + 30 * 20 + 20 * 10
    lines = str(comp).splitlines()
    assert lines[1].split()[2:] == ["64", "x", "30", "relu", "1,950", "1,920"]
    assert lines[-1].split() == ["total", "2,780", "2,720"]
    assert len({len(line) for line in lines}) == 1
    head, first, *_ = ElementTree.fromstring(comp._repr_html_())
    assert [cell.text for cell in head] == lines[0].split()
    assert [cell.text for cell in first] == re.split("  +", lines[1])
    frame = comp.frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.loc["hidden 2", "parameters"] == 620
    assert frame["multiply_adds"].sum() == comp.multiply_adds


@pytest.mark.parametrize(
    "activation, names",
    [
        ("prelu", ["prelu", "prelu"]),
        (("elu", 0.5), ["elu(0.5)", "elu(0.5)"]),
        (["maxout", ("maxout", 3)], ["maxout", "maxout(3)"]),
        (["leaky_relu", ("prelu", 0.1)], ["leaky_relu", "prelu(0.1)"]),
        (("identity", "tanh"), ["identity", "tanh"]),
    ],
)
def test_summary_names_activations_and_counts_their_parameters(activation, names):
    model = make(MLPRegressor, hidden_layer_sizes=(6, 5), activation=activation)
    comp = inspection.summary(model.fit(SMALL_X, SMALL_Y))
    assert [layer.activation for layer in comp.layers] == [*names, "identity"]
    slopes = [0 if s is None else s.size for s in [*model.slopes_, None]]
    for layer, W, b, n_slopes in zip(
        comp.layers, model.coefs_, model.intercepts_, slopes, strict=True
    ):
        assert layer.parameters == W.size + b.size + n_slopes


@both
def test_transform_in_a_pipeline_with_names(Estimator):
    from sklearn.linear_model import Ridge

    X = pd.DataFrame(SMALL_X, columns=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), make(Estimator), Ridge()).set_output(
        transform="pandas"
    )
    pipeline.fit(X, SMALL_Y)
    prefix = Estimator.__name__.lower()
    names = [f"{prefix}{i}" for i in range(5)]
    assert pipeline[:-1].get_feature_names_out().tolist() == names
    features = pipeline[:-1].transform(X)
    assert features.columns.tolist() == names
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_allclose(
            make(Estimator).fit(SMALL_X, SMALL_Y).transform(SMALL_X),
            make(Estimator).fit_transform(SMALL_X, SMALL_Y),
        )


def test_data_frames_do_not_warn():
    X = pd.DataFrame(SMALL_X, columns=list("abcd"))
    model = make(MLPClassifier).fit(X, SMALL_Y)
    assert inspection.sample_losses(model, X, SMALL_Y).shape == (60,)
    assert len(inspection.layer_outputs(model, X)) == 2


def test_norms_are_dtype_of_prediction():
    X = SMALL_X.astype(np.float32)
    model = make(MLPClassifier).fit(X, SMALL_Y)
    assert inspection.sample_losses(model, X, SMALL_Y).dtype == np.float32
    assert inspection.sample_losses(model, SMALL_X, SMALL_Y).dtype == np.float64
    assert model.transform(X).dtype == np.float32
