"""The whole recommendation: from metrics, bounds and history to a number of pods, with conditions that explain it.

Called by core.rollout. Invariants: one look is decided on once; the number leaves the bounds never; conditions and
reasons are the HorizontalPodAutoscaler's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shoal_operator.api.meta import Condition, ConditionType, Reason
from shoal_operator.api.scaling import PastRecommendation, Scaling, ScalingStatus
from shoal_operator.core.conditions import Finding
from shoal_operator.core.facts import instant, timestamp
from shoal_operator.core.plan import Emit
from shoal_operator.core.scaling.behaviour import History, Paced, pace
from shoal_operator.core.scaling.proposal import CPU, MEMORY, QUEUE, RATE, Pool, Proposal, propose
from shoal_operator.core.snapshot import Load

STALE = timedelta(seconds=60)
"""Figures that are older say nothing about now."""
_TYPES: tuple[ConditionType, ...] = ("AbleToScale", "ScalingActive", "ScalingLimited")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How many pods there should be, and why."""

    status: ScalingStatus
    findings: tuple[Finding, ...]
    events: tuple[Emit, ...] = ()


def recommend(
    scaling: Scaling,
    status: ScalingStatus | None,
    conditions: Iterable[Condition],
    pools: Sequence[Pool],
    load: Load | None,
    initial: int,
    now: datetime,
    share: int = 0,
) -> Recommendation:
    """Decide on the newest look, or stay with what was decided.

    conditions: those of the object, which stay while there is nothing new. pools: stable's, and the candidate's while
    it gets calls. initial: pods to begin with. share: percent of the calls that the candidate gets.
    """
    if status is None:
        status = ScalingStatus(replicas=min(max(initial, scaling.min_replicas), scaling.max_replicas))
    if len(pools) < 2:
        status = status.model_copy(update=_tell_candidate(status, 0.0, 0))
    if load is not None and load.rival:
        told = f"{load.rival} scales this deployment or its pods too; delete it, or remove spec.scaling"
        return Recommendation(status, _inactive(told, Reason.SCALE_CONFLICT))
    current = status.replicas
    bounded = min(max(current, scaling.min_replicas), scaling.max_replicas)
    if bounded != current:
        why = "below scaling.minReplicas" if bounded > current else "above scaling.maxReplicas"
        return _resize(scaling, status, bounded, f"the number of pods was {why}", _kept(conditions), now)
    if load is None or load.at == status.looked_at or not pools:
        return Recommendation(status, _wait(conditions, status, pools, now))
    moment = instant(load.at)
    if moment is None or now - moment > STALE:
        return Recommendation(status, _inactive(f"the metrics are of {load.at}, more than 60 s ago"))
    return _decide(scaling, status, propose(scaling, pools, load, current, now), load, share, now)


def disabled(status: ScalingStatus | None) -> Recommendation:
    """Return what follows from worker.replicas 0, which is the off switch: no pods, and no decisions."""
    status = status or ScalingStatus(replicas=0)
    told = "worker.replicas is 0, which switches scaling off; set it to 1 or more to go on"
    return Recommendation(status.model_copy(update={"replicas": 0}), _inactive(told, Reason.SCALING_DISABLED))


def _decide(
    scaling: Scaling, status: ScalingStatus, proposals: tuple[Proposal, ...], load: Load, share: int, now: datetime
) -> Recommendation:
    current = status.replicas
    candidate = max((item.candidate for item in proposals), default=0.0)
    status = status.model_copy(update={"looked_at": load.at, "metrics": [item.reading for item in proposals]})
    readable = [item for item in proposals if item.replicas is not None]
    wanted = max((item.replicas or 0 for item in readable), default=0)
    if load.backlog == 0 and scaling.min_replicas == 0 and wanted <= 1:
        # An idle pod uses some CPU and memory; without a message that is no reason for one.
        wanted = 0
    failed = [item.reading for item in proposals if item.replicas is None]
    told = "; ".join(f"{item.name}: {item.problem}" for item in failed)
    if not readable or (failed and wanted < current):
        # The metric that is missing might ask for more.
        return Recommendation(status, _inactive(told, _failure(failed[0].name)))
    status = status.model_copy(update=_tell_candidate(status, min(candidate, scaling.max_replicas), share))
    # What is there at the beginning counts as wanted, so that the first look removes no pod before the window is over.
    beginning = (PastRecommendation(at=timestamp(now), replicas=current),)
    history = History(tuple(status.recommendations) or beginning, tuple(status.changes))
    paced = pace(scaling, wanted, current, history, now)
    history = history.recommend(wanted, scaling.behavior, now)
    status = status.model_copy(update={"recommendations": list(history.recommendations)})
    leading = max(readable, key=lambda item: item.replicas or 0).reading.name
    active = f"{leading} asks for {wanted} pods{f'; unread: {told}' if told else ''}."
    findings = (
        _able(paced, current),
        Finding("ScalingActive", True, Reason.VALID_METRIC_FOUND, active),
        Finding("ScalingLimited", True, paced.limited.reason, paced.limited.message)
        if paced.limited
        else Finding("ScalingLimited", False, Reason.DESIRED_WITHIN_RANGE),
    )
    why = f"{leading} above target" if paced.replicas > current else "all metrics below target"
    return _resize(scaling, status, paced.replicas, why, findings, now)


