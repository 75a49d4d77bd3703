"""Judges a candidate: by its pods' readiness, and by its calls compared with stable's over the same window.

Asked by core.transitions; `analysis_window` also by runtime.samples, which counts the calls. Invariant: three-valued
honesty. Too few calls are inconclusive, never a pass, and never a fail.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from shoal_operator.api.deployment import Analysis, ErrorRateGate, LatencyGate, PoolFigures, Verdict
from shoal_operator.core.diagnosis import Diagnosis, diagnose_pod
from shoal_operator.core.facts import timestamp
from shoal_operator.core.progress import read_progress, read_status
from shoal_operator.core.snapshot import PodFacts, RawObject, WindowFigures
from shoal_operator.core.statistics import Z, excess_lower_bound, log_ratio_lower_bound

READINESS, ERROR_RATE, LATENCY = "readiness", "errorRate", "latency"


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


def judge_readiness(pods: Iterable[PodFacts], needed: int) -> tuple[Verdict, Diagnosis | None]:
    """Judge a candidate's pods; also return what ails the worst of them.

    Fails at once where waiting does not help. Pods that are merely not ready yet, or no longer, are inconclusive:
    the progress deadline bounds how long.
    """
    pods = tuple(pods)
    found = [diagnosis for pod in pods if (diagnosis := diagnose_pod(pod.status))]
    diagnosis = max(found, key=lambda item: (item.hopeless, item.restarts), default=None)
    ready = sum(pod.ready for pod in pods)
    figures = PoolFigures(calls=0, value=float(ready))
    if diagnosis is not None and diagnosis.hopeless:
        return Verdict(gate=READINESS, verdict="fail", message=diagnosis.message, candidate=figures), diagnosis
    if ready >= needed:
        message = f"{ready} of {needed} pods are ready."
        return Verdict(gate=READINESS, verdict="pass", message=message, candidate=figures), None
    message = f"{ready} of {needed} pods are ready{f': {diagnosis.message}' if diagnosis else '.'}"
    return Verdict(gate=READINESS, verdict="inconclusive", message=message, candidate=figures), diagnosis


def judge_calls(
    analysis: Analysis, stable: WindowFigures | None, candidate: WindowFigures | None
) -> tuple[Verdict, ...]:
    """Judge the candidate's calls by every gate that the spec has."""
    verdicts = []
    if analysis.error_rate is not None:
        verdicts.append(_judge_errors(analysis.error_rate, stable, candidate))
    if analysis.latency is not None:
        verdicts.append(_judge_latency(analysis.latency, stable, candidate))
    return tuple(verdicts)


def _judge_errors(gate: ErrorRateGate, stable: WindowFigures | None, candidate: WindowFigures | None) -> Verdict:
    """Fail when the candidate's share of failed calls is above stable's * maxRatio, and significantly so."""
    lacking = _lacking(ERROR_RATE, gate.min_samples, stable, candidate)
    if lacking is not None or stable is None or candidate is None:
        return lacking or _lacking_all(ERROR_RATE)
    shares = [figures.errors / figures.calls for figures in (stable, candidate)]
    excess = excess_lower_bound(candidate.errors, candidate.calls, stable.errors, stable.calls, gate.max_ratio)
    told = (
        f"{candidate.errors} of {candidate.calls} calls failed ({shares[1]:.2%}), stable {stable.errors} of "
        f"{stable.calls} ({shares[0]:.2%}), limit x{gate.max_ratio:g}"
    )
    if excess > 0:
        return _verdict(ERROR_RATE, "fail", f"{told}: too many, beyond chance (z = {Z:g}).", stable, candidate, shares)
    within = shares[1] <= shares[0] * gate.max_ratio
    return _verdict(
        ERROR_RATE,
        "pass",
        f"{told}: {'within' if within else 'no more than chance allows'}.",
        stable,
        candidate,
        shares,
    )


def _judge_latency(gate: LatencyGate, stable: WindowFigures | None, candidate: WindowFigures | None) -> Verdict:
    """Fail when the ratio of the mean latencies is surely above maxRatio and the difference is worth noticing."""
    lacking = _lacking(LATENCY, gate.min_samples, stable, candidate)
    if lacking is not None or stable is None or candidate is None:
        return lacking or _lacking_all(LATENCY)
    lower = log_ratio_lower_bound(_sums(candidate), _sums(stable))
    if lower is None:
        message = "the latencies add up to nothing that has a mean; the next look decides."
        return Verdict(gate=LATENCY, verdict="inconclusive", message=message)
    means = [1000 * figures.seconds_sum / figures.calls for figures in (stable, candidate)]
    told = (
        f"mean {means[1]:.1f} ms over {candidate.calls} calls, stable {means[0]:.1f} ms over {stable.calls}, "
        f"limit x{gate.max_ratio:g}"
    )
    slower = lower > math.log(gate.max_ratio) and means[1] - means[0] > gate.min_difference_millis
    message = f"{told}: {'too slow, beyond chance' if slower else 'within'}."
    return _verdict(LATENCY, "fail" if slower else "pass", message, stable, candidate, means)


def _lacking(gate: str, least: int, stable: WindowFigures | None, candidate: WindowFigures | None) -> Verdict | None:
    """Return the verdict on figures that are no basis for one; None where they are."""
    if stable is None or candidate is None:
        return _lacking_all(gate)
    for figures in (stable, candidate):
        if not 0 <= figures.errors <= figures.calls:
            message = f"figures that cannot be: {figures.errors} errors in {figures.calls} calls."
            return Verdict(gate=gate, verdict="error", message=message)
    few = [
        f"{side} has {figures.calls} of {least}"
        for side, figures in (("the candidate", candidate), ("stable", stable))
        if figures.calls < max(least, 2)
    ]
    if not few:
        return None
    return _verdict(gate, "inconclusive", f"too few calls yet: {', '.join(few)}.", stable, candidate, [None, None])


def _lacking_all(gate: str) -> Verdict:
    return Verdict(gate=gate, verdict="inconclusive", message="no figures yet.")


def _sums(figures: WindowFigures) -> tuple[int, float, float]:
    return figures.calls, figures.seconds_sum, figures.seconds_square_sum


def _verdict(
    gate: str,
    verdict: Literal["pass", "fail", "inconclusive"],
    message: str,
    stable: WindowFigures,
    candidate: WindowFigures,
    values: Sequence[float | None],
) -> Verdict:
    sides = [
        PoolFigures(calls=figures.calls, value=None if value is None else round(value, 6))
        for figures, value in zip((stable, candidate), values, strict=True)
    ]
    return Verdict(gate=gate, verdict=verdict, message=message, stable=sides[0], candidate=sides[1])
