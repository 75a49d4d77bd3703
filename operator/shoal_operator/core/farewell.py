"""Deletes the consumer of a ClusteringDeployment that is being deleted, where its spec says so.

Called by core.rollout. The operator has no credentials of NATS: a Job of the worker's image deletes it. Invariant: the
ClusteringDeployment is held for a bounded time, whatever does not answer; what is left then is told with the command
that removes it.

    observed                                    plan
    not being deleted                           the finalizer is there if the consumer is to go, and else not
    being deleted, pods are there               delete the pools: a pod would create the consumer anew
    no pods, no Job                             create the Job
    the Job runs                                wait
    the Job succeeded, failed, or time is up    tell it, and let go
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import ValidationError

from shoal_operator.api.ingestion import Ingestion
from shoal_operator.api.meta import Reason
from shoal_operator.core import facts, names
from shoal_operator.core.manifests.consumer import consumer_of
from shoal_operator.core.manifests.farewell_job import DEADLINE_SECONDS, build_farewell_job
from shoal_operator.core.plan import Action, Create, Delete, Emit, Finalize, Plan
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject
from shoal_operator.core.training_job import has_ended

_KIND = "ClusteringDeployment"
_LONGEST_DRAIN = timedelta(seconds=90)
"""After which pods that are still there are waited for no longer."""
_LIMIT = _LONGEST_DRAIN + timedelta(seconds=DEADLINE_SECONDS + 60)
_LOOK_SECONDS = 2.0


def prepare_farewell(deployment: RawObject, ingestion: Ingestion | None) -> tuple[Action, ...]:
    """Return what lets the deployment be deleted as its spec says; before its pods create the consumer."""
    wanted = ingestion is not None and ingestion.consumer_at_deletion == "Delete"
    if wanted == (names.CONSUMER_FINALIZER in _finalizers(deployment)):
        return ()
    if not wanted:
        return (let_go(deployment),)
    finalizers = (*_finalizers(deployment), names.CONSUMER_FINALIZER)
    return (Finalize(facts.key_of(deployment, _KIND), facts.uid_of(deployment), finalizers),)


def plan_farewell(snapshot: DeploymentSnapshot, now: datetime) -> Plan:
    """Plan one pass over a ClusteringDeployment that is being deleted."""
    deployment = snapshot.deployment
    if names.CONSUMER_FINALIZER not in _finalizers(deployment):
        return Plan()
    try:
        ingestion = Ingestion.model_validate(facts.mapping_at(deployment, "spec", "ingestion"))
    except ValidationError:
        return Plan((let_go(deployment),))
    since = facts.instant(facts.text_at(deployment, "metadata", "deletionTimestamp")) or now
    job = snapshot.farewell
    if has_ended(job or {}, "Complete"):
        message = f"The consumer {consumer_of(deployment, ingestion)} of the stream {ingestion.stream} is deleted."
        return Plan((Emit("Normal", Reason.CONSUMER_DELETED, message), let_go(deployment)))
    if now - since > _LIMIT or (job is not None and has_ended(job, "Failed")):
        return Plan((_tell_left(deployment, ingestion, job), let_go(deployment)))
    if snapshot.workloads or (snapshot.pods and now - since <= _LONGEST_DRAIN):
        removals = (Delete(facts.key_of(raw, "Deployment"), facts.uid_of(raw)) for raw in snapshot.workloads)
        return Plan(tuple(removals), requeue_after=_LOOK_SECONDS)
    if job is None:
        return Plan(
            (Create(build_farewell_job(deployment, ingestion, snapshot.defaults)),), requeue_after=_LOOK_SECONDS
        )
    return Plan(requeue_after=_LOOK_SECONDS)


def let_go(deployment: RawObject) -> Finalize:
    """Return what ends the hold."""
    left = tuple(each for each in _finalizers(deployment) if each != names.CONSUMER_FINALIZER)
    return Finalize(facts.key_of(deployment, _KIND), facts.uid_of(deployment), left)


def _tell_left(deployment: RawObject, ingestion: Ingestion, job: RawObject | None) -> Emit:
    consumer = consumer_of(deployment, ingestion)
    tried = f"Job {facts.name_of(job)} failed" if job is not None else "it could not be tried in time"
    return Emit(
        "Warning",
        Reason.CONSUMER_LEFT,
        f"The consumer {consumer} is left in the stream {ingestion.stream}: {tried}. Delete it by "
        f"`nats consumer rm {ingestion.stream} {consumer} --force`.",
    )


def _finalizers(deployment: RawObject) -> tuple[str, ...]:
    found = facts.mapping_at(deployment, "metadata").get("finalizers")
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()
