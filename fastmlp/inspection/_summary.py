"""A network's layers and their cost, as a table."""

from typing import Any, NamedTuple

from fastmlp.estimators._fitted import current_network
from fastmlp.inspection._opened import check_model
from fastmlp.kernels import layer_activations


class Layer(NamedTuple):
    """One line of a `Summary`."""

    layer: str
    shape: tuple
    activation: str
    parameters: int
    multiply_adds: int


class Summary(NamedTuple):
    """Result of `summary`; a table by ``print`` and in notebooks.

    Attributes
    ----------
    layers : tuple of Layer
    """

    layers: tuple

    @property
    def parameters(self) -> int:
        """Weights, biases and slopes of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiplications, each with an addition, for the outputs of one row."""
        return sum(layer.multiply_adds for layer in self.layers)

    def frame(self) -> Any:
        """Return a pandas.DataFrame with a row per layer."""
        import pandas as pd

        return pd.DataFrame(self.layers).set_index("layer")

    def __str__(self):
        lines = self._lines()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if k > 2 else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )

    def _repr_html_(self):
        """Return the table for notebooks."""
        head, *body = self._lines()
        rows = ["".join(f"<th>{cell}</th>" for cell in head)]
        rows += ["".join(f"<td>{cell}</td>" for cell in line) for line in body]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"

    def _lines(self):
        """Return the cells of the table, line by line."""
        total = ("total", "", "", self.parameters, self.multiply_adds)
        lines = [tuple(name.replace("_", "-") for name in Layer._fields)]
        for name, shape, activation, *numbers in [*self.layers, total]:
            shape = " x ".join(map(str, shape))
            lines.append((name, shape, activation, *(f"{n:,}" for n in numbers)))
        return lines


def summary(model: Any) -> Summary:
    """Return layers, shapes, activations, parameters and multiply-adds.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor

    Returns
    -------
    summary : Summary
        A table by ``print`` and in notebooks; ``summary.frame()`` is a
        pandas.DataFrame.

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from fastmlp.inspection import summary
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((8, 5), solver="lbfgs", alpha=1.0, max_iter=2000)
    >>> print(summary(clf.fit(X, y)))
    layer     shape  activation  parameters  multiply-adds
    hidden 1  4 x 8  relu                40             32
    hidden 2  8 x 5  relu                45             40
    output    5 x 3  softmax             18             15
    total                               103             87
    """
    check_model(model)
    network = current_network(model)
    rows = zip(
        [*hidden_names(len(network.slopes)), "output"],
        [*map(_activation_name, network.activations), model.out_activation_],
        network.coefs,
        network.intercepts,
        [*network.slopes, None],
        strict=True,
    )
    layers = []
    for name, activation, W, b, slopes in rows:
        n_slopes = 0 if slopes is None else slopes.size
        parameters = W.size + b.size + n_slopes
        layers.append(Layer(name, W.shape, activation, parameters, W.size))
    return Summary(tuple(layers))


def hidden_names(n: int) -> list[str]:
    """Return the names of n hidden layers."""
    return [f"hidden {i + 1}" for i in range(n)]


def _activation_name(setting):
    """Return the name, with the parameter where it is not the default."""
    name, parameter = setting
    [(_, default)] = layer_activations(name, 1)
    return name if parameter == default else f"{name}({parameter:g})"
