"""Settings of the playground: their table and what is refused."""

import json
from dataclasses import fields

import pytest

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.playground.state import InvalidSetting, State, make_fields, merge, options

TABLE = make_fields()
ESTIMATORS = {"classification": MLPClassifier, "regression": MLPRegressor}


def test_the_table_has_every_setting_and_the_defaults_are_valid():
    assert [each.name for each in fields(State)] == list(TABLE)
    assert merge(State(), State().as_json()) == State()


def test_settings_of_the_network_are_the_estimators_parameters():
    own = {
        "problem", "data", "noise", "test_share", "data_seed", "n_points", "features",
    }  # fmt: skip
    names = {*TABLE} - own
    assert names <= {*MLPClassifier().get_params()}
    assert names - {"label_smoothing"} <= {*MLPRegressor().get_params()}


@pytest.mark.parametrize("problem", ESTIMATORS)
@pytest.mark.parametrize("name", ["solver", "learning_rate", "loss", "init"])
def test_offered_choices_are_values_of_the_parameter(problem, name):
    offered = options()[name]
    values = offered["values"]
    if offered["values_by"] and "problem" in offered["values_by"]:
        values = offered["values_by"]["problem"][problem]
    for value in values:
        ESTIMATORS[problem](**{name: value})._validate_params()


def test_options_are_json():
    table = json.loads(json.dumps(options()))
    assert table["data"]["values_by"]["problem"]["regression"] == [
        "plane",
        "gauss_plane",
        "own",
    ]
    assert "invscaling" in table["learning_rate"]["values_by"]["solver"]["sgd"]
    assert "invscaling" not in table["learning_rate"]["values_by"]["solver"]["adam"]
    assert "gamma" not in table["loss"]["values"]  # for positive targets only
    assert "maxout" not in table["activation"]["values"]
    for name, entry in table.items():
        assert entry["label"]
        for other, values in (entry["applies"] or {}).items():
            assert {*values} <= {*table[other]["values"]}, name


def test_activations_follow_the_layers():
    state = merge(State(), {"hidden_layer_sizes": [3, 2, 1]})
    assert state.activation == ("tanh",) * 3
    state = merge(state, {"activation": ["relu", "tanh", "elu"]})
    assert merge(state, {"hidden_layer_sizes": [3]}).activation == ("relu",)
    state = merge(state, {"hidden_layer_sizes": [1, 2, 3, 4]})
    assert state.activation == ("relu", "tanh", "elu", "elu")
    none = merge(state, {"hidden_layer_sizes": []})
    assert none.activation == ()
    assert merge(none, {"hidden_layer_sizes": [8]}).activation == ("tanh",)


def test_dependent_choices_follow():
    state = merge(State(), {"loss": "hinge"})
    state = merge(state, {"problem": "regression"})
    assert (state.data, state.loss) == ("plane", "squared_error")
    assert merge(state, {"problem": "classification"}).loss == "squared_error"
    state = merge(state, {"solver": "sgd", "learning_rate": "adaptive"})
    assert merge(state, {"solver": "adam"}).learning_rate == "constant"
    assert merge(state, {"noise": 0.2}).learning_rate == "adaptive"


@pytest.mark.parametrize(
    "changes, field, message",
    [
        ({"colour": 1}, "colour", "There is no setting 'colour'"),
        ({"noise": 0.6}, "noise", "Noise must be a number from 0 to 0.5, got 0.6"),
        ({"noise": "0.1"}, "noise", "must be a number"),
        ({"noise": True}, "noise", "must be a number"),
        ({"noise": None}, "noise", "must be a number"),
        ({"noise": float("nan")}, "noise", "must be a number"),
        ({"n_points": 9}, "n_points", "must be an integer from 10 to 2000, got 9"),
        ({"n_points": 20.5}, "n_points", "must be an integer"),
        ({"learning_rate_init": float("inf")}, "learning_rate_init", "from 1e-06 to"),
        ({"solver": "sdg"}, "solver", "Solver 'sdg' is not known: choose one of sgd, "),
        ({"solver": ["sgd"]}, "solver", "is not known"),
        ({"features": []}, "features", "a list of 1 to 7 entries"),
        ({"features": ["z"]}, "features", "Features 'z' is not known"),
        ({"features": "xy"}, "features", "a list"),
        ({"features": ["x", "x"]}, "features", "only once"),
        ({"hidden_layer_sizes": [9]}, "hidden_layer_sizes", "from 1 to 8, got 9"),
        ({"hidden_layer_sizes": [1] * 7}, "hidden_layer_sizes", "0 to 6 entries"),
        ({"hidden_layer_sizes": [[1]]}, "hidden_layer_sizes", "must be an integer"),
        ({"activation": ["tanh"]}, "activation", "2 hidden layers and 1 activations"),
        ({"activation": ["tanh", "maxout"]}, "activation", "'maxout' is not known"),
        ({"loss": "huber"}, "loss", "'huber' does not go with problem 'class"),
        (
            {"solver": "adam", "learning_rate": "adaptive"},
            "learning_rate",
            "does not go with solver 'adam': choose one of constant, cosine",
        ),
        ([], "state", "must be an object"),
        (None, "state", "must be an object"),
    ],
)
def test_settings_that_are_refused(changes, field, message):
    with pytest.raises(InvalidSetting, match=message) as raised:
        merge(State(), changes)
    assert raised.value.field == field
