"""What all file formats have in common; implemented by the modules beside it, used by `dataset`.

Invariant: opening reads no rows beyond what tells the schema; reading holds a bounded part of the file in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from shoal_worker.errors import SourceInvalid
from shoal_worker.spec.source import SourceFormat

URI_FIELD = "spec.source.uri"
COLUMNS_FIELD = "spec.source.columns"
FORMAT_FIELD = "spec.source.format"
SUFFIXES: dict[str, SourceFormat] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrow",
    ".npy": "npy",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file, [start, stop), counted in what the format splits by: row groups, batches, bytes or rows."""

    start: int
    stop: int
    rows: int | None
    """None: not known before it is read."""
    size: int
    """Bytes of it in the file, estimated where the format does not tell."""


class OpenFile(Protocol):
    """A file whose beginning, or end, was read."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    @property
    def rows(self) -> int | None:
        """Number of rows; None: not known before they are read."""

    def spans(self) -> list[Span]:
        """The parts that can be read each on its own, in the file's order; together they are all rows."""

    def batches(self, spans: Sequence[Span], names: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows of these parts, in their order, with columns of these names, at most so many at a time."""


def slices(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """The batch in parts of at most so many rows, without a copy."""
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def miscounted(rows: int) -> SourceInvalid:
    """The failure of a file that holds more or fewer rows than it says."""
    return SourceInvalid(
        "the file holds another number of rows than its footer says",
        reason="SourceFormatInvalid",
        field=URI_FIELD,
        value=rows,
        remedy="The file is damaged: write it again",
    )
