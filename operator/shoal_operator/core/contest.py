"""Finds who else sets the number of a deployment's pods, and keeps that from becoming a fight of writes.

Called by core.rollout. Invariant: a pool's number is set back at once the first time and then at most once an
interval, whoever writes it how often; and the one who writes it is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.api.meta import Reason
from shoal_operator.api.scaling import Contest
from shoal_operator.core import names
from shoal_operator.core.actors import manager_of
from shoal_operator.core.conditions import Finding
from shoal_operator.core.facts import instant, items_at, label_of, name_of, number_at, text_at, timestamp
from shoal_operator.core.plan import Emit
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject

REMEMBERED = timedelta(minutes=5)
"""How long it is told after the last time."""
_INTERVAL_SECONDS = 15
"""Between two writes against the same writer, where spec.scaling does not say."""


@dataclass(frozen=True, slots=True)
class Standoff:
    """Who contests the number of pods, and what is left alone for it."""

    contest: Contest | None = None
    held: frozenset[str] = frozenset()
    """Revisions whose pools are not written in this pass."""
    due: datetime | None = None
    """When to look again."""
    findings: tuple[Finding, ...] = ()
    events: tuple[Emit, ...] = ()


def find_standoff(
    snapshot: DeploymentSnapshot,
    spec: ClusteringDeploymentSpec,
    before: Contest | None,
    sizes: Mapping[str, int],
    now: datetime,
) -> Standoff:
    """Look for other writers. `before` is what was known of them, `sizes` what each revision's pool should have."""
    interval = timedelta(seconds=spec.scaling.interval_seconds if spec.scaling else _INTERVAL_SECONDS)
    pools = tuple(item for item in snapshot.workloads if _is_contested(item, sizes))
    last = instant(before.at) if before is not None else None
    if pools and before is not None and last is not None and before.pool and now - last < interval:
        held = frozenset(label_of(pool, names.REVISION) for pool in pools)
        return Standoff(before, held, last + interval, _findings(snapshot, before))
    contest: Contest | None
    if pools:
        by, number = manager_of(pools[0], "spec", "replicas"), number_at(pools[0], "spec", "replicas")
        contest = Contest(by=by, pool=name_of(pools[0]), replicas=number, at=timestamp(now))
    else:
        contest = _by_scale(snapshot.deployment, before, now) if spec.scaling is not None else None
        if contest is None and before is not None and before.pool and last is not None and now - last < REMEMBERED:
            contest = before
    if contest is None:
        return Standoff()
    over = (instant(contest.at) or now) + REMEMBERED
    if now >= over:
        return Standoff(contest)
    findings = _findings(snapshot, contest)
    news = before is None or (before.by, before.pool, before.replicas) != (contest.by, contest.pool, contest.replicas)
    told = (Emit("Warning", Reason.SCALE_CONFLICT, findings[0].message),) if news else ()
    return Standoff(contest, due=over, findings=findings, events=told)


def _is_contested(pool: RawObject, sizes: Mapping[str, int]) -> bool:
    size = sizes.get(label_of(pool, names.REVISION))
    # The store keeps the other managers of this number only, and what is set back is nobody else's any more.
    return (
        size is not None and size != number_at(pool, "spec", "replicas") and bool(manager_of(pool, "spec", "replicas"))
    )


def _by_scale(deployment: RawObject, before: Contest | None, now: datetime) -> Contest | None:
    """Return who set worker.replicas through /scale; 0 is the off switch, and no contest.

    The API server gives these writes of custom resources no time: it is when they were seen first.
    """
    number = number_at(deployment, "spec", "worker", "replicas")
    entries = [
        entry for entry in items_at(deployment, "metadata", "managedFields") if text_at(entry, "subresource") == "scale"
    ]
    by = manager_of({"metadata": {"managedFields": entries}}, "spec", "worker", "replicas")
    if not by or not number:
        return None
    known = before is not None and (before.by, before.pool, before.replicas) == (by, "", number)
    seen = before.at if before is not None and known else timestamp(now)
    return Contest(by=by, replicas=number, at=max((text_at(entry, "time") for entry in entries), default="") or seen)


def _findings(snapshot: DeploymentSnapshot, contest: Contest) -> tuple[Finding, ...]:
    name = name_of(snapshot.deployment)
    if contest.pool:
        told = (
            f"{contest.by} set Deployment {contest.pool} to {contest.replicas} pods; the number is {name}'s, so it is "
            f"set back, once an interval. Stop that writer; without spec.scaling it may scale ClusteringDeployment "
            f"{name} instead."
        )
    else:
        told = (
            f"{contest.by} set worker.replicas to {contest.replicas} by the scale subresource, which has no effect "
            f"beside spec.scaling. Set scaling.minReplicas instead, or remove spec.scaling."
        )
    return (Finding("AbleToScale", False, Reason.SCALE_CONFLICT, told),)
