"""Back to stable: from the abort command, or from the look whose verdict fails, to the candidate's last answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hack.lab.kube import Object
from tests.bench_rollouts.stage import FRAGILE, GOOD, ROUTERS, Stage, await_appearance, await_silence

RATE = 200.0
STRATEGY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}], "scaleDownDelaySeconds": 1}}
ANALYSIS = {"intervalSeconds": 1, "warmupSeconds": 0, "errorRate": {"minSamples": 20}, "latency": {"dryRun": True}}
_MISSING = 0.2
"""Share of the calls that the fragile version refuses."""


def measure(stage: Stage, told: Callable[[dict[str, Any]], None], *, rollbacks: int) -> None:
    """Abort and condemn so many times by each router; `told` gets the figures so far after each."""
    found: dict[str, Any] = {}
    for router in ROUTERS:
        with (
            stage.serving(router, STRATEGY, analysis=ANALYSIS) as served,
            served.callers(RATE, missing=_MISSING) as callers,
        ):
            aborted, condemned, written = [], [], []
            for done in range(1, rollbacks + 1):
                applied = served.roll_to(GOOD[1])
                served.await_weight(GOOD[1], 50)
                # With Services it has calls only once a caller has connected anew.
                await_appearance(callers, GOOD[1], applied)
                began = time.time()
                served.scene.command("abort")
                _await_blocked(served)
                written.append(time.time() - began)
                aborted.append(await_silence(callers, GOOD[1]) - began)
                served.reset()
                served.roll_to(FRAGILE)
                failed_at = _failing_look(_await_blocked(served))
                condemned.append(await_silence(callers, FRAGILE) - failed_at)
                served.reset()
                found[router] = {
                    "rollbacks": done,
                    "mostSecondsFromAbortToStatus": round(max(written), 2),
                    "mostSecondsFromAbortToLastAnswer": round(max(aborted), 2),
                    "mostSecondsFromVerdictToLastAnswer": round(max(condemned), 2),
                }
                told(found)


def _await_blocked(served: Stage) -> Object:
    return served.scene.await_status("a blocked version", lambda status: status.get("blockedVersions"))


def _failing_look(status: Object) -> float:
    """Return when the look was that failed the candidate, Unix time."""
    looks = [past for record in status["gates"] for past in record["history"] if past["verdict"] == "fail"]
    return datetime.fromisoformat(looks[-1]["at"]).timestamp()
