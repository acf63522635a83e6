"""The pipelines for the real data, on rows made up in their format."""

import numpy as np
import pytest
import sklearn.neural_network

import fastmlp
from bench.real_data import PROBLEMS, fit_and_score

pytest.importorskip("pandas")

ADULT = (
    "{age}, {job}, 2{age}, HS-grad, 9, Divorced, Sales, Wife, White, Male, 0, 0, 40, "
    "{country}, {label}"
)
HOUSING = (
    "longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,"
    "households,median_income,median_house_value,ocean_proximity"
)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with files like the real ones, missing values among them."""
    rng = np.random.default_rng(0)
    for part, end in (("train", ""), ("test", ".")):
        ages = rng.integers(20, 60, 200)
        lines = [
            ADULT.format(
                age=age,
                job="?" if i % 9 == 0 else "Private",
                country="Peru" if part == "test" and i % 50 == 0 else "Cuba",
                label=("<=50K" if age < 40 else ">50K") + end,
            )
            for i, age in enumerate(ages)
        ]
        (tmp_path / f"adult-{part}.csv").write_text("\n".join(lines) + "\n")
    numbers = rng.random((300, 8)).round(3)
    lines = [HOUSING]
    for i, row in enumerate(numbers):
        cells = [*map(str, row), str(1e5 * row[7]), "INLAND" if i % 2 else "NEAR BAY"]
        cells[4] = "" if i % 20 == 0 else cells[4]
        lines.append(",".join(cells))
    (tmp_path / "california_housing.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PROBLEMS)
def test_same_score_as_scikit_learn(folder, name, dtype):
    problem = PROBLEMS[name](folder, dtype)
    problem.parameters["max_iter"] = 5
    ref, _ = fit_and_score(problem, sklearn.neural_network, seed=0)
    comp, _ = fit_and_score(problem, fastmlp, seed=0)
    assert comp == pytest.approx(ref, abs=0.01)


@pytest.mark.parametrize("name", PROBLEMS)
def test_network_sees_the_dtype(folder, name):
    problem = PROBLEMS[name](folder, np.float32)
    pipeline = problem.wrap(sklearn.neural_network.MLPClassifier())
    pipeline = getattr(pipeline, "regressor", pipeline)
    assert pipeline[:-1].fit_transform(problem.data[0]).dtype == np.float32


def test_adult_labels_agree(folder):
    *_, y_train, y_test = PROBLEMS["adult"](folder, np.float32).data
    assert set(y_train) == set(y_test) == {"<=50K", ">50K"}
