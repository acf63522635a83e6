"""The table of training workloads, their data, and the loss of a trained network.

The data are drawn: a linear teacher's scores with noise decide the targets, so that the
loss falls within the first epochs and a contestant that does not learn is found out.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, log_softmax

SEED = 0


@dataclass(frozen=True)
class Workload:
    """One job: a network, its data and how it is trained.

    Parameters
    ----------
    name : str
    rows : int
    features : int
    hidden : tuple of int
        Units of each hidden layer.
    outputs : int
        Classes, or targets of a regression. Two classes make one logistic output.
    batch : int
        Rows of a minibatch.
    epochs : int
        Epochs of one round: so many that the fixed cost of a fit is a small share.
    activation : {'relu', 'tanh', 'logistic'}
    regression : bool
        Squared error instead of the log-loss.
    momentum : float or None
        None: Adam. Otherwise SGD with Nesterov's momentum.
    rate : float
        Learning rate.
    categories : int
        More than 0: X is a CSR matrix of `features` one-hot columns, this many ones in
        each row.
    """

    name: str
    rows: int
    features: int
    hidden: tuple
    outputs: int
    batch: int
    epochs: int
    activation: str = "relu"
    regression: bool = False
    momentum: float | None = None
    rate: float = 1e-3
    categories: int = 0

    @property
    def units(self):
        """Features, units of the hidden layers, outputs of the network."""
        outputs = 1 if self.outputs == 2 and not self.regression else self.outputs
        return (self.features, *self.hidden, outputs)

    @property
    def flops(self):
        """Floating-point operations of an epoch, or None where X is sparse.

        2 fan_in fan_out a row for each of forward, weight gradient and, except in the
        first layer, input gradient.
        """
        if self.categories:
            return None
        units = self.units
        products = [2 * n * m for n, m in pairwise(units)]
        return self.rows * (3 * sum(products) - products[0])

    def smaller(self, rows, epochs=1):
        """Return the workload with at most so many rows and epochs."""
        return replace(self, rows=min(rows, self.rows), epochs=min(epochs, self.epochs))

    def describe(self):
        """Return rows, layers and batch in the notation of docs/benchmarks.md."""
        layers = "→".join(map(str, self.units))
        return f"{self.rows:,} × {layers}, {self.batch}"


MAIN = (
    Workload("tiny", 2_000, 8, (16,), 3, 32, 50),
    Workload("digits", 1_797, 64, (100,), 10, 200, 40),
    Workload("adult", 40_000, 100, (64, 32), 2, 200, 3),
    Workload("mnist", 20_000, 784, (256, 128), 10, 200, 1),
    Workload("wide", 8_000, 512, (1024, 1024), 10, 256, 1, rate=2e-4),
)

SHAPES = (
    Workload("odd", 3_001, 37, (53, 29), 7, 93, 10),
    Workload("deep", 5_000, 32, (24,) * 8, 4, 100, 4),
    Workload("outputs", 4_000, 128, (512,), 1_000, 128, 1),
    Workload("tanh", 10_000, 100, (128, 64), 10, 200, 2, "tanh"),
    Workload("logistic", 10_000, 100, (128, 64), 10, 200, 2, "logistic"),
    Workload("regression", 20_000, 8, (64, 32), 1, 200, 3, regression=True),
    Workload("momentum", 10_000, 64, (100,), 10, 200, 4, momentum=0.9, rate=0.02),
    Workload("sparse", 10_000, 2_000, (64,), 2, 200, 3, categories=12),
)

# Trained with products in bfloat16, beside float32.
LARGE = (*MAIN[-2:], Workload("layer", 10_000, 300, (2_000,), 100, 200, 2))

WORKLOADS = {workload.name: workload for workload in (*LARGE, *MAIN, *SHAPES)}


def make_data(workload, dtype=np.float32):
    """Return X (dense or CSR) and y: class labels, or targets of a regression.

    Every class is there, so that every contestant's network has all outputs.
    """
    rng = np.random.default_rng(SEED)
    n, d = workload.rows, workload.features
    if workload.categories:
        X = _one_hot(rng, n, d, workload.categories)
    else:
        X = rng.standard_normal((n, d), dtype=np.float32)
    teacher = rng.standard_normal((d, workload.outputs), dtype=np.float32)
    teacher /= np.sqrt(workload.categories or d)
    scores = X @ teacher
    scores += 0.3 * rng.standard_normal(scores.shape, dtype=np.float32)
    if workload.regression:
        y = scores.astype(dtype)
        y = y.ravel() if workload.outputs == 1 else y
    else:
        y = scores.argmax(axis=1)
        y[: workload.outputs] = np.arange(workload.outputs)
    return X.astype(dtype, copy=False), y


def _one_hot(rng, rows, columns, categories):
    """One entry in each of `categories` equal runs of the columns."""
    run = columns // categories
    indices = rng.integers(0, run, (rows, categories)) + run * np.arange(categories)
    indptr = np.arange(rows + 1) * categories
    values = np.ones(indices.size, np.float32)
    return sp.csr_matrix((values, indices.ravel(), indptr), shape=(rows, columns))


def initial_parameters(workload, dtype=np.float32):
    """Return the weights and biases that scikit-learn would draw: list of (W, b).

    Glorot and Bengio (2010), layer by layer, biases too; as
    ``MLPClassifier(random_state=SEED)``.
    """
    random_state = np.random.RandomState(SEED)
    factor = 2.0 if workload.activation == "logistic" else 6.0
    parameters = []
    for n, m in pairwise(workload.units):
        bound = np.sqrt(factor / (n + m))
        W = random_state.uniform(-bound, bound, (n, m)).astype(dtype)
        b = random_state.uniform(-bound, bound, m).astype(dtype)
        parameters.append((W, b))
    return parameters


_ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "logistic": expit}


def mean_loss(workload, parameters, X, y):
    """Mean loss of a network over all rows, computed in float64 by NumPy alone."""
    a = X.astype(np.float64)
    for W, b in parameters[:-1]:
        a = _ACTIVATIONS[workload.activation](a @ W + b)
    W, b = parameters[-1]
    z = a @ W + b
    if workload.regression:
        return float(np.mean((z - y.reshape(z.shape)) ** 2) / 2)
    if z.shape[1] == 1:
        return float(np.mean(np.logaddexp(0, np.where(y == 1, -1, 1) * z[:, 0])))
    return float(-np.mean(log_softmax(z, axis=1)[np.arange(len(y)), y]))
