"""kopf as the informer, and nothing more: its watches fill the store and the queue.

Run by app. kopf runs in a thread of its own, for it takes over its loop's signals and, when it ends, cancels every
task of that loop. Index functions fill the store, because kopf calls no event handler before every index is full: a
decision is never made from half a picture. Invariant: kopf writes nothing to any object: no finalizers, annotations,
events or peerings.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.runtime.queue import WorkQueue
from shoal_operator.runtime.resources import CHILDREN, WATCHED, Resource
from shoal_operator.runtime.store import Store, key_of, slim, uid_of
from shoal_operator.runtime.transport import Connection

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_STEADY_SECONDS = 60.0
_log = structlog.get_logger(__name__)


class Sink:
    """Takes what the watches say into the store and the queue; lives in the operator's loop."""

    def __init__(self, store: Store, queue: WorkQueue[ObjectKey]) -> None:
        self._store = store
        self._queue = queue
        self.synced = False
        """Whether every watch has listed what there is."""

    def seen(self, resource: Resource, raw: dict[str, Any]) -> None:
        """Take over an object that exists."""
        self._store.put(raw, resource)

    def changed(self, resource: Resource, raw: dict[str, Any], deleted: bool) -> None:
        """Enqueue whom a change concerns."""
        self.synced = True
        record = slim(raw, resource)
        if deleted:
            self._store.remove(key_of(record), uid_of(record))
        for owner in self._store.owners_of(record):
            self._queue.add(owner)


def operator_settings(namespaces: tuple[str, ...]) -> kopf.OperatorSettings:
    """Return kopf's settings: watch robustly, post nothing, look at nothing beyond `namespaces`."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = bool(namespaces)
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 3
    settings.networking.error_backoffs = (0.5, 1, 2, 4)
    settings.networking.enforce_retry_after = True
    settings.watching.server_timeout = 600
    settings.watching.connect_timeout = 3
    settings.watching.chunk_size = 500
    settings.queueing.exit_timeout = 0.5
    # Else kopf kills the whole process some minutes after it was asked to stop.
    settings.process.ultimate_exiting_timeout = None
    for resource in CHILDREN:
        selector = (resource.group, resource.version, resource.plural)
        settings.watching.label_selectors[selector] = f"{names.MANAGED_BY}={names.MANAGER}"
    return settings


def build_registry(
    sink: Sink, deliver: Callable[..., object], connection: Callable[[], Awaitable[Connection]]
) -> kopf.OperatorRegistry:
    """Return the handlers: per kind one index function and one event handler, and the login.

    `deliver(function, *arguments)` runs a function of the sink in the operator's loop, in order.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(id="login", registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        found = await connection()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            insecure=found.insecure,
            scheme="Bearer" if found.token else None,
            token=found.token,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
        )

    for resource in WATCHED:
        _register(registry, resource, sink, deliver)
    return registry


def _register(registry: kopf.OperatorRegistry, resource: Resource, sink: Sink, deliver: Callable[..., object]) -> None:
    selector = (resource.group, resource.version, resource.plural)

    async def index(body: kopf.Body, **_: Any) -> None:
        deliver(sink.seen, resource, dict(body))

    async def event(event: kopf.RawEvent, **_: Any) -> None:
        deliver(sink.changed, resource, dict(event["object"]), event["type"] == "DELETED")

    kopf.index(*selector, id=f"index-{resource.plural}", registry=registry)(index)
    kopf.on.event(*selector, id=f"event-{resource.plural}", registry=registry)(event)


class Informer:
    """kopf in a thread, started anew when it ends by itself or is asked to."""

    def __init__(
        self, sink: Sink, connection: Callable[[], Awaitable[Connection]], namespaces: tuple[str, ...]
    ) -> None:
        self._sink = sink
        self._connection = connection
        self._namespaces = namespaces
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._restart = False

    @property
    def running(self) -> bool:
        """Whether the watches' thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    async def run(self) -> None:
        """Watch until cancelled. A failure, as of a permission taken away, is retried after 1 to 10 seconds."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            began = loop.time()
            ended: asyncio.Future[BaseException | None] = loop.create_future()
            self._restart = False
            self._thread = threading.Thread(target=self._watch, args=(loop, ended), name="watches", daemon=True)
            self._thread.start()
            try:
                error = await ended
            finally:
                self.stop()
            if self._restart:
                continue
            _log.warning("the watches ended; starting them anew", error=str(error), pause=pause)
            pause = _FIRST_PAUSE if loop.time() - began > _STEADY_SECONDS else pause
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def restart(self) -> None:
        """Let all watches begin with a fresh list."""
        self._restart = True
        self.stop()

    def stop(self) -> None:
        """Ask the thread to end; it may take some seconds and harms nobody meanwhile."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, so that the interpreter does not end under it."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _watch(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[BaseException | None]) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._operate(loop))
        except Exception as caught:
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, ended, error)

    async def _operate(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await kopf.operator(
            registry=build_registry(self._sink, loop.call_soon_threadsafe, self._connection),
            settings=operator_settings(self._namespaces),
            stop_flag=self._stop,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )


def _settle(ended: asyncio.Future[BaseException | None], error: BaseException | None) -> None:
    if not ended.done():
        ended.set_result(error)
