"""The consuming process: ports, model, connection, work, drain; run by `__main__`.

Invariant: nothing is leased before the model is verified. Order of the drain: lease nothing more, give back what has
not been begun, finish what has within the grace, exit.
"""

import asyncio
import signal
from contextlib import suppress
from math import nan
from pathlib import Path

import structlog

from shoal_worker.errors import StreamError, StreamUnavailable, WorkerError
from shoal_worker.model import Model
from shoal_worker.report import clear_report, failure_report, write_report
from shoal_worker.serving.loading import load_model
from shoal_worker.serving.ports import HttpPorts
from shoal_worker.settings import ConsumeSettings
from shoal_worker.streaming.confirming import Confirmer
from shoal_worker.streaming.connection import Connection
from shoal_worker.streaming.consumer import Consumer
from shoal_worker.streaming.forms import AnswerForm, RowForm
from shoal_worker.streaming.labelling import Labeller
from shoal_worker.streaming.leases import Leases
from shoal_worker.streaming.metrics import StreamMetrics
from shoal_worker.streaming.pacing import ALL
from shoal_worker.streaming.runs import StreamRuns
from shoal_worker.streaming.state import StreamState
from shoal_worker.streaming.suspects import Suspects

_CONFIRM_SECONDS = 5.0
_SHARE_SECONDS = 0.25

_log = structlog.get_logger(__name__)


class StreamWorker:
    """One model behind one stream. Use: start, connect, run, drain, close."""

    def __init__(self, settings: ConsumeSettings) -> None:
        self._settings = settings
        self._state = StreamState()
        self._metrics = StreamMetrics()
        self._http = HttpPorts(settings, self._state, self._metrics)
        self._connection = Connection(settings)
        self._leases: Leases | None = None
        self._confirmer: Confirmer | None = None
        self._consumer: Consumer | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the ports, not ready yet."""
        await self._http.start()
        _log.info("listening", metrics_port=self._http.metrics_port, internal_port=self._http.internal_port)

    async def connect(self) -> None:
        """Load the model, then find the streams; raises WorkerError with a report left behind."""
        model = await load_model(self._settings, self._state)
        self._metrics.record_model(model)
        self._state.record_model(model)
        try:
            await self._connection.open()
            origin = await self._connection.prepare()
        except StreamError as error:
            self._report(error)
            raise
        try:
            runs = await self._open_runs(model)
        except WorkerError as error:
            self._report(error)
            raise
        labeller = Labeller(
            model,
            origin,
            AnswerForm(model, origin) if runs is None else RowForm(model, origin),
            Suspects(self._settings.cache_dir / "suspects"),
            batch_rows=self._settings.batch_rows,
            max_deliveries=self._settings.max_deliveries,
        )
        self._leases = leases = Leases(self._connection, self._settings, read_share(self._settings.share_file))
        self._confirmer = Confirmer(self._connection, _CONFIRM_SECONDS)
        await self._confirmer.start()
        await leases.start()
        self._consumer = Consumer(
            self._settings, model, leases, labeller, self._confirmer, self._metrics, self._http.keeper, runs
        )
        clear_report(self._settings.report_path)
        self._metrics.watch_stream(
            leased=lambda: leases.leased,
            redelivered=lambda: leases.redelivered,
            held=lambda: leases.held,
            backlog=lambda: nan if leases.backlog is None else leases.backlog,
            share=lambda: -1 if leases.share is None else leases.share,
        )
        if (files := self._consumer.files) is not None:
            self._metrics.watch_files(lambda: files.waiting)
        self._connection.on_disconnect = self._on_disconnect
        self._state.record_stream("")
        _log.info("consuming", stream=origin.stream, consumer=origin.consumer, digest=model.digest)

    async def run(self) -> None:
        """Work until cancelled; raises StreamError where the stream is lost for good."""
        leases, consumer = self._leases, self._consumer
        if leases is None or consumer is None:
            raise AssertionError("connect comes first")
        # What is held is kept leased until the drain has ended: this goes on until `close`.
        self._keeping = asyncio.create_task(leases.keep_leased())
        work = (leases.run(), consumer.run(), self._follow(leases, consumer), self._watch())
        tasks = [asyncio.create_task(part) for part in work]
        storing = consumer.start()
        try:
            done, _ = await asyncio.wait([*tasks, *([storing] if storing else [])], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except StreamError as error:
            self._report(error)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self) -> None:
        """Leave without losing or delaying a message."""
        self._state.start_drain()
        if self._leases is None or self._consumer is None:
            return
        _log.info("draining", held=self._leases.held, grace=self._settings.drain_grace_seconds)
        await asyncio.gather(self._leases.stop(), self._consumer.finish(self._settings.drain_grace_seconds))

    async def close(self) -> None:
        """Give everything back."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._consumer is not None:
            self._consumer.close()
        await self._connection.close()
        await self._http.close()

    async def _follow(self, leases: Leases, consumer: Consumer) -> None:
        """Keep to the share that the operator says, and tell whether the stream is of use now."""
        while True:
            await leases.change_share(read_share(self._settings.share_file))
            if self._connection.is_up:
                self._state.record_stream(consumer.problem)
            await asyncio.sleep(_SHARE_SECONDS)

    async def _watch(self) -> None:
        await self._connection.closed.wait()
        raise StreamUnavailable(
            "the servers ended the connection for good", remedy="See the worker's log; it is started again"
        )

    def _on_disconnect(self) -> None:
        self._state.record_stream("the servers are not reached")
        if self._confirmer is not None:
            self._confirmer.give_up()

    async def _open_runs(self, model: Model) -> StreamRuns | None:
        """Open the result store; None where answers are published. Raises WorkerError."""
        if not self._settings.output_uri:
            return None
        runs = StreamRuns(self._settings, model)
        await asyncio.get_running_loop().run_in_executor(None, runs.open)
        return runs

    def _report(self, error: WorkerError) -> None:
        self._state.record_stream(f"{error.reason}: {error}")
        write_report(self._settings.report_path, failure_report(error))
        _log.error("nothing can be consumed", reason=error.reason, message=str(error))


async def consume(settings: ConsumeSettings) -> int:
    """Consume until SIGTERM or SIGINT. Return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = StreamWorker(settings)
    stopping = asyncio.create_task(stop.wait())
    working = None
    try:
        await worker.start()
        working = asyncio.create_task(_work(worker))
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            failure = working.exception()
            if not isinstance(failure, WorkerError):
                _log.error("consuming ended unexpectedly", exc_info=failure)
            return 1
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        await worker.drain()
        return 0
    finally:
        for task in (working, stopping):
            if task:
                task.cancel()
        await worker.close()


async def _work(worker: StreamWorker) -> None:
    await worker.connect()
    await worker.run()


def read_share(path: Path | None) -> float | None:
    """The share that a file tells; all leases without a file's path, and None while the file tells nothing."""
    if path is None:
        return ALL
    try:
        share = float(path.read_text())
    except (OSError, ValueError):
        return None
    return share if 0 <= share <= ALL else None
