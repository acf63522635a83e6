"""Networks in NumPy with the interface of the kernels: data, optimizer, engine.

The functions of `naive` do the work.
"""

import numpy as np

from tests import naive


class NaiveData:
    """Rows to learn from; `fastmlp.kernels.Data`."""

    def __init__(self, X, y, sample_weight=None):
        self.X, self.y, self.sample_weight = X, y, sample_weight


class NaiveOptimizer:
    """Settings and step count of an optimizer; `fastmlp.kernels.Optimizer`."""

    def __init__(self, name, **settings):
        self.name = name
        self.learning_rate = self.rates = settings.pop("learning_rate")
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

    def step(self, p, gradient, moments, factor=1.0):
        """Return (parameters, moments) after one step, with a factor of the rate."""
        self.t += 1
        rate = self.rates * factor
        if self.name == "rmsprop":
            p, *moments = naive.rmsprop_step(
                p, gradient, *moments, rate, **self.settings
            )
        elif self.name != "sgd":
            step = naive.nadam_step if self.name == "nadam" else naive.adam_step
            p, *moments = step(p, gradient, *moments, self.t, rate, **self.settings)
        else:
            velocity = moments[0] if moments else np.zeros_like(p)
            p, velocity = naive.sgd_step(p, gradient, velocity, rate, **self.settings)
            moments = [velocity][: len(moments)]
        return p, moments


class NaiveEngine:
    """A network that trains and predicts; `tests.kernels_api.Engine`."""

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
        loss_settings=None,
        regularisation=None,
        group=None,
    ):
        self.loss_settings = loss_settings
        self.l1 = self.clip_norm = self.max_norm = self.input_noise = 0.0
        self.dropout, self.seed = (), 0
        vars(self).update(regularisation or {})
        self.units, self.dtype = tuple(units), np.dtype(dtype)
        self.activation, self.out_activation = activation, out_activation
        self.loss_name, self.batch_size, self.optimizer = loss, batch_size, optimizer
        sizes = [
            sum(int(np.prod(s)) for s in each if s is not None)
            for each in naive.shapes(units, activation)
        ]
        self.n_parameters = sum(sizes)
        # Of each parameter the factors of rate, alpha, l1 and decay.
        self.group = {"rate": np.ones(self.n_parameters, self.dtype)}
        for name in ("l2", "l1", "decay"):
            self.group[name] = np.repeat(np.array([1, 0, 0], self.dtype), sizes)
        self.group |= group or {}

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

    def stored(self):
        """Return the parameters as a flat vector."""
        return self.parameters.copy()

    def store_moments(self):
        """Return the optimizer's state as flat vectors."""
        return tuple(m.copy() for m in self.moments)

    def finite(self):
        """Return whether all parameters are finite."""
        return bool(np.isfinite(self.parameters).all())

    def predict(self, X, rows=None):
        """Return the outputs of X, or of some of its rows."""
        rows = np.arange(X.shape[0]) if rows is None else rows
        coefs, intercepts, slopes = self._unpacked()
        X = naive.dense_rows(X, rows, self.dtype)
        names = self.activation, self.out_activation
        return naive.forward(X, coefs, intercepts, *names, slopes)[-1]

    def _unpacked(self):
        return naive.unpack(self.parameters, self.units, self.activation)

    def _bounded(self):
        """Return the parameters with each unit's weights scaled to the largest norm."""
        coefs, *rest = self._unpacked()
        for W in coefs:
            W *= np.minimum(1, self.max_norm / np.linalg.norm(W, axis=0))
        return naive.pack(coefs, *rest)

    def _disturbed(self, X):
        """Return the minibatch's inputs with noise and dropout."""
        if self.input_noise:
            normal = naive.normal_noise(self.seed, self.optimizer.t, X.shape)
            X = X + self.input_noise * normal
        if any(self.dropout[:1]):
            X = X * naive.dropout_factors(
                self.seed, self.optimizer.t, 1, X.shape, self.dropout[0]
            )
        return X

    def _factors(self, n):
        """Return the factors of each hidden layer's outputs."""
        return [
            naive.dropout_factors(self.seed, self.optimizer.t, i + 2, (n, width), rate)
            for i, (width, rate) in enumerate(
                zip(self.units[1:-1], self.dropout[1:], strict=True)
            )
        ]

    def _loss_gradient(self, data, rows, alpha, training=False):
        coefs, intercepts, slopes = self._unpacked()
        y = data.y[rows]
        weight = data.sample_weight
        weight = np.ones(len(y), self.dtype) if weight is None else weight[rows]
        X = naive.dense_rows(data.X, rows, self.dtype)
        factors = None
        if training:
            X = self._disturbed(X)
            factors = self._factors(len(X)) if self.dropout else None
        names = self.activation, self.out_activation
        layers = naive.forward(X, coefs, intercepts, *names, slopes, factors)
        losses, deltas = naive.losses_and_deltas(
            y, layers[-1], self.loss_name, self.out_activation, self.loss_settings
        )
        gradients = naive.backward(
            layers, deltas, coefs, intercepts, 0.0, self.activation, weight, slopes,
            factors,
        )  # fmt: skip
        w, total = self.parameters, weight.sum()
        l2, l1 = alpha * self.group["l2"], self.l1 * self.group["l1"]
        penalty = (0.5 * l2 * w**2).sum() + (l1 * np.abs(w)).sum()
        value = naive.loss(losses, coefs, 0.0, weight) + penalty / total
        return float(value), naive.pack(*gradients) + (l2 * w + l1 * np.sign(w)) / total

    def loss(self, data, rows=slice(None)):
        """Return the weighted mean of the losses, without penalty."""
        return self._loss_gradient(data, rows, 0.0)[0]

    def loss_gradient(self, data, alpha, gradient):
        """Return the loss of all rows and write its gradient."""
        value, gradient[...] = self._loss_gradient(data, slice(None), alpha)
        return value

    def count_steps(self, n_rows):
        """Return the steps of an epoch."""
        return -(-n_rows // self.batch_size)

    def train_epoch(self, data, order, alpha):
        """Train on minibatches of consecutive entries of `order`; return the loss.

        A minibatch whose weights are all zero has no loss and takes no step; it is
        counted by the optimizer all the same.
        """
        total, visited = 0.0, 0
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            if data.sample_weight is not None and not data.sample_weight[rows].any():
                self.optimizer.t += 1
                continue
            value, gradient = self._loss_gradient(data, rows, alpha, training=True)
            norm = np.linalg.norm(gradient)
            if self.clip_norm and norm > self.clip_norm:
                gradient = gradient * (self.clip_norm / norm)
            decay = self.optimizer.rates * self.optimizer.weight_decay
            self.parameters, self.moments = self.optimizer.step(
                (1 - decay * self.group["decay"]) * self.parameters,
                gradient,
                self.moments,
                self.group["rate"],
            )
            if self.max_norm:
                self.parameters = self._bounded()
            total += value * len(rows)
            visited += len(rows)
        return total / max(1, visited)
