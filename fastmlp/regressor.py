"""Regression."""

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from fastmlp._base import BaseMLP, Target, unchanged_on_error

# Output activation of each loss: the one that makes their gradient output - target.
OUT_ACTIVATIONS = {"squared_error": "identity", "poisson": "exp"}


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron for regression.

    Minimises the squared error or the Poisson deviance of a chain of fully connected
    layers by stochastic gradient descent or L-BFGS. It takes the place of
    `sklearn.neural_network.MLPRegressor`: with the same `random_state` it gives the
    same model up to rounding.

    Parameters
    ----------
    loss : {'squared_error', 'poisson'}, default='squared_error'
        The loss: half the squared error, or half the Poisson deviance. 'poisson' has
        the exponential as output activation and requires ``y >= 0``.
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer, from the input to the output. ``()`` has no hidden
        layer: linear regression.
    activation : {'identity', 'logistic', 'tanh', 'relu'}, default='relu'
        Activation of the hidden layers.

        - 'identity': f(x) = x, a linear bottleneck;
        - 'logistic': f(x) = 1 / (1 + exp(-x));
        - 'tanh': f(x) = tanh(x);
        - 'relu': f(x) = max(0, x).
    solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
        How the loss is minimised.

        - 'lbfgs': L-BFGS, a quasi-Newton method on all rows at once; often the best
          on small data sets;
        - 'sgd': stochastic gradient descent on minibatches;
        - 'adam': Adam [2]_, on minibatches.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``0.5 * alpha * (sum of squared weights)``, which is
        divided by the sum of sample weights of the minibatch. Biases are not penalised.
    batch_size : int, 'auto' or 'full', default='auto'
        Rows of a minibatch. 'auto' is ``min(200, n_samples)``, 'full' is all rows. Not
        used by 'lbfgs'.
    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine', \
            'cosine_restarts', 'one_cycle', 'step', 'exponential'} or callable, \
            default='constant'
        Schedule of the learning rate. The second and the third are for `solver` 'sgd'
        only, as in scikit-learn; 'lbfgs' has no learning rate. A whole training, to
        which three of them fit, is `max_iter` epochs; `partial_fit` goes on where the
        schedule was, one epoch with each call. A plateau ends training early whatever
        the schedule: ``n_iter_no_change=np.inf`` lets it run to its end.

        - 'constant': `learning_rate_init` throughout;
        - 'invscaling': after each epoch
          ``learning_rate_init / (t_ + 1) ** power_t``;
        - 'adaptive': where training would stop for want of improvement the rate is
          divided by 5 instead, until it is below 1e-6;
        - 'cosine': from step to step along half a cosine from `learning_rate_init` to
          `eta_min`, over a whole training;
        - 'cosine_restarts': the same over `T_0` epochs, then again from the start over
          `T_mult` times as many, and so on [4]_;
        - 'one_cycle': from step to step up from ``learning_rate_init / 25`` to
          `learning_rate_init` in the first 30 % of a whole training, then down to
          ``learning_rate_init / 250000``, both along half a cosine [5]_;
        - 'step': times `gamma` after every `step_size` epochs;
        - 'exponential': times `gamma` after every epoch;
        - a callable: `learning_rate_init` times what it returns for the share of a
          whole training that is over, a float in [0, 1], before each step.
    learning_rate_init : float, default=0.001
        Initial learning rate of 'sgd', step size of 'adam'; the highest one of
        'one_cycle'.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Most epochs (passes over the data), or most iterations of 'lbfgs'.
    shuffle : bool, default=True
        Whether rows are shuffled before each epoch of 'sgd' and 'adam'.
    random_state : int, RandomState instance or None, default=None
        Decides the initial weights, the rows held out by `early_stopping`, and the
        order of rows. The same integer gives the same model whatever `n_threads`.
    tol : float, default=1e-4
        Training has improved if the loss falls, or with `early_stopping` the
        validation score rises, by at least `tol`. For 'lbfgs', the largest element of
        the gradient at which it stops.
    verbose : bool or int, default=False
        Whether progress is printed.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the previous call. The optimizer
        starts anew.
    momentum : float, default=0.9
        Momentum of 'sgd', in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether the momentum is Nesterov's.
    early_stopping : bool, default=False
        Whether a share of the rows is held out and R² on it, or `scoring`, decides
        when to stop and which epoch's weights are kept. With `X_val` in `fit` nothing
        is held out. Not used by 'lbfgs'.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out, in [0, 1).
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of Adam's averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator of Adam's step.
    n_iter_no_change : int or np.inf, default=10
        Epochs without improvement that are tolerated before 'sgd' or 'adam' stops.
    max_fun : int, default=15000
        Most evaluations of the loss by 'lbfgs'.
    dtype : {'float32', 'float64'} or None, default=None
        Type of the weights and of the computation. None follows X, as scikit-learn
        does: float32 for float32, float64 for everything else and for 'lbfgs'.
    n_threads : int or None, default=None
        Threads that train and predict. None chooses by the size of the job and the
        cores this process may use. The results do not depend on it.
    init : str, default='glorot_uniform'
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
        - 'normal': s = 1, to be given as `init_scale`.
    init_scale : float, default=1.0
        Factor of the drawn weights, at least 0; the biases are left alone.
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
        What `early_stopping` judges an epoch by. None: the R²; 'loss': minus the
        loss on the validation rows; otherwise the name of a scorer of scikit-learn or
        ``scoring(estimator, X, y)``, which returns a number, the larger the better.
        Sample weights are passed on to what takes `sample_weight`.
    validation_ties : {'first', 'last'}, default='first'
        Which of several epochs with the best validation score leaves its weights.

    Attributes
    ----------
    loss_ : float
        The loss of the last epoch, or the minimum that 'lbfgs' found.
    best_loss_ : float or None
        The smallest loss of an epoch; None with `early_stopping`. Like the next five,
        only set by 'sgd' and 'adam'.
    loss_curve_ : list of float
        The loss of each epoch: the average over its minibatches, penalty included.
    lr_curve_ : list of float
        The learning rate of the first step of each epoch, for 'adam' before its bias
        correction.
    validation_loss_curve_ : list of float or None
        The loss on the validation rows after each epoch, without penalty; None without
        any.
    validation_scores_ : list of float or None
        R² on the validation rows after each epoch, or the score that `scoring` names;
        None without `early_stopping`.
    best_validation_score_ : float or None
        The best of them.
    t_ : int
        Rows trained on so far, counted with repetition.
    coefs_ : list of (fan_in, fan_out) ndarrays
        Weights of each layer. Like `intercepts_` they may be changed or set.
    intercepts_ : list of (fan_out,) ndarrays
        Biases of each layer.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had names that are all strings.
    n_iter_ : int
        Epochs, or iterations, of the last call.
    n_layers_ : int
        Number of layers, input and output included.
    n_outputs_ : int
        Number of outputs of the network.
    out_activation_ : str
        Activation of the output layer: 'identity', or 'exp' for
        `loss` 'poisson'.

    See Also
    --------
    MLPClassifier : The same for classification.

    Notes
    -----
    With k > 1 outputs the reported squared error is a mean over them while the steps
    follow the gradient of their sum, k times as long: scikit-learn's convention, kept
    for the same numbers.

    If the parameters become infinite or NaN in some epoch, training ends there: with
    `early_stopping` the weights of the best epoch so far are kept and a
    ConvergenceWarning is given, otherwise `fit` raises a ValueError.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
       feedforward neural networks", AISTATS 2010: the initial weights.
    .. [2] D. P. Kingma and J. Ba, "Adam: A method for stochastic optimization", 2014,
       https://arxiv.org/abs/1412.6980
    .. [3] C. Zhu, R. H. Byrd, P. Lu and J. Nocedal, "Algorithm 778: L-BFGS-B", ACM
       Transactions on Mathematical Software 23(4), 1997.
    .. [4] I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm
       restarts", ICLR 2017, https://arxiv.org/abs/1608.03983
    .. [5] L. N. Smith and N. Topin, "Super-convergence: Very fast training of neural
       networks using large learning rates", 2018, https://arxiv.org/abs/1708.07120
    .. [6] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV
       2015, https://arxiv.org/abs/1502.01852

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

    _parameter_constraints: ClassVar[dict] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(OUT_ACTIVATIONS))],
    }

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
        init="glorot_uniform",
        init_scale=1.0,
        T_0=None,
        T_mult=None,
        eta_min=None,
        step_size=None,
        gamma=None,
        scoring=None,
        validation_ties="first",
    ):
        self._set_parameters(locals())

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
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
            parameters of the network become infinite or NaN. What was fitted before
            stays as it was.
        """
        with unchanged_on_error(self):
            return self._learn(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Predict the targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions, one-dimensional for one output.
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def _score_outputs(self, outputs, values, sample_weight):
        if not np.isfinite(outputs).all():
            return float("nan")
        return r2(values, outputs, sample_weight)

    def _check_target(self, y, incremental):
        if sp.issparse(y):
            raise TypeError("Sparse y is not supported: pass y.toarray().")
        if y.dtype.kind not in "fiub":
            raise TypeError(
                f"y must hold real numbers, got dtype {y.dtype}: convert it, for "
                "instance with y.astype(float)."
            )
        values = y[:, np.newaxis] if y.ndim == 1 else y
        if self.loss == "poisson" and (values < 0).any():
            raise ValueError(
                "Some values of y are negative: loss='poisson' is for counts and rates "
                "y >= 0. Use loss='squared_error', or transform y."
            )
        return Target(values, values.shape[1], OUT_ACTIVATIONS[self.loss])


def r2(values, outputs, sample_weight):
    """Return what `sklearn.metrics.r2_score` does, in float64, without its checks.

    Parameters
    ----------
    values, outputs : (n, k) arrays
    sample_weight : (n,) array or None

    Returns
    -------
    score : float
        The mean over the outputs of 1 - (residual / total sum of squares). An output
        predicted perfectly scores 1, another that is constant in `values` 0.
    """
    values, outputs = values.astype(np.float64), outputs.astype(np.float64)
    weight = 1.0 if sample_weight is None else sample_weight[:, np.newaxis]
    mean = np.average(values, axis=0, weights=sample_weight)
    residual = np.sum(weight * (values - outputs) ** 2, axis=0)
    total = np.sum(weight * (values - mean) ** 2, axis=0)
    scores = np.where(residual == 0, 1.0, 0.0)
    regular = (residual != 0) & (total != 0)
    scores[regular] = 1 - residual[regular] / total[regular]
    return float(np.average(scores))
