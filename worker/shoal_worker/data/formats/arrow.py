"""Arrow IPC: files (.arrow, .feather), split by record batches, and streams (.arrows), read as a whole; see `dataset`.

Invariant: of a file only the columns asked for are read; a record batch is in memory as a whole, and one that does not
fit the file's largest read is refused before it is read.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset

from shoal_worker.data.formats.format import Span, slices
from shoal_worker.data.range_file import RangeFile

FILE_MAGIC = b"ARROW1"


class ArrowFileRows:
    """An open IPC file; record batches tell their rows only when they are read, the file tells them all together."""

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        with pa.ipc.open_file(file.as_arrow()) as reader:
            self.schema: pa.Schema = reader.schema
            self._batches = reader.num_record_batches
        fragment = pa.dataset.IpcFileFormat().make_fragment(file.as_arrow())  # type: ignore[arg-type]  # stubs
        self.rows: int = fragment.count_rows()

    def spans(self) -> list[Span]:
        """One for each record batch."""
        size = self._file.size // max(self._batches, 1)
        known = self.rows if self._batches == 1 else None
        return [Span(index, index + 1, known, size) for index in range(self._batches)]

    def batches(self, spans: Sequence[Span], names: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows of these record batches."""
        positions = [self.schema.get_field_index(name) for name in names]
        # No position at all would mean every column.
        options = pa.ipc.IpcReadOptions(included_fields=positions or [0])
        with pa.ipc.open_file(self._file.as_arrow(), options=options) as reader:
            for span in spans:
                for index in range(span.start, span.stop):
                    batch = reader.get_batch(index)
                    batch.validate(full=True)
                    yield from slices(batch, batch_rows)


class ArrowStreamRows:
    """An open IPC stream: its rows are known at its end only."""

    rows = None

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        with pa.ipc.open_stream(file.as_arrow()) as reader:
            self.schema: pa.Schema = reader.schema

    def spans(self) -> list[Span]:
        """The whole stream."""
        return [Span(0, 1, None, self._file.size)]

    def batches(self, spans: Sequence[Span], names: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows of the stream."""
        if not spans:
            return
        with pa.ipc.open_stream(self._file.as_arrow()) as reader:
            for batch in reader:
                batch.validate(full=True)
                yield from slices(batch.select(list(names)), batch_rows)


def open_arrow(file: RangeFile) -> ArrowFileRows | ArrowStreamRows:
    """Open an IPC file or stream, whichever it is."""
    return ArrowFileRows(file) if file.peek(len(FILE_MAGIC)) == FILE_MAGIC else ArrowStreamRows(file)
