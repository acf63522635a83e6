"""JAX: a whole epoch under `jit`, its steps under `lax.scan`, optax for the update."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
import scipy.sparse as sp

from bench.workloads import SEED, initial_parameters

ALPHA = 1e-4

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "logistic": jax.nn.sigmoid}


class Jax:
    """Parameters and optimizer state are donated, so that they are updated in place."""

    def __init__(self, workload, X, y):
        self._workload = workload
        self._X = jnp.asarray(X.toarray() if sp.issparse(X) else X)
        self._y = jnp.asarray(y)
        decay = optax.add_decayed_weights(ALPHA / workload.batch)
        if workload.momentum is None:
            rule = optax.adam(workload.rate)
        else:
            rule = optax.sgd(workload.rate, workload.momentum, nesterov=True)
        self._optimizer = optax.chain(decay, rule)

    def _loss(self, parameters, X, y):
        workload = self._workload
        for W, b in parameters[:-1]:
            X = ACTIVATIONS[workload.activation](X @ W + b)
        W, b = parameters[-1]
        z = X @ W + b
        if workload.regression:
            return jnp.mean((z - y.reshape(z.shape)) ** 2)
        if z.shape[1] == 1:
            return optax.sigmoid_binary_cross_entropy(z[:, 0], y).mean()
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def _epoch(self, carry, key, X, y):
        def step(carry, rows):
            parameters, state = carry
            gradient = jax.grad(self._loss)(parameters, X[rows], y[rows])
            update, state = self._optimizer.update(gradient, state, parameters)
            return (optax.apply_updates(parameters, update), state), None

        batch = self._workload.batch
        order = jax.random.permutation(key, len(X))
        whole = len(X) // batch * batch
        carry, _ = jax.lax.scan(step, carry, order[:whole].reshape(-1, batch))
        if whole < len(X):
            carry, _ = step(carry, order[whole:])
        return carry

    def train(self):
        drawn = initial_parameters(self._workload)
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in drawn]
        carry = parameters, self._optimizer.init(parameters)
        for key in jax.random.split(jax.random.key(SEED), self._workload.epochs):
            carry = self._epoch(carry, key, self._X, self._y)
        self._parameters = jax.block_until_ready(carry[0])

    def parameters(self):
        return [(jax.device_get(W), jax.device_get(b)) for W, b in self._parameters]
