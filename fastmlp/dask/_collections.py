"""Dask arrays and frames: their partitions as blocks, predictions of them."""

import contextlib
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

from fastmlp.estimators._warnings import warn


def is_collection(X: Any) -> bool:
    """Return whether X is a Dask array, frame or another collection."""
    from dask.base import is_dask_collection

    return is_dask_collection(X)


def compute_by(client: Any, *values: Any) -> tuple[Any, ...]:
    """Return values, collections computed by a client; None: by Dask's default."""
    from dask import compute

    with contextlib.nullcontext() if client is None else client.as_current():
        return compute(*values)


def partitions(client: Any, X: Any, y: Any, sample_weight: Any) -> list[list[Any]]:
    """Return futures of X, y and the weights, or None, of each partition.

    Parameters
    ----------
    client : distributed.Client
    X : dask Array or DataFrame of shape (n_samples, n_features)
    y : dask Array, Series or DataFrame of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : dask Array or Series of shape (n_samples,), or None

    Raises
    ------
    TypeError
        If one is no Dask array or frame.
    ValueError
        If y is None, or they have not the same partitions.

    Warns
    -----
    DataConversionWarning
        If y is a column of two dimensions.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None.")
    given = {"X": X, "y": y, "sample_weight": sample_weight}
    if sample_weight is None:
        del given["sample_weight"]
    for name, each in given.items():
        _check_kind(name, each)
    given["y"] = _one_dimensional(y)
    parts = _parts([_with_whole_rows(_aligned(each, X)) for each in given.values()])
    if len({len(each) for each in parts}) > 1:
        raise ValueError(
            f"X, y and sample_weight have {[len(each) for each in parts]} partitions: "
            "they need the same number of rows and the same partitions. Call "
            "compute_chunk_sizes() on arrays of unknown chunks, or pass columns of one "
            "frame."
        )
    futures = [client.compute(each) for each in parts]
    missing = [[None] * len(parts[0])] * (3 - len(parts))
    return [list(each) for each in zip(*futures, *missing, strict=True)]


def _check_kind(name, collection):
    if not (_is_array(collection) or _is_frame(collection)):
        raise TypeError(
            f"{name} must be a Dask array or frame, got {type(collection).__name__}: "
            "use dask.array.from_array, or the estimator of fastmlp itself, for "
            "data that fit in memory."
        )


def _is_array(X):
    # The class's attributes: a Delayed itself has one of every name.
    return hasattr(type(X), "rechunk")


def _is_frame(X):
    return hasattr(type(X), "divisions")


def _parts(collections):
    """Return lists of Delayed, one for each partition of rows."""
    from dask import optimize

    # All arrays at once: of two that share tasks, optimised one by one, each may fuse
    # others of these under the same key.
    optimized = iter(optimize(*filter(_is_array, collections)))
    return [
        next(optimized).to_delayed(optimize_graph=False).ravel().tolist()
        if _is_array(each)
        else each.to_delayed()
        for each in collections
    ]


def _with_whole_rows(collection):
    """Return an array whose chunks have all columns; frames as they are."""
    if _is_array(collection) and collection.ndim > 1 and collection.numblocks[1] > 1:
        return collection.rechunk({1: -1})
    return collection


def _one_dimensional(y):
    """Return y; if it is one column of two dimensions, warn and take that column."""
    if y.ndim != 2 or y.shape[1] != 1:
        return y
    warn(
        "A column-vector y was passed when a 1d array was expected. Pass y[:, 0], or "
        "the column of the frame.",
        DataConversionWarning,
    )
    return y[:, 0] if _is_array(y) else y[y.columns[0]]


def _aligned(y, X):
    """Return y with the chunks of X if both are arrays of known chunks."""
    if not (_is_array(y) and _is_array(X)) or X.shape[0] != y.shape[0]:
        return y
    return y.rechunk({0: X.chunks[0]})


def predict_lazily(model: Any, method: str, X: Any) -> Any:
    """Return the predictions of a collection, as one that is not yet computed.

    Parameters
    ----------
    model : estimator
        Fitted, a local one.
    method : str
        Name of the method that predicts, such as 'predict_proba'.
    X : dask Array or DataFrame of shape (n_samples, n_features)

    Returns
    -------
    predictions : dask Array, or Series or DataFrame with the index of X

    Raises
    ------
    TypeError
        If X is no Dask array or frame.
    ValueError
        If X is an array that is not of two dimensions.
    """
    from dask import delayed

    _check_kind("X", X)
    names = getattr(model, "classes_", None) if "proba" in method else None
    if _is_array(X):
        if X.ndim != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead.")
        X = _with_whole_rows(X)
        row = getattr(model, method)(_blank(model, X))
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
    empty = predict_frame(_blank(model, X), model, method, names, None).iloc[:0]
    return X.map_partitions(
        predict_frame, delayed(model), method, names, empty, meta=empty
    )


def predict_block(X: Any, model: Any, method: str) -> np.ndarray:
    """Return the predictions of an array, which may have no rows."""
    if X.shape[0]:
        return getattr(model, method)(X)
    return getattr(model, method)(_blank(model, X))[:0]


def _blank(model, X):
    """Return a row of the type of X, of numbers or, for a table, missing values."""
    value = None if hasattr(model, "columns_") else 0
    if _is_frame(X):
        rows = X._meta_nonempty
        rows[rows.columns[rows.dtypes == "object"]] = value
        # Nullable columns have a missing value in the second row.
        return rows.iloc[:1]
    return np.full((1, X.shape[1]), value if X.dtype == object else 0, X.dtype)


def predict_frame(frame: Any, model: Any, method: str, names: Any, empty: Any) -> Any:
    """Return the predictions of a frame, which may have no rows, with its index.

    Parameters
    ----------
    frame : pandas DataFrame
    model : estimator
    method : str
    names : sequence or None
        Names of the columns of the predictions. None: 0, 1, ...
    empty : pandas Series or DataFrame
        The predictions of no rows.
    """
    import pandas as pd

    if not len(frame):
        return empty.set_axis(frame.index)
    values = getattr(model, method)(frame)
    if values.ndim == 1:
        return pd.Series(values, index=frame.index)
    return pd.DataFrame(values, index=frame.index, columns=names)
