"""Scenarios of `make bench-decisions` again, on the cluster: real pods, real figures, the operator's default gates."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from hack.lab.kube import Kube, Object
from tests.bench_rollouts.stage import FRAGILE, GOOD, WORKER, Stage

RATE = 100.0
STRATEGY = {"canary": {"steps": [{"setWeight": 20}, {"pause": {"durationSeconds": 60}}], "scaleDownDelaySeconds": 1}}
_LONGEST_SECONDS = 300
"""How long the step may last before the rollout counts as held."""
_BURN = f"import time\nend = time.time() + {_LONGEST_SECONDS}\nwhile time.time() < end: pass"


@dataclass(frozen=True)
class Replay:
    """A scenario on the cluster."""

    name: str
    good: bool
    simulated: str = ""
    """The scenario's name in docs/benchmarks/decisions.json."""
    version: int = GOOD[1]
    missing: float = 0.0
    """Share of the calls that the fragile version fails."""
    burns: bool = False
    """Whether something else in the candidate's pods takes their CPU, which has a limit."""


REPLAYS = (
    Replay("as good", good=True, simulated="as good, 100 calls/s"),
    Replay("+5 points of errors", good=False, simulated="+5 points of errors", version=FRAGILE, missing=0.05),
    Replay("+2 points of errors", good=False, simulated="+2 points of errors", version=FRAGILE, missing=0.02),
    Replay("its pods short of CPU", good=False, burns=True),
)


def measure(stage: Stage, told: Callable[[dict[str, Any]], None], *, replays: int) -> None:
    """Replay each scenario so many times; `told` gets the figures so far after each."""
    worker = {**WORKER, "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"cpu": "500m"}}}
    found: dict[str, Any] = {}
    for replay in REPLAYS:
        outcomes: list[dict[str, Any]] = []
        with (
            stage.serving(
                "Gateway", STRATEGY, worker=worker, analysis={"latency": {"minDifferenceMillis": 2}}
            ) as served,
            served.callers(RATE, missing=replay.missing) as callers,
        ):
            for _ in range(replays):
                served.roll_to(replay.version)
                served.await_weight(replay.version, 20)
                began = time.time()
                with _burning(served, replay.version) if replay.burns else nullcontext():
                    status = served.scene.await_status("the end of the rollout", _is_over, _LONGEST_SECONDS)
                blocked = status.get("blockedVersions", [])
                outcomes.append(
                    {
                        "end": "failed" if blocked else "promoted",
                        "seconds": round(time.time() - began, 1),
                        "message": blocked[0]["message"] if blocked else "",
                    }
                )
                found[replay.name] = {
                    "good": replay.good,
                    "simulated": replay.simulated,
                    "outcomes": list(outcomes),
                    "otherFailedCalls": callers.last["failed"] - callers.last["errors"].get("INVALID_ARGUMENT", 0),
                }
                told(found)
                if not blocked:
                    break
                served.reset()


def _is_over(status: Object) -> bool:
    return bool(status.get("blockedVersions") or not status.get("candidate"))


@contextmanager
def _burning(served: Stage, version: int) -> Iterator[None]:
    """Burn CPU inside a version's pods; bounded in time also where this process is killed."""
    scene = served.scene
    pods = [pod["metadata"]["name"] for pod in scene.pods(version)]
    running = [_burn(scene.kube, scene.namespace, pod) for pod in pods]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait(20)


def _burn(kube: Kube, namespace: str, pod: str) -> subprocess.Popen[bytes]:
    command = ["kubectl", "exec", "--namespace", namespace, pod, "--", "python3", "-c", _BURN]
    environment = {**os.environ, "KUBECONFIG": str(kube.kubeconfig)}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
