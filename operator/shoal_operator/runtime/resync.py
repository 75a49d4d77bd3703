"""Looks at everything again from time to time, whatever the watches said.

Started by app as one task. Each round lists the metadata of all watched objects, drops records of objects that are
gone (a watch that was interrupted says nothing of deletions in between), notices a watch that has stopped telling, and
enqueues every object. Invariant: only an object that was known before its list was asked for can be found gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.errors import ApiError, NotFound
from shoal_operator.runtime import resources
from shoal_operator.runtime.resources import GATEWAY_GROUP, ROUTE, Resource
from shoal_operator.runtime.store import Store, key_of, uid_of
from shoal_operator.runtime.transport import METADATA_LIST_ONLY, Transport

_PAGE = "500"
_DISCOVERY_SECONDS = 15.0
_log = structlog.get_logger(__name__)


class Resync:
    """Compares the store with the API server, and enqueues all keys."""

    def __init__(
        self,
        transport: Transport,
        store: Store,
        namespaces: tuple[str, ...],
        enqueue: Callable[[ObjectKey, float], None],
        restart_watches: Callable[[], None],
        period: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`enqueue` is told a key and after how many seconds to reconcile it."""
        self._transport = transport
        self._store = store
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._enqueue = enqueue
        self._restart_watches = restart_watches
        self._period = period
        self._clock = clock
        self._behind: dict[ObjectKey, str] = {}
        """Objects whose record was behind the last list, and the resourceVersion that the record had."""
        self.turned_at = clock()
        """When the loop last came round, on the monotonic clock; an API server that is down does not stop it."""
        self.behind_since: float | None = None
        """Since when the watches have been behind, if they are."""

    async def run(self) -> None:
        """Make a round in every period until cancelled."""
        due = self._clock() + self._period
        while True:
            await asyncio.sleep(max(1.0, min(_DISCOVERY_SECONDS, due - self._clock())))
            try:
                await self.discover()
                if self._clock() >= due:
                    await self.round()
                    due = self._clock() + self._period
            except ApiError as error:
                _log.warning("the resync could not look at the cluster", error=str(error))
            self.turned_at = self._clock()

    async def discover(self) -> None:
        """Learn whether the Gateway API is installed; when that changes, watch anew and let deployments see it."""
        try:
            found = await self._transport.request("GET", f"/apis/{ROUTE.api_version}")
            installed = any(item.get("name") == ROUTE.plural for item in found.get("resources") or ())
        except NotFound:
            installed = False
        if installed == self._store.gateway_api_installed:
            return
        self._store.gateway_api_installed = installed
        _log.info("the Gateway API is installed" if installed else "the Gateway API is not installed")
        self._restart_watches()
        for raw in self._store.of_kind("ClusteringDeployment"):
            self._enqueue(key_of(raw), 0.0)

    async def round(self) -> None:
        """Compare all kinds, then enqueue all keys, spread over half the period."""
        behind: dict[ObjectKey, str] = {}
        for resource in resources.WATCHED:
            if resource.group == GATEWAY_GROUP and not self._store.gateway_api_installed:
                continue
            for namespace in self._namespaces:
                behind |= await self._compare(resource, namespace)
        self._judge(behind)
        for resource in resources.OWNERS:
            for raw in self._store.of_kind(resource.kind):
                key = key_of(raw)
                self._enqueue(key, _fraction(key) * self._period / 2)

    async def _compare(self, resource: Resource, namespace: str | None) -> dict[ObjectKey, str]:
        """Drop what is gone; return what the store lacks or has an older record of."""
        before = {
            key_of(raw): uid_of(raw)
            for raw in self._store.of_kind(resource.kind)
            if namespace is None or raw["metadata"].get("namespace") == namespace
        }
        listed: dict[ObjectKey, tuple[str, str]] = {}
        async for metadata in self._list(resource, namespace):
            key = ObjectKey(resource.kind, metadata["namespace"], metadata["name"])
            listed[key] = (metadata["uid"], metadata["resourceVersion"])
        for key, uid in before.items():
            if key not in listed or listed[key][0] != uid:
                self._drop(key, uid)
        behind = {}
        for key, (_, version) in listed.items():
            known = self._store.get(key)
            ours = "" if known is None else str(known["metadata"].get("resourceVersion", ""))
            if ours != version:
                behind[key] = ours
        return behind

    def _drop(self, key: ObjectKey, uid: str) -> None:
        record = self._store.get(key)
        if record is None or uid_of(record) != uid:
            return
        _log.info("an object was deleted unseen", object=f"{key.kind} {key.namespace}/{key.name}")
        owners = tuple(self._store.owners_of(record))
        self._store.remove(key, uid)
        for owner in owners:
            self._enqueue(owner, 0.0)

    def _judge(self, behind: dict[ObjectKey, str]) -> None:
        """A record that has not moved between two rounds while the object had is the work of a dead watch."""
        stuck = [key for key, ours in behind.items() if self._behind.get(key) == ours]
        self._behind = behind
        if not stuck:
            self.behind_since = None
            return
        if self.behind_since is None:
            self.behind_since = self._clock()
        _log.warning("the watches are behind; starting them anew", objects=len(stuck))
        for key in stuck:
            self._store.distrust(key)
        self._restart_watches()

    async def _list(self, resource: Resource, namespace: str | None) -> AsyncIterator[dict[str, Any]]:
        query = {"limit": _PAGE}
        if resource in resources.CHILDREN:
            query["labelSelector"] = f"{names.MANAGED_BY}={names.MANAGER}"
        while True:
            page = await self._transport.request(
                "GET", resource.path(namespace), query=query, accept=METADATA_LIST_ONLY
            )
            for item in page.get("items") or ():
                yield item["metadata"]
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return
            query["continue"] = following


def _fraction(key: ObjectKey) -> float:
    """Return a number in [0, 1) that is the key's own, so that a thousand objects do not come at the same instant."""
    return int.from_bytes(hashlib.sha256("/".join(key).encode()).digest()[:4], "big") / 2**32
