"""Every contestant's predictions are those of the model."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench.prediction import MANY_ROWS, PREDICTORS, check, fit_model
from bench.training import WrongAnswer
from bench.workloads import WORKLOADS, make_data


@pytest.fixture(scope="module")
def model():
    return fit_model()


@pytest.mark.parametrize("n_rows", [1, 1_000, MANY_ROWS])
@pytest.mark.parametrize("name", PREDICTORS)
# Warnings of a peer are not errors here; its answer is checked.
@pytest.mark.filterwarnings("ignore")
def test_prediction(model, name, n_rows):
    kind = PREDICTORS[name]
    try:
        predictor = kind(model)
    except ImportError as error:
        pytest.skip(f"{kind.label} is missing: {error}")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, model.n_features_in_), dtype=np.float32)
    check(predictor, model, X)


def test_check_refuses_other_labels(model):
    other = SimpleNamespace(
        predict_proba=model.predict_proba, predict=lambda X: model.predict(X) + 1
    )
    with pytest.raises(WrongAnswer, match="other labels"):
        check(other, model, make_data(WORKLOADS["digits"])[0])


def test_check_refuses_other_weights(model):
    other = fit_model()
    other.coefs_[0] = other.coefs_[0] * 1.01
    with pytest.raises(WrongAnswer, match="off by"):
        check(other, model, make_data(WORKLOADS["digits"])[0])
