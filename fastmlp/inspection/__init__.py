"""Looking inside a fitted network: per-sample losses and gradients, layers, statistics.

Every function takes a fitted `MLPClassifier` or `MLPRegressor` and rows as its methods
do, and y as `fit` does; `input_gradients` alone takes the estimators for tables. In the
formulas a_i are the inputs of layer i (a_0 is X), W_i and b_i are ``coefs_[i]`` and
``intercepts_[i]``, z_i = a_i W_i + b_i, and delta_i is the derivative of a row's loss
in z_i:

    delta_(i-1) = (delta_i W_i') * f'(z_(i-1))

as in D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by
back-propagating errors", Nature 323, 1986.

In reading order: `_opened` (the network in an engine), `_gradients` (`sample_losses`,
`sample_gradients`, `loss_gradient`, `check_gradient`), `_layers` (`layer_outputs`,
`activation_statistics`, `gradient_statistics`), `_summary`, `_inputs`
(`input_gradients`), `_attributions` (`integrated_gradients`).
"""

from fastmlp.inspection._attributions import integrated_gradients
from fastmlp.inspection._gradients import (
    GradientCheck,
    Gradients,
    check_gradient,
    loss_gradient,
    sample_gradients,
    sample_losses,
)
from fastmlp.inspection._inputs import input_gradients
from fastmlp.inspection._layers import (
    ActivationStatistics,
    GradientStatistics,
    Histograms,
    activation_statistics,
    gradient_statistics,
    layer_outputs,
)
from fastmlp.inspection._summary import Layer, Summary, summary

__all__ = [
    "ActivationStatistics",
    "GradientCheck",
    "GradientStatistics",
    "Gradients",
    "Histograms",
    "Layer",
    "Summary",
    "activation_statistics",
    "check_gradient",
    "gradient_statistics",
    "input_gradients",
    "integrated_gradients",
    "layer_outputs",
    "loss_gradient",
    "sample_gradients",
    "sample_losses",
    "summary",
]
