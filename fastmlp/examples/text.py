"""
Text: TF-IDF makes a sparse matrix of it, which is multiplied as it is stored.
==============================================================================

The texts are the docstrings of SciPy's functions and classes, which every installation
has; the question is from which of its packages one comes. Words that name a package are
left out. The integrated gradients of a text's words say which ones decided.
"""

import importlib
import inspect
from typing import Any, NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.inspection import integrated_gradients

PACKAGES = (
    "cluster", "fft", "integrate", "interpolate", "linalg", "ndimage", "optimize",
    "signal", "sparse", "spatial", "special", "stats",
)  # fmt: skip


class Found(NamedTuple):
    """The results of the networks on the texts.

    Parameters
    ----------
    shape : tuple of int
        Texts and words.
    stored : float
        The share of the matrix that is not zero.
    accuracy : float
        On texts held out.
    most_frequent : float
        The share of the largest package among them.
    confusion : (n_packages, n_packages) array
        Texts held out, by their package and the predicted one.
    words : dict
        By package, the words that speak for it most.
    """

    shape: tuple[int, int]
    stored: float
    accuracy: float
    most_frequent: float
    confusion: np.ndarray
    words: dict[str, list[str]]


def corpus() -> tuple[list[str], np.ndarray]:
    """Return the docstrings, and the package of each."""
    texts: dict[str, str] = {}
    for package in PACKAGES:
        module = importlib.import_module(f"scipy.{package}")
        for name in module.__all__:
            text = inspect.getdoc(getattr(module, name)) or ""
            if len(text) > 200:
                texts.setdefault(text, package)
    return list(texts), np.array(list(texts.values()))


def run() -> Found:
    """Train on some docstrings; print and return the results on the others."""
    texts, package = corpus()
    train, test, y, y_test = train_test_split(
        texts, package, test_size=0.3, stratify=package, random_state=0
    )
    vectorizer = TfidfVectorizer(
        token_pattern="[a-z]{3,}", stop_words=["scipy", *PACKAGES], min_df=3,
        sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    X, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)
    model = MLPClassifier(
        (64,), early_stopping=True, learning_rate_init=0.01, batch_size=64,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    names = vectorizer.get_feature_names_out()
    attributions = integrated_gradients(model, X_test, n_steps=16)
    words = {
        name: list(names[np.argsort(-attributions[y_test == name, :, k].mean(0))[:4]])
        for k, name in enumerate(model.classes_)
    }
    confusion = confusion_matrix(y_test, model.predict(X_test), labels=PACKAGES)
    found = Found(
        X.shape, X.nnz / np.prod(X.shape), model.score(X_test, y_test),
        float(confusion.sum(axis=1).max() / len(y_test)), confusion, words,
    )  # fmt: skip
    print(f"{X.shape[0]} texts, {X.shape[1]} words, {found.stored:.1%} of X stored")
    print(f"accuracy {found.accuracy:.3f} on {len(y_test)} other texts, ", end="")
    print(f"{found.most_frequent:.3f} by the most frequent package")
    for name, speaking in words.items():
        print(f"  {name:12}{', '.join(speaking)}")
    return found


def draw(found: Found) -> Any:
    """Return a figure: packages, predicted ones, and how often."""
    figure, ax = new_figure(width=6, height=5)
    rates = found.confusion / found.confusion.sum(axis=1, keepdims=True)
    image = ax.imshow(rates, cmap="viridis", vmin=0, vmax=1)
    ax.set_xticks(range(len(PACKAGES)), PACKAGES, rotation=90)
    ax.set_yticks(range(len(PACKAGES)), PACKAGES)
    ax.set(xlabel="predicted", ylabel="package")
    figure.colorbar(image, ax=ax, label="share of the package's texts")
    return figure


if __name__ == "__main__":
    draw(run())
    show()
