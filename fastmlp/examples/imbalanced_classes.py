"""
Imbalanced classes: weighing the rare one, or moving the threshold afterwards.
==============================================================================

Three rows in a hundred are of the rare class. A network that is right in most rows
finds few of them. With `class_weight="balanced"` each counts as much as many common
ones; scikit-learn's `TunedThresholdClassifierCV` leaves the network as it is and
chooses the probability from which a row is called rare. Both pay with false alarms, and
neither has to rank the rows better, which the average precision measures.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)
from sklearn.model_selection import TunedThresholdClassifierCV, train_test_split

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show

RARE = 0.03


class Found(NamedTuple):
    """One way, on the test rows.

    Parameters
    ----------
    name : str
    recall, precision, balanced_accuracy, average_precision : float
        Recall: the share of the rare rows that is found. Precision: the share of those
        called rare that is.
    curve : (2, n) array
        Recall and precision for all thresholds.
    """

    name: str
    recall: float
    precision: float
    balanced_accuracy: float
    average_precision: float
    curve: np.ndarray


def run() -> list[Found]:
    """Train in three ways; print and return their scores."""
    X, y = make_classification(
        20_000, 15, n_informative=8, n_redundant=3, weights=[1 - RARE], flip_y=0.01,
        class_sep=0.8, random_state=0,
    )  # fmt: skip
    X, X_test, y, y_test = train_test_split(
        X.astype(np.float32), y, test_size=0.5, stratify=y, random_state=0
    )
    plain = MLPClassifier((50,), early_stopping=True, random_state=0)
    models = {
        "as it is": plain,
        "class_weight": MLPClassifier(
            (50,), early_stopping=True, class_weight="balanced", random_state=0
        ),
        "threshold": TunedThresholdClassifierCV(
            plain, scoring="balanced_accuracy", cv=3, random_state=0
        ),
    }
    found = []
    print(f"{y_test.sum()} of {len(y_test)} test rows are rare")
    print("              recall  precision  balanced accuracy  average precision")
    for name, model in models.items():
        model.fit(X, y)
        rare, p = model.predict(X_test), model.predict_proba(X_test)[:, 1]
        precision, recall, _ = precision_recall_curve(y_test, p)
        each = Found(
            name, recall_score(y_test, rare), precision_score(y_test, rare),
            balanced_accuracy_score(y_test, rare), average_precision_score(y_test, p),
            np.array([recall, precision]),
        )  # fmt: skip
        found.append(each)
        print(
            f"{name:12}{each.recall:8.3f}{each.precision:11.3f}"
            f"{each.balanced_accuracy:19.3f}{each.average_precision:19.3f}"
        )
    print(f"threshold: {models['threshold'].best_threshold_:.3f} instead of 0.5")
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure: precision against recall, and where each way stands."""
    figure, ax = new_figure(width=6)
    for i, each in enumerate(found):
        ax.plot(*each.curve, color=f"C{i}", lw=1)
        ax.plot(each.recall, each.precision, f"C{i}o", label=each.name)
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
