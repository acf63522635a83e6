"""Accuracy against the number of replicas: ``python -m bench.replicas``.

Replicas need no machines: S of them are trained one after another here, at equal
epochs, with a mean taken some times in an epoch. Scores are those of rows not trained
on; a score of one replica is that of `fit`. With --keep each replica keeps its own
moments of the optimizer from round to round, while the parameters alone are averaged.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_friedman1
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.cluster import rounds
from fastmlp.cluster.driver import learn_in_rounds
from fastmlp.cluster.executors import Serial
from fastmlp.cluster.replicas import train_replica
from fastmlp.cluster.tasks import Limits
from fastmlp.data import Chunk
from fastmlp.estimators._learning import publish
from fastmlp.estimators._problem import Given

REPLICAS = (1, 4, 16, 64, 256, 1000)
ROUNDS = (1, 4, 10, 50)
N_ROWS, N_TEST = 64_000, 8_000
BATCH_SIZE = 64


def digits(n_rows):
    """Handwritten digits, moved by up to a pixel and with noise."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.RandomState(0)
    # No picture is trained on and tested: the last fifth is for the test.
    first = rng.permutation(len(X))
    pool = first[: len(X) * 4 // 5], first[len(X) * 4 // 5 :]
    which = np.concatenate(
        [rng.choice(p, n) for p, n in zip(pool, n_rows, strict=True)]
    )
    images = X[which].reshape(-1, 8, 8) / 16
    moves = rng.randint(-1, 2, (len(which), 2))
    moved = [np.roll(a, move, (0, 1)) for a, move in zip(images, moves, strict=True)]
    moved = np.array(moved).reshape(len(which), 64)
    return moved + 0.2 * rng.randn(*moved.shape), y[which]


def clusters(n_rows):
    """Return ten classes of several clusters each, with wrong labels."""
    return make_classification(
        sum(n_rows),
        30,
        n_informative=15,
        n_classes=10,
        n_clusters_per_class=3,
        flip_y=0.02,
        random_state=0,
    )


def friedman(n_rows):
    """Friedman's first function, with noise, scaled."""
    X, y = make_friedman1(sum(n_rows), 10, noise=1.0, random_state=0)
    return X * 2 - 1, (y - y.mean()) / y.std()


SETS = {"digits": digits, "clusters": clusters, "friedman": friedman}


def keep_moments():
    """Return a `train_replica` that goes on from the replica's own moments."""
    kept = {}

    def train(state, replica, blocks):
        parameters, *moments = state.vectors
        own = kept.get(replica.number, moments)
        state = state._replace(vectors=(parameters, *own))
        trained = train_replica(state, replica, blocks)
        kept[replica.number] = trained.vectors[1:]
        return trained

    return train


def score(name, n_replicas, n_rounds, epochs, keep, rate, seed):
    """Return the score of a fit on rows not trained on, R² or the accuracy."""
    X, y = SETS[name]((N_ROWS, N_TEST))
    X = X.astype(np.float32)
    Estimator = MLPRegressor if name == "friedman" else MLPClassifier
    estimator = Estimator(
        hidden_layer_sizes=(64, 32),
        learning_rate_init=rate,
        batch_size=BATCH_SIZE,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
        n_threads=1,
    )
    blocks = [
        Chunk(X[rows], y[rows])
        for rows in np.array_split(np.arange(N_ROWS), n_replicas)
    ]
    executor = Serial()
    rounds.train_replica = keep_moments() if keep else train_replica
    learned = learn_in_rounds(
        estimator,
        clone(estimator),
        [executor.scatter(block) for block in blocks],
        executor,
        Limits(n_replicas=n_replicas, rounds_per_epoch=n_rounds),
        Given(None, None),
    )
    publish(estimator, learned)
    return estimator.score(X[N_ROWS:], y[N_ROWS:])


def main(arguments=None):
    """Print a table for each set, and write all scores as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.replicas", description=__doc__
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--replicas", nargs="+", type=int, default=REPLICAS)
    parser.add_argument("--rounds", nargs="+", type=int, default=ROUNDS)
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    settings = given.epochs, given.keep, given.rate
    scores = []
    for name in given.sets:
        print(f"\n{name}: score by replicas (rows) and rounds per epoch (columns)\n")
        print("|  | " + " | ".join(map(str, given.rounds)) + " |")
        print("| ---: |" + " ---: |" * len(given.rounds))
        for n_replicas in given.replicas:
            # No replica makes more rounds than steps, and one has nothing to average.
            steps = -(-N_ROWS // n_replicas // BATCH_SIZE)
            cells = []
            for n_rounds in given.rounds:
                if n_rounds > max(1, steps) or (n_replicas == 1 and n_rounds > 1):
                    cells.append("")
                    continue
                own = [
                    score(name, n_replicas, n_rounds, *settings, seed)
                    for seed in range(given.seeds)
                ]
                scores.append((name, n_replicas, n_rounds, *settings, own))
                cells.append(f"{np.mean(own):.3f}")
                print(scores[-1], file=sys.stderr, flush=True)
            print(f"| {n_replicas} | " + " | ".join(cells) + " |", flush=True)
    if given.output:
        given.output.write_text(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
