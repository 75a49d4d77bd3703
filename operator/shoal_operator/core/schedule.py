"""Computes when a ClusteringModel's schedule is due; pure, the time is an argument.

Called by core.training. Invariant: one time of the schedule trains at most once, times that were missed together train
once, and a time that comes while a training runs is skipped and told.

The time that was trained for last stands in an annotation of the model, which is part of the training's identity and
outlives status; the next time stands in status and is computed anew when it is lost or the spec changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shoal_operator.api.lifecycle import Retrain, RetrainStatus
from shoal_operator.api.meta import Reason
from shoal_operator.api.model import ClusteringModelStatus
from shoal_operator.core import names
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import annotation_of, generation_of, instant, key_of, timestamp, uid_of
from shoal_operator.core.plan import Action, Emit, Label
from shoal_operator.core.snapshot import RawObject

_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SOON_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Tick:
    """What the schedule does in a pass."""

    status: RetrainStatus | None = None
    actions: tuple[Action, ...] = ()
    events: tuple[Emit, ...] = ()
    problem: Problem | None = None
    requeue_after: float | None = None


def plan_tick(
    model: RawObject, retrain: Retrain | None, previous: ClusteringModelStatus, now: datetime, *, busy: bool
) -> Tick:
    """Let a due time change the training's identity, unless a training runs."""
    if retrain is None:
        return Tick()
    last = instant(annotation_of(model, names.SCHEDULED))
    told = timestamp(last) if last else None
    if retrain.suspend:
        return Tick(RetrainStatus(last_scheduled=told))
    try:
        planned = _planned(model, retrain, previous, last, now)
        if now < planned:
            waiting = (planned - now).total_seconds()
            return Tick(RetrainStatus(last_scheduled=told, next_scheduled=timestamp(planned)), requeue_after=waiting)
        due, following = last_time(retrain, now), next_time(retrain, now)
    except ScheduleError as error:
        return Tick(RetrainStatus(last_scheduled=told), problem=Problem(Reason.INVALID_SPEC, str(error)))
    after = (following - now).total_seconds()
    if busy:
        message = f"The training scheduled for {timestamp(due)} is skipped: another one still runs."
        status = RetrainStatus(last_scheduled=told, next_scheduled=timestamp(following))
        return Tick(status, events=(Emit("Normal", Reason.TRAINING_SKIPPED, message),), requeue_after=after)
    mark = Label(key_of(model, "ClusteringModel"), uid_of(model), annotations={names.SCHEDULED: timestamp(due)})
    status = RetrainStatus(last_scheduled=timestamp(due), next_scheduled=timestamp(following))
    return Tick(status, actions=(mark,), requeue_after=_SOON_SECONDS)


class ScheduleError(ValueError):
    """A schedule that names no time, with the field and the remedy."""


def next_time(retrain: Retrain, after: datetime) -> datetime:
    """Return the schedule's first time after an instant, in UTC.

    >>> next_time(Retrain(schedule="30 4 * * 1"), datetime(2026, 1, 1, tzinfo=UTC))
    datetime.datetime(2026, 1, 5, 4, 30, tzinfo=datetime.timezone.utc)
    """
    return _step(retrain, after, reverse=False)


def last_time(retrain: Retrain, now: datetime) -> datetime:
    """Return the schedule's last time that is not after an instant, in UTC.

    >>> last_time(Retrain(schedule="@daily"), datetime(2026, 1, 2, tzinfo=UTC))
    datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return _step(retrain, now.replace(microsecond=0) + timedelta(seconds=1), reverse=True)


def _planned(
    model: RawObject, retrain: Retrain, previous: ClusteringModelStatus, last: datetime | None, now: datetime
) -> datetime:
    changed = previous.observed_generation != generation_of(model)
    known = instant(previous.retrain.next_scheduled) if previous.retrain else None
    if known is not None and not changed and (last is None or known > last):
        return known
    # A new schedule counts from now; one whose status was lost goes on from its last training.
    return next_time(retrain, now if changed and previous.observed_generation else last or now)


def _step(retrain: Retrain, start: datetime, *, reverse: bool) -> datetime:
    try:
        zone = ZoneInfo(retrain.time_zone)
    except (ValueError, OSError, KeyError):
        raise ScheduleError(
            f"spec.retrain.timeZone: {retrain.time_zone!r} is no time zone that is known here; give an IANA name such "
            "as Europe/Berlin."
        ) from None
    expression = _WORDS.get(retrain.schedule, retrain.schedule)
    try:
        found = next(CronSim(expression, start.astimezone(zone), reverse=reverse))
    except (CronSimError, StopIteration) as error:
        why = f": {error}" if str(error) else ""
        raise ScheduleError(
            f"spec.retrain.schedule: {retrain.schedule!r} names no time{why}. Give five fields, minute, hour, day of "
            "month, month, day of week, such as '0 3 * * 1'."
        ) from None
    return found.astimezone(UTC)
