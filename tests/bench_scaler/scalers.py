"""Who sizes the pool: Shoal's own core, and the rules of others as their documentation and their sources have them.

Used by `simulation`. The others are written down here on their own: nothing of Shoal's core is in them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shoal_operator.api.deployment import Revision
from shoal_operator.api.scaling import Scaling, ScalingStatus
from shoal_operator.core.facts import timestamp
from shoal_operator.core.scaling.proposal import Pool
from shoal_operator.core.scaling.recommendation import recommend
from shoal_operator.core.snapshot import Load, LoadSample, PodFacts
from tests.bench_scaler.simulation import LEAST, MOST, TARGET, Scaler

INTERVAL = 15
SCRAPE_SECONDS = 15
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_REVISION = Revision(revision="00000001", version=1)


def _pod(place: int, *, ready: bool) -> PodFacts:
    status = {"phase": "Running" if ready else "Pending"}
    return PodFacts(f"pod-{place}", f"uid-{place}", "00000001", ready, False, False, "10.0.0.1", "", status)


def _is_due(now: int) -> bool:
    """Tell whether an interval ends with this second."""
    return (now + 1) % INTERVAL == 0


def _is_near(ratio: float) -> bool:
    return 1 - 0.1 <= ratio <= 1 + 0.1


_READY = tuple(_pod(place, ready=True) for place in range(MOST))
_PENDING = tuple(_pod(place, ready=False) for place in range(MOST))


class Shoal:
    """The operator's core with its defaults, on the queue: calls in a pod at once, averaged since the look before."""

    def __init__(self) -> None:
        metrics = {"queue": {"averageValue": TARGET}}
        self._spec = Scaling.model_validate({"minReplicas": LEAST, "maxReplicas": MOST, "metrics": metrics})
        self._status: ScalingStatus | None = None
        self._busy = [0.0] * MOST
        """Seconds that calls took in each pod since the last look."""

    def see(self, now: int, demand: float, ready: int) -> None:
        """Count as the workers do: seconds of calls, in each pod."""
        for place in range(ready):
            self._busy[place] += demand / ready

    def size(self, now: int, wanted: int, ready: int) -> int:
        """Decide at every fifteenth second; a new pod tells what it did since it began."""
        if not _is_due(now):
            return wanted
        at = _BEGIN + timedelta(seconds=now)
        samples = {f"uid-{place}": LoadSample(round(1000 * self._busy[place] / INTERVAL), at) for place in range(ready)}
        self._busy = [0.0] * MOST
        pods = (*_READY[:ready], *_PENDING[ready:wanted])
        load = Load(timestamp(at), {"queue": samples})
        self._status = recommend(self._spec, self._status, (), (Pool(_REVISION, pods),), load, wanted, at).status
        return self._status.replicas


