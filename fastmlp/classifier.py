"""Classification."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)

from fastmlp._base import BaseMLP, Target, unchanged_on_error


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron for classification.

    Minimises the log-loss of a chain of fully connected layers by stochastic gradient
    descent or L-BFGS. It takes the place of `sklearn.neural_network.MLPClassifier`:
    with the same `random_state` it gives the same model up to rounding.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer, from the input to the output. ``()`` has no hidden
        layer: logistic regression.
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
        Whether `fit` starts from the weights of the previous call, with the same
        classes. The optimizer starts anew.
    momentum : float, default=0.9
        Momentum of 'sgd', in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether the momentum is Nesterov's.
    early_stopping : bool, default=False
        Whether a share of the rows is held out and the accuracy on it decides when to
        stop and which epoch's weights are kept. The split is stratified if there are
        two classes. Not used by 'lbfgs'.
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
    classes_ : ndarray of shape (n_classes,)
        The class labels; for multilabel y the column numbers.
    loss_ : float
        The loss of the last epoch, or the minimum that 'lbfgs' found.
    best_loss_ : float or None
        The smallest loss of an epoch; None with `early_stopping`. Like the next three,
        only set by 'sgd' and 'adam'.
    loss_curve_ : list of float
        The loss of each epoch: the average over its minibatches, penalty included.
    validation_scores_ : list of float or None
        The accuracy on the validation rows after each epoch; None without
        `early_stopping`.
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
        Activation of the output layer: 'logistic' for two classes
        and multilabel y, otherwise 'softmax'.

    See Also
    --------
    MLPRegressor : The same for regression.

    Notes
    -----
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
    >>> from fastmlp import MLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(
    ...     X / 16, y, stratify=y, random_state=0
    ... )
    >>> clf = MLPClassifier(random_state=0, solver="lbfgs").fit(X_train, y_train)
    >>> clf.predict(X_test[:5])
    array([2, 0, 4, 9, 4])
    >>> clf.score(X_test, y_test) > 0.95
    True
    """

    loss = "log_loss"

    def __init__(
        self,
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
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on the given rows, starting where training was.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or a 0/1 matrix for multilabel classification.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, at least 0 and not all 0. None: all 1.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever occur in y; needed in the first call unless
            `fit` was called before.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        AttributeError
            If `solver` is 'lbfgs'.
        ValueError
            If the input is not valid, y has labels not in `classes_`,
            `early_stopping` is set, or the parameters of the network become infinite
            or NaN. What was fitted before stays as it was.
        """
        with unchanged_on_error(self):
            if _check_partial_fit_first_call(self, classes):
                multilabel = type_of_target(y).startswith("multilabel")
                self._label_binarizer = LabelBinarizer().fit(
                    y if multilabel else classes
                )
            return self._learn(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The most probable class; for multilabel y a 0/1 matrix of the labels with a
            probability above 0.5, sparse if the y of `fit` was.
        """
        outputs = self._outputs(X)
        if self._label_binarizer.y_type_.startswith("multilabel"):
            return self._label_binarizer.inverse_transform(outputs)
        return self.classes_[self._chosen(outputs)]

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`. For multilabel y each is the
            probability of one label, and rows need not add up to 1.
        """
        p = self._outputs(X)
        if p.shape[1] == 1:
            return np.hstack([1 - p, p])
        return p

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``; -inf where that is 0.
        """
        p = self.predict_proba(X)
        return np.log(p, out=p)

    def _chosen(self, outputs):
        """Return the class index per row; for multilabel y whether each label is on."""
        if outputs.shape[1] > 1:
            if self._label_binarizer.y_type_ == "multiclass":
                return outputs.argmax(axis=1)
            return outputs > 0.5
        if len(self.classes_) == 1:
            return np.zeros(len(outputs), dtype=int)
        return (outputs[:, 0] > 0.5).astype(int)

    def _score_outputs(self, outputs, values, sample_weight):
        chosen = self._chosen(outputs)
        if chosen.ndim == 1:
            correct = chosen == values[:, 0]
        else:
            correct = (chosen == values).all(axis=1)
        return float(np.average(correct, weights=sample_weight))

    def _stratify(self, target):
        if target.n_outputs > 1:
            return None
        labels = target.values[:, 0] != 0
        if np.bincount(labels, minlength=2).min() == 1:
            # Only to be refused by scikit-learn in its own words, which name strings.
            return labels.astype(str)
        return labels

    def _check_target(self, y, incremental):
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_labels(y)
        return self._encode(y)

    def _check_labels(self, y):
        """Raise ValueError if the labels are not those of the earlier calls."""
        labels = unique_labels(y)
        if self.warm_start:
            if set(labels) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same "
                    "classes as in the previous call to fit. Previously "
                    f"got {self.classes_}, `y` has {labels}"
                )
        elif len(np.setdiff1d(labels, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {labels}."
            )

    def _encode(self, y):
        """Return the `Target` of labels that are all known.

        Class indices rather than one column per class: a tenth of the memory for ten
        classes.
        """
        classes, kind = self.classes_, self._label_binarizer.y_type_
        if y.ndim == 2:
            if not kind.startswith("multilabel"):
                raise ValueError("The object was not fitted with multilabel input.")
            if y.shape[1] != len(classes):
                raise ValueError(
                    f"classes {classes} mismatch with the labels {unique_labels(y)} "
                    "found in the data"
                )
            y = y.toarray() if sp.issparse(y) else y
            return Target(y != 0, len(classes), "logistic")
        if kind.startswith("multilabel"):
            return Target(y[:, np.newaxis] == classes, len(classes), "logistic")
        indices = np.searchsorted(classes, y)[:, np.newaxis]
        if kind == "multiclass":
            return Target(indices, len(classes), "softmax")
        return Target(indices, 1, "logistic")

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: multilabel y is accepted."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
