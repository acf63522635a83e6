"""A session of the playground: commands in, frames out."""

import io
import pickle

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier
from fastmlp.inspection import (
    activation_statistics,
    layer_outputs,
    sample_gradients,
    sample_losses,
)
from fastmlp.playground.datasets import SPAN
from fastmlp.playground.features import columns
from fastmlp.playground.session import Session
from fastmlp.playground.state import InvalidSetting, make_fields
from tests.playground.reading import read

FIELDS = make_fields()


def make(**changes):
    session = Session()
    session.set({"n_points": 60, **changes})
    return session


def weights(session):
    arrays = [*session.model.coefs_, *session.model.intercepts_]
    return np.concatenate([each.ravel() for each in arrays])


def test_the_first_frame_has_all_that_does_not_change():
    session = make(hidden_layer_sizes=[3, 4, 2], features=["x", "y", "xy"])
    header, arrays = read(session.frame())
    assert (header["epoch"], header["n_epochs"]) == (0, 0)
    assert header["classes"] == ["0", "1"]
    assert header["score_name"] == "accuracy"
    assert [each["units"] for each in header["layers"]] == [3, 4, 2]
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "plane": (100, 100),
        "units": (9, 32, 32),
        "unit_scale": (9,),
        "weights": (3 * 3 + 3 + 3 * 4 + 4 + 4 * 2 + 2 + 2 * 1 + 1,),
        "points": (60, 4),
        "activation_histograms": (3, 20),
        "activation_edges": (3, 2),
        "gradient_histograms": (3, 20),
        "gradient_edges": (3, 2),
        "gradient_norms": (3,),
        "curves": (0, 3),
    }
    points = arrays["points"]
    np.testing.assert_allclose(points[:, :2], session.data.points, rtol=1e-6)
    np.testing.assert_array_equal(points[:, 2], session.data.targets)
    np.testing.assert_array_equal(points[:, 3], session.data.test)
    later = read(session.frame(2))[1]
    assert {*arrays} - {*later} == {"points"}
    assert later["curves"].shape == (2, 3)
    session.edit_points(move=[[0, 1.0, 1.0]])
    assert read(session.frame(1))[1]["points"][0, :2].tolist() == [1.0, 1.0]
    assert "points" not in read(session.frame(1))[1]


def test_the_plane_is_the_probability_of_class_one():
    session = make()
    session.train(5)
    _, arrays = read(session.frame())
    for row, column in ((0, 0), (0, 99), (70, 20)):
        x = SPAN * ((2 * column + 1) / 100 - 1)
        y = -SPAN * ((2 * row + 1) / 100 - 1)
        p = session.model.predict_proba([[x, y]])[0, 1]
        assert abs(arrays["plane"][row, column] - 255 * p) <= 0.501


@pytest.mark.parametrize("loss", ["log_loss", "squared_error", "hinge"])
def test_the_plane_of_three_classes(loss):
    session = make(loss=loss)
    session.edit_points(add=[[4, 4, 2], [4.5, 4, 2], [4, 5, 2]])
    session.train(20)
    header, arrays = read(session.frame())
    assert header["classes"] == ["0", "1", "2"]
    y, x = -1.5, 4.38
    row, column = 62, 86
    predicted = session.model.predict([[x, y]])[0]
    assert arrays["plane_class"][row, column] == predicted
    assert arrays["plane"].min() >= 255 // 3
    assert header["train_score"] == session.model.score(*session._rows)


@pytest.mark.parametrize("data", ["plane", "gauss_plane"])
@pytest.mark.parametrize("loss", FIELDS["loss"].values_by[1]("regression"))
def test_regression(data, loss):
    session = make(problem="regression", data=data, loss=loss, n_points=200)
    start = read(session.frame())[0]
    header, arrays = read(session.frame(30))
    assert header["score_name"] == "R²"
    assert header["classes"] == []
    assert header["train_loss"] < start["train_loss"]
    assert header["train_score"] == pytest.approx(session.model.score(*session._rows))
    x, y = SPAN * 0.21, SPAN * 0.39
    value = session.model.predict([[x, y]])[0]
    assert abs(arrays["plane"][30, 60] - 255 * (value + 1) / 2) <= 0.501


