"""Plain NumPy references for the kernels: a multi-layer perceptron in the textbook way.

Nothing of fastmlp is imported here. Every function takes and returns arrays of one
dtype and leaves its arguments unchanged. Throughout, `coefs` and `intercepts` are lists
of the layers' weights `(fan_in, fan_out)` and biases `(fan_out,)`; targets `y` are
`(n, k)`: k columns for identity, exp and logistic outputs, and one column of class
indices for softmax outputs.

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
from scipy.special import expit, softmax, xlogy

ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "exp": np.exp,
    "softmax": lambda z: softmax(z, axis=1),
}

# Each hidden activation's derivative in z, from its output a.
DERIVATIVES = {
    "identity": np.ones_like,
    "logistic": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a**2,
    "relu": lambda a: (a > 0).astype(a.dtype),
}


def forward(X, coefs, intercepts, activation, out_activation, factors=None):
    """Return the outputs of all layers, the input first.

    `factors`, one array per hidden layer, are what dropout multiplies outputs by on
    their way to the next layer; what is returned are the outputs before that.
    """
    layers, entering = [X], X
    names = [activation] * (len(coefs) - 1) + [out_activation]
    for i, (W, b, name) in enumerate(zip(coefs, intercepts, names, strict=True)):
        layers.append(ACTIVATIONS[name](entering @ W + b))
        entering = layers[-1]
        if factors is not None and i < len(factors):
            entering = entering * factors[i]
    return layers


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
    layers, y, coefs, alpha, activation, out_activation, sample_weight=None,
    factors=None,
):  # fmt: skip
    """Return the gradients of the loss in coefs and in intercepts, two lists.

    Every loss here is the canonical one of its output activation: its derivative in
    the raw score is output - target. For k-output squared error that is k times the
    derivative of `loss`. `factors`: see `forward`.
    """
    output = layers[-1]
    weight = np.ones(len(y), output.dtype) if sample_weight is None else sample_weight
    delta = output - target_matrix(y, out_activation, output.shape[1])
    delta = delta * weight[:, None]
    coef_grads, intercept_grads = [], []
    for i in range(len(coefs) - 1, -1, -1):
        entering = layers[i]
        if factors is not None and i > 0:
            entering = entering * factors[i - 1]
        coef_grads.insert(0, (entering.T @ delta + alpha * coefs[i]) / weight.sum())
        intercept_grads.insert(0, delta.sum(axis=0) / weight.sum())
        if i > 0:
            delta = (delta @ coefs[i].T) * DERIVATIVES[activation](layers[i])
            if factors is not None:
                delta = delta * factors[i - 1]
    return coef_grads, intercept_grads


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


def rmsprop_step(p, gradient, v, learning_rate, beta_2, epsilon):
    """Return (parameters, v) after one step of RMSprop, as PyTorch defines it."""
    v = beta_2 * v + (1 - beta_2) * gradient**2
    return p - learning_rate * gradient / (np.sqrt(v) + epsilon), v


def nadam_step(p, gradient, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Return (parameters, m, v) after step t = 1, 2, ... of PyTorch's NAdam."""
    mu = beta_1 * (1 - 0.5 * 0.96 ** (np.arange(1, t + 2) * 0.004))
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    m_hat = mu[t] * m / (1 - mu.prod())
    m_hat = m_hat + (1 - mu[t - 1]) * gradient / (1 - mu[:t].prod())
    v_hat = v / (1 - beta_2**t)
    return p - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v


def pack(coefs, intercepts):
    """Return all parameters in one flat vector: weights first, then biases."""
    return np.concatenate([np.ravel(a) for a in [*coefs, *intercepts]])


def unpack(parameters, units):
    """Return (coefs, intercepts) as copies of their parts of a flat vector."""
    shapes = [*itertools.pairwise(units), *((k,) for k in units[1:])]
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    parts = np.split(parameters, ends[:-1])
    arrays = [a.reshape(s).copy() for a, s in zip(parts, shapes, strict=True)]
    return arrays[: len(units) - 1], arrays[len(units) - 1 :]


def bounded(parameters, units, largest):
    """Return the parameters with each unit's weights scaled to at most that norm."""
    coefs, intercepts = unpack(parameters, units)
    for W in coefs:
        W *= np.minimum(1, largest / np.linalg.norm(W, axis=0))
    return pack(coefs, intercepts)


