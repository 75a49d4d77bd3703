"""The only writer: executes one action of a plan against the API server.

Called by runtime.controller. Invariant: a write happens only while the Lease allows it, touches only objects that are
ours, and puts its answer into the store. An Apply that would change nothing is not sent, so a settled system is
silent. Values of Secrets are never asked for.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import facts, names
from shoal_operator.core.plan import Adjust, Emit, Finalize, Label, Manifest
from shoal_operator.core.snapshot import RawObject
from shoal_operator.errors import NAME_TAKEN, ApiError, Conflict, NotFound
from shoal_operator.runtime.events import EventWriter
from shoal_operator.runtime.resources import BY_KIND, CRON_JOB, FIELD_MANAGER, SECRET, SERVICE, Resource
from shoal_operator.runtime.store import Store, uid_of
from shoal_operator.runtime.transport import APPLY_PATCH, MERGE_PATCH, METADATA_ONLY, REQUEST_SECONDS, Transport

_SECRET_SEEN_SECONDS = 30.0
_MISSING_SECONDS = 2.0
_CRON_JOB_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class KubeGateway(Protocol):
    """The verbs that plans are made of."""

    async def apply(self, owner: ObjectKey, manifest: Manifest) -> None:
        """Make an object be as the manifest says."""

    async def create(self, manifest: Manifest) -> None:
        """Create an object; one that exists already is left alone."""

    async def delete(self, key: ObjectKey, uid: str) -> None:
        """Delete an object if it still has this uid."""

    async def label(self, action: Label, resource_version: str | None = None) -> str | None:
        """Merge labels and annotations; return the new resourceVersion, or None if nothing was written."""

    async def adjust(self, action: Adjust) -> None:
        """Merge fields into an object's spec."""

    async def finalize(self, action: Finalize, resource_version: str) -> str | None:
        """Set an object's finalizers if it is still at this resourceVersion; return the new one, None if it is gone."""

    async def write_status(self, key: ObjectKey, status: Mapping[str, Any], uid: str, resource_version: str) -> str:
        """Replace an object's status if it is still at this resourceVersion, and return the new one."""

    async def emit(self, about: RawObject, event: Emit) -> None:
        """Record an Event on an object."""

    async def secret_exists(self, namespace: str, name: str) -> bool:
        """Return whether a Secret exists."""

    async def find_cron_job(self, namespace: str, name: str) -> RawObject | None:
        """Return a CronJob, None where it does not exist."""

    def forget(self, owner: ObjectKey) -> None:
        """Apply everything of this owner anew from now on."""


@dataclass(frozen=True, slots=True)
class _Applied:
    """What was sent, and what the object was like after it."""

    manifest: str
    uid: str
    fingerprint: str


