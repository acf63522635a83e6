"""Plain NumPy references for the kernels: a multi-layer perceptron in the textbook way.

Nothing of fastmlp is imported here. Every function takes and returns arrays of one
dtype and leaves its arguments unchanged. Throughout, `coefs` and `intercepts` are lists
of the layers' weights `(fan_in, fan_out)` and biases `(fan_out,)`; targets `y` are
`(n, k)`: k columns for identity, exp and logistic outputs, and one column of class
indices for softmax outputs. `activation` is a name, (name, parameter), or a list with
one of these per hidden layer; `slopes` has one array per hidden layer, None for those
that train none.

The conventions are scikit-learn's (`sklearn/neural_network/_multilayer_perceptron.py`):
the penalty is divided by the sum of weights of the minibatch, the reported squared
error is a mean over the outputs while its gradient is a sum, and probabilities are
clipped to [eps, 1 - eps] in the reported log-loss.

In reading order: `forward`, `sample_losses`, `loss`, `backward`, the optimizer steps,
`train_epoch`, and the packing of parameters into one flat vector. The classes at the
end wear the interface of `fastmlp.kernels` over these functions.
"""

import itertools

import numpy as np
import scipy.sparse as sp
from scipy.special import erfcx, expit, softmax, xlogy

_SELU_ALPHA, _SELU_LAMBDA = 1.6732632423543772, 1.0507009873554805


def _bounded(z):
    """Return z within +-1e3, beyond which its factor is 0: 0 * inf would be NaN."""
    return np.clip(z, -1e3, 1e3)


def _elu(z, alpha=1.0):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def _leaky_relu(z, alpha=0.01):
    return np.where(z > 0, z, alpha * np.minimum(z, 0))


def _normal_exponential(z):
    """Return exp(-z**2 / 2) without rounding z**2, which would show where it is big."""
    x = np.minimum(np.abs(z), 40)
    high = x.astype(np.float32).astype(x.dtype)
    return np.exp(-0.5 * high**2) * np.exp(-0.5 * (x - high) * (x + high))


def _normal_cdf(z):
    tail = 0.5 * erfcx(np.abs(z) / np.sqrt(2)) * _normal_exponential(z)
    return np.where(z > 0, 1 - tail, tail)


def _mish_derivative(z):
    t = np.tanh(np.logaddexp(0, z))
    return t + _bounded(z) * (1 - t**2) * expit(z)


def _maxout(z, pieces=2):
    return np.stack(np.split(z, pieces, axis=-1)).max(axis=0)


# Values at z, or at z and the parameter.
ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": _leaky_relu,
    "prelu": lambda z, alpha=0.25: _leaky_relu(z, alpha),
    "elu": _elu,
    "selu": lambda z: _SELU_LAMBDA * _elu(z, _SELU_ALPHA),
    "silu": lambda z: np.maximum(z, -1e3) * expit(z),
    "swish": lambda z: np.maximum(z, -1e3) * expit(z),
    "gelu": lambda z: np.maximum(z, -1e3) * _normal_cdf(z),
    "mish": lambda z: np.maximum(z, -1e3) * np.tanh(np.logaddexp(0, z)),
    "softplus": lambda z: np.logaddexp(0, z),
    "hard_swish": lambda z: np.maximum(z, -3) * (np.clip(z + 3, 0, 6) / 6),
    "maxout": _maxout,
    "exp": np.exp,
    "softmax": lambda z: softmax(z, axis=1),
}

