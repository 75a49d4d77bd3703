"""Which calls are compared: those that both revisions served since the present step reached its weight.

Asked by runtime.samples, which counts the calls, and by runtime.comparison, which has rows labelled twice. Invariant: a
window belongs to one candidate and one step.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from shoal_operator.api.analysis import Analysis
from shoal_operator.api.deployment import Revision
from shoal_operator.core.facts import at, timestamp
from shoal_operator.core.progress import read_progress, read_status
from shoal_operator.core.snapshot import RawObject


@dataclass(frozen=True, slots=True)
class AnalysisWindow:
    """Whose calls to count, and since when: a new identity means to count from zero."""

    identity: str
    stable: str
    candidate: str


def analysis_window(deployment: RawObject) -> AnalysisWindow | None:
    """Return the window that a deployment's status opens; None while there is nothing to compare.

    A window opens at the beginning of each step, once the step's weight is reached, and lasts until the
    next one opens.
    """
    progress = read_progress(deployment, read_status(deployment), ())
    if progress.stable is None or progress.candidate is None or progress.window_started_at is None:
        return None
    return AnalysisWindow(
        identity=f"{progress.candidate.revision}@{timestamp(progress.window_started_at)}",
        stable=progress.stable.revision,
        candidate=progress.candidate.revision,
    )


@dataclass(frozen=True, slots=True)
class ComparisonWindow:
    """Between whom, and how often, the same rows are to be labelled twice."""

    identity: str
    stable: Revision
    candidate: Revision
    interval_seconds: int
    least_rows: int
    """Rows that the gates need."""


def comparison_window(deployment: RawObject) -> ComparisonWindow | None:
    """Return the window in which labels are compared; None while none is open, and where no gate needs it."""
    window = analysis_window(deployment)
    status = read_status(deployment)
    if window is None or status.stable is None or status.candidate is None:
        return None
    try:
        analysis = Analysis.model_validate(at(deployment, "spec", "analysis") or {})
    except ValidationError:
        return None
    rows = analysis.rows_to_compare
    if not rows:
        return None
    return ComparisonWindow(window.identity, status.stable, status.candidate, analysis.interval_seconds, rows)
