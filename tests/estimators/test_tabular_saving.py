"""Saved estimators for tables: formats, versions, sizes."""

import pickle

import joblib
import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.exceptions import InconsistentVersionWarning

import fastmlp
from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.estimators._table_model import KINDS
from tests.estimators.tables import (
    X,
    both,
    fitted,
    make,
    y_of,
)
from tests.estimators.test_saving import FORMATS, through_skops


@both
@pytest.mark.parametrize("through", FORMATS)
def test_saved_models_predict_the_same(Estimator, through):
    model = fitted(Estimator)
    loaded = FORMATS[through](model)
    assert loaded.columns_ == model.columns_
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.oof_predictions_, model.oof_predictions_)
    assert vars(loaded).keys() == vars(model).keys()
    loaded.fit(X, y_of(Estimator))
    assert_array_equal(loaded.predict(X), model.predict(X))
    unfitted = make(Estimator)
    assert vars(FORMATS[through](unfitted)) == vars(unfitted)


@both
def test_skops_is_asked_to_trust_the_estimator_and_nothing_else(Estimator):
    name = f"{Estimator.__module__}.{Estimator.__name__}"
    dumped = skops.io.dumps(fitted(Estimator))
    assert skops.io.get_untrusted_types(data=dumped) == [name]


@both
def test_joblib_maps_the_file(Estimator, tmp_path):
    model = fitted(Estimator)
    joblib.dump(model, tmp_path / "model")
    loaded = joblib.load(tmp_path / "model", mmap_mode="r")
    assert_array_equal(loaded.predict(X), model.predict(X))


def test_every_kind_of_column_is_saved():
    place = np.arange(len(X)) % 20
    gain = np.where(np.arange(len(X)) % 7 < 3, 10.0 * place, 0.0)
    table, y = X.assign(gain=gain), np.where(gain > 0, place % 2, 0)
    model = make(TabularClassifier).fit(table, y)
    assert {type(column) for column in model.columns_} == set(KINDS.values())
    loaded = through_skops(model)
    assert loaded.columns_ == model.columns_
    assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))


def test_another_version_is_warned_of(monkeypatch):
    saved = pickle.dumps(fitted(TabularRegressor))
    monkeypatch.setattr(fastmlp, "__version__", "9.9")
    with pytest.warns(InconsistentVersionWarning, match="TabularRegressor, saved by"):
        pickle.loads(saved)


@both
def test_a_saved_model_holds_no_rows_but_those_out_of_fold(Estimator):
    sizes = []
    for n in (500, 20_000):
        x = np.random.RandomState(0).randn(n, 20)
        y = x[:, 0] if Estimator is TabularRegressor else x[:, 0] > 0
        model = make(Estimator, n_networks=2, max_epochs=1).fit(x, y)
        # Of these there are at most 10,000.
        kept = [model.oof_predictions_, getattr(model, "_residuals", np.empty(0))]
        sizes.append(len(pickle.dumps(model)) - sum(each.nbytes for each in kept))
    assert abs(sizes[1] - sizes[0]) < 1000
