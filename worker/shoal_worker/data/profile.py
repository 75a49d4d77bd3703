"""What the data of a training were: counts, nulls and ranges by column, for the version's record; made by `reading`.

Invariant: figures are of the rows that were kept, each is finite or absent, and no value of a text is in them.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from pydantic import Field

from shoal_worker.artifact.manifest import TEXT
from shoal_worker.data.frame import Frame
from shoal_worker.data.records import DataFile
from shoal_worker.spec.part import Part

_BLOCK_ROWS = 1 << 20


class ColumnProfile(Part):
    """One column's figures."""

    name: str
    dtype: str
    nulls: int
    """Rows without a value."""
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    """Of the finite values; absent where there are none, and for texts."""
    distinct: int | None = None
    """Of a column of texts: how many different ones there are."""


class DataProfile(Part):
    """The data that a version was trained on."""

    format: str
    files: int
    bytes: int
    """Of the files; 0 where there are none (a query)."""
    rows_read: int
    rows: int
    """Rows that were kept: all, or the sample."""
    digest: str
    """sha256 over path, size and ETag of each file: equal where the very same files were read. Empty for a query."""
    columns: tuple[ColumnProfile, ...] = Field(default=())


def profile_columns(frame: Frame) -> tuple[ColumnProfile, ...]:
    """Figures of each column, block by block, so that a large frame is not copied."""
    return tuple(
        _text(frame.texts[column.name], column.name)
        if column.dtype == TEXT
        else _number(frame.number(column.name), column.name, column.dtype)
        for column in frame.columns
    )


def digest_files(files: Iterable[DataFile]) -> str:
    """sha256 over what identifies the files' content."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.size}\0{file.etag}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _number(values: np.ndarray, name: str, dtype: str) -> ColumnProfile:
    nulls, count, mean, low, high = 0, 0, 0.0, np.inf, -np.inf
    for start in range(0, len(values), _BLOCK_ROWS):
        block = values[start : start + _BLOCK_ROWS]
        nulls += int(np.isnan(block).sum())
        finite = block[np.isfinite(block)]
        if not len(finite):
            continue
        share = len(finite) / (count + len(finite))
        # Divided first: a sum of very large values would overflow.
        mean = mean * (1 - share) + float(np.sum(finite / len(finite))) * share
        count += len(finite)
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if not count:
        return ColumnProfile(name=name, dtype=dtype, nulls=nulls)
    # More digits of a mean say nothing, and would crowd a record that is bounded.
    shown = float(np.clip(float(f"{mean:.9g}"), low, high))
    return ColumnProfile(name=name, dtype=dtype, nulls=nulls, min=low, max=high, mean=shown)


def _text(values: np.ndarray, name: str) -> ColumnProfile:
    known = {value for value in values.tolist() if value is not None}
    nulls = sum(value is None for value in values.tolist())
    return ColumnProfile(name=name, dtype=TEXT, nulls=nulls, distinct=len(known))
