"""Every contestant trains the network of the workload, on fewer rows than timed."""

import numpy as np
import pytest

from bench.contestants import CONTESTANTS
from bench.training import TOLERANCE, Check, WrongAnswer, make_trainer
from bench.workloads import WORKLOADS, initial_parameters, make_data, mean_loss


@pytest.mark.parametrize("contestant", CONTESTANTS)
@pytest.mark.parametrize("name", WORKLOADS)
# Warnings of a peer are not errors here; its answer is checked.
@pytest.mark.filterwarnings("ignore")
def test_training(name, contestant):
    workload = WORKLOADS[name].smaller(rows=2_000, epochs=3)
    try:
        trainer = make_trainer(contestant, workload)
    except ImportError as error:
        pytest.skip(f"{CONTESTANTS[contestant].label} is missing: {error}")
    trainer.train()
    check = Check(workload)
    start = mean_loss(workload, initial_parameters(workload), *make_data(workload))
    assert check.loss < start
    assert abs(check(trainer) - check.loss) <= TOLERANCE * (start - check.loss)


def test_check_refuses_untrained_parameters():
    workload = WORKLOADS["digits"]

    class Untrained:
        def parameters(self):
            return initial_parameters(workload)

    with pytest.raises(WrongAnswer, match="loss"):
        Check(workload)(Untrained())


def test_check_refuses_missing_epochs():
    workload = WORKLOADS["odd"]
    trainer = make_trainer("sklearn", workload.smaller(rows=10_000, epochs=5))
    trainer.train()
    with pytest.raises(WrongAnswer, match="loss"):
        Check(workload)(trainer)


@pytest.mark.parametrize("name", WORKLOADS)
def test_initial_parameters_are_those_of_scikit_learn(name):
    workload = WORKLOADS[name].smaller(rows=1_000)
    trainer = make_trainer("sklearn", workload)
    # One step that is too small to change a float32.
    trainer.estimator.set_params(learning_rate_init=1e-30)
    trainer.train()
    for ref, comp in zip(
        trainer.parameters(), initial_parameters(workload), strict=True
    ):
        np.testing.assert_array_equal(comp[0], ref[0])
        np.testing.assert_array_equal(comp[1], ref[1])


def test_mean_loss_is_that_of_scikit_learn():
    for name in ("digits", "regression", "adult"):
        workload = WORKLOADS[name].smaller(rows=500)
        trainer = make_trainer("sklearn64", workload)
        # One minibatch and a tiny step: the loss of the epoch is the network's.
        trainer.estimator.set_params(
            learning_rate_init=1e-30, batch_size=500, alpha=0.0
        )
        trainer.train()
        ref_loss = trainer.estimator.loss_
        X, y = make_data(workload, np.float64)
        comp_loss = mean_loss(workload, trainer.parameters(), X, y)
        assert comp_loss == pytest.approx(ref_loss, rel=1e-9)


def test_flops_of_one_hidden_layer():
    workload = WORKLOADS["digits"]
    forward = 2 * (64 * 100 + 100 * 10)
    input_gradient = 2 * 100 * 10
    assert workload.flops == 1_797 * (2 * forward + input_gradient)
