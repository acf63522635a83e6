"""Tables of each kind with the same columns, and the codes of these by pandas."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

N = 60


def make_columns(n=N, seed=0):
    """Return columns of each kind as lists, with None where a value is missing."""
    rng = np.random.default_rng(seed)

    def with_none(values):
        return [None if rng.random() < 0.2 else value for value in values]

    return {
        "float": (rng.normal(size=n) * 3 + 1).round(2).tolist(),
        "float_missing": with_none(rng.exponential(size=n).round(2).tolist()),
        "int": rng.integers(-5, 90, size=n).tolist(),
        "int_missing": with_none(rng.integers(4, size=n).tolist()),
        "bool": (rng.random(n) < 0.3).tolist(),
        "bool_missing": with_none((rng.random(n) < 0.6).tolist()),
        "text": rng.choice(["red", "green", "blue", ""], size=n).tolist(),
        "text_missing": with_none(rng.choice(["b", "é", "a"], size=n).tolist()),
        "constant": [7.0] * n,
        "nothing": [None] * n,
    }


COLUMNS = make_columns()

NAMES = list(COLUMNS)

TEXTS = ["text", "text_missing"]

CODED = NAMES[:-2]


def as_pandas(columns):
    frame = pd.DataFrame(columns)
    return frame.set_axis(np.arange(len(frame)) // 2)


def as_nullable(columns):
    dtypes = {"float": "Float64", "int": "Int64", "bool": "boolean", "text": "string"}
    frame = pd.DataFrame(columns)
    return frame.astype(
        {name: dtypes[name.split("_")[0]] for name in CODED if name in frame}
    )


def as_categorical(columns):
    levels = pd.CategoricalDtype(["unused", "red", "é", "green", "b", "a", "", "blue"])
    ordered = pd.CategoricalDtype(levels.categories, ordered=True)
    return as_pandas(columns).astype({"text": levels, "text_missing": ordered})


def as_polars(columns):
    return pl.DataFrame(columns)


def as_polars_categories(columns):
    levels = pl.Enum(["unused", "red", "green", "blue", ""])
    return as_polars(columns).with_columns(
        pl.col("text").cast(levels), pl.col("text_missing").cast(pl.Categorical)
    )


def as_arrow_chunks(columns):
    table = pa.table(columns)
    return pa.concat_tables([table.slice(0, 7), table.slice(7)])


def as_arrow_dictionaries(columns):
    table = pa.table(columns)
    for name in TEXTS:
        # Each chunk has a dictionary of its own.
        chunks = [part[name].chunk(0) for part in (table.slice(0, 9), table.slice(9))]
        encoded = pa.chunked_array(
            [chunk.dictionary_encode() for chunk in chunks],
            type=pa.dictionary(pa.int32(), pa.string()),
        )
        table = table.set_column(table.schema.get_field_index(name), name, encoded)
    return table


def as_objects(columns):
    return np.array(list(columns.values()), dtype=object).T


def as_lists(columns):
    return [list(row) for row in zip(*columns.values(), strict=True)]


KINDS = {
    "pandas": as_pandas,
    "pandas, nullable": as_nullable,
    "pandas, objects": lambda columns: pd.DataFrame(as_objects(columns), columns=NAMES),
    "pandas, categories": as_categorical,
    "pandas, string[python]": lambda c: as_pandas(c).astype(
        dict.fromkeys(TEXTS, pd.StringDtype("python"))
    ),
    "pandas, arrow": lambda columns: pa.table(columns).to_pandas(
        types_mapper=pd.ArrowDtype
    ),
    "polars": as_polars,
    "polars, categories": as_polars_categories,
    "pyarrow": pa.table,
    "pyarrow, batch": pa.RecordBatch.from_pydict,
    "pyarrow, chunks": as_arrow_chunks,
    "pyarrow, dictionaries": as_arrow_dictionaries,
    "objects": as_objects,
    "lists": as_lists,
}


def ref_number(values):
    """Return the codes of a column of numbers, by pandas."""
    x = pd.Series(values, dtype=float)
    lower, median, upper = x.quantile([0.25, 0.5, 0.75])
    spread = upper - lower if upper > lower else (x.max() - x.min()) / 2
    u = (x - median) / spread
    return (u / np.sqrt(1 + (u / 3) ** 2)).to_numpy()


def ref_category(values):
    """Return the codes of a column of categories, by pandas; missing ones are last."""
    category = pd.Categorical(values)
    return np.where(category.codes < 0, len(category.categories), category.codes)


def ref_codes(columns):
    return np.column_stack(
        [
            (ref_category if name.startswith(("text", "bool")) else ref_number)(values)
            for name, values in columns.items()
            if name in CODED
        ]
    )
