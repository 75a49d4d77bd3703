"""Judges a candidate: by its pods' readiness, its calls beside stable's, its labels for the same rows, its record.

Asked by core.transitions; `analysis_window` also by runtime.samples, which counts the calls. One file a gate.
Invariant: a candidate that is within the limits is condemned in at most one rollout of a hundred, however many gates
and steps there are and however often one looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from shoal_operator.api.agreement import AgreementFigures
from shoal_operator.api.analysis import Analysis, Gate, OutsideGate
from shoal_operator.api.deployment import Verdict
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.gates import job, prometheus, webhook
from shoal_operator.core.gates.agreement import AGREEMENT, judge_agreement, tell_agreement
from shoal_operator.core.gates.cluster_count import CLUSTER_COUNT, judge_cluster_count, judge_live_cluster_count
from shoal_operator.core.gates.error_rate import ERROR_RATE, judge_error_rate
from shoal_operator.core.gates.latency import LATENCY, judge_latency
from shoal_operator.core.gates.noise_ratio import NOISE_RATIO, judge_noise_ratio
from shoal_operator.core.gates.out_of_reach import OUT_OF_REACH, judge_out_of_reach
from shoal_operator.core.gates.outside import Request, describe_denial, read_trial
from shoal_operator.core.gates.readiness import READINESS, judge_readiness
from shoal_operator.core.gates.records import Records, read_records
from shoal_operator.core.gates.silhouette import SILHOUETTE, judge_live_silhouette, judge_silhouette
from shoal_operator.core.gates.tally import count_verdicts, find_consequence
from shoal_operator.core.gates.window import AnalysisWindow, ComparisonWindow, analysis_window, comparison_window
from shoal_operator.core.snapshot import Answer, RawObject, WindowFigures

__all__ = [
    "AGREEMENT",
    "CLUSTER_COUNT",
    "ERROR_RATE",
    "FALSE_ALARM",
    "LATENCY",
    "NOISE_RATIO",
    "OUT_OF_REACH",
    "READINESS",
    "SILHOUETTE",
    "AnalysisWindow",
    "ComparisonWindow",
    "Records",
    "analysis_window",
    "comparison_window",
    "count_verdicts",
    "describe_denial",
    "false_alarm_of",
    "find_consequence",
    "gates_of",
    "judge_calls",
    "judge_comparison",
    "judge_outside",
    "judge_readiness",
    "judge_records",
    "read_records",
    "tell_agreement",
    "wanted_requests",
    "without_comparisons",
]

FALSE_ALARM = 0.01
"""Probability of failing a candidate that is within all limits, over a whole rollout."""
_ZETA_3 = 1.2020569032
"""1 + 1/8 + 1/27 + ..., rounded up."""


def gates_of(analysis: Analysis) -> Mapping[str, Gate]:
    """Return the gates that a spec asks, by the names of their verdicts."""
    found: dict[str, Gate | None] = {
        ERROR_RATE: analysis.error_rate,
        LATENCY: analysis.latency,
        NOISE_RATIO: analysis.noise_ratio,
        OUT_OF_REACH: analysis.out_of_reach,
        AGREEMENT: analysis.agreement,
        SILHOUETTE: analysis.silhouette,
        CLUSTER_COUNT: analysis.cluster_count,
        **{prometheus.gate_name(gate): gate for gate in analysis.prometheus},
        **{webhook.gate_name(gate): gate for gate in analysis.webhooks},
        **{job.gate_name(gate): gate for gate in analysis.jobs},
    }
    return {name: gate for name, gate in found.items() if gate is not None}


def without_comparisons(analysis: Analysis) -> Analysis:
    """Return the gates that can judge a candidate which gets all calls: none that compares its calls with stable's."""
    alone = [gate.model_copy(update={"min_ratio": None, "max_ratio": None}) for gate in analysis.prometheus]
    silhouette, clusters = analysis.silhouette, analysis.cluster_count
    return analysis.model_copy(
        update={
            "error_rate": None,
            "latency": None,
            "noise_ratio": None,
            "out_of_reach": None,
            "agreement": None,
            "silhouette": silhouette if silhouette is not None and silhouette.source == "Record" else None,
            "cluster_count": clusters if clusters is not None and clusters.source == "Record" else None,
            "prometheus": [gate for gate in alone if gate.min is not None or gate.max is not None],
        }
    )


def judge_calls(
    analysis: Analysis, stable: WindowFigures | None, candidate: WindowFigures | None, window: int = 1
) -> tuple[Verdict, ...]:
    """Judge the candidate's calls by every gate on calls that the spec has.

    Each gate's verdict holds at all looks of its window together, `window` being the number of the present one.
    """
    judges: list[Callable[[float], Verdict]] = []
    if (errors := analysis.error_rate) is not None:
        judges.append(lambda alpha: judge_error_rate(errors, stable, candidate, alpha))
    if (latency := analysis.latency) is not None:
        judges.append(lambda alpha: judge_latency(latency, stable, candidate, alpha))
    if (noise := analysis.noise_ratio) is not None:
        judges.append(lambda alpha: judge_noise_ratio(noise, stable, candidate, alpha))
    if (reach := analysis.out_of_reach) is not None:
        judges.append(lambda alpha: judge_out_of_reach(reach, stable, candidate, alpha))
    alpha = _share_alarms(analysis, window)
    return tuple(judge(alpha) for judge in judges)


