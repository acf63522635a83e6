"""
Calibration: one number, the temperature, takes back the confidence of a network.
=================================================================================

Digits with noise, and a network that fits its training rows to the last one: on new
rows it says "99 %" where fewer are right. Dividing its scores by a temperature, fitted
on rows held out, makes the shares right and changes no decision (C. Guo et al., "On
calibration of modern neural networks", ICML 2017). `FrozenEstimator` keeps
scikit-learn's `CalibratedClassifierCV` from training the network again.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

NOISE, BINS = 5.0, 10


class Scored(NamedTuple):
    """Predictions on the test rows, scored.

    Parameters
    ----------
    accuracy, log_loss : float
    error : float
        The mean over rows of |confidence - accuracy| of the row's bin of confidence.
    confidence, right, share : (n_bins,) array
        Of each bin that has rows: the mean confidence, the share of rows that are
        right, and its share of all rows.
    """

    accuracy: float
    log_loss: float
    error: float
    confidence: np.ndarray
    right: np.ndarray
    share: np.ndarray


class Found(NamedTuple):
    """The network as trained and with its temperature, and the temperature."""

    trained: Scored
    calibrated: Scored
    temperature: float


def scored(probabilities: np.ndarray, y: np.ndarray) -> Scored:
    """Return the scores of probabilities whose columns are the classes 0 to 9."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    groups = [bins == i for i in range(BINS) if (bins == i).any()]
    means = np.array([[a[g].mean() for a in (confidence, right)] for g in groups])
    share = np.array([group.mean() for group in groups])
    error = float(share @ abs(means[:, 0] - means[:, 1]))
    loss = log_loss(y, probabilities)
    confidences, rates = means.T
    return Scored(float(right.mean()), loss, error, confidences, rates, share)


def run() -> Found:
    """Train and calibrate; print and return the scores."""
    X, y = load_digits(return_X_y=True)
    X = X + np.random.default_rng(0).normal(scale=NOISE, size=X.shape)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.4, random_state=0)
    X, X_held, y, y_held = train_test_split(X, y, test_size=0.3, random_state=0)
    network = MLPClassifier(
        (100,), learning_rate_init=0.01, alpha=0, max_iter=100,
        n_iter_no_change=np.inf, random_state=0,
    )  # fmt: skip
    with without_convergence_warnings():
        network.fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(network), method="temperature")
    calibrated.fit(X_held, y_held)
    (calibrator,) = calibrated.calibrated_classifiers_[0].calibrators
    found = Found(
        scored(network.predict_proba(X_test), y_test),
        scored(calibrated.predict_proba(X_test), y_test),
        float(1 / calibrator.beta_),
    )
    print(f"accuracy {network.score(X, y):.3f} on the {len(X)} rows trained on")
    print(f"temperature {found.temperature:.2f}, from {len(X_held)} rows held out")
    for name, each in zip(("as trained", "calibrated"), found[:2], strict=True):
        print(
            f"{name}: accuracy {each.accuracy:.3f}, log-loss {each.log_loss:.3f}, "
            f"error of calibration {each.error:.3f}"
        )
    return found


def draw(found: Found) -> Any:
    """Return a figure: the share that is right against the confidence."""
    figure, axes = new_figure(1, 2, sharex=True, sharey=True)
    both = {"as trained": found.trained, "calibrated": found.calibrated}
    for ax, (title, each) in zip(axes, both.items(), strict=True):
        ax.plot([0, 1], [0, 1], "k:", lw=1)
        ax.plot(each.confidence, each.right, color="C0")
        ax.scatter(each.confidence, each.right, 400 * each.share + 4)
        ax.set(title=f"{title}: error {each.error:.3f}", xlabel="confidence")
    axes[0].set(ylabel="share that is right", xlim=(0, 1.05))
    axes[0].annotate("area: share of the rows", (0.05, 0.9))
    return figure


if __name__ == "__main__":
    draw(run())
    show()
