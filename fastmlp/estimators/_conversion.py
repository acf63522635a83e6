"""scikit-learn's own estimators made of fitted ones, and the other way round."""

import copy
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import make_constraint
from sklearn.utils.validation import check_is_fitted

from fastmlp.estimators._checks import float_type
from fastmlp.estimators._fitted import current_network, goal_of, network_attributes
from fastmlp.estimators._holdout import name_of_scoring
from fastmlp.estimators._learning import new_optimizer
from fastmlp.estimators._pairings import pair_classification, pair_regression
from fastmlp.estimators._parameters import parameter_defaults
from fastmlp.estimators._targets import Labels, Numbers, has_several_quantiles
from fastmlp.network import Network
from fastmlp.training.loop import OptimizerState

# scikit-learn's activations of hidden layers, and those of the outputs of its
# classifiers and regressors.
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
OUTPUTS = {
    SklearnClassifier: ("logistic", "softmax"),
    SklearnRegressor: ("identity", "exp"),
}

OPTIMIZERS = {"adam": AdamOptimizer, "sgd": SGDOptimizer}

# Fitted attributes that mean the same in both libraries.
SHARED = (
    "n_features_in_",
    "feature_names_in_",
    "out_activation_",
    "classes_",
    "n_iter_",
    "t_",
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "_no_improvement_count",
)


def sklearns_class(cls: type) -> Any:
    """Return scikit-learn's class of the same kind, itself even while patched."""
    return SklearnClassifier if issubclass(cls, ClassifierMixin) else SklearnRegressor


def _shared(estimator):
    state = vars(estimator)
    return copy.deepcopy({name: state[name] for name in SHARED if name in state})


# -- to scikit-learn -------------------------------------------------------------------


def to_sklearn(estimator: Any) -> Any:
    """Return scikit-learn's fitted estimator; see `BaseMLP.to_sklearn`."""
    check_is_fitted(estimator)
    cls = sklearns_class(type(estimator))
    network = current_network(estimator)
    network = network.astype(float_type(estimator.dtype) or network.dtype)
    outside = _outside(estimator, network, cls)
    if outside:
        raise ValueError(
            f"scikit-learn's {cls.__name__} cannot predict the same: "
            f"{'; '.join(outside)}. Use to_onnx, or fit a network without it."
        )
    converted = cls(**_sklearns_parameters(estimator, network, cls))
    coefs, intercepts = _layers(network, network.parameters)
    vars(converted).update(
        _shared(estimator),
        coefs_=coefs,
        intercepts_=intercepts,
        n_layers_=len(network.units),
        n_outputs_=network.units[-1],
        # A warm start with early stopping returns to these.
        _best_coefs=[W.copy() for W in coefs],
        _best_intercepts=[b.copy() for b in intercepts],
    )
    if cls is SklearnClassifier:
        converted._label_binarizer = _label_binarizer(goal_of(estimator))
        converted.classes_ = converted._label_binarizer.classes_
    state = vars(estimator).get("_optimizer")
    if state is not None and state.fits(converted.solver, network.parameters.size):
        converted._optimizer = _sklearns_optimizer(converted, state, network)
    return converted


def _outside(estimator, network, cls):
    """Return a phrase for each thing that scikit-learn's networks do not have."""
    outside = []
    names = dict.fromkeys(name for name, _ in network.activations)
    unknown = [name for name in names if name not in ACTIVATIONS]
    outside += [f"it has no activation {name!r}" for name in unknown]
    if len(names) > 1 and not unknown:
        outside.append(f"it has one activation for all hidden layers, not {[*names]}")
    if estimator.out_activation_ not in OUTPUTS[cls]:
        outside.append(
            f"it has no outputs {estimator.out_activation_!r}, which are those of "
            f"loss={estimator.loss!r}"
        )
    if has_several_quantiles(estimator):
        outside.append("it does not sort the outputs of several quantiles")
    return outside


def _sklearns_parameters(estimator, network, cls):
    """Return scikit-learn's parameters; its default where it does not know a value."""
    parameters = {}
    for name, default in parameter_defaults(cls).items():
        value = getattr(estimator, name)
        constraints = map(make_constraint, cls._parameter_constraints[name])
        known = any(each.is_satisfied_by(value) for each in constraints)
        parameters[name] = copy.deepcopy(value) if known else default
    if network.activations:
        parameters["activation"] = network.activations[0][0]
    if cls is SklearnRegressor:
        parameters["loss"] = _sklearns_loss(estimator)
    return parameters


def _sklearns_loss(regressor):
    """Return the loss by which scikit-learn's regressor has the same outputs."""
    return "poisson" if regressor.out_activation_ == "exp" else "squared_error"


def _layers(network, parameters):
    """Return copies of all weights and of all biases in a flat array, two lists."""
    packed = network.empty_like()
    packed.parameters[...] = parameters
    return [W.copy() for W in packed.coefs], [b.copy() for b in packed.intercepts]


