"""Dask arrays and frames: their partitions as blocks, predictions of them."""

from typing import Any

import numpy as np


def is_collection(X: Any) -> bool:
    """Return whether X is a Dask array, frame or another collection."""
    from dask.base import is_dask_collection

    return is_dask_collection(X)


def partitions(
    client: Any, X: Any, y: Any, sample_weight: Any = None
) -> list[list[Any]]:
    """Return futures of X, y and the weights, or None, of each partition.

    Parameters
    ----------
    client : distributed.Client
    X : dask Array or DataFrame of shape (n_samples, n_features)
    y : dask Array, Series or DataFrame of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : dask Array or Series of shape (n_samples,), default=None

    Raises
    ------
    TypeError
        If one is no Dask array or frame.
    ValueError
        If they have not the same partitions.
    """
    given = {"X": X, "y": _aligned(y, X), "sample_weight": _aligned(sample_weight, X)}
    parts = [_parts(each, name) for name, each in given.items() if each is not None]
    if len({len(each) for each in parts}) > 1:
        raise ValueError(
            f"X, y and sample_weight have {[len(each) for each in parts]} partitions: "
            "give them the same, by y.rechunk(X.chunks[0]) for arrays, or as columns "
            "of one frame."
        )
    futures = [client.compute(each) for each in parts]
    missing = [[None] * len(parts[0])] * (3 - len(parts))
    return [list(each) for each in zip(*futures, *missing, strict=True)]


def _parts(collection, name):
    """Return a Delayed for each partition of rows."""
    if hasattr(collection, "chunks") and hasattr(collection, "rechunk"):
        if collection.ndim > 1 and collection.numblocks[1] > 1:
            collection = collection.rechunk({1: -1})
        return collection.to_delayed().ravel().tolist()
    if hasattr(collection, "npartitions") and hasattr(collection, "divisions"):
        return collection.to_delayed()
    raise TypeError(
        f"{name} must be a Dask array or frame, got {type(collection).__name__}: use "
        "dask.array.from_array, or the estimator of fastmlp itself, which takes what "
        "fits in memory."
    )


def _aligned(y, X):
    """Return y with the chunks of X if both are arrays of known chunks."""
    chunks, own = getattr(X, "chunks", None), getattr(y, "chunks", None)
    if chunks is None or own is None or chunks[0] == own[0] or X.shape[0] != y.shape[0]:
        return y
    return y.rechunk({0: chunks[0]})


def predict_lazily(model: Any, method: str, X: Any) -> Any:
    """Return the predictions of a collection, as one that is not yet computed.

    Parameters
    ----------
    model : estimator
        Fitted, a local one.
    method : str
        Its name.
    X : dask Array or DataFrame of shape (n_samples, n_features)

    Returns
    -------
    predictions : dask Array, or Series or DataFrame with the index of X
    """
    from dask import delayed

    names = getattr(model, "classes_", None) if "proba" in method else None
    if hasattr(X, "rechunk"):
        if X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        row = getattr(model, method)(np.zeros((1, X.shape[1]), X.dtype))
        chunks = {0: X.chunks[0]} | dict(enumerate(row.shape[1:], start=1))
        return X.map_blocks(
            predict_block,
            delayed(model),
            method,
            dtype=row.dtype,
            chunks=tuple(chunks.values()),
            drop_axis=None if row.ndim > 1 else 1,
            meta=row[:0],
        )
    meta = predict_frame(X._meta_nonempty, model, method, names).iloc[:0]
    return X.map_partitions(predict_frame, delayed(model), method, names, meta=meta)


def predict_block(X: Any, model: Any, method: str) -> np.ndarray:
    """Return the predictions of an array, which may have no rows."""
    if X.shape[0]:
        return getattr(model, method)(X)
    return getattr(model, method)(np.zeros((1, X.shape[1]), X.dtype))[:0]


def predict_frame(frame: Any, model: Any, method: str, names: Any) -> Any:
    """Return the predictions of a frame, which may have no rows, with its index.

    Parameters
    ----------
    frame : pandas DataFrame
    model : estimator
    method : str
    names : sequence or None
        Of the columns of the predictions; None: their numbers.
    """
    import pandas as pd

    if len(frame):
        values = getattr(model, method)(frame)
    else:
        blank = frame.reindex([0]).fillna(0)
        values = getattr(model, method)(blank)[:0]
    if values.ndim == 1:
        return pd.Series(values, index=frame.index)
    return pd.DataFrame(values, index=frame.index, columns=names)
