"""
Deployment: a pipeline as one ONNX file, and the same numbers without Python.
=============================================================================

Scaler and network become one graph, which every ONNX runtime reads: servers, browsers,
phones, C++. Where onnxruntime is installed, its answers and times stand beside those of
the pipeline.
"""

from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier
from fastmlp.examples._drawing import new_figure, show
from fastmlp.onnx_export import register

ROWS = (1, 10, 100, 1_000, 10_000)


class Found(NamedTuple):
    """The exported pipeline.

    Parameters
    ----------
    exported : bytes
        The contents of the file.
    accuracy : float
        Of the pipeline on test rows.
    difference : float
        Largest difference of a probability; NaN without onnxruntime.
    seconds : dict
        By the runtime's name, for each number of `ROWS` a call of `predict_proba`.
    """

    exported: bytes
    accuracy: float
    difference: float
    seconds: dict[str, list[float]]


def run() -> Found:
    """Train, export, and run the file; print and return the comparison."""
    from skl2onnx import to_onnx

    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X.astype(np.float32), y, random_state=0)
    network = MLPClassifier((100,), tol=1e-3, random_state=0, n_threads=1)
    pipeline = make_pipeline(StandardScaler(), network).fit(X, y)
    register()
    model = to_onnx(pipeline, X[:1], options={"zipmap": False})
    exported, difference = model.SerializeToString(), np.nan
    runtimes = {"fastmlp": pipeline.predict_proba}
    try:
        import onnxruntime
    except ImportError:
        print("onnxruntime is not installed: no comparison")
    else:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(exported, options)
        runtimes["onnxruntime"] = lambda X: session.run(["probabilities"], {"X": X})[0]
        both = [predict_proba(X_test) for predict_proba in runtimes.values()]
        difference = float(abs(both[0] - both[1]).max())
        print(f"probabilities differ by {difference:.0e} at most")
    many = np.resize(X_test, (max(ROWS), X.shape[1]))
    seconds = {
        name: [shortest(predict_proba, many[:n]) for n in ROWS]
        for name, predict_proba in runtimes.items()
    }
    accuracy = pipeline.score(X_test, y_test)
    print(f"accuracy {accuracy:.3f}, the file has {len(exported) / 1024:.0f} KiB")
    print("rows" + "".join(f"{name:>15}" for name in seconds) + "   µs a call")
    for n, *each in zip(ROWS, *seconds.values(), strict=True):
        print(f"{n:<6}" + "".join(f"{1e6 * s:13.0f}  " for s in each))
    return Found(exported, accuracy, difference, seconds)


def shortest(call: Any, X: np.ndarray) -> float:
    """Return the seconds of the fastest of 20 calls."""
    seconds = []
    for _ in range(20):
        start = perf_counter()
        call(X)
        seconds.append(perf_counter() - start)
    return min(seconds)


def draw(found: Found) -> Any:
    """Return a figure: the time of a call against its rows."""
    figure, ax = new_figure(width=6)
    for name, seconds in found.seconds.items():
        ax.loglog(ROWS, 1e6 * np.array(seconds), "o-", label=name)
    ax.set(xlabel="rows of a call", ylabel="µs")
    ax.legend()
    return figure


if __name__ == "__main__":
    draw(run())
    show()
