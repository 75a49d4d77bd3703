"""One pool under a load and a scaler, second by second: what it costs, what it cannot serve, how often it turns.

Used by `__main__` and by the tests. Pods start a while after they are wanted and go at once when they are not; calls
are shared evenly by the ready ones. Invariant: a scaler sees nothing but what its sources would tell it by then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.bench_scaler.traces import Seconds

TARGET = 10.0
"""Calls in flight that a pod should have."""
CAPACITY = 14.0
"""Calls in flight that a pod can serve: the target is 70 % of it, as Knative's default has it."""
START_SECONDS = 10
LEAST, MOST = 1, 100


@dataclass
class Pool:
    """The pods: when each was wanted first. The oldest go last."""

    born: list[int]

    def ready(self, now: int) -> int:
        """Return the pods that serve."""
        return sum(now - born >= START_SECONDS for born in self.born)

    def resize(self, wanted: int, now: int) -> None:
        """Have so many pods."""
        self.born = [*self.born[:wanted], *[now] * (wanted - len(self.born))]


class Scaler(Protocol):
    """Sizes the pool of one simulation; made anew for each."""

    def see(self, now: int, demand: float, ready: int) -> None:
        """Hear what its sources could measure in this second."""

    def size(self, now: int, wanted: int, ready: int) -> int:
        """Return the pods that are wanted from now on."""


@dataclass
class Outcome:
    """What came of one simulation."""

    pod_seconds: int = 0
    least_pod_seconds: int = 0
    """What a scaler that knows the load beforehand would use, at the target."""
    offered: float = 0.0
    unserved: float = 0.0
    late_seconds: int = 0
    changes: int = 0
    turns: int = 0
    wanted: list[int] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)

    def to_row(self) -> dict[str, Any]:
        """Return the figures that are written down."""
        return {
            "podHours": round(self.pod_seconds / 3600, 2),
            "leastPodHours": round(self.least_pod_seconds / 3600, 2),
            "unservedShare": round(self.unserved / self.offered, 5),
            "lateSeconds": self.late_seconds,
            "changes": self.changes,
            "turns": self.turns,
        }


def run(demand: Seconds, scaler: Scaler) -> Outcome:
    """Let a load pass."""
    wanted = max(LEAST, round(float(demand[:300].mean()) / TARGET))
    pool, outcome, direction = Pool([-START_SECONDS] * wanted), Outcome(), 0
    for now, calls in enumerate(demand.tolist()):
        ready = pool.ready(now)
        scaler.see(now, calls, ready)
        before, wanted = wanted, min(MOST, max(LEAST, scaler.size(now, wanted, ready)))
        if wanted != before:
            pool.resize(wanted, now)
            turned = 1 if wanted > before else -1
            outcome.changes += 1
            outcome.turns += direction not in (0, turned)
            direction = turned
        served = min(calls, CAPACITY * ready)
        outcome.pod_seconds += wanted
        outcome.least_pod_seconds += min(MOST, max(LEAST, math.ceil(calls / TARGET)))
        outcome.offered += calls
        outcome.unserved += calls - served
        outcome.late_seconds += served < calls
        outcome.wanted.append(wanted)
        outcome.ready.append(pool.ready(now))
    return outcome


def thin(values: Sequence[float], every: int) -> list[float]:
    """Return every so many'th value, for a picture."""
    return list(values[::every])