class AioGateway:
    """KubeGateway over a transport."""

    def __init__(
        self,
        transport: Transport,
        store: Store,
        fence: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fence` returns for how many seconds a write may be under way, or raises LeaseLost."""
        self._transport = transport
        self._store = store
        self._fence = fence
        self._clock = clock
        self._applied: dict[ObjectKey, dict[ObjectKey, _Applied]] = defaultdict(dict)
        self._addresses: dict[ObjectKey, dict[ObjectKey, str]] = defaultdict(dict)
        """Owner -> Service -> the cluster IP that its clients know."""
        self._secrets: dict[tuple[str, str], tuple[float, bool]] = {}
        self._cron_jobs: dict[tuple[str, str], tuple[float, RawObject | None]] = {}
        self._events = EventWriter(self._write, transport, clock)

    async def apply(self, owner: ObjectKey, manifest: Manifest) -> None:
        """Server-side apply, unless this very manifest was applied and the object has not changed since."""
        key, resource = _identify(manifest)
        digest = _digest(manifest)
        live = self._store.get(key)
        known = self._applied[owner].get(key)
        if address := facts.text_at(live or {}, "spec", "clusterIP"):
            self._addresses[owner][key] = address
        if live is not None and known == _Applied(digest, uid_of(live), fingerprint(live)):
            return
        if live is None:
            await self._refuse_foreign(key, resource, manifest)
        held = self._addresses[owner].get(key, "") if live is None else ""
        answer = await (self._apply_at(held, key, manifest) if held else self._send(key, resource, manifest))
        self._store.put(answer, resource)
        # Of the store's record, not of the answer: the next pass compares with what the store holds.
        if (after := self._store.get(key)) is not None:
            self._applied[owner][key] = _Applied(digest, uid_of(after), fingerprint(after))

    async def _send(self, key: ObjectKey, resource: Resource, manifest: Manifest) -> dict[str, Any]:
        return await self._write(
            "PATCH",
            resource.path(key.namespace, key.name),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type=APPLY_PATCH,
        )

    async def _apply_at(self, address: str, key: ObjectKey, manifest: Manifest) -> dict[str, Any]:
        """Apply a Service that was deleted, at the address that clients may still call, or at any if that is taken.

        Later applies leave the address out; the API server keeps it then.
        """
        try:
            return await self._send(key, SERVICE, {**manifest, "spec": {**manifest["spec"], "clusterIP": address}})
        except ApiError as error:
            # So it answers where the address is another's by now, or out of range.
            if error.status != 422:
                raise
            _log.info("a Service does not get its old address", service=key.name, address=address, error=error.message)
            return await self._send(key, SERVICE, manifest)

    async def create(self, manifest: Manifest) -> None:
        """Create an object; one that exists already and is ours is left alone."""
        key, resource = _identify(manifest)
        try:
            answer = await self._write(
                "POST", resource.path(key.namespace), query={"fieldManager": FIELD_MANAGER}, body=manifest
            )
        except Conflict as error:
            if error.reason != "AlreadyExists":
                raise
            answer = await self._transport.request("GET", resource.path(key.namespace, key.name))
            _check_ours(key, manifest, answer)
        self._store.put(answer, resource)

    async def delete(self, key: ObjectKey, uid: str) -> None:
        """Delete an object if it still has this uid, its dependants in the background."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            await self._write("DELETE", BY_KIND[key.kind].path(key.namespace, key.name), body=options)
        except NotFound:
            self._store.remove(key, uid)
        except Conflict:
            # A namesake with another uid took its place: what was to be deleted is gone.
            return

    async def label(self, action: Label, resource_version: str | None = None) -> str | None:
        """Merge labels and annotations of an object that still has its uid (and, if given, its resourceVersion)."""
        live = self._store.get(action.key)
        if live is not None and uid_of(live) == action.uid and _has(live, action):
            return None
        metadata: dict[str, Any] = {"uid": action.uid}
        if resource_version is not None:
            metadata["resourceVersion"] = resource_version
        if action.labels:
            metadata["labels"] = dict(action.labels)
        if action.annotations:
            metadata["annotations"] = dict(action.annotations)
        return await self._merge(action.key, {"metadata": metadata})

    async def adjust(self, action: Adjust) -> None:
        """Merge fields into the spec of an object that still has its uid."""
        await self._merge(action.key, {"metadata": {"uid": action.uid}, "spec": dict(action.spec)})

    async def finalize(self, action: Finalize, resource_version: str) -> str | None:
        """Replace the finalizers, which the resourceVersion guards against those that others set meanwhile."""
        metadata = {"uid": action.uid, "resourceVersion": resource_version, "finalizers": list(action.finalizers)}
        return await self._merge(action.key, {"metadata": metadata})

    async def _merge(self, key: ObjectKey, body: Mapping[str, Any]) -> str | None:
        """Merge a patch; return the resourceVersion after it, or None where the object is gone."""
        resource = BY_KIND[key.kind]
        try:
            answer = await self._write(
                "PATCH",
                resource.path(key.namespace, key.name),
                query={"fieldManager": FIELD_MANAGER},
                body=body,
                content_type=MERGE_PATCH,
            )
        except NotFound:
            return None
        except ApiError as error:
            # Most kinds answer so, and not with 409, when the object has another uid.
            if error.status == 422 and "metadata.uid" in error.message:
                raise Conflict(409, "Conflict", error.message) from error
            raise
        if "deletionTimestamp" not in answer["metadata"] or answer["metadata"].get("finalizers"):
            # Else it is gone with this very write, and nobody would remove it from the store again.
            self._store.put(answer, resource)
        return str(answer["metadata"]["resourceVersion"])

    async def write_status(self, key: ObjectKey, status: Mapping[str, Any], uid: str, resource_version: str) -> str:
        """Replace the status as a whole, so that fields which are no longer meant disappear."""
        resource = BY_KIND[key.kind]
        answer = await self._write(
            "PUT",
            resource.path(key.namespace, key.name, "status"),
            query={"fieldManager": FIELD_MANAGER},
            body={
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {
                    "name": key.name,
                    "namespace": key.namespace,
                    "uid": uid,
                    "resourceVersion": resource_version,
                },
                "status": status,
            },
        )
        self._store.put(answer, resource)
        return str(answer["metadata"]["resourceVersion"])

    async def emit(self, about: RawObject, event: Emit) -> None:
        """Record an Event; the same one again counts up."""
        await self._events.emit(about, event)

    async def secret_exists(self, namespace: str, name: str) -> bool:
        """Ask for the Secret's metadata; remembered for half a minute, a missing one for two seconds."""
        now = self._clock()
        until, exists = self._secrets.get((namespace, name), (0.0, False))
        if now < until:
            return exists
        try:
            await self._transport.request("GET", SECRET.path(namespace, name), accept=METADATA_ONLY)
            exists = True
        except NotFound:
            exists = False
        self._secrets = {held: entry for held, entry in self._secrets.items() if entry[0] > now}
        self._secrets[namespace, name] = (now + (_SECRET_SEEN_SECONDS if exists else _MISSING_SECONDS), exists)
        return exists

    async def find_cron_job(self, namespace: str, name: str) -> RawObject | None:
        """Ask for a CronJob; remembered for some seconds, for every pass of a rollout may want it."""
        now = self._clock()
        self._cron_jobs = {held: entry for held, entry in self._cron_jobs.items() if entry[0] > now}
        if (held := self._cron_jobs.get((namespace, name))) is not None:
            return held[1]
        found: RawObject | None
        try:
            found = await self._transport.request("GET", CRON_JOB.path(namespace, name))
        except NotFound:
            found = None
        self._cron_jobs[namespace, name] = (now + (_CRON_JOB_SECONDS if found else _MISSING_SECONDS), found)
        return found

    def forget(self, owner: ObjectKey) -> None:
        """Drop what is known of the objects applied for an owner."""
        self._applied.pop(owner, None)
        self._addresses.pop(owner, None)

    async def _write(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        # A write that is still under way when the Lease expires could land under another leader, so it may not last.
        seconds = min(REQUEST_SECONDS, self._fence())
        _log.debug("write", verb=method, path=path)
        return await self._transport.request(
            method, path, query=query, body=body, content_type=content_type, seconds=seconds
        )

    async def _refuse_foreign(self, key: ObjectKey, resource: Resource, manifest: Manifest) -> None:
        """Forced apply would seize somebody else's object of the same name; look before the first one."""
        try:
            existing = await self._transport.request(
                "GET", resource.path(key.namespace, key.name), accept=METADATA_ONLY
            )
        except NotFound:
            return
        _check_ours(key, manifest, existing)


def fingerprint(live: RawObject) -> str:
    """Return an identity of everything in an object that an Apply could change: all but its status and counters."""
    metadata = {
        name: value for name, value in live["metadata"].items() if name not in ("resourceVersion", "managedFields")
    }
    return _digest({**{name: value for name, value in live.items() if name != "status"}, "metadata": metadata})


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _identify(manifest: Manifest) -> tuple[ObjectKey, Resource]:
    resource = BY_KIND[manifest["kind"]]
    metadata = manifest["metadata"]
    return ObjectKey(resource.kind, metadata["namespace"], metadata["name"]), resource


def _has(live: RawObject, action: Label) -> bool:
    metadata = live["metadata"]
    wanted = ((metadata.get("labels") or {}, action.labels), (metadata.get("annotations") or {}, action.annotations))
    return all(have.get(name) == value for have, want in wanted for name, value in want.items())


def _check_ours(key: ObjectKey, manifest: Manifest, existing: RawObject) -> None:
    metadata = existing["metadata"]
    wanted = {reference["uid"] for reference in manifest["metadata"].get("ownerReferences") or ()}
    owners = {reference["uid"] for reference in metadata.get("ownerReferences") or ()}
    managed = (metadata.get("labels") or {}).get(names.MANAGED_BY) == names.MANAGER
    if managed and (not owners or not wanted or owners & wanted):
        return
    whose = "belongs to another object, perhaps a deleted one of the same name" if owners else "is not Shoal's"
    raise ApiError(
        409,
        NAME_TAKEN,
        f"{key.kind} {key.name} in namespace {key.namespace} exists and {whose}; delete it, or choose another name",
    )
