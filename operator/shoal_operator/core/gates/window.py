"""Which calls are compared: those that both revisions served since the present step reached its weight.

Asked by runtime.samples, which counts the calls. Invariant: a window belongs to one candidate and one step.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal_operator.core.facts import timestamp
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
