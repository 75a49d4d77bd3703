"""What one metric asks for: pods for the calls of every pool together.

Called by `recommendation`. With one pool it is the HorizontalPodAutoscaler's answer. While a candidate gets calls too,
each pool is measured by its own pods and their demands are added up: averages across versions, under which one pool
starves while the mean looks well, are never taken. Invariant: a metric that cannot be read asks for nothing and says
why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shoal_operator.api.deployment import Revision
from shoal_operator.api.quantity import read_quantity
from shoal_operator.api.scaling import MetricReading, PrometheusMetric, Scaling, ScalingMetrics
from shoal_operator.core.facts import text_at
from shoal_operator.core.scaling.outside import UnreadableError, metric_name, propose_number
from shoal_operator.core.scaling.usage import Target, Usage, measure
from shoal_operator.core.snapshot import Load, PodFacts

CPU, MEMORY, QUEUE, RATE = "cpu", "memory", "queue", "requestsPerSecond"
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Pool:
    """The pods of a revision that gets calls."""

    revision: Revision
    pods: tuple[PodFacts, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a metric asks for."""

    reading: MetricReading
    replicas: int | None
    """None where the metric cannot be read."""
    candidate: float = 0.0
    """Pods that the candidate's own calls ask for."""


def propose(scaling: Scaling, pools: Sequence[Pool], load: Load, current: int, now: datetime) -> tuple[Proposal, ...]:
    """Ask every metric of the spec; the first pool is stable's, the second, if any, the candidate's."""
    return (
        *(_propose(name, wanted, scaling, pools, load, current, now) for name, wanted in targets(scaling.metrics)),
        *(_propose_outside(metric, scaling, pools, load, current) for metric in scaling.metrics.prometheus),
    )


def targets(metrics: ScalingMetrics) -> tuple[tuple[str, float], ...]:
    """Return the metrics of the pods that the spec names, each with its target."""
    found = (
        (QUEUE, metrics.queue.average_value if metrics.queue else None),
        (RATE, metrics.requests_per_second.average_value if metrics.requests_per_second else None),
        (CPU, metrics.cpu.average_utilization if metrics.cpu else None),
        (MEMORY, metrics.memory.average_utilization if metrics.memory else None),
    )
    return tuple((name, float(value)) for name, value in found if value is not None)


def _propose(
    name: str, wanted: float, scaling: Scaling, pools: Sequence[Pool], load: Load, current: int, now: datetime
) -> Proposal:
    def fail(problem: str) -> Proposal:
        return Proposal(MetricReading(name=name, target=wanted, problem=problem), None)

    if name in load.problems:
        return fail(load.problems[name])
    if name == QUEUE and load.backlog is not None and current == 0:
        # No pod can tell: what waits is what the first pods will have.
        replicas = min(math.ceil(load.backlog / wanted), _MOST)
        return Proposal(MetricReading(name=name, target=wanted, value=float(load.backlog), wants=replicas), replicas)
    usages: list[Usage] = []
    for pool in pools:
        target = _target(name, wanted, pool.revision)
        if target is None:
            return fail(f"worker.resources.requests.{name} is not set, and the target is a percentage of it")
        usage = measure(target, pool.pods, load.samples.get(name, {}), now)
        if usage is None:
            return fail(f"no ready pod of version {pool.revision.version} has a figure")
        usages.append(usage)
    replicas = _one(scaling, usages[0], current) if len(usages) == 1 else _sum(scaling, usages, current)
    pods = sum(usage.pods for usage in usages)
    average = sum(usage.average * usage.pods for usage in usages) / pods
    reading = MetricReading(name=name, target=wanted, value=round(average, 3), wants=min(replicas, _MOST))
    own = _demand(usages[1]) if len(usages) > 1 else 0.0
    return Proposal(reading, min(replicas, _MOST), min(own, float(_MOST)))


def _propose_outside(
    metric: PrometheusMetric, scaling: Scaling, pools: Sequence[Pool], load: Load, current: int
) -> Proposal:
    name = metric_name(metric)
    try:
        if name in load.problems:
            raise UnreadableError(load.problems[name])
        ready = sum(_is_ready(pod) for pool in pools for pod in pool.pods)
        reading, replicas = propose_number(
            metric, load.answers.get(name), ready, current, lambda ratio: _within(scaling, ratio)
        )
    except UnreadableError as reason:
        target = metric.average_value or metric.value or 0.0
        return Proposal(MetricReading(name=name, target=target, problem=str(reason)), None)
    wants = min(replicas, _MOST)
    return Proposal(reading.model_copy(update={"wants": wants}), wants)


def _is_ready(pod: PodFacts) -> bool:
    return pod.ready and not pod.deleting and text_at(pod.status, "phase") != "Failed"


def _target(name: str, wanted: float, revision: Revision) -> Target | None:
    if name not in (CPU, MEMORY):
        return Target(max(1, round(wanted * 1000)))
    request = int(read_quantity(revision.settings.resources.requests.get(name, "")) * 1000)
    return Target(round(wanted), request, warms_up=name == CPU) if request > 0 else None


def _within(scaling: Scaling, ratio: float) -> bool:
    down, up = scaling.behavior.scale_down.tolerance, scaling.behavior.scale_up.tolerance
    return 1 - down <= ratio <= 1 + up


def _one(scaling: Scaling, usage: Usage, current: int) -> int:
    if usage.turned or _within(scaling, usage.ratio):
        return current
    replicas = math.ceil(usage.demand)
    against = (usage.ratio < 1 and replicas > current) or (usage.ratio > 1 and replicas < current)
    return current if usage.filled and against else replicas


def _sum(scaling: Scaling, usages: Sequence[Usage], current: int) -> int:
    demand = sum(_demand(usage) for usage in usages)
    return current if _within(scaling, demand / max(1, current)) else math.ceil(demand)


def _demand(usage: Usage) -> float:
    return float(usage.pods) if usage.turned else usage.demand