def _label_binarizer(labels):
    """Return a binarizer that decodes outputs as these `Labels` are decoded."""
    y = labels.classes
    if labels.kind == "multilabel":
        y = np.eye(len(y), dtype=int)
    binarizer = LabelBinarizer().fit(np.repeat(y, 2, axis=0))
    binarizer.sparse_input_ = labels.sparse
    binarizer.classes_ = labels.classes.copy()
    return binarizer


def _sklearns_optimizer(converted, state, network):
    """Return scikit-learn's optimizer where training by epochs was."""

    def unpacked(moment):
        coefs, intercepts = _layers(network, moment)
        return coefs + intercepts

    params = converted.coefs_ + converted.intercepts_
    settings = state.settings
    if state.solver == "adam":
        betas = (settings[name] for name in ("beta_1", "beta_2", "epsilon"))
        optimizer = AdamOptimizer(params, state.learning_rate_init, *betas)
        optimizer.t = state.t
        optimizer.ms, optimizer.vs = map(unpacked, state.moments)
        return optimizer
    optimizer = SGDOptimizer(
        params,
        state.learning_rate_init,
        converted.learning_rate,
        settings["momentum"],
        settings["nesterovs_momentum"],
        converted.power_t,
    )
    optimizer.learning_rate = state.learning_rate
    # Without momentum there are none, and zeros are as good.
    if state.moments:
        optimizer.velocities = unpacked(state.moments[0])
    return optimizer


# -- from scikit-learn -----------------------------------------------------------------


def from_sklearn(cls: Any, estimator: Any) -> Any:
    """Return a fitted estimator of the class; see `BaseMLP.from_sklearn`."""
    kind = sklearns_class(cls)
    if not isinstance(estimator, kind):
        raise TypeError(
            f"{cls.__name__}.from_sklearn takes sklearn.neural_network.{kind.__name__},"
            f" got {type(estimator).__module__}.{type(estimator).__qualname__}."
        )
    check_is_fitted(estimator)
    return _converted(cls, estimator)


def state_from_sklearn(cls: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an estimator that scikit-learn's class saved."""
    kind = sklearns_class(cls)
    saved = kind.__new__(kind)
    saved.__setstate__(state)
    return vars(_converted(cls, saved))


def _converted(cls, estimator):
    """Return scikit-learn's estimator, fitted or not, as one of `cls`."""
    kind, state = sklearns_class(cls), vars(estimator)
    # Models that an older scikit-learn saved lack parameters that came later.
    parameters = {
        name: copy.deepcopy(state.get(name, default))
        for name, default in parameter_defaults(kind).items()
    }
    if "coefs_" not in state:
        return cls(**parameters)
    if kind is SklearnRegressor:
        parameters["loss"] = _sklearns_loss(estimator)
    model = cls(**parameters)
    network = Network.from_arrays(
        estimator.coefs_, estimator.intercepts_, estimator.activation
    )
    goal = _goal(estimator)
    vars(model).update(_shared(estimator), **network_attributes(network, goal))
    if "loss_curve_" in state:
        model.validation_loss_curve_ = None
        model._scored_by = name_of_scoring(goal.judged_by(None))
    # The weights kept by early stopping are not those of the moments.
    optimizer = state.get("_optimizer")
    if (
        optimizer is not None
        and type(optimizer) is OPTIMIZERS.get(estimator.solver)
        and state.get("best_validation_score_") is None
    ):
        model._optimizer = _own_optimizer(model, optimizer, network)
    return model


def _goal(estimator: Any) -> Labels | Numbers:
    """Return how scikit-learn's estimator understood y."""
    if isinstance(estimator, SklearnRegressor):
        return Numbers(pair_regression(_sklearns_loss(estimator), None))
    binarizer = estimator._label_binarizer
    kind = binarizer.y_type_.removesuffix("-indicator")
    pairing = pair_classification("log_loss", estimator.out_activation_, 0.0, kind)
    return Labels(pairing, estimator.classes_.copy(), kind, binarizer.sparse_input_)


def _own_optimizer(model: Any, optimizer: Any, network: Network) -> OptimizerState:
    """Return the state of scikit-learn's optimizer."""
    state = new_optimizer(model)
    state.learning_rate_init = float(optimizer.learning_rate_init)
    moments: list[list[np.ndarray]]
    if isinstance(optimizer, AdamOptimizer):
        state.t, moments = optimizer.t, [optimizer.ms, optimizer.vs]
    else:
        moments = [optimizer.velocities]
        state.learning_rate = float(optimizer.learning_rate)
    state.moments = tuple(
        np.concatenate([each.ravel() for each in moment], dtype=network.dtype)
        for moment in moments[: state.optimizer().n_moments]
    )
    return state
