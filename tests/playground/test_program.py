"""A session's program, run, ends with the session's network, to the last bit."""

import warnings

import numpy as np
import pytest

from fastmlp.playground.program import Edit, Trained, append
from fastmlp.playground.session import Session

TABLE = "\n".join(f"{i},{i * i % 7},{'abc'[i % 3]}" for i in range(40))


def parameters(model):
    slopes = [each for each in model.slopes_ if each is not None]
    arrays = [*model.coefs_, *model.intercepts_, *slopes]
    return np.concatenate([np.ravel(each) for each in arrays])


def run(text):
    namespace = {}
    with warnings.catch_warnings(action="ignore"):
        exec(text, namespace)
    return namespace["network"]


def assert_program_makes_it(session):
    comp = run(session.code())
    np.testing.assert_array_equal(parameters(comp), parameters(session.model))
    X = session._X
    np.testing.assert_array_equal(comp.predict(X), session.model.predict(X))


def edit_in_between(session):
    session.train(2)
    session.edit_weight(0, 1, 0, 2.5)
    session.edit_weight(1, -1, 1, -0.5)
    session.train(2)


def edit_first(session):
    session.edit_weight(0, 1, 0, 2.5)
    session.set({"alpha": 0.1})
    session.edit_weight(1, -1, 1, -0.5)
    session.train(2)


def edit_after_a_change_of_the_rate(session):
    session.train(2)
    session.set({"learning_rate_init": 0.2})
    session.edit_weight(0, 0, 0, 1.5)
    session.set({"learning_rate_init": 0.1})
    session.train(2)


def change_penalties(session):
    session.train(2)
    session.set({"alpha": 1.0, "l1": 0.01})
    session.train(1)
    session.set({"dropout": 0.25, "batch_size": 33})
    session.train(2)
    session.set({"dropout": 0.0})
    session.train(2)


def change_the_schedule(session):
    session.train(3)
    session.set({"learning_rate": "cosine", "max_iter": 8, "learning_rate_init": 0.1})
    session.train(10)  # the last two at a rate of 0


def change_the_rate_last(session):
    session.train(2)
    session.set({"learning_rate_init": 0.2})
    session.edit_weight(0, 0, 0, 1.5)
    session.set({"alpha": 0.2})


def move_points(session):
    session.train(1)
    for step in range(3):
        session.edit_points(move=[[7, 0.1 * step, 1.0], [8, 1.0, step]])
    session.train(1)
    session.edit_points(add=[[0.0, 0.5, 1], [1.0, 1.5, 0]], remove=[3, 4])
    session.train(1)


def diverge(session):
    session.set({"learning_rate_init": 1000.0, "solver": "sgd", "alpha": 1000.0})
    session.train(100)
    assert session.diverged
    session.set({"learning_rate_init": 0.001, "alpha": 0.0})
    session.train(2)


STORIES = (
    lambda session: None, lambda session: session.train(3), edit_in_between,
    edit_first, edit_after_a_change_of_the_rate, change_penalties,
    change_the_schedule, change_the_rate_last, move_points, diverge,
)  # fmt: skip


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"activation": ["prelu", "scale"], "features": ["x", "sin y", "x²"]},
        {"problem": "regression", "data": "gauss_plane", "solver": "nadam"},
        {"solver": "lbfgs", "random_state": 3, "data_seed": 5},
    ],
    ids=["classes", "slopes", "numbers", "lbfgs"],
)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_stories(story, state):
    session = Session()
    session.set({"n_points": 60, "learning_rate_init": 0.05, **state})
    story(session)
    if session.epoch == 0:
        # Nothing is fitted yet; an epoch more is the same.
        session.train(1)
    assert_program_makes_it(session)


def test_own_tables_and_classes():
    session = Session()
    session.load_csv(TABLE)
    session.edit_points(add=[[0, 0, 3]])
    session.set({"test_share": 0.3, "hidden_layer_sizes": []})
    session.train(4)
    assert_program_makes_it(session)
    session.edit_points(add=[[1, 1, 4]])
    session.train(4)
    assert len(session.model.classes_) == 5
    assert_program_makes_it(session)


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_events(seed):
    drawn = np.random.RandomState(seed)
    session = Session()
    session.set({"n_points": 40})
    solvers, rates = ["sgd", "adam", "lbfgs", "rmsprop"], [0.001, 0.01, 0.1]
    events = (
        lambda: session.train(drawn.randint(1, 4)),
        lambda: session.set({"learning_rate_init": rates[drawn.randint(3)]}),
        lambda: session.set({"alpha": rates[drawn.randint(3)], "dropout": 0.25}),
        lambda: session.set({"label_smoothing": 0.1 * drawn.randint(3)}),
        lambda: session.edit_weight(0, drawn.randint(2) - 1, 1, drawn.normal()),
        lambda: session.edit_points(move=[[drawn.randint(40), *drawn.normal(size=2)]]),
        lambda: session.edit_points(add=[[*drawn.normal(size=2), drawn.randint(2)]]),
    )
    for _ in range(40):
        if drawn.uniform() < 0.05:
            session.set({"solver": solvers[drawn.randint(4)]})
        events[drawn.randint(len(events))]()
    session.train(1)
    assert session.diverged is None
    assert_program_makes_it(session)


def test_a_program_names_what_differs_from_the_defaults():
    session = Session()
    session.set({"alpha": 0.0001, "learning_rate_init": 0.001, "batch_size": 10})
    session.train(2)
    session.train(3)
    code = session.code()
    assert "from fastmlp import MLPClassifier\n" in code
    assert "    batch_size=10,\n" in code
    assert "alpha" not in code
    assert "learning_rate" not in code
    assert "max_iter" not in code
    assert "for _ in range(5):" in code
    assert code.count("partial_fit") == 1


def test_moves_of_a_point_become_one():
    steps = [Edit({"move": [[1, 0, 0], [2, 0, 0]]})]
    append(steps, Edit({"move": [[1, 5, 5]]}))
    assert steps == [Edit({"move": [[1, 5, 5], [2, 0, 0]]})]
    append(steps, Trained(1))
    append(steps, Edit({"move": [[1, 6, 6]]}))
    append(steps, Edit({"move": [[1, 7, 7]], "remove": [0]}))
    assert len(steps) == 4
