"""The same numbers as scikit-learn, from the same random_state and dtype.

Relative errors granted after 5 epochs or iterations: float64 1e-6 with SGD and Adam,
1e-4 with L-BFGS; float32 2e-3.
"""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from tests.comparing import (
    COMPUTED,
    PROBLEMS,
    REFERENCE,
    SEQUENCES,
    SOLVERS,
    Case,
    assert_case,
    assert_same,
    is_well_posed,
    make_data,
    make_estimator,
    run,
)

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
WEIGHTS = ("none", "ones", "random", "some zero")
LAYOUTS = ("dense", "csr", "csc")
DTYPES = ("float64", "float32")
WIDTHS = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100)
FIT_SEQUENCES = tuple(name for name in SEQUENCES if "partial" not in name)


def make_case(problem, solver, activation, *, sequence="fit", params=None, **data):
    """Return a Case, with partial_fit left out where the solver has none."""
    if solver == "lbfgs" and sequence not in FIT_SEQUENCES:
        sequence = "fit"
    merged = {"max_iter": 5, "activation": activation, "batch_size": 13}
    merged |= SOLVERS[solver] | (params or {})
    return Case(problem=problem, sequence=sequence, params=merged, **data)


def make_core():
    """Yield every problem × solver × activation, the other settings drawn."""
    rng = np.random.default_rng(7)

    def draw(choices):
        return choices[rng.integers(len(choices))]

    for problem, solver, activation in itertools.product(
        PROBLEMS, SOLVERS, ACTIVATIONS
    ):
        sequence = draw(tuple(SEQUENCES))
        early_stopping = bool(rng.integers(2)) and "partial" not in sequence
        case = make_case(
            problem,
            solver,
            activation,
            sequence=sequence,
            weights=draw(WEIGHTS),
            layout=draw(LAYOUTS),
            dtype=draw(DTYPES),
            seed=int(rng.integers(1000)),
            params={
                "hidden_layer_sizes": draw(((), (9,), (17, 8), (8, 1, 16))),
                "shuffle": bool(rng.integers(4)),
                "early_stopping": early_stopping,
                "validation_fraction": 0.3,
            },
        )
        yield pytest.param(case, id=f"{problem}-{solver}-{activation}")


@pytest.mark.parametrize("case", list(make_core()))
def test_core(case):
    assert_case(case)


@st.composite
def cases(draw):
    """Draw from the whole space of configurations."""
    return make_case(
        draw(st.sampled_from(PROBLEMS)),
        draw(st.sampled_from(tuple(SOLVERS))),
        draw(st.sampled_from(ACTIVATIONS)),
        sequence=draw(st.sampled_from(tuple(SEQUENCES))),
        weights=draw(st.sampled_from(WEIGHTS)),
        layout=draw(st.sampled_from(LAYOUTS)),
        dtype=draw(st.sampled_from(DTYPES)),
        n_samples=draw(st.integers(40, 60)),
        n_features=draw(st.sampled_from((1, 2, 8, 33))),
        seed=draw(st.integers(0, 1000)),
        params={
            "hidden_layer_sizes": tuple(
                draw(st.lists(st.sampled_from(WIDTHS), max_size=3))
            ),
            "alpha": draw(st.sampled_from((0.0, 1e-4, 0.5))),
            "batch_size": draw(st.sampled_from((1, 7, 16, 50, "auto"))),
            "shuffle": draw(st.booleans()),
            "early_stopping": draw(st.booleans()),
            "validation_fraction": draw(st.sampled_from((0.2, 0.35))),
        },
    )


@settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(case=cases())
@example(case=make_case("multiclass", "adam", "relu"))
def test_whole_space(case):
    ref = run(REFERENCE, case)
    # Rare draws: a minibatch whose weights are all zero, SGD that diverges.
    assume(ref.error is None or "early_stopping" in str(ref.error))
    assume(is_well_posed(ref, case))
    assert_same(run(COMPUTED, case), ref, case)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("n_features", [1, 33])
@pytest.mark.parametrize("solver", ["adam", "sgd constant", "lbfgs"])
def test_no_hidden_layer(solver, n_features, problem):
    case = make_case(
        problem,
        solver,
        "relu",
        n_features=n_features,
        params={"hidden_layer_sizes": ()},
    )
    assert_case(case)


def test_lbfgs_in_float32_where_outputs_saturate():
    # scikit-learn evaluates in float32, so that probabilities are clipped at 1e-7: the
    # line search meets losses that float64 would put 15% higher.
    case = make_case(
        "binary",
        "lbfgs",
        "identity",
        dtype="float32",
        n_samples=53,
        n_features=2,
        params={"hidden_layer_sizes": (1,), "alpha": 0.0},
    )
    assert is_well_posed(run(REFERENCE, case), case)
    assert_case(case)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("scale", [10, 30, 100, 1000])
