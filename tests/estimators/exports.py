"""Networks to export, and ONNX models run."""

import numpy as np
import onnxruntime

from fastmlp import MLPRegressor


def fitted(Estimator, X, y, **params):
    """Return an estimator with two small hidden layers, after few epochs."""
    defaults = {"hidden_layer_sizes": (6, 5), "random_state": 0, "tol": 1e3}
    return Estimator(**defaults | params).fit(X, y)


def of_one_unit(name, z):
    """Return a regressor that applies an activation to a number of z's dtype."""
    model = fitted(
        MLPRegressor, z[-9:], z[-9:, 0], activation=name, hidden_layer_sizes=(1,)
    )
    weights = np.array([[1.0, -0.5]] if name == "maxout" else [[1.0]], z.dtype)
    model.coefs_ = [weights, np.ones((1, 1), z.dtype)]
    model.intercepts_ = [np.zeros(weights.size, z.dtype), np.zeros(1, z.dtype)]
    if model.slopes_ != [None]:
        model.slopes_ = [np.array([-0.3], z.dtype)]
    return model


def session_of(model):
    """Return ONNX Runtime's session of an ONNX model."""
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def outputs_by_name(session, feed):
    """Return all outputs for the inputs in a dict."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def run(model, X):
    """Return the outputs of an ONNX model of one input by name."""
    session = session_of(model)
    (x,) = session.get_inputs()
    return outputs_by_name(session, {x.name: X})
