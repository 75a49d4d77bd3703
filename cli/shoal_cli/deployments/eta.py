"""When a rollout will be over, as far as its steps tell; pure, the time is an argument. Read by `view`.

Invariant: what waits for a person, or for pods and calls, gets no time: only the holds that the steps name add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shoal_cli.deployments.rules import Step


@dataclass(frozen=True, slots=True)
class Eta:
    """When the present step and the rollout are over."""

    step_ends: datetime | None = None
    done: datetime | None = None
    waits_at: int | None = None
    """Index of the step that waits for the promote command, the first from the present one on."""


def estimate(
    steps: Sequence[Step], step: int | None, began: datetime | None, now: datetime, *, held: bool = False
) -> Eta:
    """Return when a rollout at a step is over; `began` is when the step's weight was reached, None before that.

    A rollout that a person or a failure holds has no end. A hold that is over is over now: what it still waits for,
    a verdict for example, nobody can foresee.

    >>> from datetime import UTC
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> walk = (Step(20, 0.0), Step(20, 60.0), Step(50, 30.0))
    >>> estimate(walk, 1, start, start + timedelta(seconds=20)).done - start
    datetime.timedelta(seconds=90)
    >>> estimate((Step(20, None), Step(50, 30.0)), 0, start, start)
    Eta(step_ends=None, done=None, waits_at=0)
    """
    if step is None or held:
        return Eta()
    if step >= len(steps):
        return Eta(done=now)
    waits_at = next((place for place in range(step, len(steps)) if steps[place].hold_seconds is None), None)
    hold = steps[step].hold_seconds
    if hold is None:
        return Eta(waits_at=waits_at)
    ends = max(now, (began or now) + timedelta(seconds=hold))
    if waits_at is not None:
        return Eta(step_ends=ends, waits_at=waits_at)
    later = sum(each.hold_seconds or 0.0 for each in steps[step + 1 :])
    return Eta(step_ends=ends, done=ends + timedelta(seconds=later))
