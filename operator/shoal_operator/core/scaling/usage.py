"""How much of its target a pool uses, as the HorizontalPodAutoscaler counts it: ready, missing and unready pods.

Called by `proposal`. Semantics are those of Kubernetes 1.36 (replica_calculator.go): whole milli-units, truncated
averages. Invariant: a pod without a figure counts against a change, never for it: as nothing when growing, as full when
shrinking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shoal_operator.core.facts import condition_of, instant, text_at
from shoal_operator.core.snapshot import LoadSample, PodFacts

CPU_INITIALISATION = timedelta(minutes=5)
"""After a pod's start its CPU is that of starting up, and counts only once it is ready for a whole sample."""
INITIAL_READINESS = timedelta(seconds=30)
"""A pod that turned unready this soon after its start has never really been ready."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a pod should have."""

    value: int
    """In thousandths as a sample, or in percent of the request."""
    request: int | None = None
    """What each pod requests, in thousandths, where the target is a percentage of it."""
    warms_up: bool = False
    """Whether the figure is not to be believed while a pod starts, as CPU."""

    def ratio(self, values: Sequence[int]) -> float:
        """Return the use of the target, 1 being exactly the target."""
        if self.request is None:
            return sum(values) // len(values) / self.value
        return (sum(values) * 100 // (self.request * len(values))) / self.value

    @property
    def full(self) -> int:
        """What a pod without a figure counts as when shrinking."""
        return self.value if self.request is None else self.request * max(100, self.value) // 100


@dataclass(frozen=True, slots=True)
class Usage:
    """What a pool uses."""

    ratio: float
    """Use of the target, with missing and unready pods filled in."""
    pods: int
    """Pods that the ratio is the average of."""
    average: float
    """The average of the pods that have a figure, in the metric's unit or in percent."""
    filled: bool = False
    """Whether pods were filled in."""
    turned: bool = False
    """Whether the filling in turned the direction: then nothing is known."""

    @property
    def demand(self) -> float:
        """Pods that would use exactly their target."""
        return self.ratio * self.pods


def measure(target: Target, pods: Sequence[PodFacts], samples: Mapping[str, LoadSample], now: datetime) -> Usage | None:
    """Return the use of one pool; None where no ready pod has a figure. `samples` go by the pod's uid."""
    values: list[int] = []
    missing = unready = 0
    for pod in pods:
        phase = text_at(pod.status, "phase")
        if pod.deleting or phase == "Failed":
            continue
        sample = samples.get(pod.uid)
        if phase == "Pending":
            unready += 1
        elif sample is None:
            missing += 1
        elif target.warms_up and _is_starting(pod, sample, now):
            unready += 1
        else:
            values.append(sample.value)
    if not values:
        return None
    ratio = target.ratio(values)
    average = sum(values) / len(values) / 1000
    if target.request is not None:
        average = 100 * sum(values) / (target.request * len(values))
    growing = ratio > 1
    if not missing and not (unready and growing):
        return Usage(ratio, len(values), average)
    if ratio != 1:
        values += [0 if growing else target.full] * missing
    if growing:
        values += [0] * unready
    filled = target.ratio(values)
    turned = (ratio < 1 < filled) or (filled < 1 < ratio)
    return Usage(filled, len(values), average, filled=True, turned=turned)


def _is_starting(pod: PodFacts, sample: LoadSample, now: datetime) -> bool:
    started = instant(text_at(pod.status, "startTime"))
    ready = condition_of({"status": pod.status}, "Ready")
    since = instant(text_at(ready, "lastTransitionTime"))
    if started is None or ready is None or since is None:
        return True
    # Unknown, as of a node that is silent, is not unready.
    unready = ready.get("status") == "False"
    if started + CPU_INITIALISATION > now:
        return unready or sample.at < since + sample.window
    return unready and started + INITIAL_READINESS > since
