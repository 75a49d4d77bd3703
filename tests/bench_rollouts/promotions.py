"""Promotions one after the other under load: no failed call, and a candidate that answers soon after its pod starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice
from statistics import median
from typing import Any

from tests.bench_rollouts.stage import GOOD, ROUTERS, Stage, await_appearance

RATE = 200.0
STRATEGY = {
    "canary": {"steps": [{"setWeight": 50}, {"pause": {"durationSeconds": 2}}], "scaleDownDelaySeconds": 1},
}
ANALYSIS = {
    "intervalSeconds": 1,
    "warmupSeconds": 0,
    "errorRate": {"minSamples": 20},
    # Not what is measured here: pods of a busy machine, a second old.
    "latency": {"dryRun": True, "minSamples": 20},
}


def measure(stage: Stage, told: Callable[[dict[str, Any]], None], *, promotions: int) -> None:
    """Promote so many times by each router; `told` gets the figures so far after each."""
    found: dict[str, Any] = {}
    for router in ROUTERS:
        with stage.serving(router, STRATEGY, analysis=ANALYSIS) as served, served.callers(RATE) as callers:
            beside, whole = [], []
            # Three versions in turn, so that the next one's pods are never the ones that are just leaving.
            for done, version in enumerate(islice(cycle(GOOD), 1, promotions + 1), start=1):
                before = served.uids(version)
                began = served.roll_to(version)
                start = served.await_pod_start(version, before)
                beside.append(await_appearance(callers, version, began) - began - start)
                served.scene.await_stable(version)
                whole.append(time.time() - began)
                found[router] = {
                    "promotions": done,
                    "calls": callers.last["sent"],
                    "failedCalls": callers.last["failed"],
                    "errors": callers.last["details"],
                    "medianSecondsBesidePodStart": round(median(beside), 2),
                    "mostSecondsBesidePodStart": round(max(beside), 2),
                    "medianSecondsToStable": round(median(whole), 2),
                    "p99Millis": callers.last["p99Millis"],
                }
                told(found)