def philox(counter, key):
    """Return the four words of Philox4x32-10 for arrays of words, as Python integers.

    J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    a, b, c, d = (np.asarray(word, dtype=object) for word in counter)
    key, other_key = key
    for _ in range(10):
        x, y = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b = y // 2**32 ^ b ^ key, y % 2**32
        c, d = x // 2**32 ^ d ^ other_key, x % 2**32
        key, other_key = (key + 0x9E3779B9) % 2**32, (other_key + 0xBB67AE85) % 2**32
    return a, b, c, d


def random_words(seed, step, stream, shape):
    """Return the word that belongs to each place in a minibatch's matrix."""
    rows, columns = shape
    row, block = np.indices((rows, -(-columns // 4))).astype(object)
    counter = block, row, stream + 2**16 * (step // 2**32), step % 2**32
    words = philox(counter, (seed % 2**32, seed // 2**32))
    words = [np.broadcast_to(word, row.shape) for word in words]
    return np.stack(words, axis=2).reshape(rows, -1)[:, :columns].astype(np.float64)


def dropout_factors(seed, step, stream, shape, rate):
    """Return 0 with probability `rate` and 1 / (1 - rate) otherwise."""
    words = random_words(seed, step, stream, shape)
    return np.where(words < np.floor(rate * 2.0**32), 0.0, 1 / (1 - rate))


def normal_noise(seed, step, shape):
    """Return standard normal numbers by Box and Muller, two from two words."""
    rows, columns = shape
    words = random_words(seed, step, 0, (rows, -(-columns // 4) * 4))
    u, v = np.moveaxis((words.reshape(rows, -1, 2) + 0.5) / 2.0**32, 2, 0)
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return pairs.reshape(rows, -1)[:, :columns]


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
        decay = settings.pop("weight_decay", None)
        default = 0.01 if self.name == "adamw" else 0.0
        self.weight_decay = default if decay is None else decay
        self.settings = settings
        self.t = 0

    @property
    def n_moments(self):
        """Vectors of state per parameter."""
        if self.name == "sgd":
            return int(self.settings["momentum"] > 0)
        return 1 if self.name == "rmsprop" else 2

    def step(self, p, gradient, moments):
        """Return (parameters, moments) after one step."""
        self.t += 1
        if self.name == "rmsprop":
            p, *moments = rmsprop_step(
                p, gradient, *moments, self.learning_rate, **self.settings
            )
            return p, moments
        if self.name != "sgd":
            step = nadam_step if self.name == "nadam" else adam_step
            p, *moments = step(
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
        regularisation=None,
    ):
        self.l1 = self.clip_norm = self.max_norm = self.input_noise = 0.0
        self.dropout, self.seed = (), 0
        vars(self).update(regularisation or {})
        self.units, self.dtype = tuple(units), np.dtype(dtype)
        self.activation, self.out_activation = activation, out_activation
        self.loss, self.batch_size, self.optimizer = loss, batch_size, optimizer
        pairs = itertools.pairwise(units)
        self.n_parameters = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairs)

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
        coefs, intercepts = unpack(self.parameters, self.units)
        X = dense_rows(X, rows, self.dtype)
        return forward(X, coefs, intercepts, self.activation, self.out_activation)[-1]

    def _disturbed(self, X):
        """Return the minibatch's inputs with noise and dropout."""
        if self.input_noise:
            normal = normal_noise(self.seed, self.optimizer.t, X.shape)
            X = X + self.input_noise * normal
        if any(self.dropout[:1]):
            X = X * dropout_factors(
                self.seed, self.optimizer.t, 1, X.shape, self.dropout[0]
            )
        return X

    def _factors(self, n):
        """Return the factors of each hidden layer's outputs."""
        return [
            dropout_factors(self.seed, self.optimizer.t, i + 2, (n, width), rate)
            for i, (width, rate) in enumerate(
                zip(self.units[1:-1], self.dropout[1:], strict=True)
            )
        ]

    def _loss_gradient(self, data, rows, alpha, training=False):
        coefs, intercepts = unpack(self.parameters, self.units)
        y = data.y[rows]
        weight = None if data.sample_weight is None else data.sample_weight[rows]
        X = dense_rows(data.X, rows, self.dtype)
        factors = None
        if training:
            X = self._disturbed(X)
            factors = self._factors(len(X)) if self.dropout else None
        layers = forward(
            X, coefs, intercepts, self.activation, self.out_activation, factors
        )
        value = loss(
            y, layers[-1], coefs, alpha, self.loss, self.out_activation, weight
        )
        gradients = backward(
            layers,
            y,
            coefs,
            alpha,
            self.activation,
            self.out_activation,
            weight,
            factors,
        )
        total = len(y) if weight is None else weight.sum()
        value += self.l1 * sum(np.abs(W).sum() for W in coefs) / total
        for W, gradient in zip(coefs, gradients[0], strict=True):
            gradient += self.l1 * np.sign(W) / total
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
            value, gradient = self._loss_gradient(data, rows, alpha, training=True)
            norm = np.linalg.norm(gradient)
            if self.clip_norm and norm > self.clip_norm:
                gradient = gradient * (self.clip_norm / norm)
            decay = self.optimizer.learning_rate * self.optimizer.weight_decay
            decayed = pack(
                *(
                    [factor * a for a in arrays]
                    for factor, arrays in zip(
                        (1 - decay, 1), unpack(self.parameters, self.units), strict=True
                    )
                )
            )
            self.parameters, self.moments = self.optimizer.step(
                decayed, gradient, self.moments
            )
            if self.max_norm:
                self.parameters = bounded(self.parameters, self.units, self.max_norm)
            total += value * len(rows)
        return total / len(order)
