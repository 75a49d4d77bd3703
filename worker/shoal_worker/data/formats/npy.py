"""NumPy's .npy files: tables of numbers, by ranges of rows; called by `dataset`.

Invariant: nothing is unpickled: an array of objects is refused by its header. A header whose shape does not fit the
file's size is refused before anything is allocated for it.
"""

import io
import math
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shoal_worker.data.formats.format import URI_FIELD, Span
from shoal_worker.data.range_file import RangeFile
from shoal_worker.errors import SourceInvalid, shorten

_HEADER_BYTES = 64 << 10
_SPAN_BYTES = 32 << 20
_UNREADABLE = (ValueError, KeyError, TypeError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError)
_VERSIONS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpyRows:
    """An open .npy file: columns are x0, x1 and so on, or the fields of a structured array."""

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        shape, self._by_columns, self._dtype, self._start = _read_header(file)
        self.rows: int = shape[0]
        self._width = shape[1] if len(shape) == 2 else 1
        self._fields = self._dtype.names
        types = [self._dtype[name] for name in self._fields] if self._fields else [self._dtype] * self._width
        names = self._fields or [f"x{index}" for index in range(self._width)]
        self.schema = pa.schema(
            [(name, pa.from_numpy_dtype(dtype.newbyteorder("="))) for name, dtype in zip(names, types, strict=True)]
        )

    def spans(self) -> list[Span]:
        """Ranges of rows of some megabytes."""
        row_bytes = self._dtype.itemsize * self._width
        step = max(1, _SPAN_BYTES // row_bytes)
        ranges = [(at, min(at + step, self.rows)) for at in range(0, self.rows, step)]
        return [Span(start, stop, stop - start, (stop - start) * row_bytes) for start, stop in ranges]

    def batches(self, spans: Sequence[Span], names: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows of these ranges."""
        for span in spans:
            for start in range(span.start, span.stop, batch_rows):
                yield self._batch(start, min(start + batch_rows, span.stop), names)

    def _batch(self, start: int, stop: int, names: Sequence[str]) -> pa.RecordBatch:
        if self._by_columns:
            columns = {
                name: self._items(self.schema.get_field_index(name) * self.rows + start, stop - start) for name in names
            }
        else:
            items = self._items(start * self._width, (stop - start) * self._width)
            if self._fields:
                columns = {name: items[name] for name in names}
            else:
                table = items.reshape(-1, self._width)
                columns = {name: table[:, self.schema.get_field_index(name)] for name in names}
        native = {
            name: np.ascontiguousarray(values, values.dtype.newbyteorder("=")) for name, values in columns.items()
        }
        return pa.record_batch(native)

    def _items(self, first: int, count: int) -> np.ndarray[Any, Any]:
        begin = self._start + first * self._dtype.itemsize
        return np.frombuffer(self._file.read_at(begin, count * self._dtype.itemsize), self._dtype)


def _read_header(file: RangeFile) -> tuple[tuple[int, ...], bool, "np.dtype[Any]", int]:
    stream = io.BytesIO(file.peek(_HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(stream)
        shape, by_columns, dtype = _VERSIONS[version](stream)
    except _UNREADABLE as error:
        raise _refused(file, f"the header is not readable: {shorten(error, 200)}") from None
    if dtype.hasobject:
        raise _refused(file, "the array holds Python objects, which would have to be unpickled")
    if len(shape) not in (1, 2) or any(axis < 0 for axis in shape) or 0 in shape[1:]:
        raise _refused(file, f"a table has one or two axes, and the shape is {shorten(shape, 60)}")
    if dtype.names and (len(shape) != 1 or any(dtype[name].subdtype or dtype[name].names for name in dtype.names)):
        raise _refused(file, "a structured array must have one axis, and fields of single values")
    if dtype.kind not in "iufVb" or (dtype.kind == "V" and not dtype.names):
        raise _refused(file, f"the array holds {shorten(dtype, 60)}, not numbers")
    wanted, there = math.prod(shape) * dtype.itemsize, file.size - stream.tell()
    if wanted != there:
        raise _refused(file, f"the shape {shorten(shape, 60)} asks for {wanted} bytes, and the file has {there}")
    return shape, by_columns and len(shape) == 2, dtype, stream.tell()


def _refused(file: RangeFile, message: str) -> SourceInvalid:
    return SourceInvalid(
        message,
        reason="SourceFormatInvalid",
        field=URI_FIELD,
        value=file.uri,
        remedy="Write it anew with numpy.save, as one table of numbers of shape (rows, columns)",
    )
