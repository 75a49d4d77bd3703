"""The picture of the cluster that decisions are made from: slim records of every watched object.

Filled by the watch handlers and by the gateway with the answers to its own writes, so that a pass never acts on an
older picture than its own last write left. Read by the observer, the controller and the metrics. Invariant: a record
never goes back to an older resourceVersion, and removing needs the uid, so that a namesake born meanwhile stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.snapshot import RawObject
from shoal_operator.runtime import resources

_MANAGED = "managedFields"
_SPECLESS = (resources.POD, resources.DECISION)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Link(NamedTuple):
    """What an object says it belongs to or refers to, as far as it can be looked up."""

    relation: str
    namespace: str
    value: str


def key_of(raw: RawObject) -> ObjectKey:
    """Return an object's key."""
    metadata = raw["metadata"]
    return ObjectKey(str(raw["kind"]), str(metadata.get("namespace", "")), str(metadata["name"]))


def uid_of(raw: RawObject) -> str:
    """Return an object's uid."""
    return str(raw["metadata"].get("uid", ""))


def version_of(raw: RawObject) -> int | None:
    """Return an object's resourceVersion as a number, or None where it is none and cannot be compared."""
    version = str(raw["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdigit() else None


def slim(raw: Mapping[str, Any], resource: resources.Resource) -> dict[str, Any]:
    """Return what decisions need of an object; copies of the manifest and specs that none reads are left out.

    Of the managed fields, those of a deployment stay that others wrote: they tell who gave a command. Of those of a
    pool, whoever else set its number of pods.
    """
    metadata = {name: value for name, value in raw.get("metadata", {}).items() if name != _MANAGED}
    if resource is resources.CLUSTERING_DEPLOYMENT:
        metadata[_MANAGED] = [
            entry
            for entry in raw.get("metadata", {}).get(_MANAGED) or ()
            if entry.get("manager") != resources.FIELD_MANAGER
        ]
    if resource is resources.DEPLOYMENT:
        metadata[_MANAGED] = [
            entry
            for entry in raw.get("metadata", {}).get(_MANAGED) or ()
            if entry.get("manager") != resources.FIELD_MANAGER
            and "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        ]
    annotations = metadata.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    record = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    for part, value in raw.items():
        if part not in record and not (part == "spec" and resource in _SPECLESS):
            record[part] = value
    return record


class Store:
    """Slim records by key, and by what they belong to."""

    def __init__(self) -> None:
        self._records: dict[ObjectKey, RawObject] = {}
        self._by_kind: dict[str, dict[ObjectKey, RawObject]] = defaultdict(dict)
        self._linked: dict[tuple[str, Link], set[ObjectKey]] = defaultdict(set)
        self._distrusted: set[ObjectKey] = set()
        self.gateway_api_installed = False
        """Whether the API server knows GRPCRoutes; kept by runtime.audit."""

    def put(self, raw: Mapping[str, Any], resource: resources.Resource) -> bool:
        """Take an object over unless a newer one is known; return whether it was taken."""
        record = slim(raw, resource)
        key = key_of(record)
        known = self._records.get(key)
        if known is not None and key not in self._distrusted:
            ours, theirs = version_of(known), version_of(record)
            if ours is not None and theirs is not None and theirs < ours:
                return False
        self._distrusted.discard(key)
        if known is not None:
            self._unlink(key, known)
        self._records[key] = record
        self._by_kind[key.kind][key] = record
        for link in links(record):
            self._linked[key.kind, link].add(key)
        return True

    def remove(self, key: ObjectKey, uid: str) -> None:
        """Forget an object that is gone; one of the same name with another uid stays."""
        known = self._records.get(key)
        if known is None or uid_of(known) != uid:
            return
        self._unlink(key, known)
        del self._records[key]
        del self._by_kind[key.kind][key]
        self._distrusted.discard(key)

    def distrust(self, key: ObjectKey) -> None:
        """Let the next record of this object win whatever its resourceVersion: the API server's history was reset."""
        self._distrusted.add(key)

    def get(self, key: ObjectKey) -> RawObject | None:
        """Return an object's record."""
        return self._records.get(key)

    def of_kind(self, kind: str) -> tuple[RawObject, ...]:
        """Return all records of a kind."""
        return tuple(self._by_kind.get(kind, {}).values())

    def linked(self, kind: str, link: Link) -> tuple[RawObject, ...]:
        """Return the records of a kind with this link, by name."""
        return tuple(self._records[key] for key in sorted(self._linked.get((kind, link), ())))

    def owners_of(self, raw: RawObject) -> Iterator[ObjectKey]:
        """Yield the keys to reconcile when this object appears, changes or goes.

        A child leads to its owner, a version to its model and to the deployments and batches that refer to that, a
        model, a deployment and a Gateway to those that refer to them, a deployment to the others of its group, a
        deployment and a batch to the model that they use; an object that is reconciled itself leads to itself first.
        """
        key = key_of(raw)
        if resources.BY_KIND[key.kind] in resources.OWNERS:
            yield key
        for link in links(raw):
            match key.kind, link.relation:
                case "ClusteringModelVersion", "model":
                    yield from self._linked.get(("ClusteringModel", Link("self", link.namespace, link.value)), ())
                    yield from self._linked.get(("ClusteringDeployment", link), ())
                    yield from self._linked.get(("ClusteringBatch", link), ())
                case "ClusteringModel", "self":
                    yield from self._linked.get(("ClusteringDeployment", link._replace(relation="model")), ())
                    yield from self._linked.get(("ClusteringBatch", link._replace(relation="model")), ())
                case "ClusteringDeployment", "self":
                    yield from self._linked.get(("ClusteringBatch", link._replace(relation="deployment")), ())
                case "ClusteringDeployment", "group":
                    # What a member decides rests on where the others stand.
                    yield from (other for other in self._linked.get((key.kind, link), ()) if other != key)
                case "Gateway", "self":
                    yield from self._linked.get(("ClusteringDeployment", link._replace(relation="gateway")), ())
                case "ClusteringDeployment", "model":
                    # What a deployment uses, its model's versions, is neither archived nor deleted.
                    yield from self._linked.get(("ClusteringModel", link._replace(relation="self")), ())
                case "ClusteringBatch", "pins":
                    yield from self._linked.get(("ClusteringModel", link._replace(relation="self")), ())
                case (("ClusteringDeployment" | "ClusteringBatch"), _):
                    pass
                case _, ("owned-by-deployment" | "task-of-deployment"):
                    yield from self._linked.get(("ClusteringDeployment", link._replace(relation="self")), ())
                case _, "owned-by-batch":
                    yield from self._linked.get(("ClusteringBatch", link._replace(relation="self")), ())
                case _, "owned-by-model":
                    yield from self._linked.get(("ClusteringModel", link._replace(relation="self")), ())

    def _unlink(self, key: ObjectKey, record: RawObject) -> None:
        for link in links(record):
            members = self._linked[key.kind, link]
            members.discard(key)
            if not members:
                del self._linked[key.kind, link]


def links(raw: RawObject) -> tuple[Link, ...]:
    """Return what an object can be looked up by besides its key.

    Names are compared as label values, for that is how children carry them.
    """
    key = key_of(raw)
    spec = raw.get("spec") or {}
    own = Link("self", key.namespace, names.label_value(key.name))
    match key.kind:
        case "ClusteringModel" | "Gateway":
            return (own,)
        case "ClusteringModelVersion":
            return _reference("model", key.namespace, spec.get("modelRef"))
        case "ClusteringDeployment":
            gateway = (spec.get("traffic") or {}).get("gateway")
            return (
                own,
                *_reference("model", key.namespace, spec.get("modelRef")),
                *_reference("gateway", key.namespace, gateway),
                *_reference("group", key.namespace, spec.get("group")),
            )
        case "ClusteringBatch":
            pinned = (raw.get("status") or {}).get("pinned") or {}
            return (
                own,
                *_reference("model", key.namespace, spec.get("modelRef")),
                *_reference("deployment", key.namespace, spec.get("deploymentRef")),
                *_reference("pins", key.namespace, {"name": pinned.get("model")}),
            )
        case _:
            labels = raw["metadata"].get("labels") or {}
            if names.TASK_OF in labels:
                return (Link("task-of-deployment", key.namespace, labels[names.TASK_OF]),)
            # Serving pods carry the model's label too; the deployment is the one that owns them.
            if names.DEPLOYMENT in labels:
                return (Link("owned-by-deployment", key.namespace, labels[names.DEPLOYMENT]),)
            if names.BATCH in labels:
                return (Link("owned-by-batch", key.namespace, labels[names.BATCH]),)
            if names.MODEL in labels:
                return (Link("owned-by-model", key.namespace, labels[names.MODEL]),)
            return ()


def _reference(relation: str, namespace: str, reference: object) -> tuple[Link, ...]:
    name = reference.get("name") if isinstance(reference, Mapping) else None
    return (Link(relation, namespace, names.label_value(name)),) if isinstance(name, str) else ()
