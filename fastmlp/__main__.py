"""The main job, ``python -m fastmlp``: a grid search beside scikit-learn's own MLP.

The handwritten digits that ship with scikit-learn, a quarter of them held out; a
Pipeline of scaling and network under GridSearchCV, once with fastmlp's MLPClassifier
and once with scikit-learn's, nothing else changed.
"""

import argparse
import io
import sys
import time
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier as SklearnMLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from threadpoolctl import threadpool_limits

from fastmlp import MLPClassifier, _patch, show_versions, warmup

GRID = {
    "mlp__hidden_layer_sizes": [(100,), (100, 50)],
    "mlp__alpha": [1e-4, 1e-1],
}


class Result(NamedTuple):
    """Result of one grid search."""

    seconds: float
    best_params: dict
    test_accuracy: float


def load_data(seed: int) -> list[np.ndarray]:
    """Return the digits as float32: X_train, X_test, y_train, y_test."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(
        X.astype(np.float32), y, test_size=0.25, stratify=y, random_state=seed
    )


def compile_seconds(X: np.ndarray, y: np.ndarray) -> float:
    """Return how much longer the first fit on these data takes than the second.

    That is the time in which Numba compiles the kernels, or loads them from disk.
    """
    network = MLPClassifier(max_iter=1, random_state=0)
    seconds = []
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        for _ in range(2):
            start = time.perf_counter()
            network.fit(X, y).predict(X)
            seconds.append(time.perf_counter() - start)
    return max(seconds[0] - seconds[1], 0.0)


def blas_threads(X: np.ndarray, y: np.ndarray) -> int | None:
    """Return with how many threads of its BLAS scikit-learn's fit is faster.

    1, or None for the BLAS's own choice, which on many or busy cores takes many times
    as long for small layers.
    """
    network = SklearnMLPClassifier(max_iter=2, random_state=0)
    seconds: dict[int | None, float] = {}
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        for limit in (None, 1) * 3:
            with threadpool_limits(limit, "blas"):
                start = time.perf_counter()
                network.fit(X, y)
                taken = time.perf_counter() - start
            seconds[limit] = min(taken, seconds.get(limit, taken))
    return min(seconds, key=lambda limit: seconds[limit])


def search(
    classifier: type, data: list[np.ndarray], args: argparse.Namespace
) -> Result:
    """Run the grid search over one of the two classes and return its Result.

    Every network trains for the same number of epochs, whatever its loss does, so
    that both sides do the same work; the ConvergenceWarning which that means for each
    fit is the only one silenced.
    """
    X_train, X_test, y_train, y_test = data
    network = classifier(
        max_iter=args.epochs, n_iter_no_change=np.inf, random_state=args.seed
    )
    grid_search = GridSearchCV(
        Pipeline([("scale", MinMaxScaler()), ("mlp", network)]),
        GRID,
        cv=args.folds,
        n_jobs=args.n_jobs,
        verbose=3,
    )
    start = time.perf_counter()
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        grid_search.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    accuracy = grid_search.score(X_test, y_test)
    return Result(seconds, grid_search.best_params_, accuracy)


def digits(args: argparse.Namespace) -> None:
    """Run the search with both classes, one after the other, and print the results."""
    data = load_data(args.seed)
    print(
        f"digits: {len(data[0])} rows to train on, {len(data[1])} held out, float32; "
        f"{args.folds} folds, {args.epochs} epochs a fit (ConvergenceWarning silenced)"
    )
    print(f"compiling or loading the kernels: {compile_seconds(*data[::2]):.2f} s")

    limit = blas_threads(*data[::2])
    print("\nfastmlp")
    results = {"fastmlp": search(MLPClassifier, data, args)}
    threads = "its BLAS's own choice of threads" if limit is None else "one BLAS thread"
    print(f"\nscikit-learn, with {threads}, which is the faster one here")
    with threadpool_limits(limit, "blas"):
        results["scikit-learn"] = search(SklearnMLPClassifier, data, args)

    print(f"\n{'':13}{'test accuracy':>13}{'seconds':>10}   best parameters")
    for name, result in results.items():
        best = ", ".join(
            f"{key.removeprefix('mlp__')}={value}"
            for key, value in result.best_params.items()
        )
        print(f"{name:13}{result.test_accuracy:13.4f}{result.seconds:10.2f}   {best}")
    ratio = results["scikit-learn"].seconds / results["fastmlp"].seconds
    print(f"ratio of the times, scikit-learn / fastmlp: {ratio:.1f}")
    print(
        "It is larger for narrower layers and smaller for wider ones, and depends on "
        "the CPU, its cores and their load: see docs/benchmarks.md."
    )


def warm_up(args: argparse.Namespace) -> None:
    """Compile everything and print where it is kept."""
    start = time.perf_counter()
    folder = warmup(verbose=True)
    seconds = time.perf_counter() - start
    print(f"compiled or loaded in {seconds:.1f} s, kept in {folder}")


def run_program(args: argparse.Namespace) -> None:
    """Run a program with fastmlp in place of scikit-learn's classes."""
    program, *arguments = args.program
    _patch.run(program, arguments, is_module=args.module)


def print_versions(args: argparse.Namespace) -> None:
    """Print the facts for a bug report."""
    show_versions()


def port(text: str) -> int:
    """Return the number of a port."""
    number = int(text)
    if not 0 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"{number} is not from 0 to {2**16 - 1}")
    return number


def play(args: argparse.Namespace) -> None:
    """Serve the playground."""
    from fastmlp.playground import run

    try:
        run(args.port, browser=args.browser)
    except ImportError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error}: choose another --port, or none.")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: one sub-command per job."""
    parser = argparse.ArgumentParser(prog="python -m fastmlp", description=__doc__)
    commands = parser.add_subparsers(title="jobs", metavar="JOB")
    job = commands.add_parser(
        "digits",
        help="the grid search on the digits (the default)",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    job.add_argument("--folds", type=int, default=4, help="folds of cross-validation")
    job.add_argument("--epochs", type=int, default=100, help="epochs of every fit")
    job.add_argument("--n-jobs", type=int, default=1, help="processes of each search")
    job.add_argument("--seed", type=int, default=0, help="of split and networks")
    job.set_defaults(run=digits)
    job = commands.add_parser(
        "warmup", help="compile the kernels ahead of time and say where they are kept"
    )
    job.set_defaults(run=warm_up)
    job = commands.add_parser(
        "run",
        help="run a program with fastmlp in place of scikit-learn's MLPs",
        usage="python -m fastmlp run [-m] PROGRAM [ARGUMENT ...]",
    )
    job.add_argument(
        "-m", dest="module", action="store_true", help="PROGRAM names a module"
    )
    job.add_argument(
        "program",
        nargs=argparse.PARSER,
        metavar="PROGRAM",
        help="path of a script, and the arguments that it gets",
    )
    job.set_defaults(run=run_program)
    job = commands.add_parser(
        "playground", help="train small networks on a page in the browser"
    )
    job.add_argument(
        "--port", type=port, default=0, help="of 127.0.0.1; 0 (the default): a free one"
    )
    job.add_argument(
        "--no-browser",
        dest="browser",
        action="store_false",
        help="only print the address",
    )
    job.set_defaults(run=play)
    job = commands.add_parser("versions", help="print the facts for a bug report")
    job.set_defaults(run=print_versions)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the job that the command line names."""
    # Progress is to be seen while it happens, in a pipe or a log file too.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    args = make_parser().parse_args(argv or ["digits"])
    args.run(args)


if __name__ == "__main__":
    main(sys.argv[1:])
