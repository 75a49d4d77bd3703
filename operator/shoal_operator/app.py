"""The composition root: builds every part, runs them while this process leads, and ends them all together.

Called by __main__. Invariant: when any part ends, the process ends; when it is asked to end, it stops writing, hands
the Lease over and is gone within five seconds. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import structlog

from shoal_operator import __version__
from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import batch, gates, hooks, rollout, scaling, training, versions
from shoal_operator.errors import LeaseLost
from shoal_operator.handlers import Informer, Sink
from shoal_operator.runtime.answers import Answers, HttpSend
from shoal_operator.runtime.batch_progress import BatchProgress
from shoal_operator.runtime.comparison import Comparisons, HttpAsk
from shoal_operator.runtime.controller import Controller
from shoal_operator.runtime.endpoints import Endpoints, age_of, younger_than
from shoal_operator.runtime.gateway import AioGateway
from shoal_operator.runtime.lease import Lease
from shoal_operator.runtime.loads import Loads
from shoal_operator.runtime.metrics import Metrics
from shoal_operator.runtime.monitoring import NatsMonitor
from shoal_operator.runtime.observer import Decisions, Observer
from shoal_operator.runtime.queue import WorkQueue
from shoal_operator.runtime.resync import Resync
from shoal_operator.runtime.samples import HttpScrape, Sampler
from shoal_operator.runtime.store import Store
from shoal_operator.runtime.transport import ApiTransport, load_configuration, load_connection
from shoal_operator.settings import Settings

_STUCK_SECONDS = 180.0
_STOP_SECONDS = 2.0
_log = structlog.get_logger(__name__)

DECISIONS = Decisions(
    model=training.plan_model,
    model_secrets=training.required_secrets,
    version=versions.plan_version,
    deployment=rollout.plan_deployment,
    deployment_secrets=rollout.required_secrets,
    batch=batch.plan_batch,
    batch_secrets=batch.required_secrets,
)


class Operator:
    """All parts of one process, wired."""

    def __init__(self, settings: Settings, transport: ApiTransport, lease: Lease, metrics: Metrics) -> None:
        self._settings = settings
        self._lease = lease
        self._scrape = HttpScrape()
        self.store = Store()
        self.queue: WorkQueue[ObjectKey] = WorkQueue(time.monotonic, random.random)
        self.sink = Sink(self.store, self.queue)
        self.informer = Informer(self.sink, lambda: load_connection(settings.kubeconfig), settings.watch_namespaces)
        self.sampler = Sampler(self.store, gates.analysis_window, self._scrape, self.queue.add, _now)
        self.progress = BatchProgress(self.store, self._scrape, self.queue.add)
        allowed = settings.analysis_allowed_hosts
        self._send = HttpSend(lambda url: gates.describe_denial(url, allowed))
        self.answers = Answers(
            self.store,
            gates.analysis_window,
            lambda raw, now: gates.wanted_requests(raw, allowed, now),
            self._send,
            self.queue.add,
            _now,
        )
        self._ask = HttpAsk()
        self.comparisons = Comparisons(self.store, gates.comparison_window, self._ask, self.queue.add, _now)
        self.hook_answers = Answers(
            self.store,
            hooks.hook_window,
            lambda raw, _: hooks.wanted_hook_requests(raw, allowed),
            self._send,
            self.queue.add,
            _now,
        )
        self._monitor = NatsMonitor(lambda url: gates.describe_denial(url, allowed))
        self.loads = Loads(
            self.store,
            self._scrape,
            transport,
            lambda raw: scaling.wanted_queries(raw, allowed),
            self._send,
            self.queue.add,
            _now,
            self._monitor,
        )
        gateway = AioGateway(transport, self.store, lease.fence)
        observer = Observer(
            self.store,
            gateway,
            self.sampler,
            self.answers.of,
            self.comparisons.of,
            self.hook_answers.of,
            self.loads.of,
            self.progress,
            DECISIONS,
            settings.defaults,
        )
        self.controller = Controller(self.queue, self.store, observer, gateway, DECISIONS, metrics, _now)
        self.resync = Resync(
            transport,
            self.store,
            settings.watch_namespaces,
            self._anew,
            self.informer.restart,
            settings.resync_seconds,
        )
        metrics.watch(
            self.store,
            {
                ("shoal_operator_queue_depth", "Objects that wait for a worker."): self.queue.depth,
                ("shoal_operator_oldest_key_seconds", "Longest time that an object waits or is in work."): (
                    self.queue.oldest_age
                ),
                ("shoal_operator_leader", "1 while this process holds the Lease."): lambda: float(lease.held),
            },
        )
        self.endpoints = Endpoints(
            metrics,
            live=(
                younger_than(_STUCK_SECONDS, "an object has been waiting or in work", self.queue.oldest_age),
                younger_than(_STUCK_SECONDS, "the watches have been behind", age_of(lambda: self.resync.behind_since)),
                younger_than(_STUCK_SECONDS, "the resync has not come round", age_of(self._resync_turned)),
            ),
            ready=(self._not_ready,),
        )

    async def lead(self) -> None:
        """Become the leader, then watch and reconcile until something ends."""
        await self._lease.acquire()
        await self._discover()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lease.hold(), name="lease")
            group.create_task(self.informer.run(), name="informer")
            group.create_task(self.resync.run(), name="resync")
            group.create_task(self.sampler.run(), name="sampler")
            group.create_task(self.progress.run(), name="batch-progress")
            group.create_task(self.answers.run(), name="answers")
            group.create_task(self.comparisons.run(), name="comparisons")
            group.create_task(self.hook_answers.run(), name="hook-answers")
            group.create_task(self.loads.run(), name="loads")
            for number in range(self._settings.concurrency):
                group.create_task(self.controller.work(), name=f"worker-{number}")

    async def close(self) -> None:
        """Stop the watches and the servers."""
        self.informer.stop()
        await self._scrape.close()
        await self._monitor.close()
        await self._send.close()
        await self._ask.close()
        await self.endpoints.stop()

    async def _discover(self) -> None:
        # Before the first pass, so that a deployment is not told that the Gateway API is missing when it is not.
        with contextlib.suppress(Exception):
            await self.resync.discover()

    def _anew(self, key: ObjectKey, after: float) -> None:
        self.controller.apply_anew(key)
        self.queue.add_after(key, after)

    def _resync_turned(self) -> float | None:
        return self.resync.turned_at if self._lease.held else None

    def _not_ready(self) -> str | None:
        if not self._lease.answered:
            return "the API server has not answered about the Lease yet"
        if self._lease.held and not self.informer.running:
            return "the watches are not running"
        return None


async def run(settings: Settings) -> int:
    """Run the operator until a signal (0), or until a part of it ends (1)."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    metrics = Metrics()
    async with _transport(settings, metrics) as transport, _transport(settings, metrics) as lease_transport:
        # Its own transport, so that a Retry-After meant for the many requests does not hold back the renewals.
        lease = Lease(lease_transport, settings.lease_namespace, settings.lease_name, settings.identity)
        operator = Operator(settings, transport, lease, metrics)
        await operator.endpoints.start(settings.metrics_port, settings.probe_port)
        _log.info(
            "started",
            version=__version__,
            identity=settings.identity,
            namespaces=settings.watch_namespaces or "all",
            ports=operator.endpoints.ports,
        )
        work = asyncio.create_task(operator.lead(), name="lead")
        stopper = asyncio.create_task(asked.wait(), name="signal")
        await asyncio.wait({work, stopper}, return_when=asyncio.FIRST_COMPLETED)
        stopper.cancel()
        code = 0 if asked.is_set() else 1
        work.cancel()
        await asyncio.wait({work}, timeout=_STOP_SECONDS)
        if work.done() and not work.cancelled() and (error := work.exception()) is not None:
            _explain_end(error)
            code = 1
        # Only once no worker can write any more.
        if work.done():
            await lease.release()
        await operator.close()
        await asyncio.to_thread(operator.informer.join, _STOP_SECONDS)
        _log.info("ended", code=code)
        return code


@contextlib.asynccontextmanager
async def _transport(settings: Settings, metrics: Metrics) -> AsyncIterator[ApiTransport]:
    transport = ApiTransport(await load_configuration(settings.kubeconfig), metrics.requested)
    try:
        yield transport
    finally:
        await transport.close()


def _explain_end(error: BaseException) -> None:
    if isinstance(error, BaseExceptionGroup) and (lost := error.subgroup(LeaseLost)) is not None:
        _log.error("the Lease is lost; ending", error=str(lost.exceptions[0]))
    else:
        _log.error("a part of the operator ended", exc_info=error)


def _now() -> datetime:
    return datetime.now(UTC)