def _tell_candidate(status: ScalingStatus, demand: float, share: int) -> dict[str, Any]:
    """Return what is remembered of the candidate's demand in pods, at its share of the calls."""
    for_all = 100 * demand / share if share else 0.0
    if share and status.candidate_weight != share:
        # The figures are partly of the share before, so they tell too little after a rise.
        for_all = max(for_all, status.candidate_for_all)
    return {
        "candidate_replicas": math.ceil(demand),
        "candidate_for_all": round(for_all, 3),
        "candidate_weight": share,
    }


def _able(paced: Paced, current: int) -> Finding:
    if paced.replicas != current:
        return Finding("AbleToScale", True, Reason.SUCCEEDED_RESCALE, f"from {current} to {paced.replicas} pods")
    if paced.stabilised is not None:
        return Finding("AbleToScale", True, paced.stabilised.reason, paced.stabilised.message)
    return Finding("AbleToScale", True, Reason.READY_FOR_NEW_SCALE, "as many pods as are wanted")


def _failure(metric: str) -> Reason:
    """Return the HorizontalPodAutoscaler's reason for a metric of this kind that gives no figures."""
    if metric in (CPU, MEMORY):
        return Reason.FAILED_GET_RESOURCE_METRIC
    return Reason.FAILED_GET_PODS_METRIC if metric in (QUEUE, RATE) else Reason.FAILED_GET_EXTERNAL_METRIC


def _resize(
    scaling: Scaling, status: ScalingStatus, replicas: int, why: str, findings: tuple[Finding, ...], now: datetime
) -> Recommendation:
    change = replicas - status.replicas
    history = History((), tuple(status.changes)).change(change, scaling.behavior, now)
    status = status.model_copy(update={"replicas": replicas, "changes": list(history.changes)})
    told = (Emit("Normal", Reason.SUCCESSFUL_RESCALE, f"New size: {replicas}; reason: {why}."),) if change else ()
    return Recommendation(status, findings, told)


def _wait(
    conditions: Iterable[Condition], status: ScalingStatus, pools: Sequence[Pool], now: datetime
) -> tuple[Finding, ...]:
    looked = instant(status.looked_at)
    if looked is not None and now - looked > STALE:
        return _inactive(f"the metrics were read at {status.looked_at} last, more than 60 s ago")
    kept = _kept(conditions)
    return kept or _inactive("the metrics have not been read yet" if pools else "nothing serves yet")


def _kept(conditions: Iterable[Condition]) -> tuple[Finding, ...]:
    known = {item.type: item for item in conditions}
    found = tuple(
        Finding(kind, known[kind].status == "True", known[kind].reason, known[kind].message)
        for kind in _TYPES
        if kind in known
    )
    # A conflict is told anew in each pass, as long as it lasts (core.contest).
    over = Finding("AbleToScale", True, Reason.READY_FOR_NEW_SCALE)
    return tuple(over if (item.type, item.reason) == (over.type, Reason.SCALE_CONFLICT) else item for item in found)


def _inactive(problem: str, reason: Reason = Reason.FAILED_GET_METRICS) -> tuple[Finding, ...]:
    return (
        Finding("AbleToScale", True, Reason.READY_FOR_NEW_SCALE),
        Finding("ScalingActive", False, reason, f"No decision: {problem}."),
        Finding("ScalingLimited", False, Reason.DESIRED_WITHIN_RANGE),
    )