# Each hidden activation's derivative in z, from z and the output a, where it is
# elementwise.
DERIVATIVES = {
    "identity": lambda z, a: np.ones_like(a),
    "logistic": lambda z, a: a * (1 - a),
    "tanh": lambda z, a: 1 - a**2,
    "relu": lambda z, a: (a > 0).astype(a.dtype),
    "leaky_relu": lambda z, a, alpha=0.01: np.where(z > 0, 1, alpha),
    "prelu": lambda z, a, alpha=0.25: np.where(z > 0, 1, alpha),
    "elu": lambda z, a, alpha=1.0: np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0))),
    "selu": lambda z, a: (
        _SELU_LAMBDA * np.where(z > 0, 1, _SELU_ALPHA * np.exp(np.minimum(z, 0)))
    ),
    "silu": lambda z, a: expit(z) * (1 + _bounded(z) * expit(-z)),
    "swish": lambda z, a: expit(z) * (1 + _bounded(z) * expit(-z)),
    "gelu": lambda z, a: (
        _normal_cdf(z) + _bounded(z) * _normal_exponential(z) / np.sqrt(2 * np.pi)
    ),
    "mish": lambda z, a: _mish_derivative(z),
    "softplus": lambda z, a: expit(z),
    "hard_swish": lambda z, a: np.where(z <= -3, 0, np.where(z >= 3, 1, z / 3 + 0.5)),
}


def per_layer(activation, n_hidden):
    """Return (name, parameters) of each hidden layer; parameters is a tuple."""
    single = isinstance(activation, str) or (
        isinstance(activation, tuple)
        and len(activation) == 2
        and not isinstance(activation[1], str | tuple)
    )
    entries = [activation] * n_hidden if single else activation
    return [(e, ()) if isinstance(e, str) else (e[0], e[1:]) for e in entries]


def pieces(activation, n_hidden):
    """Return the affine pieces per unit of each layer, the output layer's 1."""
    settings = per_layer(activation, n_hidden)
    counts = [(*p, 2)[0] if name == "maxout" else 1 for name, p in settings]
    return [*counts, 1]


def forward(X, coefs, intercepts, activation, out_activation, slopes=None):
    """Return the outputs of all layers, the input first."""
    layers = [X]
    settings = [*per_layer(activation, len(coefs) - 1), (out_activation, ())]
    for i, (name, parameters) in enumerate(settings):
        if name == "prelu" and slopes is not None:
            parameters = (slopes[i],)
        z = layers[-1] @ coefs[i] + intercepts[i]
        layers.append(ACTIVATIONS[name](z, *parameters))
    return layers


def activation_backward(delta, z, a, name, parameters, slope=None):
    """Return the gradients in z and in the slopes, from the one in a."""
    if name == "maxout":
        shape = (*delta.shape[:-1], -1, delta.shape[-1])
        winner = z.reshape(shape).argmax(axis=-2, keepdims=True)
        routed = np.zeros_like(z).reshape(shape)
        np.put_along_axis(routed, winner, delta[..., None, :], axis=-2)
        return routed.reshape(z.shape), None
    if slope is None:
        return delta * DERIVATIVES[name](z, a, *parameters), None
    slope_gradient = (delta * np.minimum(z, 0)).sum(axis=0)
    return delta * DERIVATIVES[name](z, a, slope), slope_gradient


def target_matrix(y, out_activation, n_outputs):
    """Return the targets in the shape of the outputs: one-hot for softmax."""
    if out_activation == "softmax":
        return np.eye(n_outputs, dtype=y.dtype)[y[:, 0].astype(int)]
    return y


def sample_losses(y, output, loss, out_activation):
    """Return the loss of each row, summed over outputs (squared error: averaged)."""
    y = target_matrix(y, out_activation, output.shape[1])
    if loss == "squared_error":
        return 0.5 * ((y - output) ** 2).mean(axis=1)
    if loss == "poisson":
        return (xlogy(y, y / output) - y + output).sum(axis=1)
    eps = np.finfo(output.dtype).eps
    p = np.clip(output, eps, 1 - eps)
    if out_activation == "softmax":
        return -xlogy(y, p).sum(axis=1)
    return -(xlogy(y, p) + xlogy(1 - y, 1 - p)).sum(axis=1)


def penalty(coefs, alpha):
    """Return 0.5 * alpha * (sum of squared weights, biases left out)."""
    return 0.5 * alpha * sum(np.vdot(W, W) for W in coefs)


def loss(y, output, coefs, alpha, loss, out_activation, sample_weight=None):
    """Return the weighted mean loss, plus the penalty over the sum of weights."""
    weight = np.ones(len(y), output.dtype) if sample_weight is None else sample_weight
    losses = sample_losses(y, output, loss, out_activation)
    return (np.dot(weight, losses) + penalty(coefs, alpha)) / weight.sum()


