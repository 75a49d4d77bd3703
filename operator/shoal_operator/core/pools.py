"""How many pods a candidate needs for a weight, and what weight (or share of copied calls) its ready pods can bear.

Called by core.transitions and core.rollout. Invariant: a pool's capacity is never below its routed weight; the two
functions are each other's inverse: `supported_weight(pods_needed(w)) >= w` for any number of replicas but 0.
"""

from __future__ import annotations

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
