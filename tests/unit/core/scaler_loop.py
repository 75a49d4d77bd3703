"""A pool under a load that the test gives, sized by the real scaler; used by the tests of its behaviour over time.

The loop is as it runs: pods are wanted, start a while later, have figures a while after that. Time is the test's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from shoal_operator.api.deployment import Revision
from shoal_operator.api.scaling import Scaling, ScalingStatus
from shoal_operator.core.facts import timestamp
from shoal_operator.core.scaling.proposal import Pool
from shoal_operator.core.scaling.recommendation import recommend
from shoal_operator.core.snapshot import Load, LoadSample, PodFacts
from tests.unit.core.objects import NOW

TARGET = 10
REVISION = Revision(revision="00000001", version=1)
_STATUS = {"phase": "Running", "startTime": "2025-12-31T00:00:00Z"}
_PODS = tuple(
    PodFacts(f"pod-{place}", f"uid-{place}", "00000001", True, False, False, "10.0.0.1", "", _STATUS)
    for place in range(200)
)


def scaling(least: int = 2, most: int = 40, **more: Any) -> Scaling:
    metrics = {"queue": {"averageValue": TARGET}}
    return Scaling.model_validate({"minReplicas": least, "maxReplicas": most, "metrics": metrics, **more})


@dataclass
class Loop:
    """The scaler and its pool, look by look; the newest pods are the last."""

    spec: Scaling
    status: ScalingStatus
    pod_lag: int = 0
    """Looks until a wanted pod runs."""
    forgetful: bool = False
    """Whether the operator restarts at each look: all that it knows is what the object holds."""
    sizes: list[int] = field(default_factory=list)
    looks: int = 0

    def __post_init__(self) -> None:
        self.sizes = [self.status.replicas] * (self.pod_lag + 1)

    @property
    def running(self) -> int:
        """Pods that run: those wanted for long enough, and none that is wanted no more."""
        return min(self.sizes[-1 - self.pod_lag :])

    def look(self, demand: float) -> int:
        """Let a look pass under this demand, and return what is wanted then."""
        now = NOW + timedelta(seconds=self.spec.interval_seconds * self.looks)
        self.looks += 1
        samples = {pod.uid: LoadSample(round(1000 * demand / self.running), now) for pod in _PODS[: self.running]}
        self.status = decide(self.spec, self.status, self.running, samples, now)
        if self.forgetful:
            self.status = ScalingStatus.model_validate(self.status.to_wire())
        self.sizes.append(self.status.replicas)
        return self.status.replicas


def decide(
    spec: Scaling, status: ScalingStatus, running: int, samples: dict[str, LoadSample], now: Any
) -> ScalingStatus:
    """Decide on one look at the first pods."""
    load = Load(timestamp(now), {"queue": samples})
    return recommend(spec, status, (), (Pool(REVISION, _PODS[:running]),), load, running, now).status


def follow(loop: Loop, demand: Callable[[float], float], seconds: int) -> list[int]:
    """Return what was wanted at each look while the demand went as a function of the time."""
    interval = loop.spec.interval_seconds
    return [loop.look(demand(interval * number)) for number in range(seconds // interval)]


def turns(sizes: Sequence[int]) -> list[int]:
    """Return the places at which the direction of the changes turned.

    >>> turns([2, 3, 3, 2, 2, 4])
    [3, 5]
    """
    found, direction = [], 0
    for place in range(1, len(sizes)):
        change = (sizes[place] > sizes[place - 1]) - (sizes[place] < sizes[place - 1])
        if change and direction and change != direction:
            found.append(place)
        direction = change or direction
    return found