@pytest.mark.parametrize("unit", range(6))
def test_pictures_of_units(unit):
    session = make()
    session.train(3)
    _, arrays = read(session.frame(unit=unit))
    layer, column = divmod(unit, 4)

    def outputs(points):
        X = columns(np.array(points), session.state.features)
        return layer_outputs(session.model, X, layer)[:, column]

    side = SPAN * ((2 * np.arange(32) + 1) / 32 - 1)
    values = outputs([[x, y] for y in -side for x in side])
    scale = arrays["unit_scale"][unit]
    assert scale == pytest.approx(np.abs(values).max())
    picture = arrays["units"][unit].astype(float)
    ref = 128 + 127 * values.reshape(32, 32) / scale
    np.testing.assert_allclose(picture, ref, atol=0.501)
    (large,) = outputs([[SPAN * 0.21, SPAN * 0.39]])
    assert abs(int(arrays["plane"][30, 60]) - (128 + 127 * large / scale)) <= 2


def test_weights_are_layer_by_layer():
    session = make(hidden_layer_sizes=[2])
    _, arrays = read(session.frame(1))
    (W, V), (b, c) = session.model.coefs_, session.model.intercepts_
    ref = np.concatenate([W.ravel(), b, V.ravel(), c])
    np.testing.assert_allclose(arrays["weights"], ref, rtol=1e-6)


def test_losses_and_scores_are_those_of_the_rows():
    session = make(test_share=0.25, alpha=10.0)
    curves = session.train(4)
    header, _ = read(session.frame())
    losses = sample_losses(session.model, session._X, session.data.targets)
    test = session.data.test
    assert header["train_loss"] == pytest.approx(losses[~test].mean())
    assert header["test_loss"] == pytest.approx(losses[test].mean())
    np.testing.assert_allclose(
        curves[-1], [0.01, losses[~test].mean(), losses[test].mean()], rtol=1e-6
    )
    right = session.model.predict(session._X) == session.data.targets
    assert header["train_score"] == right[~test].mean()
    assert header["test_score"] == right[test].mean()
    assert header["rate"] == 0.01


def test_without_test_rows():
    session = make(test_share=0.0)
    header, arrays = read(session.frame(1))
    assert header["test_loss"] is header["test_score"] is None
    assert np.isnan(arrays["curves"][0, 2])


def test_statistics_of_layers():
    session = make(hidden_layer_sizes=[5, 3], activation=["relu", "tanh"])
    header, arrays = read(session.frame(10))
    X, y = session._X, session.data.targets
    ref = activation_statistics(session.model, X)
    assert [each["dead"] for each in header["layers"]] == pytest.approx(ref.dead)
    assert [each["saturated"] for each in header["layers"]] == pytest.approx(
        ref.saturated
    )
    assert [each["activation"] for each in header["layers"]] == ["relu", "tanh"]
    for layer, shares in enumerate(arrays["activation_histograms"]):
        outputs = layer_outputs(session.model, X, layer)
        low, high = arrays["activation_edges"][layer]
        assert (low, high) == pytest.approx((outputs.min(), outputs.max()))
        counts, _ = np.histogram(outputs, 20, (outputs.min(), outputs.max()))
        np.testing.assert_allclose(shares, counts / outputs.size, atol=1e-6)
    # The deltas of the second layer, from those of the output.
    V = session.model.coefs_[2]
    outputs = layer_outputs(session.model, X, 1)
    deltas = (sample_gradients(session.model, X, y) @ V.T) * (1 - outputs**2)
    rms = np.sqrt(np.mean(deltas**2))
    assert arrays["gradient_norms"][1] == pytest.approx(rms, rel=1e-5)
    low, high = arrays["gradient_edges"][1]
    counts, _ = np.histogram(np.log10(np.abs(deltas)), 20, (low, high))
    np.testing.assert_allclose(
        arrays["gradient_histograms"][1], counts / deltas.size, atol=1e-6
    )
    # Units of ReLU that are off have no gradient: in the first bin.
    assert arrays["gradient_histograms"][0].sum() == pytest.approx(1)


def test_the_plane_as_a_layer_sees_it():
    session = make()
    session.train(2)
    view = {"layer": 1, "units": [1, 0]}
    _, arrays = read(session.frame(view=view))
    at_points = layer_outputs(session.model, session._X, 1)[:, [1, 0]]
    np.testing.assert_allclose(arrays["view_points"], at_points, rtol=1e-6)
    corner = layer_outputs(session.model, np.array([[-SPAN, SPAN]]), 1)[0, [1, 0]]
    np.testing.assert_allclose(arrays["view_grid"][0, 0], corner, rtol=1e-5)
    centre = layer_outputs(session.model, np.zeros((1, 2)), 1)[0, [1, 0]]
    np.testing.assert_allclose(arrays["view_grid"][10, 10], centre, rtol=1e-5)


