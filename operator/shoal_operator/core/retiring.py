"""Which replaced revisions stand by, for how long, and with how many pods.

Called by core.rollout and core.desired. Invariants: what the router may still send calls to stays whole; however often
a spec changes, only few pools stand by.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from datetime import datetime, timedelta

from shoal_operator.api.deployment import RetiringRevision
from shoal_operator.core.facts import instant, timestamp
from shoal_operator.core.progress import Progress
from shoal_operator.core.steps import Schedule

MOST_STANDING_BY = 3
"""Replaced revisions that stand by beside those that are kept as standbys."""


def keep_retiring(progress: Progress, schedule: Schedule, routed: Set[str], now: datetime) -> Progress:
    """Return the same without the replaced revisions whose time is over; the schedule's delay holds as it is now.

    The standbys stay, the newest of the previous revisions among the retiring. Of the others, those that still get
    calls stay, and few more: what was on trial only goes first, then the oldest; calls in flight end while its pods
    drain.
    """
    kept = frozenset(item.revision for item in _standbys(progress, schedule))
    staying = []
    for item in progress.retiring:
        until = _due(item, schedule)
        over = until is None or now >= until
        if item.revision in kept:
            staying.append(item.model_copy(update={"until": None if over or until is None else timestamp(until)}))
        elif item.revision in routed or not over:
            staying.append(item.model_copy(update={"until": timestamp(until or now)}))
    served = {item.revision for item in progress.previous}
    free = [item for item in staying if item.revision not in kept | routed]
    free.sort(key=lambda item: item.revision in served)
    others = sum(item.revision not in kept for item in staying)
    surplus = {item.revision for item in free[: max(0, others - MOST_STANDING_BY)]}
    return replace(progress, retiring=tuple(item for item in staying if item.revision not in surplus))


def retiring_pools(
    progress: Progress, schedule: Schedule, routed: Set[str], replicas: int
) -> list[tuple[RetiringRevision, int]]:
    """Return the pods of each revision that is kept to go back to: all of them, or a standby's once its delay is over.

    Pools of other replaced revisions are left as they are until they go.
    """
    pools = []
    for item in _returnable(progress):
        warm = item.until is None and item.revision not in routed
        pools.append((item, min(replicas, schedule.standby.replicas or replicas) if warm else replicas))
    return pools


def _returnable(progress: Progress) -> list[RetiringRevision]:
    """Return the retiring revisions that were stable before, oldest first."""
    standing = {item.revision: item for item in progress.retiring}
    return [standing[item.revision] for item in progress.previous if item.revision in standing]


def _standbys(progress: Progress, schedule: Schedule) -> list[RetiringRevision]:
    count = schedule.standby.revisions
    return _returnable(progress)[-count:] if count else []


def _due(item: RetiringRevision, schedule: Schedule) -> datetime | None:
    since = instant(item.since)
    if since is None:
        return instant(item.until)
    return since + timedelta(seconds=schedule.scale_down_delay_seconds)
