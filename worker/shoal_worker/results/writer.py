"""The rows of one part on their way into the store: Parquet in a local file first, then as an object; used by `run`.

Invariant: the store sees a part's rows whole or not at all, under a name that their content gives them. Memory is
bounded by one row group, whatever the part's size; the local file is gone when the writer is left.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoal_worker.errors import ResultInvalid, StoreUnavailable
from shoal_worker.results.record import MOST_CLUSTERS, Range
from shoal_worker.results.schema import CLUSTER_ID, LABEL, NOISE, ROW

ROW_GROUP_ROWS = 131_072
_ROW_GROUP_BYTES = 32 << 20
_PREFIX = "shoal-part-"
_LEFT_SECONDS = 3600


class Tally:
    """What a part's record tells of its rows."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self.noise = 0
        self.counts: dict[int, int] = {}
        self.ranges: dict[str, Range] = {}
        self._numeric = [
            field.name
            for field in schema
            if (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
            and field.name not in (LABEL, CLUSTER_ID)
        ]

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in some rows."""
        clustered = batch.column(LABEL).to_numpy() != NOISE
        ids, rows = np.unique(batch.column(CLUSTER_ID).to_numpy()[clustered], return_counts=True)
        for cluster, count in zip(ids.tolist(), rows.tolist(), strict=True):
            self.counts[cluster] = self.counts.get(cluster, 0) + count
        if len(self.counts) > MOST_CLUSTERS:
            raise ResultInvalid(
                f"the rows are of more than {MOST_CLUSTERS:,} clusters",
                field="spec.model",
                remedy="Use a model with fewer clusters: a greater eps, or more minSamples",
            )
        self.rows += batch.num_rows
        self.noise += batch.num_rows - int(clustered.sum())
        for name in self._numeric:
            self._widen(name, batch.column(name))

    def _widen(self, name: str, column: "pa.Array[Any]") -> None:
        if pa.types.is_floating(column.type):
            column = column.cast(pa.float64())
            column = pc.filter(column, pc.is_finite(column))
        ends = pc.min_max(column)
        low, high = ends["min"].as_py(), ends["max"].as_py()
        if low is None or high is None:
            return
        known = self.ranges.get(name)
        self.ranges[name] = Range(
            min=low if known is None else min(known.min, low), max=high if known is None else max(known.max, high)
        )


class RowsFile:
    """The Parquet file of one part while it is written, and its sha256; a context manager."""

    def __init__(self, schema: pa.Schema) -> None:
        self.tally = Tally(schema)
        self.bytes = 0
        self._schema = schema
        self._digest = hashlib.sha256()
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._file: IO[bytes]
        self._parquet: pq.ParquetWriter

    def __enter__(self) -> "RowsFile":
        """Make the local file."""
        self._file = tempfile.NamedTemporaryFile(prefix=_PREFIX, suffix=".parquet")
        encodings = {ROW: "DELTA_BINARY_PACKED"} if ROW in self._schema.names else None
        self._parquet = pq.ParquetWriter(
            cast(IO[bytes], _Hashing(self)),
            self._schema,
            compression="zstd",
            compression_level=1,
            column_encoding=encodings,
            # Measured: looking for repetitions among distances takes longer than all the rest of the writing.
            use_dictionary=[
                field.name for field in self._schema if field.name != ROW and not pa.types.is_floating(field.type)
            ],  # type: ignore[arg-type]  # stubs
            write_page_checksum=True,
            store_schema=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the local file."""
        self._waiting.clear()
        # Where the disk is full, both want to write once more; it is of no use.
        with contextlib.suppress(OSError):
            self._parquet.close()
        with contextlib.suppress(OSError):
            self._file.close()

    @property
    def path(self) -> Path:
        """Where the local file lies."""
        return Path(self._file.name)

    @property
    def sha256(self) -> str:
        """Of all bytes that were written."""
        return self._digest.hexdigest()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some rows, which must have the schema's columns and types, in their order."""
        if not batch.schema.equals(self._schema, check_metadata=False):
            raise ValueError(f"the rows have the columns {batch.schema}, and the part has {self._schema}")
        self.tally.add(batch)
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes >= _ROW_GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is left, and the footer; the file is whole then."""
        try:
            if self._waiting:
                self._write_group()
            self._parquet.close()
            self._file.flush()
        except OSError as error:
            raise _disk_failed(error) from None

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting.clear()
        self._waiting_rows = self._waiting_bytes = 0
        try:
            self._parquet.write_table(table, row_group_size=max(table.num_rows, 1))
        except OSError as error:
            raise _disk_failed(error) from None

    def _take(self, content: bytes) -> int:
        self._digest.update(content)
        self.bytes += len(content)
        return self._file.write(content)


def remove_left_files() -> None:
    """Remove local files of processes that were killed while they wrote; whoever writes still takes minutes at most."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            if time.time() - path.stat().st_mtime > _LEFT_SECONDS:
                path.unlink(missing_ok=True)


class _Hashing:
    """The file as Arrow writes to it."""

    closed = False

    def __init__(self, file: RowsFile) -> None:
        self._file = file

    def write(self, content: bytes) -> int:
        return self._file._take(content)

    def flush(self) -> None:
        """Arrow asks for it; the file is flushed when it is whole."""

    def close(self) -> None:
        self.closed = True


def _disk_failed(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the part cannot be written to the local disk: {os.strerror(error.errno) if error.errno else error}",
        field="spec.shards",
        value=tempfile.gettempdir(),
        remedy="Give the pods more ephemeral storage, or make more and smaller shards",
    )