class Autoscaler:
    """The HorizontalPodAutoscaler of Kubernetes with its defaults, on a gauge that Prometheus scrapes.

    pkg/controller/podautoscaler: a sync every 15 s, tolerance 0.1, up by 100 % or 4 pods in 15 s, down to the highest
    recommendation of 300 s. `total`: an External metric with AverageValue, as KEDA makes of its triggers (the sum over
    all pods); else a Pods metric (each pod's own gauge). The gauge is that of the moment of the scrape, up to 15 s old.
    """

    def __init__(self, *, total: bool) -> None:
        self._total = total
        self._scraped: list[int] = []
        """Thousandths, as Kubernetes quantities are counted here."""
        self._recommendations: deque[tuple[int, int]] = deque()
        self._changes: deque[tuple[int, int]] = deque()

    def see(self, now: int, demand: float, ready: int) -> None:
        """Scrape the ready pods at every fifteenth second, between two syncs."""
        if now % SCRAPE_SECONDS == SCRAPE_SECONDS // 2:
            self._scraped = [round(1000 * demand / ready)] * ready if ready else []

    def size(self, now: int, wanted: int, ready: int) -> int:
        """Sync at every fifteenth second."""
        if not _is_due(now) or not self._scraped:
            return wanted
        desired = self._by_total(wanted) if self._total else self._by_pods(wanted, ready)
        if not self._recommendations:
            self._recommendations.append((now, wanted))
        while self._recommendations[0][0] <= now - 300:
            self._recommendations.popleft()
        stable = max(wanted, desired) if desired >= wanted else min(wanted, self._highest(desired))
        self._recommendations.append((now, desired))
        size = min(stable, self._fastest(now, wanted)) if stable > wanted else stable
        if size != wanted:
            self._changes.append((now, size - wanted))
        return size

    def _by_total(self, wanted: int) -> int:
        total = sum(self._scraped) / 1000
        return wanted if _is_near(total / (TARGET * wanted)) else math.ceil(total / TARGET)

    def _by_pods(self, wanted: int, ready: int) -> int:
        values = self._scraped[:ready]
        missing, pending = ready - len(values), wanted - ready
        target = round(1000 * TARGET)
        ratio = sum(values) // len(values) / target
        if not missing and (not pending or ratio <= 1):
            return wanted if _is_near(ratio) else math.ceil(ratio * len(values))
        filled = [*values, *[target if ratio < 1 else 0] * missing, *[0] * (pending if ratio > 1 else 0)]
        again = sum(filled) // len(filled) / target
        size = math.ceil(again * len(filled))
        turned = (ratio < 1 < again) or (again < 1 < ratio)
        against = (again < 1 and size > wanted) or (again > 1 and size < wanted)
        return wanted if _is_near(again) or turned or against else size

    def _highest(self, desired: int) -> int:
        return max([desired, *(count for _, count in self._recommendations)])

    def _fastest(self, now: int, wanted: int) -> int:
        while self._changes and self._changes[0][0] <= now - 15:
            self._changes.popleft()
        begin = wanted - sum(change for _, change in self._changes)
        return max(wanted, begin + 4, 2 * begin)


class Knative:
    """Knative's KPA with its defaults (pkg/autoscaler/scaling/autoscaler.go), to the same target.

    A decision every 2 s by the mean of 60 s, or of 6 s while it panics: when these want twice the ready pods; it then
    only grows, until a minute has passed below. Down by half of the ready pods at most, at once.
    """

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=60)
        self._panic_since: int | None = None
        self._most = 0

    def see(self, now: int, demand: float, ready: int) -> None:
        """Take the concurrency of the second, as its queue-proxies report it."""
        self._seen.append(demand)

    def size(self, now: int, wanted: int, ready: int) -> int:
        """Decide at every second second."""
        if now % 2:
            return wanted
        seen = list(self._seen)
        pods = max(1, ready)
        stable, panic = (math.ceil(sum(part) / len(part) / TARGET) for part in (seen, seen[-6:]))
        least, most = pods // 2, 1000 * pods
        if panic / pods >= 2:
            self._panic_since = now
        elif self._panic_since is not None and self._panic_since + 60 < now:
            self._panic_since, self._most = None, 0
        stable, panic = (min(max(value, least), most) for value in (stable, panic))
        if self._panic_since is None:
            return stable
        self._most = max(self._most, stable, panic)
        return self._most


class Formula:
    """The bare formula: what is in flight now by the target, rounded up, every fifteenth second, and nothing else."""

    def __init__(self) -> None:
        self._demand = 0.0

    def see(self, now: int, demand: float, ready: int) -> None:
        """Look at the gauge."""
        self._demand = demand

    def size(self, now: int, wanted: int, ready: int) -> int:
        """Follow it."""
        return math.ceil(self._demand / TARGET) if _is_due(now) else wanted


SCALERS: dict[str, Callable[[], Scaler]] = {
    "Shoal": Shoal,
    "HPA, Pods metric": lambda: Autoscaler(total=False),
    "KEDA": lambda: Autoscaler(total=True),
    "Knative KPA": Knative,
    "bare formula": Formula,
}
