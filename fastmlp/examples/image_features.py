"""
Photographs classified by colour, by shape and by visual words, beside raw pixels.
==================================================================================

The task is to say of which of six photographs a crop is. Crops of the left halves are
to train on, those of the right halves to test on. The features are steps of a pipeline
in front of the network: colour histograms; histograms of oriented gradients (HoG: cells
of 8 x 8 pixels, 9 directions; 320 x 240 pixels make 30 * 40 * 9 = 10,800 numbers); bags
of visual words (random patches, clustered by k-means: how often each cluster occurs).
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_sample_images
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

SIZE, STEP = 64, 32
NAMES = ("china", "flower", "astronaut", "cat", "coffee", "rocket")


class Found(NamedTuple):
    """One kind of features: its name, numbers per crop, test accuracy."""

    features: str
    n_features: int
    accuracy: float


def photographs() -> list[np.ndarray]:
    """Return the photographs that ship with scikit-learn and scikit-image, RGB."""
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            "image_features needs scikit-image: pip install 'fastmlp[examples]'."
        ) from error
    images = load_sample_images().images
    return [*images, data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]


def crops(images: list[np.ndarray], side: str) -> tuple[np.ndarray, np.ndarray]:
    """Return crops (n, SIZE, SIZE, 3) of one half of each image, and its number."""
    X, y = [], []
    for label, image in enumerate(images):
        height, width = image.shape[:2]
        start, end = (0, width // 2) if side == "left" else (width // 2, width)
        for top in range(0, height - SIZE + 1, STEP):
            for left in range(start, end - SIZE + 1, STEP):
                X.append(image[top : top + SIZE, left : left + SIZE])
                y.append(label)
    return np.array(X), np.array(y)


def raw_pixels(images: np.ndarray) -> np.ndarray:
    """Return every fourth pixel in both directions, in [0, 1]."""
    return images[:, ::4, ::4].reshape(len(images), -1) / 255


def colour_histogram(images: np.ndarray) -> np.ndarray:
    """Return the shares of pixels in each of 4 x 4 x 4 cubes of colour."""
    codes = (images // 64).astype(int) @ [16, 4, 1]
    codes = codes.reshape(len(images), -1)
    return np.array([np.bincount(c, minlength=64) for c in codes]) / codes.shape[1]


def oriented_gradients(images: np.ndarray) -> np.ndarray:
    """Return histograms of oriented gradients: 9 directions per 8 x 8 pixels."""
    from skimage.feature import hog

    return np.array(
        [
            hog(
                image, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(1, 1),
                channel_axis=-1,
            )
            for image in images
        ]
    )  # fmt: skip


class VisualWords(TransformerMixin, BaseEstimator):
    """Bag of visual words: how many of a crop's patches are nearest to each word.

    Parameters
    ----------
    n_words : int, default=40
        Clusters of k-means.
    patch : int, default=6
        Pixels on each side of a patch.
    n_patches : int, default=60
        Drawn at random from each crop.
    random_state : int, default=0
    """

    def __init__(self, n_words=40, patch=6, n_patches=60, random_state=0):
        self.n_words = n_words
        self.patch = patch
        self.n_patches = n_patches
        self.random_state = random_state

    def _patches(self, images):
        """Return the patches of each crop, (n, n_patches, patch * patch * 3)."""
        size = (self.patch, self.patch)
        drawn = [
            extract_patches_2d(
                image, size, max_patches=self.n_patches, random_state=self.random_state
            )
            for image in images
        ]
        return np.reshape(drawn, (len(images), self.n_patches, -1)) / 255

    def fit(self, X: np.ndarray, y: Any = None) -> "VisualWords":
        """Find the words in crops (n, height, width, 3)."""
        patches = self._patches(X)
        self.kmeans_ = MiniBatchKMeans(
            self.n_words, n_init=1, random_state=self.random_state
        ).fit(patches.reshape(-1, patches.shape[2]))
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the share of each word in each crop, (n, n_words)."""
        patches = self._patches(X)
        words = self.kmeans_.predict(patches.reshape(-1, patches.shape[2]))
        words = words.reshape(len(X), -1)
        counts = [np.bincount(each, minlength=self.n_words) for each in words]
        return np.array(counts) / words.shape[1]


FEATURES = {
    "raw pixels": FunctionTransformer(raw_pixels),
    "colour histogram": FunctionTransformer(colour_histogram),
    "oriented gradients": FunctionTransformer(oriented_gradients),
    "visual words": VisualWords(),
}


def run() -> list[Found]:
    """Train one network per kind of features; print and return test accuracies."""
    images = photographs()
    X_train, y_train = crops(images, "left")
    X_test, y_test = crops(images, "right")
    print(f"{len(X_train)} crops to learn from, {len(X_test)} to be tested on")
    found = []
    for name, features in FEATURES.items():
        network = MLPClassifier((40,), alpha=1.0, max_iter=60, random_state=0)
        model = make_pipeline(features, StandardScaler(), network)
        with without_convergence_warnings():
            model.fit(X_train, y_train)
        found.append(Found(name, len(network.coefs_[0]), model.score(X_test, y_test)))
        print(f"{name:18}: {found[-1].n_features:5} numbers, {found[-1].accuracy:.3f}")
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure: a crop of each photograph, and the accuracies."""
    figure, axes = new_figure(2, 4, width=2.4, height=2.4)
    for ax, image, name in zip(axes[:, :3].flat, photographs(), NAMES, strict=True):
        top, left = (n // 2 - SIZE for n in image.shape[:2])
        ax.imshow(image[top : top + 2 * SIZE, left : left + 2 * SIZE])
        ax.set(title=name, xticks=[], yticks=[])
    grid = axes[0, 0].get_gridspec()
    for ax in axes[:, 3]:
        ax.remove()
    ax = figure.add_subplot(grid[:, 3])
    ax.bar([each.features for each in found], [each.accuracy for each in found])
    ax.tick_params(axis="x", rotation=60)
    ax.set(ylabel="test accuracy", ylim=(0, 1))
    return figure


if __name__ == "__main__":
    draw(run())
    show()
