"""
Successive halving: many settings train for a few epochs, the best ones for more.
=================================================================================

`max_iter` is the resource of scikit-learn's `HalvingGridSearchCV`: after each round a
third of the settings goes on, with three times the epochs. Beside it a grid search that
trains every setting to the end, on the digits.
"""

from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    train_test_split,
)

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.examples._training import without_convergence_warnings

GRID = {
    "alpha": [1e-4, 1e-2, 1.0],
    "learning_rate_init": [0.0003, 0.003, 0.03],
    "hidden_layer_sizes": [(10,), (50,), (50, 50)],
}
FIRST, FACTOR, LAST, FOLDS = 2, 3, 54, 3


class Found(NamedTuple):
    """One search.

    Parameters
    ----------
    name : str
    epochs : int
        Over all settings and folds.
    seconds : float
    params : dict
        Of the best setting.
    test : float
        Its accuracy on rows that chose nothing.
    rounds : dict
        The score of each setting that trained for so many epochs, by their number.
    """

    name: str
    epochs: int
    seconds: float
    params: dict
    test: float
    rounds: dict[int, np.ndarray]


def run() -> list[Found]:
    """Search in both ways; print and return their results."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        (X / 16).astype(np.float32), y, test_size=0.3, stratify=y, random_state=0
    )
    network = MLPClassifier(max_iter=LAST, n_iter_no_change=LAST, random_state=0)
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    halving = HalvingGridSearchCV(
        network, GRID, resource="max_iter", factor=FACTOR, min_resources=FIRST,
        max_resources=LAST, cv=cv, random_state=0,
    )  # fmt: skip
    grid = GridSearchCV(network, GRID, cv=cv)
    found = []
    for name, search in (("halving", halving), ("whole grid", grid)):
        start = perf_counter()
        with without_convergence_warnings():
            search.fit(X, y)
        seconds = perf_counter() - start
        scores = search.cv_results_["mean_test_score"]
        n_epochs = search.cv_results_.get("n_resources", np.full(len(scores), LAST))
        rounds = {int(n): scores[n_epochs == n] for n in np.unique(n_epochs)}
        each = Found(
            name, int(FOLDS * n_epochs.sum()), seconds, search.best_params_,
            search.score(X_test, y_test), rounds,
        )  # fmt: skip
        found.append(each)
        print(f"{name}: {each.epochs} epochs in {seconds:.2f} s, test {each.test:.3f}")
        print(f"  best: {each.params}")
        for n, ours in rounds.items():
            print(f"  {len(ours):2} settings, {n:2} epochs: best {ours.max():.3f}")
    return found


def draw(found: list[Found]) -> Any:
    """Return a figure: the scores of all settings against their epochs."""
    figure, ax = new_figure(width=6)
    for i, each in enumerate(found):
        for n, scores in each.rounds.items():
            ax.plot(n * (1 + 0.08 * i) * np.ones(len(scores)), scores, f"C{i}.")
        ax.plot([], [], f"C{i}.", label=f"{each.name}, {each.epochs} epochs in all")
    ax.set(xscale="log", xlabel="epochs of a setting", ylabel="mean of three folds")
    ax.set_xticks(ns := list(found[0].rounds), map(str, ns))
    ax.minorticks_off()
    ax.legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
