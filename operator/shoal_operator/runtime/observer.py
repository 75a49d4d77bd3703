"""Builds the snapshot of one object: everything that its decision may know, read once.

Called by runtime.controller at the start of a pass. Invariant: nothing that belonged to a deleted object of the same
name gets in: a child counts by its owner reference's uid, a pod by its age. No decision is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.hooks import wanted_cron_jobs
from shoal_operator.core.plan import Plan
from shoal_operator.core.snapshot import (
    Answer,
    BatchSnapshot,
    Defaults,
    DeploymentSnapshot,
    Load,
    ModelSnapshot,
    PodFacts,
    RawObject,
    WindowFigures,
)
from shoal_operator.errors import ApiError
from shoal_operator.runtime.store import Link, Store, key_of, uid_of

_log = structlog.get_logger(__name__)

RequiredSecrets = Callable[[RawObject, Defaults], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Decisions:
    """The core's functions that the shell calls."""

    model: Callable[[ModelSnapshot, datetime], Plan]
    model_secrets: RequiredSecrets
    version: Callable[[RawObject, datetime], Plan]
    deployment: Callable[[DeploymentSnapshot, datetime], Plan]
    deployment_secrets: RequiredSecrets
    batch: Callable[[BatchSnapshot, datetime], Plan]
    batch_secrets: RequiredSecrets


class Lookups(Protocol):
    """Asks the API server for what is not watched."""

    async def secret_exists(self, namespace: str, name: str) -> bool:
        """Return whether a Secret exists."""

    async def find_cron_job(self, namespace: str, name: str) -> RawObject | None:
        """Return a CronJob, None where it does not exist."""


class Figures(Protocol):
    """Holds what the pods of an analysis window served."""

    def windows(self, deployment: RawObject) -> Mapping[str, WindowFigures]:
        """Return revision -> figures; empty before the first look."""


class Progress(Protocol):
    """Holds what the pods of running batches told last."""

    def rows(self, batch: RawObject) -> Mapping[str, int]:
        """Return pod's uid -> rows that it has labelled."""


AnswersOf = Callable[[RawObject], Mapping[str, Answer]]
"""Returns what servers outside said last in a deployment's window."""
ComparisonOf = Callable[[RawObject], Comparison | None]
"""Returns what both versions made of the same rows last in a deployment's window."""

LoadOf = Callable[[RawObject], Load | None]
"""Returns what a deployment's pods did at the last look."""


