"""Builds conditions from what was decided, keeping the times of those that did not change.

Called by core.training and core.summary. Invariant: equal facts give equal conditions, so that a pass that changes
nothing writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shoal_operator.api.meta import Condition, ConditionType, Reason
from shoal_operator.core.facts import printable, timestamp

_MESSAGE_LIMIT = 1500


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition as decided, before times."""

    type: ConditionType
    holds: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot go on, with the remedy."""

    reason: Reason
    message: str


def override(findings: Iterable[Finding], stronger: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with others in place of those of the same type."""
    return tuple({item.type: item for item in (*findings, *stronger)}.values())


def build_conditions(
    findings: Iterable[Finding], previous: Iterable[Condition], generation: int, now: datetime
) -> list[Condition]:
    """Turn findings into conditions; the transition time moves only when the status does."""
    known = {condition.type: condition for condition in previous}
    return [_build(finding, known.get(finding.type), generation, now) for finding in findings]


def _build(finding: Finding, previous: Condition | None, generation: int, now: datetime) -> Condition:
    kept = previous is not None and (previous.status == "True") is finding.holds and previous.last_transition_time
    return Condition(
        type=finding.type,
        status="True" if finding.holds else "False",
        reason=str(finding.reason),
        message=printable(finding.message, _MESSAGE_LIMIT),
        observed_generation=generation,
        last_transition_time=kept or timestamp(now),
    )
