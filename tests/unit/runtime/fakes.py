"""An API server in memory, a gateway that records, and a clock that only tests move."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.plan import Adjust, Emit, Finalize, Label, Manifest, Plan
from shoal_operator.core.snapshot import RawObject
from shoal_operator.errors import ApiError, Conflict, NotFound
from shoal_operator.runtime.observer import Decisions
from shoal_operator.runtime.resources import BY_KIND


class ManualClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def raw(kind: str, name: str = "one", namespace: str = "ns", uid: str | None = None, **parts: Any) -> dict[str, Any]:
    """Return an object as the API server would send it."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{kind}-{name}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **parts.pop("metadata", {}),
    }
    return {"apiVersion": BY_KIND[kind].api_version, "kind": kind, "metadata": metadata, **parts}


def owned(kind: str, name: str, owner: RawObject, **parts: Any) -> dict[str, Any]:
    """Return a child of an owner, labelled and referenced as the core's builders do."""
    metadata = owner["metadata"]
    label = {"ClusteringModel": names.MODEL, "ClusteringBatch": names.BATCH}.get(owner["kind"], names.DEPLOYMENT)
    child = raw(kind, name, metadata["namespace"], **parts)
    child["metadata"]["labels"] = {
        names.MANAGED_BY: names.MANAGER,
        label: names.label_value(metadata["name"]),
        **child["metadata"].get("labels", {}),
    }
    child["metadata"].setdefault(
        "ownerReferences", [{"kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}]
    )
    return child


@dataclass
class FakeApi:
    """Keeps objects by path; knows resourceVersions, uids, merge and apply, and failures that a test plants."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    """Raised one by one by the next requests."""

    def __post_init__(self) -> None:
        self._versions = itertools.count(100)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float = 10.0,
    ) -> dict[str, Any]:
        """Answer one request."""
        self.requests.append((method, path))
        if self.failures:
            raise self.failures.pop(0)
        sent = copy.deepcopy(dict(body or {}))
        match method:
            case "GET":
                return copy.deepcopy(self._existing(path))
            case "POST":
                path = f"{path}/{sent['metadata']['name']}"
                if path in self.objects:
                    raise Conflict(409, "AlreadyExists", path)
                return self._store(path, sent, uid=f"uid-{path}")
            case "PUT":
                held = self._existing(path.removesuffix("/status"))
                self._check(held, sent["metadata"])
                if path.endswith("/status"):
                    return self._store(path.removesuffix("/status"), {**held, "status": sent["status"]})
                return self._store(path, sent)
            case "PATCH" if content_type == "application/apply-patch+yaml":
                return self._store(path, _merge(copy.deepcopy(self.objects.get(path, {})), sent), uid=f"uid-{path}")
            case "PATCH":
                held = copy.deepcopy(self._existing(path))
                self._check(held, sent.get("metadata", {}))
                return self._store(path, _merge(held, sent))
            case "DELETE":
                held = self._existing(path)
                if sent["preconditions"]["uid"] != held["metadata"]["uid"]:
                    raise Conflict(409, "Conflict", "uid")
                return self.objects.pop(path)
            case _:
                raise AssertionError(method)

    def writes(self) -> list[tuple[str, str]]:
        """Return the writes since the last call."""
        found = [request for request in self.requests if request[0] != "GET"]
        self.requests.clear()
        return found

    def _existing(self, path: str) -> dict[str, Any]:
        if path not in self.objects:
            raise NotFound(404, "NotFound", path)
        return self.objects[path]

    def _check(self, held: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        for part in ("uid", "resourceVersion"):
            if part in metadata and metadata[part] != held["metadata"][part]:
                raise Conflict(409, "Conflict", part)

    def _store(self, path: str, value: dict[str, Any], uid: str | None = None) -> dict[str, Any]:
        value["metadata"] = {
            **value["metadata"],
            "uid": self.objects.get(path, {}).get("metadata", {}).get("uid", uid),
            "resourceVersion": str(next(self._versions)),
        }
        self.objects[path] = value
        return copy.deepcopy(value)


def _merge(held: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in change.items():
        if value is None:
            held.pop(name, None)
        elif isinstance(value, Mapping):
            held[name] = _merge(dict(held.get(name) or {}), value)
        else:
            held[name] = value
    return held


@dataclass
class FakeGateway:
    """Records what it is told, in order; `failures` are raised by the next calls."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    cron_jobs: dict[str, RawObject | None] = field(default_factory=dict)

    def _note(self, *call: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(call)

    async def apply(self, owner: ObjectKey, manifest: Manifest) -> None:
        """Record."""
        self._note("apply", manifest["metadata"]["name"])

    async def create(self, manifest: Manifest) -> None:
        """Record."""
        self._note("create", manifest["metadata"]["name"])

    async def delete(self, key: ObjectKey, uid: str) -> None:
        """Record."""
        self._note("delete", key.name, uid)

    async def label(self, action: Label, resource_version: str | None = None) -> str | None:
        """Record."""
        self._note("label", action.key.name, resource_version)
        return "labelled"

    async def finalize(self, action: Finalize, resource_version: str) -> str | None:
        """Record."""
        self._note("finalize", action.key.name, (action.finalizers, resource_version))
        return "finalized"

    async def adjust(self, action: Adjust) -> None:
        """Record."""
        self._note("adjust", action.key.name, dict(action.spec))

    async def write_status(self, key: ObjectKey, status: Mapping[str, Any], uid: str, resource_version: str) -> str:
        """Record."""
        self._note("status", dict(status), resource_version)
        return "written"

    async def emit(self, about: RawObject, event: Emit) -> None:
        """Record."""
        self._note("emit", event.reason)

    async def secret_exists(self, namespace: str, name: str) -> bool:
        """Answer from `secrets`."""
        return name in self.secrets

    async def find_cron_job(self, namespace: str, name: str) -> RawObject | None:
        """Answer from `cron_jobs`; a name that is not there cannot be read."""
        if name not in self.cron_jobs:
            raise ApiError(403, "Forbidden", name)
        return self.cron_jobs[name]

    def forget(self, owner: ObjectKey) -> None:
        """Record."""
        self.calls.append(("forget", owner.name))


def decisions(plan: Plan | Exception) -> Decisions:
    """Return decisions that always come to this plan."""

    def decide(*_: Any) -> Plan:
        if isinstance(plan, Exception):
            raise plan
        return plan

    def no_secrets(*_: Any) -> frozenset[str]:
        return frozenset()

    return Decisions(decide, no_secrets, decide, decide, no_secrets, decide, no_secrets)