def judge_comparison(
    analysis: Analysis, comparison: Comparison | None, history: Sequence[AgreementFigures], window: int = 1
) -> tuple[Verdict, ...]:
    """Judge the labels that both versions give to the same rows by every gate on them that the spec has.

    `history` is what earlier promotions teach of how far versions agree.
    """
    alpha = _share_alarms(analysis, window)
    verdicts = []
    if analysis.agreement is not None:
        verdicts.append(judge_agreement(analysis.agreement, comparison, history, alpha))
    if analysis.silhouette is not None and analysis.silhouette.source == "Live":
        verdicts.append(judge_live_silhouette(analysis.silhouette, comparison, alpha))
    if analysis.cluster_count is not None and analysis.cluster_count.source == "Live":
        verdicts.append(judge_live_cluster_count(analysis.cluster_count, comparison))
    return tuple(verdicts)


def _share_alarms(analysis: Analysis, window: int) -> float:
    """Return the probability of a false alarm that each gate with a bound has in one window."""
    live = analysis.silhouette if analysis.silhouette is not None and analysis.silhouette.source == "Live" else None
    gates = (analysis.error_rate, analysis.latency, analysis.noise_ratio, analysis.out_of_reach, analysis.agreement)
    return false_alarm_of(window, sum(gate is not None for gate in (*gates, live)))


def false_alarm_of(window: int, gates: int) -> float:
    """Return the probability of a false alarm that one of so many gates may spend in the rollout's n-th window.

    Gates share evenly, windows as 1, 1/8, 1/27, ... over zeta(3), which adds up to 1 however many there will be. Most,
    83 %, is spent in the first, where a bad version is new and has few calls; later windows ask for more evidence, and
    get it from more calls.

    >>> [round(false_alarm_of(window, 2), 6) for window in (1, 2, 3)]
    [0.00416, 0.00052, 0.000154]
    """
    return FALSE_ALARM / max(1, gates) / max(1, window) ** 3 / _ZETA_3


def judge_records(analysis: Analysis, records: Records) -> tuple[Verdict, ...]:
    """Judge the candidate's record by every gate on records that the spec has."""
    verdicts = []
    if analysis.silhouette is not None and analysis.silhouette.source == "Record":
        verdicts.append(judge_silhouette(analysis.silhouette, records))
    if analysis.cluster_count is not None and analysis.cluster_count.source == "Record":
        verdicts.append(judge_cluster_count(analysis.cluster_count, records))
    return tuple(verdicts)


def wanted_requests(deployment: RawObject, allowed: tuple[str, ...], now: datetime) -> tuple[Request, ...]:
    """Return what is to be asked of servers outside about a deployment's rollout; nothing of hosts not allowed."""
    found = read_trial(deployment, now)
    if found is None:
        return ()
    trial, analysis = found
    called = trial.called
    queries = [
        request
        for gate in analysis.prometheus
        if _is_asked(gate, called=called)
        for request in prometheus.build_queries(gate, trial)
    ]
    calls = [webhook.build_call(gate, trial) for gate in analysis.webhooks if _is_asked(gate, called=called)]
    return tuple(request for request in (*queries, *calls) if not describe_denial(request.url, allowed))


def judge_outside(
    analysis: Analysis, answers: Mapping[str, Answer], allowed: tuple[str, ...], calls: int | None
) -> tuple[Verdict, ...]:
    """Judge by the answers of servers outside; `calls` is what the side with the fewer calls has in the window.

    None where the candidate gets no calls: then only the gates that need none are asked.
    """
    called, calls = calls is not None, calls or 0
    verdicts = []
    for query in analysis.prometheus:
        if not _is_asked(query, called=called):
            continue
        name = prometheus.gate_name(query)
        verdict = _refuse(name, query.address, allowed) or _lack(name, query.min_samples, calls)
        verdicts.append(verdict or prometheus.judge_prometheus(query, answers))
    for hook in analysis.webhooks:
        if not _is_asked(hook, called=called):
            continue
        name = webhook.gate_name(hook)
        verdict = _refuse(name, hook.url, allowed) or _lack(name, hook.min_samples, calls)
        verdicts.append(verdict or webhook.judge_webhook(hook, answers))
    return tuple(verdicts)


def _is_asked(gate: OutsideGate, *, called: bool) -> bool:
    return called or gate.min_samples == 0


def _refuse(name: str, url: str, allowed: tuple[str, ...]) -> Verdict | None:
    denial = describe_denial(url, allowed)
    return Verdict(gate=name, verdict="error", message=denial) if denial else None


def _lack(name: str, least: int, calls: int) -> Verdict | None:
    if calls >= least:
        return None
    message = f"too few calls yet: one side has {calls} of {least}."
    return Verdict(gate=name, verdict="inconclusive", message=message)
