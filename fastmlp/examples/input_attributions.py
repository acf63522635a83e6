"""
Attributions: how much each pixel adds to the score of a digit's class.
=======================================================================

Integrated gradients (M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for
deep networks", ICML 2017) share out the difference between the network's output for an
image and for a blank one. Their sum is that difference. To test them, the pixels of the
largest attributions are blanked first: the probability falls faster than when the
brightest ones are, or random ones.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.inspection import integrated_gradients

COUNTS = np.arange(0, 33, 4)


class Found(NamedTuple):
    """Attributions of the test images' classes.

    Parameters
    ----------
    images, attributions : (n, 64) array
    y : (n,) array
    incomplete : float
        The largest difference between a sum of attributions and its exact value.
    falls : dict
        By the order in which pixels are blanked, the mean probability of the class
        after each number in `COUNTS`.
    """

    images: np.ndarray
    attributions: np.ndarray
    y: np.ndarray
    incomplete: float
    falls: dict[str, np.ndarray]


def run() -> Found:
    """Train and explain; print and return the attributions."""
    X, y = load_digits(return_X_y=True)
    X, images, y, y_test = train_test_split(X / 16, y, test_size=0.2, random_state=0)
    model = MLPClassifier(
        (50,), "tanh", alpha=0.1, learning_rate_init=0.01, tol=1e-3, random_state=0
    ).fit(X, y)
    rows = np.arange(len(images))
    attributions = integrated_gradients(model, images)[rows, :, y_test]
    blank = model.predict_proba(np.zeros((1, 64)))[0, y_test]
    difference = model.predict_proba(images)[rows, y_test] - blank
    rng = np.random.default_rng(0)
    orders = {
        "attribution": attributions,
        "brightness": images,
        "random": rng.random(images.shape),
    }
    falls = {}
    for name, size in orders.items():
        first, left = np.argsort(-size, axis=1), []
        for count in COUNTS:
            blanked = images.copy()
            np.put_along_axis(blanked, first[:, :count], 0, axis=1)
            left.append(model.predict_proba(blanked)[rows, y_test].mean())
        falls[name] = np.array(left)
    incomplete = float(abs(attributions.sum(axis=1) - difference).max())
    found = Found(images, attributions, y_test, incomplete, falls)
    print(f"accuracy {model.score(images, y_test):.3f} on {len(images)} test images")
    print(f"sums of attributions are off by {incomplete:.0e} at most")
    print("mean probability of the class, pixels blanked")
    print(" " * 15 + "".join(f"{count:7}" for count in COUNTS))
    for name, fall in falls.items():
        print(f"by {name:12}" + "".join(f"{p:7.3f}" for p in fall))
    return found


def draw(found: Found) -> Any:
    """Return a figure: some images with attributions, and the falls."""
    figure, axes = new_figure(2, 5, width=2, height=2.2)
    for digit, ax in enumerate(axes.flat[:9]):
        i = int(np.argmax(found.y == digit))
        size = abs(found.attributions[i]).max()
        ax.imshow(
            found.attributions[i].reshape(8, 8), cmap="RdBu_r", vmin=-size, vmax=size
        )
        ax.contour(found.images[i].reshape(8, 8), [0.4], colors="k", linewidths=0.8)
        ax.set_axis_off()
        ax.set_title(f"for {digit}", size=9)
    last = axes.flat[9]
    for name, fall in found.falls.items():
        last.plot(COUNTS, fall, label=name)
    last.set(xlabel="pixels blanked", title="mean probability", ylim=(0, 1))
    last.legend(fontsize=6)
    return figure


if __name__ == "__main__":
    draw(run())
    show()
