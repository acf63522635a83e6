"""The lectures' examples run, and their claims hold."""

import io
import subprocess
import sys
from urllib.error import URLError

import numpy as np
import onnx
import pytest

from fastmlp.examples import NAMES, load, purpose
from fastmlp.examples.__main__ import main

pytestmark = pytest.mark.usefixtures("agg")


def _drawn(module, found):
    """Draw and return the figure, which must hold data in every axes that is shown."""
    figure = module.draw(found)
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    assert all(ax.has_data() for ax in figure.axes if ax.axison)
    return figure


def test_xor(capsys):
    module = load("xor")
    found = module.run()
    right = {(each.target, each.network): each.right for each in found}
    assert right["AND", "perceptron"] == right["OR", "perceptron"] == 4
    assert right["XOR", "perceptron"] <= 3
    assert right["XOR", "4 linear units"] <= 3
    assert right["XOR", "4 tanh units"] == 4
    assert "XOR by 4 tanh units  : 4 of 4 right" in capsys.readouterr().out
    assert len(_drawn(module, found).axes) == 5


def test_twenty_lines(capsys):
    module = load("twenty_lines")
    found = module.run(steps=150)
    assert len(found.losses) == len(found.numpy_losses) == 150
    np.testing.assert_allclose(found.losses, found.numpy_losses, rtol=1e-10)
    assert found.losses[-1] < 0.1 * found.losses[0]
    assert "times as fast" in capsys.readouterr().out
    line = _drawn(module, found).axes[0].lines[1]
    np.testing.assert_array_equal(line.get_ydata(), found.losses)


def test_twenty_lines_loop_is_the_lectures():
    """Its step goes down the gradient of the sum of squared errors, by differences."""
    module = load("twenty_lines")
    x, y, w1, w2 = module.problem()
    eps, (i, j) = 1e-5, (3, 7)
    w = w2.copy()
    sides = []
    for move in (eps, -eps):
        w[i, j] = w2[i, j] + move
        sides.append(module.twenty_lines(x, y, w1, w, 1)[0])
    h = 1 / (1 + np.exp(-x @ w1))
    gradient = 2 * h.T @ (h @ w2 - y)
    assert (sides[0] - sides[1]) / (2 * eps) == pytest.approx(gradient[i, j], rel=1e-5)


def test_vanishing_gradient(monkeypatch):
    module = load("vanishing_gradient")
    monkeypatch.setattr(module, "CHOSEN", ["logistic", "relu"])
    found = {each.activation: each for each in module.run()}
    ratio = {name: each.std[0] / each.std[-1] for name, each in found.items()}
    assert ratio["logistic"] < 1e-4 < 1e-2 < ratio["relu"]
    assert found["logistic"].accuracy < 0.3
    assert found["relu"].accuracy > 0.8
    steps = np.diff(np.log(found["logistic"].std))
    assert (steps > np.log(4)).all()  # the sigmoid's derivative is at most 1/4
    figure = _drawn(module, list(found.values()))
    np.testing.assert_array_equal(
        figure.axes[0].lines[0].get_ydata(), found["logistic"].std
    )


def test_activations(capsys):
    module = load("activations")
    found = {each.name: each for each in module.run()}
    assert {"identity", "logistic", "tanh", "relu"} <= set(found)
    assert all(each.error < 1e-4 for each in found.values())
    np.testing.assert_allclose(found["tanh"].value, np.tanh(module.Z), atol=1e-15)
    np.testing.assert_allclose(found["relu"].derivative, module.Z > 0)
    assert "differences confirm" in capsys.readouterr().out
    figure = _drawn(module, list(found.values()))
    titles = [ax.get_title() for ax in figure.axes[: len(found)]]
    assert titles == list(found)


def test_capacity_and_penalty():
    module = load("capacity_and_penalty")
    found = module.run()
    for name in ("circles", "spirals"):
        each = [one for one in found if one.data == name]
        sizes, penalties = each[:3], each[2:]
        train = [one.train for one in sizes]
        assert train == sorted(train)
        assert train[0] < train[2] - 0.15
        squares = [one.squares for one in penalties]
        assert squares == sorted(squares, reverse=True)
        assert squares[-1] < squares[0] / 10
    # The large network overfits the noisy circles, and the penalty keeps it from it.
    large = [one for one in found if one.data == "circles" and one.units == 20]
    assert large[0].train - large[0].test > 0.05
    assert large[-1].test > large[0].test
    assert len(_drawn(module, found).axes) == 12


