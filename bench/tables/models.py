"""fastmlp and its peers, each with its default parameters, as one estimator.

A function for each makes an estimator for tables with categories and missing values. It
imports its package, which need not be installed if it is not called.
"""

import logging
from functools import partial

from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from bench.real_data import columns

# Further parameters of fastmlp's estimators; `ablation` sets them.
PARAMETERS = {}


def make_fastmlp(X, classes, seed, threads):
    from fastmlp import TabularClassifier, TabularRegressor

    make = TabularClassifier if classes else TabularRegressor
    return make(random_state=seed, n_threads=threads, **PARAMETERS)


def make_fastmlp_auc(X, classes, seed, threads):
    """Return fastmlp's estimator whose best epochs are those of the AUC."""
    model = make_fastmlp(X, classes, seed, threads)
    return model.set_params(scoring="roc_auc_ovr") if classes else model


def make_lightgbm(X, classes, seed, threads):
    import lightgbm

    make = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    return make(random_state=seed, n_jobs=threads, verbose=-1)


def make_xgboost(X, classes, seed, threads):
    import xgboost

    make = xgboost.XGBClassifier if classes else xgboost.XGBRegressor
    return make(random_state=seed, n_jobs=threads, enable_categorical=True)


def make_catboost(X, classes, seed, threads):
    import catboost

    make = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    categories = list(X.select_dtypes("category"))
    model = make(
        random_state=seed,
        thread_count=threads,
        cat_features=categories,
        verbose=False,
        allow_writing_files=False,
    )

    def named(X):
        """Return X with strings as categories, which CatBoost wants."""
        words = X[categories].astype(object).fillna("missing").astype(str)
        return X.assign(**words)

    return make_pipeline(FunctionTransformer(named), model)


def make_hist_boosting(X, classes, seed, threads):
    from sklearn import ensemble

    kind = "Classifier" if classes else "Regressor"
    return getattr(ensemble, f"HistGradientBoosting{kind}")(random_state=seed)


def make_sklearn_mlp(X, classes, seed, threads):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    categories = list(X.select_dtypes("category"))
    prepared = columns(list(X.select_dtypes("number")), categories, float)
    if classes:
        return make_pipeline(prepared, MLPClassifier(random_state=seed))
    return TransformedTargetRegressor(
        make_pipeline(prepared, MLPRegressor(random_state=seed)),
        transformer=StandardScaler(),
    )


def make_realmlp(X, classes, seed, threads, variant):
    import pytabkit

    # Every fit would say that there is no GPU.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    kind = "Classifier" if classes else "Regressor"
    model = getattr(pytabkit, f"RealMLP_{variant}_{kind}")(
        random_state=seed, n_threads=threads, device="cpu", verbosity=0
    )
    # It wants no missing numbers.
    prepared = make_column_transformer(
        (
            SimpleImputer(strategy="median", add_indicator=True),
            make_column_selector(dtype_include="number"),
        ),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    return make_pipeline(prepared, model)


# ``make(X, classes, seed, threads)`` by name: X is the table to fit, and `classes` says
# whether y are classes.
MODELS = {
    "fastmlp": make_fastmlp,
    "fastmlp_auc": make_fastmlp_auc,
    "lightgbm": make_lightgbm,
    "xgboost": make_xgboost,
    "catboost": make_catboost,
    "hist_boosting": make_hist_boosting,
    "sklearn_mlp": make_sklearn_mlp,
    "realmlp_td_s": partial(make_realmlp, variant="TD_S"),
    "realmlp_td": partial(make_realmlp, variant="TD"),
}

BOOSTERS = ("lightgbm", "xgboost", "catboost", "hist_boosting")
