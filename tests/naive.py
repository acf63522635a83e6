"""Plain NumPy references for the kernels: a multi-layer perceptron in the textbook way.

Nothing of fastmlp is imported here. Every function takes and returns arrays of one
dtype and leaves its arguments unchanged. Throughout, `coefs` and `intercepts` are lists
of the layers' weights `(fan_in, fan_out)` and biases `(fan_out,)`; targets `y` are
`(n, k)`: k columns, and one column of class indices for softmax outputs and the label
hinge loss. `activation` is a name, (name, parameter), or a list with one of these per
hidden layer; `slopes` has one array per hidden layer, None for those that train none.

The conventions are scikit-learn's (`sklearn/neural_network/_multilayer_perceptron.py`):
the penalty is divided by the sum of weights of the minibatch, the reported squared
error is a mean over the outputs while its gradient is a sum, and probabilities are
clipped to [eps, 1 - eps] in the reported log-loss.

In reading order: `forward`, `losses_and_deltas`, `loss`, `backward`, the optimizer
steps, the packing of parameters into one flat vector, random numbers. `naive_engine`
trains with these functions.
"""

import itertools

import numpy as np
import scipy.sparse as sp
from scipy.special import erfcx, expit, softmax, xlogy

_SELU_ALPHA, _SELU_LAMBDA = 1.6732632423543772, 1.0507009873554805


def central_differences(function, x):
    """Return the derivatives of a function in the elements of an array."""
    h = 1e-6
    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    found = [(function(x + s) - function(x - s)) / (2 * h) for s in steps]
    return np.reshape(found, x.shape)


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


def _mish(z):
    return np.maximum(z, -1e3) * np.tanh(np.logaddexp(0, z))


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
    "scale": lambda z, factor=1.0: z * factor,
    "elu": _elu,
    "selu": lambda z: _SELU_LAMBDA * _elu(z, _SELU_ALPHA),
    "silu": lambda z: np.maximum(z, -1e3) * expit(z),
    "swish": lambda z: np.maximum(z, -1e3) * expit(z),
    "gelu": lambda z: np.maximum(z, -1e3) * _normal_cdf(z),
    "mish": _mish,
    "parametric_mish": lambda z, share=1.0: (1 - share) * z + share * _mish(z),
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
    "scale": lambda z, a, factor=1.0: factor + 0 * z,
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
    "parametric_mish": lambda z, a, share=1.0: 1 - share + share * _mish_derivative(z),
    "softplus": lambda z, a: expit(z),
    "hard_swish": lambda z, a: np.where(z <= -3, 0, np.where(z >= 3, 1, z / 3 + 0.5)),
}