def test_cross_validation():
    module = load("cross_validation")
    found = module.run()
    assert found.folds.shape == (5,)
    assert found.grid.shape == (3, 3)
    assert found.best == found.grid.max()
    i = module.UNITS.index(found.best_params["hidden_layer_sizes"])
    j = module.ALPHAS.index(found.best_params["alpha"])
    assert found.grid[i, j] == found.best
    assert np.ptp(found.folds) > 0.005
    assert abs(found.best - found.test) < 0.03
    assert abs(found.validation - found.folds.mean()) < 0.03
    assert found.grid[0].max() < found.grid[2].max()
    _drawn(module, found)


def test_image_features():
    pytest.importorskip("skimage")
    module = load("image_features")
    found = {each.features: each for each in module.run()}
    sizes = {name: each.n_features for name, each in found.items()}
    assert sizes == {
        "raw pixels": 768, "colour histogram": 64, "oriented gradients": 576,
        "visual words": 40,
    }  # fmt: skip
    raw = found["raw pixels"].accuracy
    assert raw > 2 / 6  # much better than guessing
    for name in ("colour histogram", "visual words"):
        assert found[name].accuracy > raw + 0.05
    figure = _drawn(module, list(found.values()))
    heights = [bar.get_height() for bar in figure.axes[-1].patches]
    assert heights == [each.accuracy for each in found.values()]


def test_oriented_gradients_are_as_many_as_the_lecture_counts():
    pytest.importorskip("skimage")
    image = np.zeros((1, 240, 320, 3), np.uint8)
    assert load("image_features").oriented_gradients(image).shape == (1, 10_800)


def test_losses(capsys):
    module = load("losses")
    found = module.run()
    assert found.cross_entropy == pytest.approx(
        {"spread": 1.0725, "one rival": 1.1410}, abs=5e-5
    )
    assert found.log_likelihood == pytest.approx(
        {"spread": 0.5978, "one rival": 0.5978}, abs=5e-5
    )
    for losses, delta in found.curves.values():
        slope = np.gradient(losses, module.Z)[1:-1]
        assert np.median(abs(slope - delta[1:-1, 0])) < 1e-3
    assert "one rival  1.1410  0.5978" in capsys.readouterr().out
    figure = _drawn(module, found)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [*module.OUTPUTS["spread"], *module.OUTPUTS["one rival"]]


def test_learning_slowdown(capsys):
    """The lectures' numbers, and that the wrong neuron starts the slower."""
    module = load("learning_slowdown")
    found = module.run()
    ref = [
        {0: 0.82, 300: 0.094},
        {0: 0.98, 50: 0.976, 100: 0.964, 200: 0.789, 300: 0.203},
        {0: 0.98, 50: 0.099, 300: 0.012},
    ]
    for each, numbers in zip(found, ref, strict=True):
        for step, output in numbers.items():
            assert each.outputs[step] == pytest.approx(output, abs=5e-3), step
    near, far, entropy = (each.outputs for each in found)
    assert far[0] - far[20] < 0.1 * (near[0] - near[20])
    assert entropy[50] < 0.2 * far[50]
    assert "0.982  0.976  0.964  0.789  0.203" in capsys.readouterr().out
    lines = _drawn(module, found).axes[0].lines
    np.testing.assert_array_equal(lines[1].get_ydata(), far)


def test_initialisation():
    """What belongs to the activation stays within a factor of 3, the rest does not."""
    module = load("initialisation")
    found = module.run()
    drift = {
        (each.activation, each.init): max(abs(np.log([each.forward, each.backward])))
        for each in found
    }
    assert drift["relu", "he_normal"] < np.log(3)
    assert drift["tanh", "glorot_normal"] < np.log(4)
    assert drift["relu", "glorot_normal"] > np.log(10)
    assert drift["relu", "normal"] > np.log(1e4)
    assert drift["tanh", "normal"] > np.log(50)
    saturated = {each.init: each.saturated for each in found[:4]}
    assert saturated["normal"] > 0.5 > 0.01 > saturated["glorot_normal"]
    assert len(_drawn(module, found).axes) == 8


