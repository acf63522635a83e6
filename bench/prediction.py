"""Prediction of the digits network: one row, 1,000 and 300,000 rows.

Every contestant holds the same weights and answers with the same probabilities.
"""

import io
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import fastmlp
from bench.report import Row
from bench.timing import interleave, repeat
from bench.training import WrongAnswer
from bench.workloads import SEED, WORKLOADS, make_data

MANY_ROWS = 300_000
CALLS = 300
TOLERANCE = 1e-4


class Sklearn:
    """scikit-learn's estimator, trained for a few epochs."""

    label = "scikit-learn f32"

    def __init__(self, model):
        self.predict_proba, self.predict = model.predict_proba, model.predict


class Fastmlp:
    """fastmlp's estimator with scikit-learn's weights."""

    label = "fastmlp f32"

    def __init__(self, model):
        X, y = make_data(WORKLOADS["digits"])
        own = fastmlp.MLPClassifier(model.hidden_layer_sizes, max_iter=1)
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            own.fit(X, y)
        arrays = model.coefs_ + model.intercepts_
        for own_array, array in zip(own.coefs_ + own.intercepts_, arrays, strict=True):
            own_array[...] = array
        self.predict_proba, self.predict = own.predict_proba, own.predict


class Torch:
    """An nn.Sequential in inference mode."""

    label = "PyTorch f32"

    def __init__(self, model):
        import torch
        from torch import nn

        layers = []
        for W, b in zip(model.coefs_, model.intercepts_, strict=True):
            linear = nn.Linear(*W.shape)
            linear.weight.data = torch.from_numpy(W.T.copy())
            linear.bias.data = torch.from_numpy(b.copy())
            layers += [linear, nn.ReLU()]
        network = nn.Sequential(*layers[:-1], nn.Softmax(dim=1)).eval()

        @torch.inference_mode()
        def predict_proba(X):
            return network(torch.from_numpy(X)).numpy()

        @torch.inference_mode()
        def predict(X):
            return network[:-1](torch.from_numpy(X)).argmax(dim=1).numpy()

        self.predict_proba, self.predict = predict_proba, predict


class OnnxRuntime:
    """The graph that skl2onnx makes of scikit-learn's estimator."""

    label = "ONNX Runtime f32"

    def __init__(self, model):
        import onnxruntime
        from skl2onnx import to_onnx

        example = np.zeros((1, model.n_features_in_), np.float32)
        graph = to_onnx(model, example, options={"zipmap": False})
        buffer = io.BytesIO(graph.SerializeToString())
        session = onnxruntime.InferenceSession(
            buffer.getvalue(), providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        labels, probabilities = (output.name for output in session.get_outputs())
        self.predict_proba = lambda X: session.run([probabilities], {name: X})[0]
        self.predict = lambda X: session.run([labels], {name: X})[0]


# Key: the name by which the command line chooses it.
PREDICTORS = {
    "fastmlp": Fastmlp,
    "sklearn": Sklearn,
    "torch": Torch,
    "onnxruntime": OnnxRuntime,
}


def fit_model():
    """Return scikit-learn's classifier, trained on the digits workload."""
    workload = WORKLOADS["digits"]
    model = MLPClassifier(workload.hidden, max_iter=10, random_state=SEED)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return model.fit(*make_data(workload))


def check(predictor, model, X):
    """Compare probabilities and labels with scikit-learn's.

    Raises
    ------
    WrongAnswer
    """
    ref = model.predict_proba(X)
    off = np.abs(predictor.predict_proba(X) - ref).max()
    if not off <= TOLERANCE:
        raise WrongAnswer(f"probabilities off by {off:.1g}")
    # Where two classes are as likely as each other rounding decides.
    clear = np.diff(np.sort(ref, axis=1)[:, -2:], axis=1)[:, 0] > 2 * TOLERANCE
    if (predictor.predict(X) != model.predict(X))[clear].any():
        raise WrongAnswer("other labels than scikit-learn's")
    return f"probabilities within {off:.0e}"


def make_predictors(names, model):
    """Return predictors by label, and a note for each label: its answer or why not."""
    X = make_data(WORKLOADS["digits"])[0]
    predictors, notes = {}, {}
    for name in names:
        kind = PREDICTORS[name]
        try:
            predictor = kind(model)
            notes[kind.label] = check(predictor, model, X)
        except ImportError as error:
            notes[kind.label] = f"missing: {error}"
        except WrongAnswer as error:
            notes[kind.label] = f"WRONG: {error}"
        else:
            predictors[kind.label] = predictor
    return predictors, notes


def make_jobs():
    """Return for each job its name, X, the method and the calls of one round."""
    digits = make_data(WORKLOADS["digits"])[0]
    one = digits[:1].copy()
    rng = np.random.default_rng(SEED)
    many = rng.standard_normal((MANY_ROWS, digits.shape[1]), dtype=np.float32)
    return (
        ("one row predict_proba", one, "predict_proba", CALLS),
        ("one row predict", one, "predict", CALLS),
        ("1,000 rows", many[:1_000], "predict_proba", 200),
        ("300,000 rows", many, "predict_proba", 1),
    )


def measure(settings):
    """Return the section's rows."""
    names = [name for name in PREDICTORS if name in settings.contestants]
    settings.progress("prediction: preparing")
    predictors, notes = make_predictors(names, fit_model())
    rows = []
    for job, X, method, calls in make_jobs():
        settings.progress(f"prediction: {job}")
        jobs = {}
        for label, predictor in predictors.items():
            jobs[label] = _call(getattr(predictor, method), X, calls)
            jobs[label]()
        times = interleave(jobs, settings.rounds)
        for label, note in notes.items():
            row = Row("prediction", job, label, f"call with {len(X):,} rows", note=note)
            rows.append(row)
            if label not in times:
                continue
            row.times = times[label].per(calls)
            if label != Fastmlp.label and Fastmlp.label in times:
                row.ratio = times[label].best / times[Fastmlp.label].best
    return rows


def _call(method, X, calls):
    return repeat(lambda: method(X), calls)