@pytest.mark.parametrize("n_columns", [1, 2])
def test_loss_where_outputs_saturate(n_columns, scale, dtype, tolerance):
    # scikit-learn takes logarithms of rounded probabilities, some of which are wrong
    # and beyond 1 - 1e-10: their rounding decides a thousandth of the loss.
    rng = np.random.default_rng(0)
    X = (scale * rng.normal(size=(40, 3))).astype(dtype)
    y = np.squeeze(rng.integers(0, 2, (40, n_columns)))
    params = {"max_iter": 3, "random_state": 0, "hidden_layer_sizes": (20,)}
    curves = []
    for library in (REFERENCE, COMPUTED):
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            curves.append(library.MLPClassifier(**params).fit(X, y).loss_curve_)
    np.testing.assert_allclose(curves[1], curves[0], rtol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_samples", [39, 40, 41, 230])
@pytest.mark.parametrize("batch_size", [1, 8, 39, 40, 500, "auto"])
def test_batch_sizes(batch_size, n_samples, dtype):
    # Larger than the data, it is clipped with a warning, which is compared too.
    case = make_case(
        "binary",
        "sgd constant",
        "relu",
        dtype=dtype,
        n_samples=n_samples,
        params={"batch_size": batch_size, "hidden_layer_sizes": (10,), "max_iter": 3},
    )
    assert_case(case)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd constant", "sgd adaptive"])
@pytest.mark.parametrize("problem", ["multiclass", "regression"])
def test_stops_in_the_same_epoch(problem, solver, early_stopping):
    case = make_case(
        problem,
        solver,
        "tanh",
        n_samples=60,
        params={
            "max_iter": 40,
            "tol": 0.02,
            "n_iter_no_change": 2,
            "early_stopping": early_stopping,
            "hidden_layer_sizes": (8,),
        },
    )
    assert_case(case)


@pytest.mark.parametrize("solver", ["sgd constant", "sgd invscaling"])
def test_partial_fit_goes_on_from_the_rate_of_a_fit_that_stopped_early(solver):
    case = make_case(
        "regression",
        solver,
        "tanh",
        sequence="fit, partial_fit",
        params={"max_iter": 5, "tol": 1e9, "n_iter_no_change": 1},
    )
    ref = run(REFERENCE, case)
    assert not ref.warned  # stopped before max_iter
    assert_case(case)


@pytest.mark.parametrize("sequence", ["fit twice", "warm_start", "partial_fit"])
def test_random_state_instance_runs_on(sequence):
    # One generator serves all calls, so that the draws must agree in number and order.
    def case():
        state = np.random.RandomState(3)
        params = {"hidden_layer_sizes": (6,), "random_state": state}
        return make_case("binary", "adam", "relu", sequence=sequence, params=params)

    ref_case, comp_case = case(), case()
    ref, comp = run(REFERENCE, ref_case), run(COMPUTED, comp_case)
    assert_same(comp, ref, ref_case)
    ref_next, comp_next = (
        c.params["random_state"].randint(2**31) for c in (ref_case, comp_case)
    )
    assert comp_next == ref_next


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_problem_trains(problem):
    # The data are such that five epochs change the outputs: the comparisons above
    # would otherwise hold for an estimator that never trains.
    case = make_case(problem, "adam", "relu", params={"learning_rate_init": 0.05})
    X, y, _, classes = make_data(case)
    estimator = make_estimator(COMPUTED, case)
    kwargs = {} if classes is None else {"classes": classes}
    losses = [estimator.partial_fit(X, y, **kwargs).loss_ for _ in range(5)]
    assert losses[-1] < 0.95 * losses[0]


def test_lbfgs_divides_by_the_sum_of_weights_in_their_own_dtype():
    # In another precision the sum differs by 1e-8. An ill-conditioned line search
    # multiplies that, since its losses and gradients are then of different functions.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1000, 3)), rng.normal(size=1000)
    weight = rng.uniform(0.1, 1, 1000).astype(np.float32)
    params = {"solver": "lbfgs", "max_iter": 1, "max_fun": 1, "random_state": 0}
    params |= {"alpha": 100.0, "hidden_layer_sizes": (5,)}
    losses = []
    for library in (REFERENCE, COMPUTED):
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            losses.append(library.MLPRegressor(**params).fit(X, y, weight).loss_)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-13)
