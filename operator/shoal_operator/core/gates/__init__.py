"""Judges a candidate: by its pods' readiness, by its calls compared with stable's over the same window, by its record.

Asked by core.transitions; `analysis_window` also by runtime.samples, which counts the calls. One file a gate.
Invariant: a candidate that is within the limits is condemned in at most one rollout of a hundred, however many gates
and steps there are and however often one looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shoal_operator.api.analysis import Analysis, Gate
from shoal_operator.api.deployment import Verdict
from shoal_operator.core.gates.cluster_count import CLUSTER_COUNT, judge_cluster_count
from shoal_operator.core.gates.error_rate import ERROR_RATE, judge_error_rate
from shoal_operator.core.gates.latency import LATENCY, judge_latency
from shoal_operator.core.gates.noise_ratio import NOISE_RATIO, judge_noise_ratio
from shoal_operator.core.gates.readiness import READINESS, judge_readiness
from shoal_operator.core.gates.records import Records, read_records
from shoal_operator.core.gates.silhouette import SILHOUETTE, judge_silhouette
from shoal_operator.core.gates.tally import count_verdicts, find_consequence
from shoal_operator.core.gates.window import AnalysisWindow, analysis_window
from shoal_operator.core.snapshot import WindowFigures

__all__ = [
    "CLUSTER_COUNT",
    "ERROR_RATE",
    "FALSE_ALARM",
    "LATENCY",
    "NOISE_RATIO",
    "READINESS",
    "SILHOUETTE",
    "AnalysisWindow",
    "Records",
    "analysis_window",
    "count_verdicts",
    "find_consequence",
    "gates_of",
    "judge_calls",
    "judge_readiness",
    "judge_records",
    "read_records",
]

FALSE_ALARM = 0.01
"""Probability of failing a candidate that is within all limits, over a whole rollout."""


def gates_of(analysis: Analysis) -> Mapping[str, Gate]:
    """Return the gates that a spec asks, by the names of their verdicts."""
    found: dict[str, Gate | None] = {
        ERROR_RATE: analysis.error_rate,
        LATENCY: analysis.latency,
        NOISE_RATIO: analysis.noise_ratio,
        SILHOUETTE: analysis.silhouette,
        CLUSTER_COUNT: analysis.cluster_count,
    }
    return {name: gate for name, gate in found.items() if gate is not None}


def judge_calls(
    analysis: Analysis, stable: WindowFigures | None, candidate: WindowFigures | None, window: int = 1
) -> tuple[Verdict, ...]:
    """Judge the candidate's calls by every gate on calls that the spec has.

    Each gate's verdict holds at all looks of its window together. The false alarms are shared evenly by the gates, and
    by the windows of the rollout, `window` being the number of the present one, as 1/2, 1/6, 1/12, ... 1/(i (i + 1)):
    that adds up to 1 however many there will be, and most is spent at the first weight, where a bad version is new.
    """
    judges: list[Callable[[float], Verdict]] = []
    if (errors := analysis.error_rate) is not None:
        judges.append(lambda alpha: judge_error_rate(errors, stable, candidate, alpha))
    if (latency := analysis.latency) is not None:
        judges.append(lambda alpha: judge_latency(latency, stable, candidate, alpha))
    if (noise := analysis.noise_ratio) is not None:
        judges.append(lambda alpha: judge_noise_ratio(noise, stable, candidate, alpha))
    index = max(1, window)
    alpha = FALSE_ALARM / max(1, len(judges)) / (index * (index + 1))
    return tuple(judge(alpha) for judge in judges)


def judge_records(analysis: Analysis, records: Records) -> tuple[Verdict, ...]:
    """Judge the candidate's record by every gate on records that the spec has."""
    verdicts = []
    if analysis.silhouette is not None:
        verdicts.append(judge_silhouette(analysis.silhouette, records))
    if analysis.cluster_count is not None:
        verdicts.append(judge_cluster_count(analysis.cluster_count, records))
    return tuple(verdicts)
