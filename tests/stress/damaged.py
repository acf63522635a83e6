"""Pickles with a bit changed, or cut short, raise or are as good as the whole ones.

A crash of this process would be the failure. What CPython says of some of them on
stderr, "SystemError: deallocated bytearray object", is its own unpickler's.
"""

import contextlib
import pickle
import resource
import sys
import warnings

import numpy as np

from fastmlp import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
MODELS = {
    "words": (MLPClassifier, np.array(["a", "b", "c"] * 10)),
    "multilabel": (MLPClassifier, RNG.integers(2, size=(30, 2))),
    "regressor": (MLPRegressor, X[:, 0]),
}


@contextlib.contextmanager
def limited_memory(n_bytes):
    """Refuse more: a damaged length may ask for any amount."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def outcome(saved, y):
    """Load, predict and train; return the numbers, or None if that raises."""
    try:
        model = pickle.loads(saved)
        predicted = model.predict(X).tobytes()
        return predicted, model.partial_fit(X, y).coefs_[0].tobytes()
    except Exception:
        return None


def damage(kind, n_bits=8):
    """Change so many bits of each byte, one at a time; cut the file before each byte.

    Returns
    -------
    n, n_raised : int
        Changes, and how many of them raised.
    """
    Estimator, y = MODELS[kind]
    params = {"activation": "prelu", "max_iter": 2, "random_state": 0, "n_threads": 1}
    with warnings.catch_warnings(action="ignore"), limited_memory(8 << 30):
        saved = pickle.dumps(Estimator(hidden_layer_sizes=(4,), **params).fit(X, y))
        ref, n_raised = outcome(saved, y), 0
        assert ref is not None
        for at in range(len(saved)):
            for bit in range(at, at + n_bits):
                damaged = bytearray(saved)
                damaged[at] ^= 1 << bit % 8
                comp = outcome(bytes(damaged), y)
                n_raised += comp is None
                assert comp in (None, ref), (at, bit % 8)
            assert outcome(saved[:at], y) is None, at
    return len(saved) * n_bits, n_raised


def main(kinds=tuple(MODELS), n_bits=8):
    """Print the figures."""
    for kind in kinds:
        n, n_raised = damage(kind, n_bits)
        print(f"{kind}: {n} bits changed, {n_raised} raised, the others as the whole")
        assert n_raised > 0.9 * n


if __name__ == "__main__":
    main(sys.argv[1:], n_bits=1)
