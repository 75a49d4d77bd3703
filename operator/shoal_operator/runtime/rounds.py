"""Looks at deployments again and again, each at its own pace and in a task of its own; keeps what was seen.

Base of the parts of the shell that ask pods and servers. Invariant: what is slow or fails delays its own deployment
only; what belongs to another window, or to a deployment that is gone, is forgotten and its look is cancelled.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import aiohttp
import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core.snapshot import RawObject
from shoal_operator.runtime.store import Store, key_of

_TICK_SECONDS = 0.5
_log = structlog.get_logger(__name__)

Kept = TypeVar("Kept")


class Pace(NamedTuple):
    """What the looks at a deployment belong to, and how far apart they are."""

    identity: str
    seconds: float


@dataclass(slots=True)
class _Round(Generic[Kept]):
    """The looks at one deployment."""

    identity: str
    due: float
    kept: Kept
    looking: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """End a look that is under way."""
        if self.looking is not None:
            self.looking.cancel()


class Rounds(ABC, Generic[Kept]):
    """Runs the looks; a subclass says at what, and what is kept of them."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._rounds: dict[ObjectKey, _Round[Kept]] = {}

    @abstractmethod
    def _pace(self, raw: RawObject) -> Pace | None:
        """Return how a deployment is to be looked at; None where it is not. May raise whatever it likes."""

    @abstractmethod
    def _begin(self) -> Kept:
        """Return what is kept before the first look."""

    @abstractmethod
    async def _look(self, key: ObjectKey, raw: RawObject, kept: Kept) -> None:
        """Look once, and change what is kept."""

    async def run(self) -> None:
        """Look whenever it is due, until cancelled."""
        try:
            while True:
                self.tick()
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            for item in self._rounds.values():
                item.cancel()

    def tick(self) -> None:
        """Begin the looks that are due, and forget what is over."""
        running: dict[ObjectKey, _Round[Kept]] = {}
        for raw in self._store.of_kind("ClusteringDeployment"):
            key, pace = key_of(raw), self._read_pace(raw)
            if pace is None:
                continue
            item = self._rounds.get(key)
            if item is None or item.identity != pace.identity:
                item = _Round(pace.identity, self._clock(), self._begin())
            running[key] = item
            if self._clock() >= item.due and (item.looking is None or item.looking.done()):
                item.due = self._clock() + pace.seconds
                item.looking = asyncio.create_task(self._guarded(key, raw, item.kept))
        for key, item in self._rounds.items():
            if running.get(key) is not item:
                item.cancel()
        self._rounds = running

    async def settle(self) -> None:
        """Wait for the looks that are under way."""
        await asyncio.gather(*(item.looking for item in self._rounds.values() if item.looking is not None))

    def _kept_of(self, deployment: RawObject) -> Kept | None:
        """Return what is kept of a deployment; None where that belongs to something else by now."""
        item, pace = self._rounds.get(key_of(deployment)), self._read_pace(deployment)
        return item.kept if item is not None and pace is not None and item.identity == pace.identity else None

    def _read_pace(self, raw: RawObject) -> Pace | None:
        try:
            return self._pace(raw)
        except Exception:
            # An object that the core cannot read is the controller's to report; it must not stop the others.
            _log.debug("a deployment cannot be looked at", object=str(key_of(raw)), exc_info=True)
            return None

    async def _guarded(self, key: ObjectKey, raw: RawObject, kept: Kept) -> None:
        try:
            await self._look(key, raw, kept)
        except Exception:
            _log.exception("a look at a deployment failed", object=str(key), looker=type(self).__name__)


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return an answer's body. Raises ValueError where it is larger than `most` bytes."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        data += chunk
        if len(data) > most:
            raise ValueError(f"the answer of {response.url} is larger than {most} bytes")
    return bytes(data)
