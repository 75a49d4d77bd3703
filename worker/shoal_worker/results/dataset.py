"""Rows of runs as an Arrow dataset that reads of the store only what is asked for; called by `run` and `store`.

Invariant: only files that the runs' records name are read, and no byte beyond their sizes. Every page that is read is
held against its checksum. What the store refused while Arrow read is kept in `failure`, since Arrow tells it as text.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from shoal_worker.errors import ResultInvalid, WorkerError, shorten
from shoal_worker.store.objects import ObjectInfo, Store

_BATCH_ROWS = 65_536


class RunRows:
    """Rows of some parts that have the same columns; `dataset` may be scanned again and again, by several threads."""

    def __init__(self, store: Store, infos: Sequence[ObjectInfo]) -> None:
        self.failure: WorkerError | None = None
        self._store = store
        options = ds.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=True)
        parquet = ds.ParquetFileFormat(default_fragment_scan_options=options)
        try:
            schema = pq.read_schema(self._open(infos[0]))
        except (pa.ArrowException, OSError) as error:
            raise self.failure or ResultInvalid(
                f"the rows cannot be read: {shorten(error, 200)}",
                field="run",
                value=infos[0].location.uri,
                remedy="`shoal results verify` tells whether the files are as they were written",
            ) from None
        fragments = [parquet.make_fragment(self._open(info)) for info in infos]  # type: ignore[arg-type]  # stubs
        self.dataset = ds.FileSystemDataset(fragments, _widened(schema), parquet)

    def stream(self) -> pa.RecordBatchReader:
        """Read all rows once, in order, with no more than a row group in memory."""
        scanner = ds.Scanner.from_dataset(
            self.dataset, batch_size=_BATCH_ROWS, batch_readahead=1, fragment_readahead=1, use_threads=False
        )
        return scanner.to_reader()

    def _open(self, info: ObjectInfo) -> pa.PythonFile:
        return pa.PythonFile(_RangeReader(self, info), mode="r")  # type: ignore[arg-type]  # stubs

    def _read(self, info: ObjectInfo, start: int, end: int) -> memoryview:
        try:
            return self._store.read_range(info, start, end)
        except WorkerError as error:
            self.failure = self.failure or error
            raise OSError(str(error)) from None


class _RangeReader:
    """An object as Arrow reads files: it seeks, then reads, with a lock of its own around both."""

    closed = False

    def __init__(self, rows: RunRows, info: ObjectInfo) -> None:
        self._rows, self._info, self._place = rows, info, 0

    def read(self, count: int = -1) -> bytes:
        end = self._info.size if count < 0 else min(self._place + count, self._info.size)
        if end <= self._place:
            return b""
        content = self._rows._read(self._info, self._place, end)
        self._place = end
        return bytes(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._info.size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        self.closed = True


def _widened(schema: pa.Schema) -> pa.Schema:
    """The schema with 16-bit floats as 32-bit ones: few programs know the former."""
    for place, field in enumerate(schema):
        if pa.types.is_float16(field.type):
            schema = schema.set(place, field.with_type(pa.float32()))
    return schema
