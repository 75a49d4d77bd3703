"""How many pods a candidate needs for a weight, and what weight (or share of copied calls) its ready pods can bear.

Called by core.transitions, core.desired and core.rollout. Invariant: a pool's capacity is never below its routed
weight; `pods_needed` and `supported_weight` are each other's inverse: `supported_weight(pods_needed(w)) >= w` for any
number of replicas but 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from shoal_operator.api.canary import SetScale


def pods_needed(weight: int, replicas: int, *, full_pool: bool) -> int:
    """Return the candidate's pods at a weight: its share of the replicas, at least one, or all of them.

    >>> [pods_needed(weight, 10, full_pool=False) for weight in (0, 10, 11, 50, 100)]
    [1, 1, 2, 5, 10]
    >>> pods_needed(10, 3, full_pool=True)
    3
    """
    if replicas == 0 or full_pool:
        return replicas
    return max(1, -(-replicas * weight // 100))


def least_pods(scale: SetScale | None, replicas: int) -> int:
    """Return the candidate's pods that a setScale asks for; none where no pods are wanted at all.

    >>> least_pods(SetScale(percent=50), 5), least_pods(SetScale(replicas=4), 2), least_pods(None, 5)
    (3, 4, 0)
    """
    if scale is None or replicas == 0:
        return 0
    return scale.replicas or -(-replicas * (scale.percent or 0) // 100)


def supported_weight(ready: int, replicas: int) -> int:
    """Return the largest weight that this many ready pods can bear; none where no pods are wanted.

    >>> [supported_weight(ready, 4) for ready in (0, 1, 3, 4, 5)]
    [0, 25, 75, 100, 100]
    """
    if replicas == 0:
        return 0
    return min(100, 100 * ready // replicas)


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a candidate's calls will need at another weight, by what they need at the present one."""

    for_all: float = 0.0
    """Pods that it would need for all calls; 0 where that is not known."""
    weight: int = 0
    """Percent of the calls that it gets now."""
    most: int = 0
    tolerance: float = 0.0
    """By how much it may need more than stable and still count as like it."""

    def pods_at(self, weight: int, replicas: int) -> int:
        """Return the pods that a weight needs; none where the share of the replicas will do.

        >>> slow = Foresight(for_all=20, weight=10, most=18, tolerance=0.1)
        >>> [slow.pods_at(weight, 10) for weight in (10, 50, 100)]
        [2, 10, 18]
        >>> Foresight(for_all=10.9, weight=10, most=50, tolerance=0.1).pods_at(50, 10)
        0
        """
        if self.for_all <= replicas * (1 + self.tolerance):
            return 0
        return min(self.most, math.ceil(self.for_all * weight / 100))