def backward(
    layers, y, coefs, intercepts, alpha, activation, out_activation,
    sample_weight=None, slopes=None,
):  # fmt: skip
    """Return the gradients of the loss in coefs, intercepts and slopes, three lists.

    Every loss here is the canonical one of its output activation: its derivative in
    the raw score is output - target. For k-output squared error that is k times the
    derivative of `loss`.
    """
    output = layers[-1]
    weight = np.ones(len(y), output.dtype) if sample_weight is None else sample_weight
    delta = output - target_matrix(y, out_activation, output.shape[1])
    delta = delta * weight[:, None]
    settings = per_layer(activation, len(coefs) - 1)
    slopes = slopes or [None] * len(settings)
    coef_grads, intercept_grads, slope_grads = [], [], []
    for i in range(len(coefs) - 1, -1, -1):
        coef_grads.insert(0, (layers[i].T @ delta + alpha * coefs[i]) / weight.sum())
        intercept_grads.insert(0, delta.sum(axis=0) / weight.sum())
        if i > 0:
            z = layers[i - 1] @ coefs[i - 1] + intercepts[i - 1]
            delta, slope_grad = activation_backward(
                delta @ coefs[i].T, z, layers[i], *settings[i - 1], slopes[i - 1]
            )
            if slope_grad is not None:
                slope_grad = slope_grad / weight.sum()
            slope_grads.insert(0, slope_grad)
    return coef_grads, intercept_grads, slope_grads


def sgd_step(p, gradient, velocity, learning_rate, momentum=0.0, nesterov=False):
    """Return (parameters, velocity) after one step of SGD, with momentum or not."""
    velocity = momentum * velocity - learning_rate * gradient
    if nesterov:
        return p + momentum * velocity - learning_rate * gradient, velocity
    return p + velocity, velocity


