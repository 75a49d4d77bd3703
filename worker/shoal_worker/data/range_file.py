"""An object of a store as a file that is read by ranges; opened by `dataset`, read by `formats`.

Invariant: reads ask for the object that was described in the beginning: one that was replaced meanwhile is an error, no
mixture. What can pass (a busy or slow store) is tried again, after growing pauses and for a bounded time; what cannot
is told at once. No single read is larger than a part of the memory.
"""

import time
from collections.abc import Callable

import pyarrow as pa
import structlog

from shoal_worker.data.formats.format import URI_FIELD
from shoal_worker.errors import ObjectChanged, SourceInvalid, StoreUnavailable
from shoal_worker.resources import available_memory
from shoal_worker.store.objects import ObjectInfo, Store

_REQUEST_BYTES = 8 << 20
_READ_AHEAD_BYTES = 1 << 20
_MOST_READ_BYTES = 1 << 30
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_PATIENCE_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class RangeFile:
    """The part [start, stop) of an object, as a file that is opened for reading; positions count from `start`."""

    def __init__(
        self,
        store: Store,
        info: ObjectInfo,
        start: int = 0,
        stop: int | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._info = info
        self._start = start
        self._stop = info.size if stop is None else stop
        self._pause = pause
        self._position = 0
        self._held = memoryview(b"")
        self._held_at = 0
        self.closed = False
        # Of four such pieces, as of one that is decoded, none may exhaust the memory.
        self.largest_read = min(_MOST_READ_BYTES, available_memory() // 4)

    @property
    def uri(self) -> str:
        """The object's URI."""
        return self._info.location.uri

    @property
    def size(self) -> int:
        """Bytes of the part."""
        return self._stop - self._start

    def as_arrow(self) -> pa.PythonFile:
        """A new file over the same part, from its beginning, as Arrow takes it."""
        return pa.PythonFile(self.window(0, self.size), mode="r")  # type: ignore[arg-type]  # stubs

    def window(self, start: int, stop: int) -> "RangeFile":
        """A part of this part."""
        return RangeFile(self._store, self._info, self._start + start, self._start + stop, self._pause)

    def peek(self, count: int) -> bytes:
        """The first bytes, or all where there are fewer."""
        return bytes(self.read_at(0, min(count, self.size)))

    def read_at(self, position: int, count: int) -> memoryview:
        """Bytes at a position; fewer only at the end."""
        count = max(0, min(count, self.size - position))
        if count > self.largest_read:
            raise SourceInvalid(
                f"the file holds {count} bytes in one piece, and at most {self.largest_read} fit into the memory",
                field=URI_FIELD,
                value=self.uri,
                remedy="Write it with smaller row groups or record batches, shorten its longest values, or raise "
                "spec.training.resources",
            )
        held = self._held[position - self._held_at :][:count] if position >= self._held_at else memoryview(b"")
        if len(held) == count:
            return held
        position += len(held)
        # Small reads in sequence are the rule; a large one is passed on as it is.
        fetched = self._fetch(position, min(max(count - len(held), _READ_AHEAD_BYTES), self.size - position))
        self._held, self._held_at = fetched, position
        if not held:
            return fetched[:count]
        return memoryview(bytes(held) + bytes(fetched[: count - len(held)]))

    def _fetch(self, position: int, count: int) -> memoryview:
        begin, end = self._start + position, self._start + position + count
        if count <= _REQUEST_BYTES:
            return self._request(begin, end)
        whole = bytearray(count)
        for at in range(0, count, _REQUEST_BYTES):
            piece = self._request(begin + at, min(begin + at + _REQUEST_BYTES, end))
            whole[at : at + len(piece)] = piece
        return memoryview(whole)

    def _request(self, begin: int, end: int) -> memoryview:
        begun = time.monotonic()
        pauses = iter(_PAUSES)
        while True:
            try:
                return self._store.read_range(self._info, begin, end)
            except StoreUnavailable as error:
                pause = next(pauses, None)
                spent = time.monotonic() - begun
                if (
                    pause is None
                    or spent > _PATIENCE_SECONDS
                    or not error.transient
                    or isinstance(error, ObjectChanged)
                ):
                    raise
                _log.warning("read again", uri=self.uri, at=begin, message=error.message, pause=pause)
                self._pause(pause)

    # What follows is what Arrow asks of a file.

    def read(self, count: int = -1) -> bytes:
        """Read on from the position; -1: to the end."""
        return bytes(self.read_buffer(count))

    def read_buffer(self, count: int = -1) -> pa.Buffer:
        """Read on without a copy."""
        content = self.read_at(self._position, self.size - self._position if count < 0 else count)
        self._position += len(content)
        return pa.py_buffer(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position counted from the beginning (0), here (1) or the end (2)."""
        self._position = offset + (0, self._position, self.size)[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def close(self) -> None:
        """Forget what is held."""
        self._held = memoryview(b"")
        self.closed = True

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is not."""
        return False

    def seekable(self) -> bool:
        """It is."""
        return True
