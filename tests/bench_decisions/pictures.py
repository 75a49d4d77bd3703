"""`make gate-pictures`: the pictures of docs/gates.md, each from the operator's own gate over simulated looks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from shoal_operator.api.analysis import Analysis, ErrorRateGate, LatencyGate, NoiseRatioGate, SilhouetteGate
from shoal_operator.api.deployment import Verdict
from shoal_operator.api.version import VersionMetrics
from shoal_operator.core.gates import Records, false_alarm_of, judge_calls, judge_comparison, judge_readiness
from shoal_operator.core.gates.error_rate import MOST_OF_A_LOOK
from shoal_operator.core.gates.silhouette import judge_silhouette
from shoal_operator.core.snapshot import Look, PodFacts
from shoal_operator.core.statistics.shares import Counts, share_evidence
from tests.bench_decisions.drawing import Chart, Series, draw_boxes, draw_chart
from tests.bench_decisions.judges import figures
from tests.bench_decisions.labels import LabelScenario, Reservoir
from tests.bench_decisions.rollout import LOOK_SECONDS
from tests.bench_decisions.traffic import Scenario, Traffic

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
_LOOKS = 12
_WEIGHT = 0.2
_LIMIT_OF_AGREEMENT = 0.95
_NUMBER = r"(-?[\d.]+)"

Pairs = Sequence[tuple[Look, Look]]


def main() -> None:
    """Draw them all."""
    pictures = {
        "errors": draw_errors(),
        "latency": draw_latency(),
        "noise": draw_noise(),
        "agreement": draw_agreement(),
        "silhouette": draw_silhouette(),
        "readiness": draw_readiness(),
        "outside": draw_outside(),
    }
    for name, picture in pictures.items():
        (FOLDER / f"gate-{name}.svg").write_text(picture)


def draw_errors() -> str:
    """The evidence of the e-process against what is needed."""
    analysis = Analysis(error_rate=ErrorRateGate(), latency=None)
    needed = -math.log(false_alarm_of(1, 1))
    series = []
    for name, good, more in (("2.5 % fail: stopped", False, 0.02), ("0.5 % fail, like stable's", True, 0.0)):
        looks, verdicts = _walk(Scenario(name, good=good, more_errors=more), analysis)
        counts = [Counts(mine.errors, mine.calls, base.errors, base.calls) for base, mine in looks]
        evidence = [
            share_evidence(counts[: number + 1], 1.05, MOST_OF_A_LOOK * needed).log for number in range(len(counts))
        ]
        series.append(Series(name, good, evidence, [item.verdict for item in verdicts]))
    limits = [(needed, f"fails: chance below {1 / math.exp(needed):.0%}"), (needed / 2, "waits for more looks")]
    axis = "evidence that the candidate fails more often: ln of the bet's winnings"
    return draw_chart(Chart(series, limits, -3, 8, axis, "{:g}".format, (-2, 0, 2, 4, 6)))


def draw_latency() -> str:
    """The ratio of the means, and what it is surely above."""
    analysis = Analysis(error_rate=None, latency=LatencyGate())
    series = []
    for name, good, slower in (("x1.5: stopped", False, 1.5), ("x1.1, within the limit", True, 1.1)):
        _, verdicts = _walk(Scenario(name, good=good, slower=slower), analysis)
        ratios = [
            _divide(item.candidate and item.candidate.value, item.stable and item.stable.value) for item in verdicts
        ]
        bounds = [_read(rf"surely above x{_NUMBER}", item) for item in verdicts]
        series.append(Series(name, good, ratios, [item.verdict for item in verdicts], bounds))
    axis = "candidate's mean latency / stable's; dotted: what it is surely above"
    return draw_chart(Chart(series, [(1.2, "limit x1.2")], 0.6, 1.8, axis, "x{:g}".format, (0.8, 1.0, 1.4, 1.6)))


def draw_noise() -> str:
    """The difference of the shares, and what it surely exceeds."""
    analysis = Analysis(error_rate=None, latency=None, noise_ratio=NoiseRatioGate())
    series = []
    for name, good, more in (("+15 points: stopped", False, 0.15), ("+3 points, within the limit", True, 0.03)):
        _, verdicts = _walk(Scenario(name, good=good, more_noise=more), analysis)
        points = [_read(rf": \+?{_NUMBER} points", item) for item in verdicts]
        bounds = [_read(rf"surely more than {_NUMBER}", item) for item in verdicts]
        series.append(Series(name, good, points, [item.verdict for item in verdicts], bounds))
    axis = "points that candidate's share of noise is above stable's; dotted: surely more than"
    return draw_chart(Chart(series, [(5, "limit 5 points")], -2, 22, axis, "{:+g}".format, (0, 10, 20)))


def draw_agreement() -> str:
    """The adjusted Rand index in a shadow step, and what it is surely below or above."""
    analysis = Analysis.model_validate({"agreement": {"min": _LIMIT_OF_AGREEMENT}, "errorRate": None, "latency": None})
    series = []
    for name, good, wrong in (("trained anew, 1 % elsewhere", True, 0.01), ("5 % wrong: stopped", False, 0.05)):
        reservoir, verdicts = Reservoir(LabelScenario(name, good=good, wrong=wrong), 2), []
        for number in range(_LOOKS):
            [verdict] = judge_comparison(analysis, reservoir.look(number).comparison, (), 1)
            verdicts.append(verdict)
            if verdict.verdict == "fail":
                break
        values = [item.candidate.value if item.candidate else None for item in verdicts]
        bounds = [_read(rf"surely {_NUMBER}" if good else rf"surely [\d.]+ to {_NUMBER}", item) for item in verdicts]
        series.append(Series(name, good, values, [item.verdict for item in verdicts], bounds, beside=-10))
    axis = "adjusted Rand index on the same rows; dotted: surely above (below, where it is stopped)"
    limits = [(_LIMIT_OF_AGREEMENT, f"agreement.min {_LIMIT_OF_AGREEMENT:g}")]
    return draw_chart(Chart(series, limits, 0.82, 1.0, axis, "{:.2f}".format, (0.85, 0.9, 1.0)))


def draw_silhouette() -> str:
    """Candidates with one silhouette after another, beside a stable version with 0.52."""
    scores = [0.60, 0.56, 0.52, 0.51, 0.50, 0.49, 0.48, 0.44, 0.40]
    verdicts = [judge_silhouette(SilhouetteGate(), Records(_record(0.52), _record(score))).verdict for score in scores]
    limits = [(0.52, "stable's 0.52"), (0.494, "limit x0.95")]
    series = [Series("", good=True, values=scores, verdicts=verdicts)]
    axis = "silhouette in the record of nine candidates, one after the other"
    return draw_chart(Chart(series, limits, 0.36, 0.64, axis, "{:.2f}".format, (0.4, 0.6), look_seconds=0.0))


def draw_readiness() -> str:
    """Pods that start, and pods that never will."""
    starting = [[_pod(ready=index < count) for index in range(3)] for count in (0, 0, 1, 2, 3, 3)]
    crashing = [[_pod(ready=False, restarts=count) for _ in range(3)] for count in (0, 1, 2, 3, 4, 5)]
    series = []
    for name, good, story in (("starting", True, starting), ("crashing: stopped", False, crashing)):
        verdicts = [judge_readiness(pods, 3)[0] for pods in story]
        words = [item.verdict for item in verdicts]
        end = words.index("fail") + 1 if "fail" in words else len(words)
        ready = [item.candidate.value if item.candidate else None for item in verdicts]
        series.append(Series(name, good, ready[:end], words[:end], beside=-10))
    return draw_chart(Chart(series, [(3, "3 pods needed")], -0.4, 3.6, "ready pods", "{:g}".format, (0, 1, 2)))


def draw_outside() -> str:
    """Who asks whom, and what the answers mean."""
    return draw_boxes(
        ("worker pods", "operator", "Prometheus or webhook"),
        (
            (1, 0, "every interval: errors, latencies, noise"),
            (1, 2, "a query for each side, or the facts of the trial"),
            (2, 1, "a number for each side, or a verdict"),
        ),
        (
            ("pass", "the number is within min, max, minRatio, maxRatio; the service answers 204 or pass"),
            ("inconclusive", "no data, NaN, too few calls yet: nothing moves, onInconclusive says what then"),
            ("fail", "outside a limit more often than failureLimit: stable gets all traffic, the version is blocked"),
            ("error", "no answer in time, nonsense, a host that is not allowed: nothing moves, then the rollout holds"),
        ),
    )


def _walk(scenario: Scenario, analysis: Analysis) -> tuple[Pairs, list[Verdict]]:
    """Look at one step's traffic until the gate fails it or the step ends."""
    traffic, looks, verdicts = Traffic(scenario, 3, LOOK_SECONDS), list[tuple[Look, Look]](), list[Verdict]()
    for _ in range(_LOOKS):
        looks.append(traffic.draw(_WEIGHT))
        stable, candidate = ([pair[side] for pair in looks] for side in (0, 1))
        [verdict] = judge_calls(analysis, figures(stable), figures(candidate))
        verdicts.append(verdict)
        if verdict.verdict == "fail":
            break
    return looks, verdicts


def _read(pattern: str, verdict: Verdict) -> float | None:
    found = re.search(pattern, verdict.message)
    return float(found.group(1)) if found else None


def _divide(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _record(silhouette: float) -> VersionMetrics:
    return VersionMetrics(
        rows=1000, clusters=8, noise_ratio=0.1, core_samples=800, fit_seconds=1, silhouette=silhouette
    )


def _pod(*, ready: bool, restarts: int = 0) -> PodFacts:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}} if restarts else {"running": {}}
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}} if restarts else {}
    state = {"name": "worker", "ready": ready, "restartCount": restarts, "state": waiting, "lastState": ended}
    status = {"phase": "Running", "containerStatuses": [state]}
    return PodFacts("pod", "uid", "revision", ready, False, False, None, "", status)


if __name__ == "__main__":
    main()
