"""Writes Kubernetes Events, one object per distinct happening, counted up when it happens again.

Used by the gateway only. Invariant: the name is a function of the object's uid, the type, the reason and the message,
so a pass that was cut off and repeated makes no second Event.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from shoal_operator.core.plan import Emit
from shoal_operator.core.snapshot import RawObject
from shoal_operator.errors import Conflict, NotFound
from shoal_operator.runtime.resources import DECISION, EVENT
from shoal_operator.runtime.transport import MERGE_PATCH, Transport

_COMPONENT = "shoal-operator"
_REPEATED_WITHIN_SECONDS = 5.0
_REMEMBERED = 4096
_LONGEST_MESSAGE = 1024


class Write(Protocol):
    """The gateway's fenced request."""

    def __call__(
        self, method: str, path: str, *, body: dict[str, Any], content_type: str = ...
    ) -> Awaitable[dict[str, Any]]:
        """Send one write."""


class EventWriter:
    """Creates an Event, or counts it up."""

    def __init__(self, write: Write, transport: Transport, clock: Callable[[], float]) -> None:
        self._write = write
        self._transport = transport
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    async def emit(self, about: RawObject, event: Emit) -> None:
        """Record `event` on `about`; a repetition within five seconds is one happening."""
        metadata = about["metadata"]
        told = f" (record: {event.record})" if event.record else ""
        message = event.message[: _LONGEST_MESSAGE - len(told)] + told
        tag = hashlib.sha256("\0".join((metadata["uid"], event.type, event.reason, message)).encode()).hexdigest()[:16]
        name = f"{metadata['name'][:200]}.{tag}"
        if self._clock() - self._seen.get(name, float("-inf")) < _REPEATED_WITHIN_SECONDS:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            await self._write("POST", EVENT.path(metadata["namespace"]), body=_event(about, event, name, message, now))
        except Conflict:
            await self._count_up(metadata["namespace"], name, now)
        self._seen[name] = self._clock()
        self._seen.move_to_end(name)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    async def _count_up(self, namespace: str, name: str, now: str) -> None:
        path = EVENT.path(namespace, name)
        try:
            known = await self._transport.request("GET", path)
            change = {"count": int(known.get("count") or 1) + 1, "lastTimestamp": now}
            await self._write("PATCH", path, body=change, content_type=MERGE_PATCH)
        except NotFound:
            return  # It expired in between; a count of one is not worth another try.


def _event(about: RawObject, event: Emit, name: str, message: str, now: str) -> dict[str, Any]:
    metadata = about["metadata"]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": event.type,
        "reason": event.reason,
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        **({"related": _record(metadata["namespace"], event.record)} if event.record else {}),
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": "",
    }


def _record(namespace: str, name: str) -> dict[str, Any]:
    return {"apiVersion": DECISION.api_version, "kind": DECISION.kind, "namespace": namespace, "name": name}
