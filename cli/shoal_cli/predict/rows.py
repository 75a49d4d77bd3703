"""Rows to predict, from arguments, CSV, Parquet or npy, as named columns; no cluster. Used by `predict`.

Invariant: files are data: no pickle is read, and whatever is no table of numbers and texts is told by file and remedy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from shoal_cli.errors import ShoalError, UsageError

_SUFFIXES = (".csv", ".parquet", ".npy")


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of equal length, in order; named where the source names them, else by place."""

    columns: tuple[tuple[str, NDArray[Any]], ...]
    named: bool

    def __len__(self) -> int:
        return len(self.columns[0][1]) if self.columns else 0

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [name for name, _ in self.columns]

    def choose(self, wanted: Sequence[str]) -> "Rows":
        """Return these columns in this order; by place where there are no names."""
        if not self.named:
            if len(self.columns) != len(wanted):
                raise UsageError(
                    f"the model takes {len(wanted)} columns ({', '.join(wanted[:16])}), and each row has "
                    f"{len(self.columns)}",
                    field="rows",
                    remedy="Give as many values in each row",
                )
            return Rows(
                tuple((name, values) for name, (_, values) in zip(wanted, self.columns, strict=True)), named=True
            )
        held = dict(self.columns)
        if missing := [name for name in wanted if name not in held]:
            raise UsageError(
                f"the model's column {missing[0]} is not in the file, which has {', '.join(self.names[:16])}",
                field="--file",
                remedy="Name the columns as in the training data",
            )
        return Rows(tuple((name, held[name]) for name in wanted), named=True)

    def slices(self, size: int) -> Iterator["Rows"]:
        """Yield the rows, so many at a time."""
        for start in range(0, len(self), size):
            parts = tuple((name, values[start : start + size]) for name, values in self.columns)
            yield Rows(parts, self.named)


def read_arguments(texts: Sequence[str]) -> Rows:
    """Read rows as they are typed: values with commas between, a row an argument."""
    cells = [text.split(",") for text in texts]
    width = len(cells[0])
    for text, row in zip(texts, cells, strict=True):
        if len(row) != width:
            raise UsageError(
                f"it has {len(row)} values and the first row has {width}",
                field="ROW",
                value=text,
                remedy="Give as many values in each row, such as 52.5,13.4",
            )
    columns = zip(*cells, strict=True)
    return Rows(tuple((str(place), _values([*column])) for place, column in enumerate(columns)), named=False)


def read_file(name: str) -> Rows:
    """Read the rows of a CSV (with a header), Parquet or npy file, by its suffix."""
    path = Path(name)
    if path.suffix not in _SUFFIXES:
        raise UsageError(
            "its suffix tells no format", field="--file", value=name, remedy=f"Name a file {' or '.join(_SUFFIXES)}"
        )
    try:
        if path.suffix == ".npy":
            return _matrix(np.load(path, allow_pickle=False), name)
        table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pyarrow.parquet.read_table(path)
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        text = str(error).splitlines()[0][:200].rstrip(". ") if str(error) else type(error).__name__
        raise ShoalError(
            f"it cannot be read: {text}", field="--file", value=name, remedy=f"Name a good {path.suffix} file"
        ) from None
    return Rows(tuple((column, _column(table[column], column)) for column in table.column_names), named=True)


def _matrix(array: NDArray[Any], name: str) -> Rows:
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise UsageError(
            f"it holds {array.dtype} of {array.ndim} dimensions",
            field="--file",
            value=name,
            remedy="Save rows × columns",
        )
    return Rows(tuple((str(place), array[:, place]) for place in range(array.shape[1])), named=False)


def _column(values: "pa.ChunkedArray[Any]", name: str) -> NDArray[Any]:
    if values.null_count:
        raise UsageError(
            f"{values.null_count} values are missing", field=f"column {name}", remedy="Remove these rows or fill them"
        )
    found: NDArray[Any] = np.asarray(values.to_numpy())
    return found if found.dtype.kind in "iufb" else np.asarray([str(each) for each in values.to_pylist()], dtype=object)


def _values(cells: list[str]) -> NDArray[Any]:
    """Return typed cells as numbers where all are."""
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        return np.array(cells, dtype=object)
