"""``python -m bench.rounding --data FOLDER``: scores with products in bfloat16.

Beside those in float32, five seeds each: the data of `bench.real_data`, and numbers of
MNIST's shape whose labels are those of a noisy linear map.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import fastmlp
from bench.real_data import PROBLEMS, Problem, fit_and_score
from bench.workloads import WORKLOADS, make_data

SEEDS = 5


def load_mnist_sized(folder, dtype):
    """Return a third of MNIST's rows, with as many features and classes."""
    workload = WORKLOADS["mnist"]
    X, y = make_data(workload, dtype)
    return Problem(
        tuple(train_test_split(X, y, test_size=0.25, random_state=0)),
        "MLPClassifier",
        {"hidden_layer_sizes": workload.hidden, "max_iter": 5},
        lambda network: network,
        "accuracy",
        SEEDS,
    )


def scores(problem, dtype):
    """Return the test scores of the seeds."""
    parameters = problem.parameters | {"dtype": dtype}
    problem = problem._replace(parameters=parameters)
    return np.array([fit_and_score(problem, fastmlp, seed)[0] for seed in range(SEEDS)])


def main():
    """Print a Markdown table of means and standard deviations over the seeds."""
    parser = argparse.ArgumentParser(prog="python -m bench.rounding")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    folder = parser.parse_args().data
    print("| | score | float32 | bfloat16 | difference, seed by seed |")
    print("| --- | --- | --: | --: | --: |")
    for name, load in (PROBLEMS | {"MNIST's shape": load_mnist_sized}).items():
        problem = load(folder, np.float32)
        single, rounded = (scores(problem, each) for each in ("float32", "bfloat16"))
        cells = [
            f"{each.mean():.4f} ± {each.std(ddof=1):.4f}"
            for each in (single, rounded, rounded - single)
        ]
        print(f"| {name} | {problem.score} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
