"""Layer shapes, the flat parameter buffer and its views, and the initial weights."""

import itertools

import numpy as np

from fastmlp.kernels import OVERREAD


def glorot_uniform(random_state, fan_in, fan_out, activation):
    """Draw the weights, then the biases, of one layer, uniform in [-bound, bound].

    bound = sqrt(6 / (fan_in + fan_out)), for the logistic activation
    sqrt(2 / (fan_in + fan_out)); biases are drawn like weights, as in scikit-learn.

    Parameters
    ----------
    random_state : numpy.random.RandomState
    fan_in, fan_out : int
        Units on the two sides of the layer.
    activation : str
        Name of the hidden activation.

    Returns
    -------
    weights : (fan_in, fan_out) float64 array
    biases : (fan_out,) float64 array

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
    neural networks", AISTATS 2010, equation 16.
    """
    factor = 2.0 if activation == "logistic" else 6.0
    bound = np.sqrt(factor / (fan_in + fan_out))
    weights = random_state.uniform(-bound, bound, (fan_in, fan_out))
    biases = random_state.uniform(-bound, bound, fan_out)
    return weights, biases


def normal(variance):
    """Return a rule that draws weights from N(0, variance); biases are 0.

    Parameters
    ----------
    variance : callable
        Of ``(fan_in, fan_out)``.
    """

    def draw(random_state, fan_in, fan_out, activation):
        spread = np.sqrt(variance(fan_in, fan_out))
        return random_state.normal(0.0, spread, (fan_in, fan_out)), np.zeros(fan_out)

    return draw


def uniform(variance):
    """Return a rule that draws weights from [-b, b], b² = 3 variance; biases are 0.

    Parameters
    ----------
    variance : callable
        Of ``(fan_in, fan_out)``.
    """

    def draw(random_state, fan_in, fan_out, activation):
        bound = np.sqrt(3.0 * variance(fan_in, fan_out))
        weights = random_state.uniform(-bound, bound, (fan_in, fan_out))
        return weights, np.zeros(fan_out)

    return draw


def lecun(fan_in, fan_out):
    """Keep the variance forward through linear units (LeCun et al. 1998)."""
    return 1.0 / fan_in


def glorot(fan_in, fan_out):
    """Compromise between both directions for tanh (Glorot & Bengio 2010, eq. 12)."""
    return 2.0 / (fan_in + fan_out)


def glorot_sigmoid(fan_in, fan_out):
    """Spread 4 times Glorot's, against the slope of at most 1/4 of the sigmoid."""
    return 32.0 / (fan_in + fan_out)


def he(fan_in, fan_out):
    """Keep the second moment forward through ReLU (He et al. 2015, equation 10)."""
    return 2.0 / fan_in


def he_average(fan_in, fan_out):
    """Twice Glorot's: He's rule for the average of both directions."""
    return 4.0 / (fan_in + fan_out)


# How the weights of one layer are drawn, by name; then they are scaled by init_scale.
INITIALIZERS = {
    "glorot_uniform": glorot_uniform,
    "glorot_normal": normal(glorot),
    "glorot_sigmoid_uniform": uniform(glorot_sigmoid),
    "glorot_sigmoid_normal": normal(glorot_sigmoid),
    "he_uniform": uniform(he),
    "he_normal": normal(he),
    "he_average_uniform": uniform(he_average),
    "he_average_normal": normal(he_average),
    "lecun_uniform": uniform(lecun),
    "lecun_normal": normal(lecun),
    "normal": normal(lambda fan_in, fan_out: 1.0),
}


