"""Regression."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if

from fastmlp.estimators._base import BaseMLP, check_solver
from fastmlp.estimators._pairings import pair_regression
from fastmlp.estimators._parameters import (
    MLP_HINTS,
    OF_REGRESSORS,
    constraints_of,
    hints,
)
from fastmlp.estimators._problem import Given
from fastmlp.estimators._targets import (
    Numbers,
    RegressorScore,
    has_several_quantiles,
)


class MLPRegressor(RegressorScore, BaseMLP):
    """Multi-layer perceptron for regression.

    Minimises the squared error, or another loss, of a chain of fully connected layers
    by stochastic gradient descent or L-BFGS. It takes the place of
    `sklearn.neural_network.MLPRegressor`: with the same `random_state` it gives the
    same model up to rounding.

    Parameters
    ----------
    loss : str, or tuple of str and parameter, default='squared_error'
        The loss of a row. Except for 'squared_error' on identity outputs (see Notes) it
        is a sum over outputs, with e the prediction minus the target:

        - 'squared_error': half the squared error;
        - 'absolute_error': ``|e|``, which learns the median;
        - 'huber' or ``('huber', delta)``: ``e**2 / 2`` up to ``|e| == delta``, and
          ``delta * (|e| - delta / 2)`` beyond [4]_; delta is 1.0 unless given;
        - 'quantile' or ``('quantile', level)``: the pinball loss
          ``max(-level * e, (1 - level) * e)`` [5]_, which learns that quantile; 0.5
          unless given. ``('quantile', [0.1, 0.5, 0.9])`` learns several at once for a
          y of one column: one output for each level, whose losses are added;
        - 'poisson': half the Poisson deviance, for ``y >= 0``; exponential outputs;
        - 'gamma': half the gamma deviance ``log(p / y) + y / p - 1`` of the prediction
          p, for ``y > 0``; exponential outputs;
        - 'log_loss': binary cross-entropy ``-y * log(p) - (1 - y) * log(1 - p)`` for y
          in [0, 1]; logistic outputs;
        - a name of your own, see `fastmlp.register_loss`.
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer, from the input to the output. ``()`` has no hidden
        layer: linear regression.
    activation : str, (str, number) tuple, or sequence of these, default='relu'
        Activation of the hidden layers: a name, a name with a parameter as in
        ``("leaky_relu", 0.1)``, or a sequence with one of these per hidden layer.
        With sigmoid(x) = 1 / (1 + exp(-x)):

        - 'identity': f(x) = x, a linear bottleneck;
        - 'logistic': f(x) = sigmoid(x);
        - 'tanh': f(x) = tanh(x);
        - 'relu': f(x) = max(0, x);
        - 'leaky_relu': f(x) = x for x > 0, otherwise c x; parameter c, 0.01;
        - 'prelu': the same with a trained c per unit, see `slopes_`; the parameter is
          where it starts, 0.25 [6]_;
        - 'scale': f(x) = s x with a trained s per unit, see `slopes_`; the parameter is
          where it starts, 1.0;
        - 'elu': f(x) = x for x > 0, otherwise c (exp(x) - 1); parameter c, 1.0 [7]_;
        - 'selu': s times 'elu', s = 1.0507 and c = 1.6733 [8]_;
        - 'silu' or 'swish': f(x) = x sigmoid(x);
        - 'gelu': f(x) = x P(x), P the normal distribution's cumulative function [9]_;
        - 'mish': f(x) = x tanh(log(1 + exp(x)));
        - 'parametric_mish': f(x) = (1 - a) x + a mish(x) with a trained a per unit, see
          `slopes_`; the parameter is where it starts, 1.0 [17]_;
        - 'softplus': f(x) = log(1 + exp(x));
        - 'hard_swish': f(x) = x min(max(x + 3, 0), 6) / 6;
        - 'maxout': the largest of k affine functions of the inputs; parameter k, 2
          [10]_. ``coefs_[i]`` has k columns per unit: all units' first, then all units'
          second, and so on;
        - a name of your own, see `fastmlp.register_activation`.
    solver : {'lbfgs', 'sgd', 'adam', 'adamw', 'rmsprop', 'nadam'}, default='adam'
        How the loss is minimised.

        - 'lbfgs': L-BFGS [3]_, a quasi-Newton method on all rows at once; often the
          best on small data sets;
        - 'sgd': stochastic gradient descent on minibatches;
        - 'adam': Adam [2]_, on minibatches. As in scikit-learn both bias corrections
          are folded into the step size, so that `epsilon` is not corrected;
        - 'adamw': Adam with decoupled weight decay [13]_, see `weight_decay`;
        - 'rmsprop': RMSprop [14]_ with decay `beta_2`, as PyTorch defines it;
        - 'nadam': Adam with Nesterov's momentum [15]_, as PyTorch defines it.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``0.5 * alpha * (sum of squared weights)``, which is
        divided by the sum of sample weights of the minibatch. Biases are not penalised.
    batch_size : int, 'auto' or 'full', default='auto'
        Rows of a minibatch. 'auto' is ``min(200, n_samples)``, 'full' is all rows. Not
        used by 'lbfgs'.
    learning_rate : str or callable, default='constant'
        Schedule of the learning rate. 'invscaling' and 'adaptive' are for `solver`
        'sgd' only, as in scikit-learn; 'lbfgs' has no learning rate. A whole training,
        to which three of them fit, is `max_iter` epochs; `partial_fit` goes on where
        the schedule was, one epoch with each call. A plateau ends training early
        whatever the schedule: ``n_iter_no_change=np.inf`` lets it run to its end.

        - 'constant': `learning_rate_init` throughout;
        - 'invscaling': after each epoch
          ``learning_rate_init / (t_ + 1) ** power_t``;
        - 'adaptive': where training would stop for want of improvement the rate is
          divided by 5 instead, until it is below 1e-6;
        - 'cosine': from step to step along half a cosine from `learning_rate_init` to
          `eta_min`, over a whole training;
        - 'cosine_restarts': the same over `T_0` epochs, then again from the start over
          `T_mult` times as many, and so on [11]_;
        - 'one_cycle': from step to step up from ``learning_rate_init / 25`` to
          `learning_rate_init` in the first 30 % of a whole training, then down to
          ``learning_rate_init / 250000``, both along half a cosine [12]_;
        - 'step': times `gamma` after every `step_size` epochs;
        - 'exponential': times `gamma` after every epoch;
        - a callable: before each step it gets the share of a whole training that is
          over, a float in [0, 1], and returns a factor of `learning_rate_init`.
    learning_rate_init : float, default=0.001
        Initial learning rate of 'sgd', step size of the other solvers on minibatches;
        the highest one of 'one_cycle'.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Most epochs (passes over the data), or most iterations of 'lbfgs'.
    shuffle : bool, default=True
        Shuffle the rows before each epoch. Not used by 'lbfgs'.
    random_state : int, RandomState instance or None, default=None
        Decides the initial weights, the rows held out by `early_stopping`, the order of
        rows, and the random numbers of `dropout` and `input_noise`. The same integer
        gives the same model for any `n_threads`.
    tol : float, default=1e-4
        Training has improved if the loss falls, or with `early_stopping` the
        validation score rises, by at least `tol`. For 'lbfgs', the largest element of
        the gradient at which it stops.
    verbose : bool or int, default=False
        Print progress.
    warm_start : bool, default=False
        Let `fit` start from the weights of the previous call. The optimizer starts
        anew.
    momentum : float, default=0.9
        Momentum of 'sgd', in [0, 1].
    nesterovs_momentum : bool, default=True
        Use Nesterov's momentum.
    early_stopping : bool, default=False
        Hold out a share of the rows and let the score on it, see `scoring`, decide when
        to stop and which epoch's weights are kept. With `X_val` in `fit` no rows are
        held out. Not used by 'lbfgs'.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out, in [0, 1).
    beta_1 : float, default=0.9
        Decay of Adam's average of the gradient, in [0, 1); also of 'adamw' and 'nadam'.
    beta_2 : float, default=0.999
        Decay of Adam's average of the gradient's square, in [0, 1); also of 'adamw',
        'nadam' and 'rmsprop'.
    epsilon : float, default=1e-8
        Added to the denominator of their steps.
    n_iter_no_change : int or np.inf, default=10
        Epochs without improvement that are tolerated. Not used by 'lbfgs'.
    max_fun : int, default=15000
        Most evaluations of the loss by 'lbfgs'.
    dtype : {'float32', 'float64', 'bfloat16'}, numpy dtype or None, default=None
        Type of the weights and of the computation, in any form that `np.dtype` reads as
        float32 or float64. None follows X, as scikit-learn does: float32 for float32,
        float64 for everything else and for 'lbfgs'. 'bfloat16' is 'float32' but that
        `fit` and `partial_fit` round the operands of products to bfloat16: wide layers
        train in a fraction of the time, on CPUs that have such products. It is not for
        'lbfgs'.
    n_threads : int or None, default=None
        Threads that train and predict. -1: as many as the cores this process may use;
        None: the size of the job decides, too. Where several calls run at once in one
        process they share the cores, and may take fewer. The results do not depend on
        it.
    out_activation : {'identity', 'logistic', 'exp'} or None, default=None
        Activation of the output layer. None takes the one that belongs to `loss`.
        'logistic' with `loss` 'squared_error' keeps predictions of y in [0, 1] there;
        the loss is then half the sum of squares over the outputs, with its own
        derivative. Other pairs raise a ValueError.
    init : str or pair of lists of arrays, default='glorot_uniform'
        How the weights of a layer from n to m units are drawn: uniform in [-b, b] or
        normal with mean 0 and standard deviation s. Biases are zero except for the
        default.

        - 'glorot_uniform': b = sqrt(6 / (n + m)), with `activation` 'logistic'
          sqrt(2 / (n + m)), and biases from the same range, as in scikit-learn [1]_;
        - 'glorot_normal': s = sqrt(2 / (n + m)), for 'tanh';
        - 'glorot_sigmoid_uniform', 'glorot_sigmoid_normal': 4 times
          b = sqrt(6 / (n + m)) or s = sqrt(2 / (n + m)), for 'logistic';
        - 'he_uniform', 'he_normal': b = sqrt(6 / n) or s = sqrt(2 / n), for 'relu'
          [6]_;
        - 'he_average_uniform', 'he_average_normal': sqrt(2) times
          b = sqrt(6 / (n + m)) or s = sqrt(2 / (n + m));
        - 'lecun_uniform', 'lecun_normal': b = sqrt(3 / n) or s = sqrt(1 / n), for
          'identity';
        - 'normal': s = 1, to be given as `init_scale`;
        - ``(coefs, intercepts)``: lists of arrays in the shapes of `coefs_` and
          `intercepts_`, of which the network starts with a copy.
    init_scale : float, default=1.0
        Factor of drawn weights, at least 0; the biases are left alone.
    T_0 : int or None, default=None
        Epochs of the first cycle of 'cosine_restarts'. None: 10.
    T_mult : int or None, default=None
        How many times as long as the last each next cycle is. None: 1.
    eta_min : float or None, default=None
        Lowest learning rate of 'cosine' and 'cosine_restarts', at most
        `learning_rate_init`. None: 0.
    step_size : int or None, default=None
        Epochs between two steps of 'step'. None: 10.
    gamma : float or None, default=None
        Factor of 'step' and 'exponential'. None: 0.1 and 0.95.
    scoring : str, callable or None, default=None
        The score by which `early_stopping` judges an epoch. 'loss': minus the loss on
        the validation rows. None: the estimator's `score`; but the same as 'loss' where
        `loss` is 'absolute_error', 'huber', 'gamma' or 'quantile' with one level, whose
        best epoch R² does not find. Otherwise the name of a scorer of scikit-learn or
        ``scoring(estimator, X, y)``, which returns a number, the larger the better.
        A scorer that takes weights gets `sample_weight_val` and no others; R² and the
        loss also count `sample_weight`.
    validation_ties : {'first', 'last'}, default='first'
        Which of several epochs with the best validation score leaves its weights.
    l1 : float, default=0.0
        Strength of the L1 penalty ``l1 * (sum of absolute weights)``, scaled as `alpha`
        is and part of the loss. Its slope at a weight of 0 is 0. Biases are not
        penalised.
    weight_decay : float or None, default=None
        Share of itself, times the learning rate, that each weight loses in a step,
        apart from the gradient [13]_; biases do not decay. None is 0.01 for 'adamw' and
        0 for the others. Not for 'lbfgs'.
    dropout : float, array-like of shape (n_hidden_layers + 1,) or None, default=None
        Probability in [0, 1) with which each output of a hidden layer is set to 0 in
        training [16]_, a new choice for each row of each minibatch; the others are
        divided by ``1 - dropout``. An array has the rate of the inputs, then that of
        each hidden layer. Prediction and validation drop nothing. Not for 'lbfgs'.
    max_norm : float or None, default=None
        After each update the incoming weights of every unit, of the hidden layers and
        of the output alike, and of each piece of 'maxout', are scaled down to this L2
        norm where theirs is larger [16]_; biases are left out. Not for 'lbfgs'.
    clip_norm : float or None, default=None
        The gradient of a minibatch, in all weights, biases and slopes and with the
        penalties `alpha` and `l1`, is scaled down to this L2 norm where its own is
        larger. Not for 'lbfgs'.
    input_noise : float, default=0.0
        Standard deviation of the normal noise that is added to X in training, anew for
        each row of each minibatch, before the dropout of inputs. Not for 'lbfgs'.

    Attributes
    ----------
    loss_ : float
        The loss of the last epoch, or the minimum that 'lbfgs' found.
    best_loss_ : float or None
        The smallest loss of an epoch; None with `early_stopping`. Like the next five,
        not set by 'lbfgs'.
    loss_curve_ : list of float
        The loss of each epoch: the average over its minibatches, penalty included.
    lr_curve_ : list of float
        The learning rate of the first step of each epoch, for 'adam' before its bias
        correction.
    validation_loss_curve_ : list of float or None
        The loss on the validation rows after each epoch, without penalty; None without
        any.
    validation_scores_ : list of float or None
        The score on the validation rows after each epoch, see `scoring`; None without
        `early_stopping`.
    best_validation_score_ : float or None
        The best of them.
    t_ : int
        Rows trained on so far, counted with repetition.
    coefs_ : list of (fan_in, fan_out) ndarrays
        Weights of each layer. Like `intercepts_` they may be changed or set.
    intercepts_ : list of (fan_out,) ndarrays
        Biases of each layer.
    slopes_ : list of (n_units,) ndarrays or None
        The trained slopes of 'prelu', factors of 'scale' or shares of
        'parametric_mish' of each hidden layer, one per unit; None for other
        activations. They are not penalised, and may be changed or set.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features; only if X had names that are all strings.
    n_iter_ : int
        Epochs, or iterations, of the last call.
    n_layers_ : int
        Number of layers, input and output included.
    n_outputs_ : int
        Number of outputs of the network.
    out_activation_ : str
        Activation of the output layer: 'identity', 'exp' for `loss` 'poisson' and
        'gamma', 'logistic' for 'log_loss' or if `out_activation` says so.
    quantiles_ : ndarray of shape (n_levels,)
        The levels of `loss` 'quantile'; only this loss sets them.

    See Also
    --------
    MLPClassifier : The same for classification.

    Notes
    -----
    With k > 1 outputs the reported squared error is a mean over them while the steps
    follow the gradient of their sum, k times as long: scikit-learn's convention, kept
    for the same numbers. The other losses report the sum.

    Outputs for several quantiles are sorted in each row when they are predicted, so
    that a higher level never has the lower value.

    If parameters become infinite or NaN in some epoch, or the loss NaN, training ends
    there. With `early_stopping` the weights of the best epoch so far are kept and a
    ConvergenceWarning is given; otherwise `fit` raises a ValueError.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
       feedforward neural networks", AISTATS 2010: the initial weights.
    .. [2] D. P. Kingma and J. Ba, "Adam: A method for stochastic optimization", 2014,
       https://arxiv.org/abs/1412.6980
    .. [3] C. Zhu, R. H. Byrd, P. Lu and J. Nocedal, "Algorithm 778: L-BFGS-B", ACM
       Transactions on Mathematical Software 23(4), 1997.
    .. [4] P. J. Huber, "Robust estimation of a location parameter", Annals of
       Mathematical Statistics 35(1), 1964.
    .. [5] R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46(1), 1978.
    .. [6] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV
       2015, https://arxiv.org/abs/1502.01852
    .. [7] D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep
       network learning by exponential linear units", ICLR 2016.
    .. [8] G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, "Self-normalizing
       neural networks", NeurIPS 2017.
    .. [9] D. Hendrycks and K. Gimpel, "Gaussian error linear units", 2016,
       https://arxiv.org/abs/1606.08415
    .. [10] I. J. Goodfellow, D. Warde-Farley, M. Mirza, A. Courville and Y. Bengio,
       "Maxout networks", ICML 2013.
    .. [11] I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm
       restarts", ICLR 2017, https://arxiv.org/abs/1608.03983
    .. [12] L. N. Smith and N. Topin, "Super-convergence: Very fast training of neural
       networks using large learning rates", 2018, https://arxiv.org/abs/1708.07120
    .. [13] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR
       2019, https://arxiv.org/abs/1711.05101
    .. [14] T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Coursera: Neural networks
       for machine learning, 2012.
    .. [15] T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop, 2016.
    .. [16] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov,
       "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15,
       2014. Its random numbers are those of J. K. Salmon, M. A. Moraes, R. O. Dror and
       D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    .. [17] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: Strong
       pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024,
       arXiv:2407.04491.

    Examples
    --------
    >>> from fastmlp import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    >>> regr = MLPRegressor(random_state=1, max_iter=2000, tol=0.1)
    >>> regr.fit(X_train, y_train)
    MLPRegressor(max_iter=2000, random_state=1, tol=0.1)
    >>> regr.score(X_test, y_test) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict] = constraints_of(OF_REGRESSORS)

    @hints(**MLP_HINTS)
    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        dtype=None,
        n_threads=None,
        out_activation=None,
        init="glorot_uniform",
        init_scale=1.0,
        T_0=None,
        T_mult=None,
        eta_min=None,
        step_size=None,
        gamma=None,
        scoring=None,
        validation_ties="first",
        l1=0.0,
        weight_decay=None,
        dropout=None,
        max_norm=None,
        clip_norm=None,
        input_noise=0.0,
    ):
        self._set_parameters(locals())

    @available_if(check_solver)
    # Not preferred: `check_changed` validates parameters set between two calls.
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch on the given rows, starting where training was.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, at least 0 and not all 0. None: all 1.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        AttributeError
            If `solver` is 'lbfgs'.
        ValueError
            If the input is not valid, `early_stopping` is set, or the
            parameters of the network become infinite or NaN. An earlier fit stays as
            it was.

        Warns
        -----
        UserWarning
            In the first call after the end of a schedule whose last rate is 0, as that
            of 'cosine': this call and all later ones change nothing.
        """
        self._learn_more(Given(X, y, sample_weight), self._goal)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions, one-dimensional for one output. With several quantiles
            (n_samples, n_levels), none below the one before it.
        """
        outputs = self._outputs(X)
        if has_several_quantiles(self):
            outputs.sort(axis=1)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def _goal(self, y: Any, incremental: bool = False) -> Numbers:
        return Numbers(pair_regression(self.loss, self.out_activation))
