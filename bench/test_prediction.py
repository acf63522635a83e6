"""Every contestant's predictions are those of the model."""

import pytest

from bench.prediction import PREDICTORS, check, fit_model, make_jobs
from bench.training import WrongAnswer
from bench.workloads import WORKLOADS, make_data


@pytest.fixture(scope="module")
def model():
    return fit_model()


@pytest.mark.parametrize("job", make_jobs(), ids=lambda job: job[0])
@pytest.mark.parametrize("name", PREDICTORS)
# Warnings of a peer are not errors here; its answer is checked.
@pytest.mark.filterwarnings("ignore")
def test_prediction(model, name, job):
    kind = PREDICTORS[name]
    try:
        predictor = kind(model)
    except ImportError as error:
        pytest.skip(f"{kind.label} is missing: {error}")
    check(predictor, model, job[1])


def test_check_refuses_other_weights(model):
    other = fit_model()
    other.coefs_[0] = other.coefs_[0] * 1.01
    with pytest.raises(WrongAnswer, match="off by"):
        check(other, model, make_data(WORKLOADS["digits"])[0])
