"""CSV files with a header, by ranges of bytes; called by `dataset`.

A row belongs to the range in which its first byte lies, so ranges can be cut anywhere. Invariant: numbers are float64
throughout, however the first rows look; a value that is none is told with its column.
"""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from shoal_worker.data.formats.format import COLUMNS_FIELD, URI_FIELD, Span, slices
from shoal_worker.data.range_file import RangeFile
from shoal_worker.errors import SourceInvalid, shorten

_BLOCK_BYTES = 4 << 20
_SPAN_BYTES = 32 << 20
_LINE_PIECE_BYTES = 64 << 10
# Arrow tells the column by its position in the file only.
_CONVERSION = re.compile(r"In CSV column #(\d+): .*conversion error.*: invalid value (.*)")


class CsvRows:
    """An open CSV file; its types are those of its first block."""

    rows = None

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        self.schema = _as_read(_open(file, names=None, types=None).schema)
        self._body = self._after_header()

    def spans(self) -> list[Span]:
        """Ranges of some megabytes."""
        end = self._file.size
        starts = range(self._body, end, _SPAN_BYTES)
        return [Span(at, min(at + _SPAN_BYTES, end), None, min(at + _SPAN_BYTES, end) - at) for at in starts]

    def batches(self, spans: Sequence[Span], names: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows that begin in these ranges; neighbouring ranges are read as one."""
        types = {name: self.schema.field(name).type for name in names}
        for start, stop in _merged(spans):
            begin, end = self._line_start(start), self._line_start(stop)
            if begin < end:
                for batch in self._read(self._file.window(begin, end), types):
                    yield from slices(batch, batch_rows)

    def _read(self, window: RangeFile, types: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        try:
            yield from _open(window, names=self.schema.names, types=types)
        except pa.ArrowInvalid as error:
            if not (match := _CONVERSION.search(str(error))):
                raise
            raise SourceInvalid(
                f"a value is not a number: {shorten(match[2])}",
                reason="ColumnNotNumeric",
                field=COLUMNS_FIELD,
                value=self.schema.names[int(match[1])],
                remedy="Correct the value, or leave the column out",
            ) from None

    def _after_header(self) -> int:
        """Position behind the header: the first line that is not empty."""
        position = 0
        while position < self._file.size:
            following = self._line_start(position + 1)
            if self._file.window(position, min(following, position + 3)).peek(3).strip(b"\r\n"):
                return following
            position = following
        return position

    def _line_start(self, position: int) -> int:
        """Position of the first line that starts at `position` or behind it."""
        if position in (0, self._file.size) or position == getattr(self, "_body", None):
            return position
        at = position - 1
        while at < self._file.size:
            piece = self._file.window(at, min(at + _LINE_PIECE_BYTES, self._file.size)).peek(_LINE_PIECE_BYTES)
            if (found := piece.find(b"\n")) >= 0:
                return at + found + 1
            at += len(piece)
            if at - position > 2 * _BLOCK_BYTES:
                raise SourceInvalid(
                    f"the row at byte {position} is longer than {2 * _BLOCK_BYTES} bytes",
                    reason="SourceFormatInvalid",
                    field=URI_FIELD,
                    value=self._file.uri,
                    remedy="Shorten the row, or write the data as Parquet",
                )
        return self._file.size


def _open(
    file: RangeFile, *, names: list[str] | None, types: dict[str, pa.DataType] | None
) -> pa.csv.CSVStreamingReader:
    read = pa.csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=names, use_threads=False)
    convert = pa.csv.ConvertOptions(include_columns=list(types), column_types=types) if types is not None else None
    return pa.csv.open_csv(file.as_arrow(), read_options=read, convert_options=convert)  # type: ignore[arg-type]  # stubs


def _as_read(inferred: pa.Schema) -> pa.Schema:
    """All numbers as float64: later rows may have fractions, and columns without values may get some."""
    number = [pa.types.is_null(field.type) or pa.types.is_integer(field.type) for field in inferred]
    return pa.schema(
        [
            field.with_type(pa.float64()) if is_number else field
            for field, is_number in zip(inferred, number, strict=True)
        ]
    )


def _merged(spans: Sequence[Span]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for span in spans:
        if merged and merged[-1][1] == span.start:
            merged[-1] = (merged[-1][0], span.stop)
        else:
            merged.append((span.start, span.stop))
    return merged