def test_warm_restarts():
    module = load("warm_restarts")
    found = module.run()
    rates = np.array(found.model.lr_curve_)
    losses = np.array(found.model.loss_curve_)
    assert module.ENDS.tolist() == [10, 30, 70]
    starts = [0, *module.ENDS[:-1]]
    np.testing.assert_allclose(rates[starts], module.RATE)
    # t = 5 of T = 10: halfway down.
    assert rates[5] == pytest.approx(module.RATE / 2)
    for start, end in zip(starts, module.ENDS, strict=True):
        assert (np.diff(rates[start:end]) < 0).all()
        assert losses[end - 1] == losses[:end].min()
    for end in module.ENDS[:-1]:
        assert losses[end] > losses[end - 1]
    assert found.constant.loss_curve_[-1] > 1.5 * losses[-1]
    assert found.accuracy > 0.95
    lines = _drawn(module, found).axes[0].lines
    np.testing.assert_array_equal(lines[0].get_ydata(), losses)


@pytest.fixture
def offline(monkeypatch):
    """Let the example of tables find no network, and train less."""

    def fail(*args, **options):
        raise URLError("no network")

    module = load("tables")
    monkeypatch.setattr(module, "fetch_california_housing", fail)
    monkeypatch.setattr(module, "fetch_openml", fail)
    monkeypatch.setattr(module, "ROWS", 600)
    return module


def test_tables(offline, capsys):
    found = offline.run()
    flats, dear = found
    assert flats.score > 0.75
    assert dear.score > 0.75
    for each in found:
        assert each.expected == pytest.approx(each.score, abs=0.05)
        means = [mean for mean, _ in each.importances.values()]
        assert means == sorted(means, reverse=True)
        # The number on the door says nothing about the rent.
        assert set(list(each.importances)[:2]) == {"district", "area"}
        assert abs(each.importances["door"][0]) < 0.1 * means[0]
        graph = onnx.load_from_string(each.exported).graph
        assert {one.name for one in graph.input} == set(each.importances)
    assert dear.intervals is None
    assert flats.intervals.shape == (300, 3)
    y, low, high = flats.intervals.T
    assert flats.coverage == np.mean((y >= low) & (y <= high))
    assert flats.coverage == pytest.approx(offline.COVERAGE, abs=0.05)
    out = capsys.readouterr().out
    assert "flats, their rents: R² " in out
    assert "flats, dear or not: accuracy " in out
    assert len(_drawn(offline, found).axes) == 3


def test_tables_are_fetched_where_there_is_a_network(offline, monkeypatch):
    asked = []

    def fetch(*names, **options):
        asked.append((*names, options["as_frame"], options["return_X_y"]))
        return "X", "y"

    monkeypatch.setattr(offline, "fetch_california_housing", fetch)
    monkeypatch.setattr(offline, "fetch_openml", fetch)
    assert offline.houses() == ("California housing", "X", "y")
    assert offline.incomes() == ("adult", "X", "y")
    assert asked == [(True, True), ("adult", True, True)]


def test_quantile_bands():
    module = load("quantile_bands")
    found = module.run()
    assert module.crossings(found.together) == 0
    for i, j in ((1, 3), (0, 4)):
        low, high = found.together[:, i], found.together[:, j]
        level = module.LEVELS[j] - module.LEVELS[i]
        assert module.coverage(found.y, low, high) == pytest.approx(level, abs=0.07)
        width = high - low
        assert width[found.x > 1.8].mean() > 4 * width[found.x < 0.2].mean()
    _drawn(module, found)


def test_crossings_are_counted():
    module = load("quantile_bands")
    assert (
        module.crossings(np.array([[1, 2, 3], [1, 3, 2], [1, 1, 1], [2, 1, 3]])) == 0.5
    )


def test_calibration():
    module = load("calibration")
    found = module.run()
    assert found.temperature > 1.5
    assert found.trained.accuracy == found.calibrated.accuracy
    assert found.calibrated.log_loss < 0.8 * found.trained.log_loss
    assert found.calibrated.error < 0.5 * found.trained.error
    for each in found[:2]:
        assert each.share.sum() == pytest.approx(1)
        assert each.share @ each.right == pytest.approx(each.accuracy)
    _drawn(module, found)


