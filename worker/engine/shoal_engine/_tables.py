"""Data frames and Arrow tables as numpy arrays with column names.

Called by the checks of X. pandas and polars are recognised where they are loaded, which the user's object has done;
pyarrow is imported only to read an Arrow stream of some other library.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def column_names(X: object) -> NDArray[np.object_] | None:  # noqa: N803
    """Names of a table's columns if all are strings; None for anything without names."""
    if isinstance(X, np.ndarray) or not (hasattr(X, "__dataframe__") or hasattr(X, "__arrow_c_stream__")):
        return None
    # pyarrow's `columns` are the columns themselves.
    names: NDArray[np.object_] = np.empty(0, dtype=object)
    for attribute in ("column_names", "columns"):
        found = getattr(X, attribute, None)
        if found is not None:
            names = np.asarray(found, dtype=object)
            break
    kinds = sorted({type(name).__qualname__ for name in names})
    if len(kinds) > 1 and "str" in kinds:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types. If you want feature names to be stored and validated, you "
            "must convert them all to strings, by using X.columns = X.columns.astype(str) for example. Otherwise you "
            "can remove feature / column names from your input data, or convert them all to a non-string data type."
        )
    return names if kinds == ["str"] else None


def as_array(X: object) -> NDArray[Any]:  # noqa: N803
    """Return X as an array of any type and layout, without a copy where its memory can be shared."""
    if isinstance(X, np.ndarray):
        return X
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(X, pandas.DataFrame):
        if all(isinstance(dtype, np.dtype) for dtype in X.dtypes):
            return np.asarray(X)
        return np.asarray(X.to_numpy(dtype=np.float64, na_value=np.nan))
    if polars is not None and isinstance(X, polars.DataFrame):
        return np.asarray(X.to_numpy(order="c"))
    if hasattr(X, "column_names") and hasattr(X, "itercolumns"):
        return _from_arrow(X)
    if hasattr(X, "__arrow_c_stream__") and not hasattr(X, "__array__"):
        return _from_arrow(_read_stream(X))
    return np.asarray(X)


def _from_arrow(table: Any) -> NDArray[Any]:
    columns = [np.asarray(column) for column in table.itercolumns()]
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0))


def _read_stream(X: Any) -> Any:  # noqa: N803
    try:
        import pyarrow
    except ImportError as missing:
        name = type(X).__qualname__
        raise TypeError(f"Reading a {name} needs pyarrow: install it, or pass a numpy array.") from missing
    return pyarrow.table(X)