class Network:
    """Weights and biases of a chain of fully connected layers in one flat buffer.

    The buffer holds the weights of all layers, each (fan_in, fan_out) in C order, then
    the biases of all layers: scikit-learn's packing.

    Parameters
    ----------
    units : sequence of int
        Units per layer: features, hidden layers, outputs.
    parameters : (n_parameters,) float array, C-contiguous and writable
        The buffer; not copied. OVERREAD more elements follow it in memory.

    Attributes
    ----------
    units : tuple of int
    parameters : (n_parameters,) float array
    coefs : tuple of (fan_in, fan_out) arrays
        Writable views of `parameters`.
    intercepts : tuple of (fan_out,) arrays
        Writable views of `parameters`.
    """

    def __init__(self, units, parameters):
        self.units = tuple(units)
        self.parameters = parameters
        shapes = list(itertools.pairwise(self.units))
        shapes += [(fan_out,) for fan_out in self.units[1:]]
        sizes = [int(np.prod(shape)) for shape in shapes]
        ends = itertools.accumulate(sizes)
        views = [
            parameters[end - size : end].reshape(shape)
            for end, size, shape in zip(ends, sizes, shapes, strict=True)
        ]
        self.coefs = tuple(views[: len(self.units) - 1])
        self.intercepts = tuple(views[len(self.units) - 1 :])

    @classmethod
    def empty(cls, units, dtype):
        """Return a network whose parameters are not yet set."""
        # Python integers: the product of two widths may pass 2**31.
        pairs = itertools.pairwise([int(n) for n in units])
        n_parameters = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairs)
        buffer = np.empty(n_parameters + OVERREAD, dtype)
        return cls(units, buffer[:n_parameters])

    @classmethod
    def initial(
        cls,
        units,
        activation,
        random_state,
        dtype,
        init="glorot_uniform",
        init_scale=1.0,
    ):
        """Return a network with random weights, drawn layer by layer.

        Parameters
        ----------
        units : sequence of int
        activation : str
            Name of the hidden activation.
        random_state : numpy.random.RandomState
        dtype : numpy dtype
            The drawn float64 numbers are rounded to it.
        init : str
            A key of `INITIALIZERS`.
        init_scale : float
            Multiplies the drawn weights, not the biases.
        """
        network = cls.empty(units, dtype)
        draw = INITIALIZERS[init]
        for W, b in zip(network.coefs, network.intercepts, strict=True):
            weights, b[...] = draw(random_state, *W.shape, activation)
            W[...] = init_scale * weights
        return network

    @classmethod
    def from_arrays(cls, coefs, intercepts):
        """Return a network holding copies of the given weights and biases.

        Parameters
        ----------
        coefs : sequence of (fan_in, fan_out) array-likes
        intercepts : sequence of (fan_out,) array-likes
            Any layout; the network is float32 if all arrays are, otherwise float64.

        Raises
        ------
        ValueError
            If the shapes do not fit together, or the arrays do not hold real numbers.
        """
        coefs = [np.asarray(W) for W in coefs]
        intercepts = [np.asarray(b) for b in intercepts]
        units = chain_units(coefs, intercepts)
        dtype = np.result_type(*coefs, *intercepts)
        network = cls.empty(units, np.float32 if dtype == np.float32 else np.float64)
        for view, array in zip(network.coefs, coefs, strict=True):
            view[...] = array
        for view, array in zip(network.intercepts, intercepts, strict=True):
            view[...] = array
        return network

    @property
    def dtype(self):
        """Type of the parameters."""
        return self.parameters.dtype

    def holds(self, coefs, intercepts):
        """Return whether the arrays are this network's own views: no array is read."""
        return (
            len(coefs) == len(self.coefs)
            and len(intercepts) == len(self.intercepts)
            and all(W is view for W, view in zip(coefs, self.coefs, strict=True))
            and all(b is v for b, v in zip(intercepts, self.intercepts, strict=True))
        )

    def astype(self, dtype):
        """Return this network if it has the dtype, otherwise a converted copy."""
        if self.dtype == dtype:
            return self
        converted = Network.empty(self.units, dtype)
        converted.parameters[...] = self.parameters
        return converted


def chain_units(coefs, intercepts):
    """Return the units per layer of a chain of weights and biases.

    Raises
    ------
    ValueError
        Saying which array does not fit.
    """
    if len(coefs) == 0 or len(coefs) != len(intercepts):
        raise ValueError(
            "coefs_ and intercepts_ must hold one array per layer and at least one: "
            f"got {len(coefs)} weight matrices and {len(intercepts)} bias vectors."
        )
    for name, arrays, ndim in (("coefs_", coefs, 2), ("intercepts_", intercepts, 1)):
        for i, array in enumerate(arrays):
            if array.ndim != ndim or array.size == 0 or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"{name}[{i}] must be a non-empty {ndim}-D array of real numbers, "
                    f"got shape {array.shape} and dtype {array.dtype}."
                )
    for i, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        if b.shape[0] != W.shape[1]:
            raise ValueError(
                f"intercepts_[{i}] has {b.shape[0]} elements but coefs_[{i}] has shape "
                f"{W.shape}: one bias per column is needed."
            )
        if i > 0 and W.shape[0] != coefs[i - 1].shape[1]:
            raise ValueError(
                f"coefs_[{i}] has shape {W.shape} but coefs_[{i - 1}] has shape "
                f"{coefs[i - 1].shape}: rows must equal the columns before."
            )
    return (coefs[0].shape[0], *(W.shape[1] for W in coefs))
