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
    solver : {'lbfgs', 'sgd', 'adam', 'adamw', 'rmsprop', 'nadam'}, default='adam'
        How the loss is minimised.

        - 'lbfgs': L-BFGS, a quasi-Newton method on all rows at once; often the best
          on small data sets;
        - 'sgd': stochastic gradient descent on minibatches;
        - 'adam': Adam [2]_, on minibatches. As in scikit-learn both bias corrections
          are folded into the step size, so that `epsilon` is not corrected;
        - 'adamw': Adam with decoupled weight decay [4]_, see `weight_decay`;
        - 'rmsprop': RMSprop [5]_ with decay `beta_2`, as PyTorch defines it;
        - 'nadam': Adam with Nesterov's momentum [6]_, as PyTorch defines it.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``0.5 * alpha * (sum of squared weights)``, which is
        divided by the sum of sample weights of the minibatch. Biases are not penalised.
    batch_size : int or 'auto', default='auto'
        Rows of a minibatch. 'auto' is ``min(200, n_samples)``. Not used by 'lbfgs'.
    learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
        Schedule of the learning rate, for `solver` 'sgd' only.

        - 'constant': `learning_rate_init` throughout;
        - 'invscaling': after each epoch
          ``learning_rate_init / (t_ + 1) ** power_t``;
        - 'adaptive': where training would stop for want of improvement the rate is
          divided by 5 instead, until it is below 1e-6.
    learning_rate_init : float, default=0.001
        Initial learning rate of 'sgd', step size of the other solvers on minibatches.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Most epochs (passes over the data), or most iterations of 'lbfgs'.
    shuffle : bool, default=True
        Whether rows are shuffled before each epoch of 'sgd' and 'adam'.
    random_state : int, RandomState instance or None, default=None
        Decides the initial weights, the rows held out by `early_stopping`, the order of
        rows, and what `dropout` and `input_noise` draw. The same integer gives the same
        model whatever `n_threads`.
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
        Whether a share of the rows is held out and R² on it decides when to stop
        and which epoch's weights are kept. Not used by 'lbfgs'.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out, in [0, 1).
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of Adam's averages of the gradient and of its square, in [0, 1); also of
        'adamw' and 'nadam', and `beta_2` of 'rmsprop'.
    epsilon : float, default=1e-8
        Added to the denominator of their steps.
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
    l1 : float, default=0.0
        Strength of the L1 penalty ``l1 * (sum of absolute weights)``, scaled as `alpha`
        is and part of the loss. Its slope at a weight of 0 is 0. Biases are not
        penalised.
    weight_decay : float or None, default=None
        Share of itself, times the learning rate, that each weight loses in a step,
        apart from the gradient [4]_; biases do not decay. None is 0.01 for 'adamw' and
        0 for the others. Not for 'lbfgs'.
    dropout : float, array-like of shape (n_hidden_layers + 1,) or None, default=None
        Probability in [0, 1) with which each output of a hidden layer is set to 0 in
        training [7]_, a new choice for each row of each minibatch; what is kept is
        divided by ``1 - dropout``. An array has the rate of the inputs, then that of
        each hidden layer. Prediction and validation drop nothing. Not for 'lbfgs'.
    max_norm : float or None, default=None
        After each update the incoming weights of every unit, of the hidden layers and
        of the output alike, are scaled down to this L2 norm where theirs is larger
        [7]_; biases are left out. Not for 'lbfgs'.
    clip_norm : float or None, default=None
        The gradient of a minibatch, of all weights and biases and with the penalties
        `alpha` and `l1`, is scaled down to this L2 norm where its own is larger. Not
        for 'lbfgs'.
    input_noise : float, default=0.0
        Standard deviation of the normal noise that is added to X in training, anew for
        each row of each minibatch, before the dropout of inputs. Not for 'lbfgs'.

    Attributes
    ----------
    loss_ : float
        The loss of the last epoch, or the minimum that 'lbfgs' found.
    best_loss_ : float or None
        The smallest loss of an epoch; None with `early_stopping`. Like the next three,
        only set by 'sgd' and 'adam'.
    loss_curve_ : list of float
        The loss of each epoch: the average over its minibatches, penalty included.
    validation_scores_ : list of float or None
        R² on the validation rows after each epoch; None without `early_stopping`.
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
    .. [4] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR
       2019, https://arxiv.org/abs/1711.05101
    .. [5] T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Coursera: Neural networks
       for machine learning, 2012.
    .. [6] T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop, 2016.
    .. [7] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov,
       "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15,
       2014. Its random numbers are those of J. K. Salmon, M. A. Moraes, R. O. Dror and
       D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

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
        l1=0.0,
        weight_decay=None,
        dropout=None,
        max_norm=None,
        clip_norm=None,
        input_noise=0.0,
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