def test_halving_search(capsys):
    module = load("halving_search")
    halving, grid = module.run()
    assert {n: len(scores) for n, scores in halving.rounds.items()} == {
        2: 27, 6: 9, 18: 3, 54: 1,
    }  # fmt: skip
    assert halving.epochs == module.FOLDS * (2 * 27 + 6 * 9 + 18 * 3 + 54)
    assert grid.epochs == module.FOLDS * 54 * 27
    assert halving.test > grid.test - 0.02
    assert "halving: 648 epochs in " in capsys.readouterr().out
    _drawn(module, [halving, grid])


@pytest.mark.timeout(120)
def test_cluster(capsys, monkeypatch):
    module = load("cluster")
    monkeypatch.setattr(module, "REPLICAS", (1, 16))
    found = module.run()
    assert found.equal
    assert found.same_rate[0] == found.scaled_rate[0] > 0.9
    assert found.same_rate[0] - found.same_rate[-1] > 0.2
    assert found.scaled_rate[-1] > found.same_rate[-1] + 0.2
    assert "one worker and of two: equal" in capsys.readouterr().out
    _drawn(module, found)


def test_text():
    module = load("text")
    texts, package = module.corpus()
    assert len(texts) == len(package)
    assert set(package) == set(module.PACKAGES)
    found = module.run()
    assert found.shape[0] + found.confusion.sum() == len(texts)
    assert found.accuracy > found.most_frequent + 0.3
    assert np.trace(found.confusion) / found.confusion.sum() == found.accuracy
    assert found.stored < 0.1
    assert "filter" in found.words["signal"]
    _drawn(module, found)


def test_imbalanced_classes():
    module = load("imbalanced_classes")
    found = {each.name: each for each in module.run()}
    plain, weighed, moved = found.values()
    for each in (weighed, moved):
        assert each.recall > plain.recall + 0.1
        assert each.precision < plain.precision - 0.1
        assert each.balanced_accuracy > plain.balanced_accuracy + 0.05
    # The threshold leaves the ranking as it was.
    assert moved.average_precision == pytest.approx(plain.average_precision)
    for each in found.values():
        i = np.argmin(abs(each.curve[0] - each.recall))
        assert each.curve[0, i] == pytest.approx(each.recall)
    _drawn(module, [*found.values()])


def test_input_attributions():
    module = load("input_attributions")
    found = module.run()
    assert found.incomplete < 1e-8
    by_attribution, by_brightness, by_chance = found.falls.values()
    assert by_attribution[0] == by_brightness[0] == by_chance[0] > 0.9
    assert (by_attribution[1:4] < by_brightness[1:4] - 0.2).all()
    assert (by_brightness[1:4] < by_chance[1:4] - 0.1).all()
    _drawn(module, found)


def test_deployment():
    module = load("deployment")
    found = module.run()
    assert found.difference < 1e-5
    assert found.accuracy > 0.95
    onnx.checker.check_model(onnx.load_from_string(found.exported))
    assert {*map(len, found.seconds.values())} == {len(module.ROWS)}
    assert list(found.seconds) == ["fastmlp", "onnxruntime"]
    _drawn(module, found)


def test_deployment_without_onnxruntime(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    module = load("deployment")
    monkeypatch.setattr(module, "ROWS", (1, 10))
    found = module.run()
    assert list(found.seconds) == ["fastmlp"]
    assert np.isnan(found.difference)
    assert "no comparison" in capsys.readouterr().out


def test_list_names_all(capsys):
    main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert all(purpose(name) in line for name, line in zip(NAMES, lines, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_test_of_each(name):
    assert f"test_{name}" in globals()


def test_unknown_name(capsys):
    with pytest.raises(SystemExit):
        main(["xr"])
    assert "no example 'xr'. Did you mean 'xor'?" in capsys.readouterr().err


def test_command_draws_into_a_file(tmp_path):
    path = tmp_path / "xor.png"
    ran = subprocess.run(
        [sys.executable, "-m", "fastmlp.examples", "xor", "--out", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.startswith("XOR: no perceptron separates it")
    assert path.read_bytes().startswith(b"\x89PNG")
