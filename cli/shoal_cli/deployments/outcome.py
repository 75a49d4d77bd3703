"""How a deployment stands for a program that waits: healthy, failed, or still under way; pure. Used by `waiting`.

Invariant: nothing is over while the operator has not seen the newest spec and command, and a fault that may pass by
itself ends no wait before its time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from shoal_cli.deployments.view import View
from shoal_operator.api.meta import Reason


class ExitCode(IntEnum):
    """What a verb's exit says; 1 and 2 come from errors alone."""

    DONE = 0
    DEGRADED = 3
    TIMED_OUT = 4
    DIFFERENT = 5


Kind = Literal["healthy", "failed", "running"]

FINAL: Collection[str] = frozenset(
    {
        Reason.ROLLED_BACK,
        Reason.PAUSED_BY_FAILURE,
        Reason.INVALID_SPEC,
        Reason.VERSION_NOT_FOUND,
        Reason.VERSION_REJECTED,
        Reason.VERSION_RETIRED,
        Reason.VERSION_ARCHIVED,
        Reason.PROGRESS_DEADLINE_EXCEEDED,
    }
)
"""Reasons of Degraded that do not pass until somebody acts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it stands, and why."""

    kind: Kind
    message: str

    @property
    def over(self) -> bool:
        """Whether a wait ends here."""
        return self.kind != "running"


def judge(view: View, version: int | None = None) -> Outcome:
    """Return how a deployment stands; healthy only once `version` serves, where one is named."""
    if view.behind:
        return Outcome("running", view.behind)
    blocked = next((each for each in view.blocked if each.version == version), None)
    if blocked is not None and view.candidate_version != version:
        return Outcome("failed", f"Version {version} was rolled back ({blocked.reason}): {blocked.message}")
    if view.phase == "Degraded" and view.degraded_reason in FINAL:
        return Outcome("failed", view.message)
    if view.phase == "Healthy" and view.candidate_version is None:
        if version in (None, view.stable_version):
            return Outcome("healthy", view.message)
        return Outcome("running", f"Version {view.stable_version} serves, not yet version {version}. {view.message}")
    return Outcome("running", view.message or "The operator has not told anything yet.")


def exit_code(outcome: Outcome, phase: str, *, timed_out: bool) -> ExitCode:
    """Return the exit code at the end of a wait, or of one look."""
    if outcome.kind == "healthy":
        return ExitCode.DONE
    if outcome.kind == "failed" or phase == "Degraded":
        return ExitCode.DEGRADED
    return ExitCode.TIMED_OUT if timed_out else ExitCode.DONE
