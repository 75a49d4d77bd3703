"""The share of the calls that a candidate gets by a Gateway, against its weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hack.lab.kube import wait_for
from tests.bench_rollouts.stage import GOOD, Stage

RATE = 200.0
WEIGHTS = (20, 50)
STRATEGY = {"canary": {"steps": [step for weight in WEIGHTS for step in ({"setWeight": weight}, {"pause": {}})]}}


def measure(stage: Stage, told: Callable[[dict[str, Any]], None], *, calls: int) -> None:
    """Count so many calls at each weight; `told` gets the figures so far after each."""
    candidate = GOOD[1]
    found: dict[str, Any] = {}
    with (
        stage.serving("Gateway", STRATEGY, analysis={"onInconclusive": "Proceed"}) as served,
        served.callers(RATE) as callers,
    ):
        served.roll_to(candidate)
        for weight in WEIGHTS:
            served.await_weight(weight=weight, version=candidate)
            # The gateway's controller says when the route is accepted; its proxies follow within a second or two.
            first = callers.last["sent"] + 3 * RATE
            wait_for("settled shares", lambda least=first: callers.last["sent"] >= least, 60)
            before = callers.last
            enough = before["ok"] + calls
            wait_for(f"{calls} calls", lambda least=enough: callers.last["ok"] >= least, 60 + 2 * calls / RATE)
            after = callers.last
            count = after["ok"] - before["ok"]
            mine = after["byVersion"][str(candidate)] - before["byVersion"].get(str(candidate), 0)
            sigmas = deviation(mine, count, weight / 100)
            found[f"weight{weight}"] = {
                "calls": count,
                "share": round(mine / count, 4),
                "sigmas": round(sigmas, 2),
            }
            told(found)
            served.scene.command("promote")


def deviation(events: int, trials: int, share: float) -> float:
    """Return by how many standard deviations of independent calls a count is off.

    >>> round(deviation(2080, 10_000, 0.2), 2)
    2.0
    """
    return abs(events - trials * share) / math.sqrt(trials * share * (1 - share))