class Observer:
    """Reads the store, and asks for Secrets' existence and for CronJobs."""

    def __init__(
        self,
        store: Store,
        lookups: Lookups,
        figures: Figures,
        answers: AnswersOf,
        comparison: ComparisonOf,
        hook_answers: AnswersOf,
        load: LoadOf,
        progress: Progress,
        decide: Decisions,
        defaults: Defaults,
    ) -> None:
        self._store = store
        self._lookups = lookups
        self._figures = figures
        self._answers = answers
        self._comparison = comparison
        self._hook_answers = hook_answers
        self._load = load
        self._progress = progress
        self._decide = decide
        self._defaults = defaults

    async def model(self, raw: RawObject) -> ModelSnapshot:
        """Return all facts about a ClusteringModel."""
        namespace = raw["metadata"]["namespace"]
        owned = Link("owned-by-model", namespace, names.label_value(raw["metadata"]["name"]))
        jobs = self._children("Job", owned, raw)
        return ModelSnapshot(
            model=raw,
            jobs=jobs,
            job_pods=self._job_pods(owned, jobs),
            versions=self._versions(raw),
            deployments=self._store.linked("ClusteringDeployment", owned._replace(relation="model")),
            batches=self._batches(namespace, raw["metadata"]["name"]),
            missing_secrets=await self._missing(namespace, self._decide.model_secrets(raw, self._defaults)),
            defaults=self._defaults,
        )

    async def deployment(self, raw: RawObject) -> DeploymentSnapshot:
        """Return all facts about a ClusteringDeployment."""
        metadata = raw["metadata"]
        namespace = metadata["namespace"]
        owned = Link("owned-by-deployment", namespace, names.label_value(metadata["name"]))
        model = self._named("ClusteringModel", namespace, (raw.get("spec") or {}).get("modelRef"))
        traffic = (raw.get("spec") or {}).get("traffic") or {}
        ours = owned._replace(relation="task-of-deployment")
        tasks = self._children("Job", ours, raw)
        return DeploymentSnapshot(
            deployment=raw,
            model=model,
            versions=self._versions(model) if model is not None else (),
            workloads=self._children("Deployment", owned, raw),
            services=self._children("Service", owned, raw),
            routes=self._children("GRPCRoute", owned, raw),
            budgets=self._children("PodDisruptionBudget", owned, raw),
            decisions=self._children("ClusteringDecision", owned, raw),
            pods=self.pods(raw),
            gateway=self._named("Gateway", namespace, traffic.get("gateway")),
            gateway_api_installed=self._store.gateway_api_installed,
            missing_secrets=await self._missing(namespace, self._decide.deployment_secrets(raw, self._defaults)),
            windows=self._figures.windows(raw),
            answers=self._answers(raw),
            comparison=self._comparison(raw),
            hook_answers=self._hook_answers(raw),
            tasks=tasks,
            task_pods=self._job_pods(ours, tasks),
            farewell=self._store.get(ObjectKey("Job", namespace, names.farewell_job(metadata["name"], uid_of(raw)))),
            cron_jobs=await self._cron_jobs(namespace, wanted_cron_jobs(raw)),
            peers=self._peers(raw),
            load=self._load(raw),
            defaults=self._defaults,
        )

    async def batch(self, raw: RawObject) -> BatchSnapshot:
        """Return all facts about a ClusteringBatch."""
        namespace, spec = raw["metadata"]["namespace"], raw.get("spec") or {}
        owned = Link("owned-by-batch", namespace, names.label_value(raw["metadata"]["name"]))
        model = self._named("ClusteringModel", namespace, spec.get("modelRef"))
        jobs = self._children("Job", owned, raw)
        return BatchSnapshot(
            batch=raw,
            model=model,
            versions=self._versions(model) if model is not None else (),
            deployment=self._named("ClusteringDeployment", namespace, spec.get("deploymentRef")),
            jobs=jobs,
            job_pods=self._job_pods(owned, jobs),
            rows=self._progress.rows(raw),
            missing_secrets=await self._missing(namespace, self._decide.batch_secrets(raw, self._defaults)),
            defaults=self._defaults,
        )

    def pods(self, deployment: RawObject) -> tuple[PodFacts, ...]:
        """Return the serving pods of a ClusteringDeployment."""
        return serving_pods(self._store, deployment)

    def _children(self, kind: str, owned: Link, owner: RawObject) -> tuple[RawObject, ...]:
        uid = uid_of(owner)
        return tuple(child for child in self._store.linked(kind, owned) if uid in _owner_uids(child))

    def _job_pods(self, owned: Link, jobs: tuple[RawObject, ...]) -> tuple[RawObject, ...]:
        uids = {uid_of(job) for job in jobs}
        return tuple(pod for pod in self._store.linked("Pod", owned) if uids & set(_owner_uids(pod)))

    def _versions(self, model: RawObject) -> tuple[RawObject, ...]:
        """Return a model's versions; one without an owner, as after a restore, counts too."""
        metadata = model["metadata"]
        link = Link("model", metadata["namespace"], names.label_value(metadata["name"]))
        uid = uid_of(model)
        return tuple(
            version
            for version in self._store.linked("ClusteringModelVersion", link)
            if (owners := _owner_uids(version, "ClusteringModel")) == () or uid in owners
        )

    def _peers(self, deployment: RawObject) -> tuple[RawObject, ...]:
        """Return the other deployments of a group of this name, and those that this one waits for."""
        key, group = key_of(deployment), (deployment.get("spec") or {}).get("group")
        if not isinstance(group, Mapping):
            return ()
        link = Link("group", key.namespace, names.label_value(str(group.get("name"))))
        named = group.get("promoteAfter")
        waited = [self._store.get(key._replace(name=str(name))) for name in named] if isinstance(named, list) else []
        found = {key_of(peer): peer for peer in (*self._store.linked(key.kind, link), *waited) if peer is not None}
        return tuple(peer for other, peer in found.items() if other != key)

    def _batches(self, namespace: str, model: str) -> tuple[RawObject, ...]:
        """Return the batches that are pinned to a version of a model; they may have found it by a deployment."""
        return tuple(
            batch
            for batch in self._store.of_kind("ClusteringBatch")
            if batch["metadata"].get("namespace") == namespace
            and ((batch.get("status") or {}).get("pinned") or {}).get("model") == model
        )

    def _named(self, kind: str, namespace: str, reference: object) -> RawObject | None:
        name = reference.get("name") if isinstance(reference, Mapping) else None
        return self._store.get(ObjectKey(kind, namespace, name)) if isinstance(name, str) else None

    async def _cron_jobs(self, namespace: str, wanted: Iterable[str]) -> Mapping[str, RawObject | None]:
        """Return the CronJobs; one that cannot be read is left out, for a gate's trouble must not hold up a pass."""
        found: dict[str, RawObject | None] = {}
        for name in wanted:
            try:
                found[name] = await self._lookups.find_cron_job(namespace, name)
            except ApiError as error:
                _log.warning("a CronJob could not be read", namespace=namespace, name=name, error=str(error))
        return found

    async def _missing(self, namespace: str, required: Iterable[str]) -> frozenset[str]:
        return frozenset([name for name in required if not await self._lookups.secret_exists(namespace, name)])


def serving_pods(store: Store, deployment: RawObject) -> tuple[PodFacts, ...]:
    """Return the pods of a ClusteringDeployment that are not older than it is.

    A pod's owner is a ReplicaSet, which is not watched; but the pods of a deleted namesake are older than the object.
    """
    metadata = deployment["metadata"]
    owned = Link("owned-by-deployment", metadata["namespace"], names.label_value(metadata["name"]))
    born = str(metadata.get("creationTimestamp", ""))
    pods = store.linked("Pod", owned)
    return tuple(_pod_facts(pod) for pod in pods if str(pod["metadata"].get("creationTimestamp", "")) >= born)


def _pod_facts(pod: RawObject) -> PodFacts:
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = status.get("conditions") or ()
    return PodFacts(
        name=metadata["name"],
        uid=uid_of(pod),
        revision=labels.get(names.REVISION),
        ready=any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions),
        deleting="deletionTimestamp" in metadata,
        routed=labels.get(names.ROUTED) == "true",
        ip=status.get("podIP") or None,
        created=str(metadata.get("creationTimestamp", "")),
        status=status,
        share=str((metadata.get("annotations") or {}).get(names.SHARE) or ""),
    )


def _owner_uids(raw: RawObject, kind: str | None = None) -> tuple[str, ...]:
    references = raw["metadata"].get("ownerReferences") or ()
    return tuple(item["uid"] for item in references if kind is None or item.get("kind") == kind)
