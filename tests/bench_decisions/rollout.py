"""Walks a rollout of the default blue-green strategy under simulated traffic, until a judge ends it.

Used by `__main__`. Invariant: a judge never learns whether the version is good.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shoal_operator.api.analysis import Analysis, NoiseRatioGate
from shoal_operator.core.snapshot import Look
from tests.bench_decisions.judges import Argo, Flagger, Judge, Kayenta, Shoal
from tests.bench_decisions.traffic import Scenario, Traffic

LOOK_SECONDS = 5.0
STEPS = (0.2, 0.4, 0.6, 0.8)
STEP_SECONDS = 60.0
PATIENCE_SECONDS = 300.0
"""How long a step may last when its judge waits; then the rollout counts as held."""

ANALYSIS = Analysis(noise_ratio=NoiseRatioGate())
JUDGES: dict[str, Callable[[], Judge]] = {
    "Shoal": lambda: Shoal(ANALYSIS),
    "Argo Rollouts, failureLimit 0": lambda: Argo(0),
    "Argo Rollouts, failureLimit 3": lambda: Argo(3),
    "Flagger": Flagger,
    "Kayenta": Kayenta,
}

SCENARIOS = (
    Scenario("as good, 100 calls/s", good=True),
    Scenario("as good, no errors, 100 calls/s", good=True, errors=0.0),
    Scenario("as good, 2 % errors, 100 calls/s", good=True, errors=0.02),
    Scenario("as good, 20 calls/s", good=True, rate=20),
    Scenario("as good, 2 calls/s", good=True, rate=2),
    Scenario("as good, bursts, 20 calls/s", good=True, rate=20, bursty=True),
    Scenario("as good, noisy neighbours", good=True, neighbours=True),
    Scenario("as good, no traffic", good=True, rate=0),
    Scenario("x1.1 latency, within the limit", good=True, slower=1.1),
    Scenario("+3 points of noise, within the limit", good=True, more_noise=0.03),
    Scenario("+0.5 points of errors", good=False, more_errors=0.005),
    Scenario("+1 point of errors", good=False, more_errors=0.01),
    Scenario("+2 points of errors", good=False, more_errors=0.02),
    Scenario("+2 points of errors, 200 calls/s", good=False, more_errors=0.02, rate=200),
    Scenario("+5 points of errors", good=False, more_errors=0.05),
    Scenario("+5 points of errors, 20 calls/s", good=False, more_errors=0.05, rate=20),
    Scenario("every call fails, 2 calls/s", good=False, more_errors=0.995, rate=2),
    Scenario("x1.3 latency", good=False, slower=1.3),
    Scenario("x1.5 latency", good=False, slower=1.5),
    Scenario("x1.5 latency, 200 calls/s", good=False, slower=1.5, rate=200),
    Scenario("x1.5 latency, 20 calls/s", good=False, slower=1.5, rate=20),
    Scenario("x2 latency, 20 calls/s", good=False, slower=2.0, rate=20),
    Scenario("x2 latency, bursts, 20 calls/s", good=False, slower=2.0, rate=20, bursty=True),
    Scenario("+10 points of noise", good=False, more_noise=0.1),
    Scenario("+20 points of noise", good=False, more_noise=0.2),
    Scenario("+20 points of noise, 20 calls/s", good=False, more_noise=0.2, rate=20),
)


@dataclass(frozen=True)
class Outcome:
    """How a rollout ended."""

    end: str
    """promoted, failed or held."""
    step: int
    seconds: float
    """From the first weight to the end."""


def run(scenario: Scenario, judge: Judge, seed: int) -> Outcome:
    """Walk one rollout."""
    traffic = Traffic(scenario, seed, LOOK_SECONDS)
    seconds = 0.0
    for step, weight in enumerate(STEPS):
        judge.begin()
        looks: list[tuple[Look, Look]] = []
        while True:
            looks.append(traffic.draw(weight))
            seconds += LOOK_SECONDS
            lasted = len(looks) * LOOK_SECONDS
            judgement = judge.judge(looks, over=lasted >= STEP_SECONDS)
            if judgement == "fail":
                return Outcome("failed", step, seconds)
            if lasted >= STEP_SECONDS and judgement == "go":
                break
            if lasted >= PATIENCE_SECONDS:
                return Outcome("held", step, seconds)
    return Outcome("promoted", len(STEPS), seconds)


def count(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return how many rollouts ended how."""
    failed = [item for item in outcomes if item.end == "failed"]
    return {
        "rollouts": len(outcomes),
        "failed": len(failed),
        "failedInFirstStep": sum(item.step == 0 and item.seconds <= STEP_SECONDS for item in failed),
        "held": sum(item.end == "held" for item in outcomes),
        "promoted": sum(item.end == "promoted" for item in outcomes),
        "medianSecondsToFail": statistics.median(item.seconds for item in failed) if failed else None,
    }