# The derivative of each activation in its trained parameter, one per unit, at z.
SLOPE_DERIVATIVES = {
    "prelu": lambda z: np.minimum(z, 0),
    "scale": lambda z: z,
    "parametric_mish": lambda z: _mish(z) - z,
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


def forward(
    X, coefs, intercepts, activation, out_activation, slopes=None, factors=None
):
    """Return the outputs of all layers, the input first.

    `factors`, one array per hidden layer, are what dropout multiplies outputs by on
    their way to the next layer; what is returned are the outputs before that.
    """
    layers, entering = [X], X
    settings = [*per_layer(activation, len(coefs) - 1), (out_activation, ())]
    for i, (name, parameters) in enumerate(settings):
        if name in SLOPE_DERIVATIVES and slopes is not None:
            parameters = (slopes[i],)
        z = entering @ coefs[i] + intercepts[i]
        layers.append(ACTIVATIONS[name](z, *parameters))
        entering = layers[-1]
        if factors is not None and i < len(factors):
            entering = entering * factors[i]
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
    slope_gradient = (delta * SLOPE_DERIVATIVES[name](z)).sum(axis=0)
    return delta * DERIVATIVES[name](z, a, slope), slope_gradient


def target_matrix(y, out_activation, n_outputs, loss="log_loss", smoothing=0.0):
    """Return the targets in the shape of the outputs: one-hot for labels, smoothed."""
    if out_activation == "softmax" or loss == "label_hinge":
        one_hot = np.eye(n_outputs, dtype=y.dtype)[y[:, 0].astype(int)]
        return (1 - smoothing) * one_hot + smoothing / n_outputs
    return (1 - smoothing) * y + smoothing / 2


def _rivals(y, score):
    """Return scores with those of the true class at -inf."""
    return np.where(y > 0, -np.inf, score)


def _label_margin(y, score):
    return (y * score).sum(axis=1) - _rivals(y, score).max(axis=1)


def _label_hinge_delta(y, score, _):
    best = np.eye(y.shape[1])[_rivals(y, score).argmax(axis=1)]
    return np.where((_label_margin(y, score) < 1)[:, None], best - y, 0)


def _clipped(p):
    eps = np.finfo(p.dtype).eps
    return np.clip(p, eps, 1 - eps)


def _softmax_jacobian(p):
    """Return (n, k, k): the derivative of output j in score i."""
    return p[:, :, None] * (np.eye(p.shape[1]) - p[:, None, :])


# Loss of each row and its derivative in the scores, from targets in the outputs' shape,
# outputs a and the loss's own parameter. Everything is a sum over outputs.
LOSSES = {
    ("softmax", "log_loss"): (
        lambda y, a, _: -xlogy(y, _clipped(a)).sum(axis=1),
        lambda y, a, _: a - y,
    ),
    ("logistic", "log_loss"): (
        lambda y, a, _: (
            -(xlogy(y, _clipped(a)) + xlogy(1 - y, 1 - _clipped(a))).sum(axis=1)
        ),
        lambda y, a, _: a - y,
    ),
    ("identity", "squared_error"): (
        # scikit-learn's: a mean over outputs whose gradient is the sum's.
        lambda y, a, _: 0.5 * ((y - a) ** 2).mean(axis=1),
        lambda y, a, _: a - y,
    ),
    ("exp", "poisson"): (
        lambda y, a, _: (xlogy(y, y / a) - y + a).sum(axis=1),
        lambda y, a, _: a - y,
    ),
    ("softmax", "squared_error"): (
        lambda y, a, _: 0.5 * ((y - a) ** 2).sum(axis=1),
        lambda y, a, _: np.einsum("nij,nj->ni", _softmax_jacobian(a), a - y),
    ),
    ("logistic", "squared_error"): (
        lambda y, a, _: 0.5 * ((y - a) ** 2).sum(axis=1),
        lambda y, a, _: (a - y) * a * (1 - a),
    ),
    ("identity", "hinge"): (
        lambda y, z, _: np.maximum(0, 1 - (2 * y - 1) * z).sum(axis=1),
        lambda y, z, _: np.where((2 * y - 1) * z < 1, 1 - 2 * y, 0),
    ),
    ("identity", "label_hinge"): (
        lambda y, z, _: np.maximum(0, 1 - _label_margin(y, z)),
        _label_hinge_delta,
    ),
    ("identity", "absolute_error"): (
        lambda y, z, _: abs(z - y).sum(axis=1),
        lambda y, z, _: np.sign(z - y),
    ),
    ("identity", "huber"): (
        lambda y, z, delta: np.where(
            abs(z - y) <= delta, (z - y) ** 2 / 2, delta * (abs(z - y) - delta / 2)
        ).sum(axis=1),
        lambda y, z, delta: np.clip(z - y, -delta, delta),
    ),
    ("identity", "quantile"): (
        lambda y, z, level: np.maximum(level * (y - z), (level - 1) * (y - z)).sum(
            axis=1
        ),
        lambda y, z, level: np.where(z == y, 0, np.where(z > y, 1 - level, -level)),
    ),
    ("exp", "gamma"): (
        lambda y, a, _: (np.log(a / y) + y / a - 1).sum(axis=1),
        lambda y, a, _: 1 - y / a,
    ),
}

# The parameter of a loss where none is given.
PARAMETERS = {"huber": 1.0, "quantile": 0.5}


def losses_and_deltas(y, output, loss, out_activation, settings=None):
    """Return the loss of each row (n,) and its derivative in the scores (n, k)."""
    settings = settings or {}
    smoothing = settings.get("smoothing", 0.0)
    y = target_matrix(y, out_activation, output.shape[1], loss, smoothing)
    parameter = np.asarray(settings.get("parameter", PARAMETERS.get(loss, 0.0)))
    value, derivative = LOSSES[out_activation, loss]
    return value(y, output, parameter), derivative(y, output, parameter)


def penalty(coefs, alpha):
    """Return 0.5 * alpha * (sum of squared weights, biases left out)."""
    return 0.5 * alpha * sum(np.vdot(W, W) for W in coefs)


def loss(losses, coefs, alpha, weight):
    """Return the weighted mean loss, plus the penalty over the sum of weights."""
    return (np.dot(weight, losses) + penalty(coefs, alpha)) / weight.sum()


def backward(
    layers, delta, coefs, intercepts, alpha, activation, weight, slopes=None,
    factors=None,
):  # fmt: skip
    """Return the gradients of the loss in coefs, intercepts and slopes, three lists.

    `delta` is each row's derivative of its loss in the scores; `factors`: `forward`'s.
    """
    delta = delta * weight[:, None]
    settings = per_layer(activation, len(coefs) - 1)
    slopes = slopes or [None] * len(settings)
    coef_grads, intercept_grads, slope_grads = [], [], []
    for i in range(len(coefs) - 1, -1, -1):
        entering = layers[i]
        if factors is not None and i > 0:
            entering = entering * factors[i - 1]
        coef_grads.insert(0, (entering.T @ delta + alpha * coefs[i]) / weight.sum())
        intercept_grads.insert(0, delta.sum(axis=0) / weight.sum())
        if i > 0:
            below = layers[i - 1]
            if factors is not None and i > 1:
                below = below * factors[i - 2]
            z = below @ coefs[i - 1] + intercepts[i - 1]
            delta = delta @ coefs[i].T
            if factors is not None:
                delta = delta * factors[i - 1]
            delta, slope_grad = activation_backward(
                delta, z, layers[i], *settings[i - 1], slopes[i - 1]
            )
            if slope_grad is not None:
                slope_grad = slope_grad / weight.sum()
            slope_grads.insert(0, slope_grad)
    return coef_grads, intercept_grads, slope_grads


def sgd_step(
    p, gradient, velocity, learning_rate, momentum=0.0, nesterovs_momentum=False
):
    """Return (parameters, velocity) after one step of SGD, with momentum or not."""
    velocity = momentum * velocity - learning_rate * gradient
    if nesterovs_momentum:
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


def pack(coefs, intercepts, slopes=()):
    """Return all parameters in one flat vector: weights first, biases, then slopes."""
    arrays = [*coefs, *intercepts, *slopes]
    return np.concatenate([np.ravel(a) for a in arrays if a is not None])


def shapes(units, activation):
    """Return the shapes of coefs, intercepts and slopes, None for no slopes."""
    counts = pieces(activation, len(units) - 2)
    pairs = itertools.pairwise(units)
    coefs = [(n, m * k) for (n, m), k in zip(pairs, counts, strict=True)]
    settings = per_layer(activation, len(units) - 2)
    slopes = [
        (m,) if name in SLOPE_DERIVATIVES else None
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


def bfloat16(x):
    """Return finite numbers rounded to bfloat16, to the nearest, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    bits = bits + (0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32)


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
