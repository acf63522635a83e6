"""A fitted network as exports to other languages read it: layers, forms, labels."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastmlp.network import Network


def hidden_layers(
    network: Network,
) -> Iterator[tuple[str, Any, np.ndarray, np.ndarray, int]]:
    """Yield the activation, its parameter, W, b and the units of each hidden layer.

    A trained parameter is an array with one per unit. W and b have the columns of one
    piece of maxout after the other.
    """
    for (name, setting), slopes, W, b, width in zip(
        network.activations,
        network.slopes,
        network.coefs,
        network.intercepts,
        network.units[1:],
        strict=False,
    ):
        yield name, setting if slopes is None else slopes, W, b, width


def form_of(forms: Mapping[str, Any], name: str, role: str, language: str) -> Any:
    """Return the form of an activation in a language.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in forms:
        raise ValueError(
            f"{role} {name!r} has no form in {language} yet. There are "
            f"{', '.join(map(repr, forms))}."
        )
    return forms[name]


def plain_labels(classes: np.ndarray, language: str) -> np.ndarray:
    """Return the labels as int64 or str, (n_classes,).

    Raises
    ------
    ValueError
        If they are neither whole numbers nor strings.
    """
    if classes.dtype.kind == "O" and all(type(each) is str for each in classes):
        return classes.astype(str)
    if classes.dtype.kind == "U":
        return classes
    if classes.dtype.kind in "biuf":
        integers = classes.astype(np.int64)
        if (integers == classes).all():
            return integers
    raise ValueError(
        f"classes_ must be integers or strings to be labels in {language}, got "
        f"{classes} of dtype {classes.dtype}: encode y with "
        "sklearn.preprocessing.LabelEncoder."
    )
