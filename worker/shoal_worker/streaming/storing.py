"""Labelled rows on their way into the result store: gathered, written as files, told when they are there.

Fed by `consumer`. A file holds what came in some seconds, or some messages, or as many bytes of messages as may well be
held. Invariant: messages are told to be stored only after the record of the file that has their rows was written. What
the store does not take stays here and is tried again, for ever, and nothing is leased meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pyarrow as pa
import structlog

from shoal_worker.errors import WorkerError, shorten
from shoal_worker.settings import ConsumeSettings
from shoal_worker.streaming.leases import Leases
from shoal_worker.streaming.metrics import StreamMetrics
from shoal_worker.streaming.outcomes import Tabled
from shoal_worker.streaming.runs import StreamRuns

_MOST_BYTES = 32 << 20
"""Bytes of messages in a file: half of what a worker holds at once, so that leasing goes on while it is written."""
_MOST_ROWS = 262_144
"""Rows in a file, or little more: small messages may have many, and rows take more memory than messages."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0

_log = structlog.get_logger(__name__)

Stored = Callable[[Sequence[Tabled]], Awaitable[None]]


class StreamFiles:
    """The file that is gathered, and the one that is written. Use: run beside add, then finish and close."""

    def __init__(
        self, settings: ConsumeSettings, runs: StreamRuns, leases: Leases, metrics: StreamMetrics, stored: Stored
    ) -> None:
        """`stored` is told what was written, file by file."""
        self._runs = runs
        self._leases = leases
        self._metrics = metrics
        self._stored = stored
        self._seconds = settings.output_roll_seconds
        # What is not acknowledged is held: a file of all that may be held would leave nothing to go on with.
        self._messages = max(1, min(settings.output_roll_messages, settings.max_in_flight // 2))
        self._gathered: list[Tabled] = []
        self._count = self._bytes = self._rows = 0
        self._begun = 0.0
        self._writing: Sequence[Tabled] = ()
        self._changed = asyncio.Event()
        self._finishing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self.problem = ""
        """Why the last file was not written; empty where it was."""

    @property
    def waiting(self) -> int:
        """Messages that are labelled and not known to be stored."""
        return self._count + sum(len(item.messages) for item in self._writing)

    def add(self, items: Sequence[Tabled]) -> None:
        """Take rows over."""
        if not items:
            return
        if not self._gathered:
            self._begun = time.monotonic()
        self._gathered += items
        self._count += sum(len(item.messages) for item in items)
        self._rows += sum(item.rows.num_rows for item in items)
        self._bytes += sum(len(message.data) for item in items for message in item.messages)
        self._changed.set()

    async def run(self) -> None:
        """Write file after file, until cancelled or, once `finish` was called, until all is written."""
        while True:
            while not self._is_due():
                await self._await_change()
            self._writing = self._take()
            if self._writing:
                await self._write([item.rows for item in self._writing])
                await self._stored(self._writing)
                self._writing = ()
            elif self._finishing:
                return

    def hasten(self) -> None:
        """Write what is gathered at once, and then end `run`: nothing more comes."""
        self._finishing = True
        self._changed.set()

    def abandon(self) -> list[Tabled]:
        """Return what is not known to be stored; a file that is being written may still be."""
        left = [*self._writing, *self._gathered]
        self._writing, self._gathered, self._count = (), [], 0
        return left

    async def close(self) -> None:
        """Complete the run, once the thread has ended what it does."""
        await self._in_thread(self._runs.close)
        self._thread.shutdown(wait=False)

    def _take(self) -> list[Tabled]:
        """Begin a file with what was gathered, or as much of it as a file may hold."""
        count = rows = place = 0
        for place, item in enumerate(self._gathered, 1):  # noqa: B007 - how many were taken
            count, rows = count + len(item.messages), rows + item.rows.num_rows
            if count >= self._messages or rows >= _MOST_ROWS:
                break
        taken, left = self._gathered[:place], self._gathered[place:]
        self._gathered, self._count, self._bytes, self._rows = [], 0, 0, 0
        self.add(left)
        return taken

    def _is_due(self) -> bool:
        full = self._count >= self._messages or self._bytes >= _MOST_BYTES or self._rows >= _MOST_ROWS
        old = bool(self._gathered) and time.monotonic() - self._begun >= self._seconds
        return full or old or self._finishing

    async def _await_change(self) -> None:
        self._changed.clear()
        left = self._begun + self._seconds - time.monotonic() if self._gathered else None
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._changed.wait()

    async def _write(self, rows: Sequence[pa.RecordBatch]) -> None:
        pause = _FIRST_PAUSE
        begun = time.monotonic()
        while True:
            try:
                await self._in_thread(partial(self._runs.write, rows))
                break
            except Exception as error:
                expected = isinstance(error, WorkerError)
                told = str(error) if expected else f"{type(error).__name__}: {error}"
                self.problem = f"answers are not stored: {shorten(told, 400)}"
                self._leases.hold(True)
                self._metrics.record_store_failure()
                _log.warning("answers were not stored", messages=self.waiting, problem=told, exc_info=not expected)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
        if self.problem:
            _log.info("answers are stored again")
        self.problem = ""
        self._leases.hold(False)
        self._metrics.record_file(time.monotonic() - begun)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)