@pytest.mark.parametrize("solver", FIELDS["solver"].values)
def test_every_solver_lowers_the_loss(solver):
    session = make(solver=solver, n_points=200)
    start = read(session.frame())[0]
    header, arrays = read(session.frame(15))
    assert header["n_epochs"] == header["epoch"] == 15
    assert header["train_loss"] < 0.9 * start["train_loss"]
    assert (header["rate"] is None) == (solver == "lbfgs")
    losses = arrays["curves"][:, 1]
    assert losses[-1] == pytest.approx(header["train_loss"], rel=1e-6)


@pytest.mark.parametrize("name", FIELDS["activation"].values)
def test_every_activation(name):
    session = make(activation=[name, name])
    header, _ = read(session.frame(2))
    assert header["layers"][0]["activation"] == name
    assert header["train_loss"] < 2


@pytest.mark.parametrize("init", FIELDS["init"].values)
def test_every_init(init):
    assert read(make(init=init).frame(1))[0]["epoch"] == 1


@pytest.mark.parametrize("schedule", FIELDS["learning_rate"].values)
def test_every_schedule(schedule):
    session = make(solver="sgd", learning_rate=schedule, max_iter=20)
    rates = session.train(25)[:, 0]
    assert len(rates) == 25
    model = session.model.set_params(
        n_iter_no_change=np.inf, max_iter=20, random_state=0
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(*session._rows)
    np.testing.assert_allclose(rates[:20], model.lr_curve_, rtol=1e-6)


def test_the_untrained_network_is_that_which_training_starts_from():
    session = make(activation=["prelu", "tanh"])
    start = weights(session)
    model = MLPClassifier(
        (4, 2), ("prelu", "tanh"), learning_rate_init=1e-300, random_state=0
    )
    model.partial_fit(*session._rows, classes=[0, 1])
    ref = np.concatenate([np.ravel(W) for W in (*model.coefs_, *model.intercepts_)])
    np.testing.assert_array_equal(start, ref)
    session.train(2)
    session.reset()
    assert session.epoch == 0
    np.testing.assert_array_equal(weights(session), start)


@pytest.mark.parametrize(
    "changes, restarts",
    [
        ({"hidden_layer_sizes": [4]}, True),
        ({"features": ["x"]}, True),
        ({"activation": ["relu", "relu"]}, True),
        ({"solver": "sgd"}, True),
        ({"loss": "hinge"}, True),
        ({"init": "he_normal"}, True),
        ({"random_state": 1}, True),
        ({"noise": 0.2}, True),
        ({"test_share": 0.2}, True),
        ({"data": "spiral"}, True),
        ({"learning_rate_init": 0.1}, False),
        ({"learning_rate": "cosine"}, False),
        ({"max_iter": 7}, False),
        ({"alpha": 0.1}, False),
        ({"l1": 0.1}, False),
        ({"dropout": 0.1}, False),
        ({"label_smoothing": 0.1}, False),
        ({"batch_size": 7}, False),
        ({}, False),
    ],
)
def test_what_starts_anew(changes, restarts):
    session = make()
    session.train(2)
    before = weights(session)
    assert session.set(changes) == restarts
    assert session.epoch == (0 if restarts else 2)
    if not restarts:
        np.testing.assert_array_equal(weights(session), before)
        session.train(1)
        assert session.epoch == 3


def test_the_new_rate_holds_from_the_next_epoch_on():
    session = make()
    session.train(2)
    session.set({"learning_rate_init": 0.25})
    np.testing.assert_allclose(session.train(2)[:, 0], 0.25)


def test_new_data():
    session = make()
    before = session.data.points
    session.new_data()
    assert session.state.data_seed == 1
    assert not np.array_equal(session.data.points, before)


def test_own_data_get_other_test_rows():
    session = make()
    session.edit_points(move=[[0, 0, 0]])
    points, test = session.data.points, session.data.test
    session.new_data()
    np.testing.assert_array_equal(session.data.points, points)
    assert (session.data.test != test).any()
    assert session.state.data == "own"


def test_own_data_are_for_one_problem():
    session = make()
    session.load_csv("1,2,0.5\n3,4,0.7\n5,6,0.1\n")
    assert session.state.problem == "regression"
    with pytest.raises(InvalidSetting, match="points are for regression"):
        session.set({"problem": "classification"})
    assert session.state.problem == "regression"
    session.set({"problem": "classification", "data": "xor"})
    assert session.data.classes == ("0", "1")


def test_l_bfgs_ends_at_a_minimum():
    session = make(solver="lbfgs", alpha=1.0, n_points=40)
    session.train(1000)
    assert session.converged
    epoch = session.epoch
    header, _ = read(session.frame(5))
    assert header["converged"]
    assert (header["n_epochs"], header["epoch"]) == (0, epoch)
    model = MLPClassifier(
        (4, 2), ("tanh", "tanh"), solver="lbfgs", alpha=1.0, max_iter=1000,
        random_state=0,
    ).fit(*session._rows)  # fmt: skip
    assert model.n_iter_ == epoch
    np.testing.assert_array_equal(model.coefs_[0], session.model.coefs_[0])
    session.set({"alpha": 0.01})
    assert len(session.train(3)) == 3


def test_divergence_is_named_and_the_session_goes_on():
    session = make(
        problem="regression", data="plane", solver="sgd", learning_rate_init=1000.0,
        activation=["identity", "identity"],
    )  # fmt: skip
    header, _ = read(session.frame(1000))
    epoch = header["epoch"]
    assert header["diverged"] == (
        f"Training diverged in epoch {epoch + 1}: lower the learning rate and reset. "
        f"The network is that of epoch {epoch}."
    )
    assert header["n_epochs"] == epoch
    assert np.isfinite(weights(session)).all()
    assert read(session.frame(5))[0]["n_epochs"] == 0
    session.set({"learning_rate_init": 0.001})
    session.reset()
    header, _ = read(session.frame(5))
    assert header["diverged"] is None
    assert header["epoch"] == 5


def test_a_budget_ends_training():
    session = make()
    assert len(session.train(1000, budget=0)) == 1
    assert 1 <= len(session.train(100_000, budget=50)) < 100_000


def test_weights_are_edited():
    session = make()
    session.edit_weight(0, 1, 2, 3)
    assert session.model.coefs_[0][1, 2] == 3.0
    session.train(1)
    session.edit_weight(2, -1, 0, -4.5)
    assert session.model.intercepts_[2][0] == -4.5
    p = session.model.predict_proba(session._X)
    session.edit_weight(2, -1, 0, 4.5)
    assert (session.model.predict_proba(session._X)[:, 1] > p[:, 1]).all()


@pytest.mark.parametrize(
    "place",
    [(3, 0, 0), (-1, 0, 0), (0, 2, 0), (0, -2, 0), (0, 0, 4), (0, 0, -1), (0, 0, 0.5)],
)
def test_weights_that_there_are_not(place):
    with pytest.raises(InvalidSetting, match="There is no weight"):
        make().edit_weight(*place, 1.0)


@pytest.mark.parametrize("value", [1001.0, float("nan"), "1", None])
def test_values_that_no_weight_may_have(value):
    with pytest.raises(InvalidSetting, match="must be a number from -1000 to 1000"):
        make().edit_weight(0, 0, 0, value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"epochs": -1}, "Epochs must be from 0 to 1000"),
        ({"epochs": 1.5}, "Epochs must be"),
        ({"epochs": None}, "Epochs must be"),
        ({"budget": "1"}, "no number of milliseconds"),
        ({"unit": 6}, "no hidden unit 6"),
        ({"unit": -1}, "no hidden unit"),
        ({"unit": "0"}, "no hidden unit"),
        ({"view": []}, "no hidden layer None"),
        ({"view": {"layer": 2, "units": [0, 1]}}, "no hidden layer 2"),
        ({"view": {"layer": 1, "units": [0, 2]}}, "Layer 1 has 2 units"),
        ({"view": {"layer": 1, "units": [0]}}, "Layer 1 has 2 units"),
        ({"view": {"layer": 1}}, "Layer 1 has 2 units, got None"),
    ],
)
def test_frames_that_are_refused(arguments, message):
    session = make()
    with pytest.raises(InvalidSetting, match=message):
        session.frame(**{"epochs": 1, **arguments})
    assert session.epoch == 0


def test_errors_change_nothing():
    session = make()
    session.train(2)
    state, data, before = session.state, session.data, weights(session)
    for call in (
        lambda: session.set({"alpha": 1.0, "noise": 7}),
        lambda: session.edit_points(remove=[100]),
        lambda: session.load_csv("1,2"),
    ):
        with pytest.raises(ValueError):
            call()
        assert session.state is state
        assert session.data is data
        assert session.epoch == 2
        np.testing.assert_array_equal(weights(session), before)
    assert len(session.train(1)) == 1


@pytest.mark.parametrize("epochs", [0, 3])
def test_downloads_predict_what_is_seen(epochs):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = make(learning_rate_init=0.1)
    session.train(epochs)
    session.set({"alpha": 0.1})
    ref = session.model.predict_proba(session._X)
    loaded = pickle.load(io.BytesIO(session.pickled()))
    np.testing.assert_array_equal(loaded.predict_proba(session._X), ref)
    assert loaded.get_params()["learning_rate_init"] == 0.1
    run = onnxruntime.InferenceSession(session.onnx())
    _, p = run.run(None, {"X": session._X})
    np.testing.assert_allclose(p, ref, rtol=1e-6)