def adam_step(p, gradient, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Return (parameters, m, v) after step number t = 1, 2, ... of Adam."""
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    rate = learning_rate * float(np.sqrt(1 - beta_2**t) / (1 - beta_1**t))
    return p - rate * m / (np.sqrt(v) + epsilon), m, v


def pack(coefs, intercepts, slopes=()):
    """Return all parameters in one flat vector: weights first, biases, then slopes."""
    arrays = [*coefs, *intercepts, *slopes]
    return np.concatenate([np.ravel(a) for a in arrays if a is not None])


def shapes(units, activation="relu"):
    """Return the shapes of coefs, intercepts and slopes, None for no slopes."""
    counts = pieces(activation, len(units) - 2)
    pairs = itertools.pairwise(units)
    coefs = [(n, m * k) for (n, m), k in zip(pairs, counts, strict=True)]
    settings = per_layer(activation, len(units) - 2)
    slopes = [
        (m,) if name == "prelu" else None
        for m, (name, _) in zip(units[1:-1], settings, strict=True)
    ]
    return coefs, [(columns,) for _, columns in coefs], slopes


def unpack(parameters, units, activation="relu"):
    """Return (coefs, intercepts, slopes) as copies of their parts of a flat vector."""
    at = 0
    lists = []
    for group in shapes(units, activation):
        lists.append([])
        for shape in group:
            size = 0 if shape is None else int(np.prod(shape))
            part = parameters[at : at + size].copy()
            lists[-1].append(None if shape is None else part.reshape(shape))
            at += size
    return lists


def dense_rows(X, rows, dtype):
    """Return the given rows of a dense or sparse X as a dense array."""
    taken = X[rows]
    return np.asarray(taken.toarray() if sp.issparse(taken) else taken, dtype=dtype)


class NaiveData:
    """Rows to learn from; `fastmlp.kernels.Data`."""

    def __init__(self, X, y, sample_weight=None):
        self.X, self.y, self.sample_weight = X, y, sample_weight


class NaiveOptimizer:
    """Settings and step count of an optimizer; `fastmlp.kernels.Optimizer`."""

    def __init__(self, name, **settings):
        self.name = name
        self.learning_rate = settings.pop("learning_rate")
        self.settings = settings
        self.t = 0

    @property
    def n_moments(self):
        """Vectors of state per parameter."""
        return 2 if self.name == "adam" else int(self.settings["momentum"] > 0)

    def step(self, p, gradient, moments):
        """Return (parameters, moments) after one step."""
        self.t += 1
        if self.name == "adam":
            p, *moments = adam_step(
                p, gradient, *moments, self.t, self.learning_rate, **self.settings
            )
            return p, moments
        velocity = moments[0] if moments else np.zeros_like(p)
        p, velocity = sgd_step(
            p, gradient, velocity, self.learning_rate, **self.settings
        )
        return p, [velocity][: len(moments)]


class NaiveEngine:
    """A network that trains and predicts; `fastmlp.kernels.Engine`."""

    def __init__(
        self,
        units,
        activation,
        out_activation,
        loss,
        dtype,
        *,
        batch_size=200,
        optimizer=None,
        n_threads=None,
    ):
        self.units, self.dtype = tuple(units), np.dtype(dtype)
        self.activation, self.out_activation = activation, out_activation
        self.loss, self.batch_size, self.optimizer = loss, batch_size, optimizer
        all_shapes = itertools.chain(*shapes(units, activation))
        self.n_parameters = sum(int(np.prod(s)) for s in all_shapes if s is not None)

    def __enter__(self):
        """Return the engine."""
        return self

    def __exit__(self, *exc_info):
        """Do nothing: there are no threads."""

    def load(self, parameters, moments=()):
        """Take in parameters and, unless they start at zero, the moments."""
        n_moments = self.optimizer.n_moments if self.optimizer else 0
        self.parameters = parameters.astype(self.dtype)
        self.moments = [m.astype(self.dtype) for m in moments]
        self.moments = self.moments or [np.zeros_like(self.parameters)] * n_moments

    def store(self, parameters):
        """Write the parameters into a flat vector."""
        parameters[...] = self.parameters

    def store_moments(self):
        """Return the optimizer's state as flat vectors."""
        return tuple(m.copy() for m in self.moments)

    def finite(self):
        """Return whether all parameters are finite."""
        return bool(np.isfinite(self.parameters).all())

    def predict(self, X, rows=None):
        """Return the outputs of X, or of some of its rows."""
        rows = np.arange(X.shape[0]) if rows is None else rows
        coefs, intercepts, slopes = unpack(self.parameters, self.units, self.activation)
        X = dense_rows(X, rows, self.dtype)
        names = self.activation, self.out_activation
        return forward(X, coefs, intercepts, *names, slopes)[-1]

    def _loss_gradient(self, data, rows, alpha):
        coefs, intercepts, slopes = unpack(self.parameters, self.units, self.activation)
        y = data.y[rows]
        weight = None if data.sample_weight is None else data.sample_weight[rows]
        X = dense_rows(data.X, rows, self.dtype)
        names = self.activation, self.out_activation
        layers = forward(X, coefs, intercepts, *names, slopes)
        value = loss(
            y, layers[-1], coefs, alpha, self.loss, self.out_activation, weight
        )
        gradients = backward(
            layers, y, coefs, intercepts, alpha, *names, weight, slopes
        )
        return float(value), pack(*gradients)

    def loss_gradient(self, data, alpha, gradient):
        """Return the loss of all rows and write its gradient."""
        value, gradient[...] = self._loss_gradient(data, slice(None), alpha)
        return value

    def train_epoch(self, data, order, alpha):
        """Train on minibatches of consecutive entries of `order`; return the loss.

        A minibatch whose weights are all zero has no loss and takes no step; it is
        counted by the optimizer all the same.
        """
        total = 0.0
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            if data.sample_weight is not None and not data.sample_weight[rows].any():
                self.optimizer.t += 1
                continue
            value, gradient = self._loss_gradient(data, rows, alpha)
            self.parameters, self.moments = self.optimizer.step(
                self.parameters, gradient, self.moments
            )
            total += value * len(rows)
        return total / len(order)
