"""Monte Carlo dropout."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from fastmlp import MLPClassifier, MLPRegressor
from tests.estimators import X, Y, both, make

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@both
def test_random_state_decides_the_samples(Estimator):
    model = make(Estimator, dropout=0.4).fit(X, Y)
    ref = model.predict_samples(X, n_samples=5, random_state=3)
    assert ref.shape == (5, len(X), 1)
    assert len(np.unique(ref[:, 0])) > 1
    assert_array_equal(model.predict_samples(X, 5, np.random.RandomState(3)), ref)
    assert_array_equal(model.predict_samples(X, 7, 3)[:5], ref)
    for n_threads in (1, 2):
        model.set_params(n_threads=n_threads)
        assert_array_equal(model.predict_samples(X, 5, 3), ref)
    assert (model.predict_samples(X, 5, 4) != ref).any()
    assert model.predict_samples(X).shape == (100, len(X), 1)


def test_mean_over_samples_of_a_linear_network_is_its_prediction():
    """Dropout keeps the mean of each output, and a linear network that of the next."""
    settings = {"activation": "identity", "dropout": [0.1, 0.3]}
    model = make(MLPRegressor, **settings).fit(X, np.stack([X[:, 0], X[:, 1]], 1))
    samples = model.predict_samples(X, 4000, random_state=0)
    error = samples.std(axis=0) / np.sqrt(len(samples))
    difference = abs(samples.mean(axis=0) - model.predict(X))
    assert (difference < 5 * error).all()
    assert (error > 0).all()


def test_without_spread_where_nothing_is_dropped():
    """Samples of the first layer's dropout are those of a network of kept units."""
    model = make(MLPRegressor, dropout=0.5, hidden_layer_sizes=(1,)).fit(X, Y)
    samples = model.predict_samples(X, 50, random_state=0)[:, :, 0]
    hidden = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0)
    kept = (2 * hidden @ model.coefs_[1] + model.intercepts_[1]).ravel()
    dropped = np.broadcast_to(model.intercepts_[1], kept.shape)
    nearer = np.where(abs(samples - kept) < abs(samples - dropped), kept, dropped)
    assert_allclose(samples, nearer, rtol=1e-10)


def test_probabilities_of_classes():
    model = make(MLPClassifier, dropout=0.4).fit(X, Y + (X[:, 1] > 1))
    samples = model.predict_samples(X.astype(np.float32), 4, random_state=0)
    assert samples.shape == (4, len(X), 3)
    assert_allclose(samples.sum(axis=2), 1, rtol=1e-6)


@both
def test_bad_input(Estimator):
    with pytest.raises(NotFittedError):
        make(Estimator, dropout=0.4).predict_samples(X)
    for dropout in (None, 0.0, [0.0, 0.0]):
        model = make(Estimator, dropout=dropout).fit(X, Y)
        with pytest.raises(ValueError, match="drops nothing, and all samples would"):
            model.predict_samples(X)
    model = make(Estimator, dropout=0.4).fit(X, Y)
    with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
        model.predict_samples(X, 0)
    with pytest.raises(ValueError, match="3 features"):
        model.predict_samples(X[:, :3])
