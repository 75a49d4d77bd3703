"""Judges a candidate: by its pods' readiness, and by its calls compared with stable's over the same window.

Asked by core.transitions; `analysis_window` also by runtime.samples, which counts the calls. One file a gate.
Invariant: a candidate that is within the limits is condemned in at most one rollout of a hundred, however many gates
and steps there are and however often one looks.
"""

from __future__ import annotations

from shoal_operator.api.deployment import Analysis, Verdict
from shoal_operator.core.gates.error_rate import ERROR_RATE, judge_error_rate
from shoal_operator.core.gates.latency import LATENCY, judge_latency
from shoal_operator.core.gates.readiness import READINESS, judge_readiness
from shoal_operator.core.gates.window import AnalysisWindow, analysis_window
from shoal_operator.core.snapshot import WindowFigures

__all__ = [
    "ERROR_RATE",
    "FALSE_ALARM",
    "LATENCY",
    "READINESS",
    "AnalysisWindow",
    "analysis_window",
    "judge_calls",
    "judge_readiness",
]

FALSE_ALARM = 0.01
"""Probability of failing a candidate that is within all limits, over a whole rollout."""


def judge_calls(
    analysis: Analysis, stable: WindowFigures | None, candidate: WindowFigures | None, windows: int = 1
) -> tuple[Verdict, ...]:
    """Judge the candidate's calls by every gate that the spec has.

    The false alarms are shared evenly by the gates and by the windows that the rollout will have (C. E. Bonferroni):
    each gate's verdict holds at all looks of its window together.
    """
    asked = sum(gate is not None for gate in (analysis.error_rate, analysis.latency))
    alpha = FALSE_ALARM / max(1, asked * windows)
    verdicts = []
    if analysis.error_rate is not None:
        verdicts.append(judge_error_rate(analysis.error_rate, stable, candidate, alpha))
    if analysis.latency is not None:
        verdicts.append(judge_latency(analysis.latency, stable, candidate, alpha))
    return tuple(verdicts)
