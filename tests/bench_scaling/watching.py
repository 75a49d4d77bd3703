"""Looks at a deployment twice a second while it is driven, and tells from the looks how it followed.

Used by `drives`. Looking is the shell (`Watch`), telling is pure (`follow`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from types import TracebackType
from typing import Any

from hack.lab.kube import Object
from tests.bench_scaling.plan import EACH, HIGH, Stage, starts
from tests.e2e.scene import NAME, Scene

_PERIOD_SECONDS = 0.5


@dataclass(frozen=True)
class Look:
    """What the status said at a moment (Unix time)."""

    moment: float
    wanted: int
    ready: int


class Watch:
    """A context in which the deployment is looked at; `looks` grows."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.looks: list[Look] = []
        self.starts: dict[str, float] = {}
        """Uid of each pod that became ready -> seconds from its creation to that."""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over.wait(_PERIOD_SECONDS):
            status = self._scene.status()
            wanted = (status.get("scaling") or {}).get("replicas", 0)
            self.looks.append(Look(time.time(), wanted, status.get("readyReplicas", 0)))
            for pod in self._scene.kube.find("pods", self._scene.namespace, f"shoal.dev/deployment={NAME}"):
                if (seconds := _start_seconds(pod)) is not None:
                    self.starts.setdefault(pod["metadata"]["uid"], seconds)


def _start_seconds(pod: Object) -> float | None:
    """Return the seconds from a pod's creation to its being ready, of whole seconds; None while it is not."""
    for item in pod.get("status", {}).get("conditions", ()):
        if item["type"] == "Ready" and item["status"] == "True":
            return (_moment(item["lastTransitionTime"]) - _moment(pod["metadata"]["creationTimestamp"])).total_seconds()
    return None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def follow(looks: Sequence[Look], stages: tuple[Stage, ...], began: float) -> dict[str, Any]:
    """Return how the pods followed the load that began at a Unix time; seconds, to the half."""
    moments = [began + start for start in starts(stages)]
    aim = round(HIGH / EACH)
    ups = [
        [look for look in looks if begin <= look.moment < end]
        for stage, (begin, end) in zip(stages, pairwise(moments), strict=True)
        if stage.rate == HIGH
    ]
    first = ups[0]
    begin = moments[1]
    decided = _first(first, lambda look: look.wanted > first[0].wanted)
    wanted = _first(first, lambda look: look.wanted >= aim)
    ready = _first(first, lambda look: look.ready >= aim)
    settled = [look.wanted for look in first if ready is not None and look.moment >= ready]
    return {
        "secondsToFirstDecision": _since(decided, begin),
        "secondsFromDecisionToAllWanted": _since(wanted, decided),
        "secondsFromDecisionToAllReady": _since(ready, decided),
        "mostPods": max(look.wanted for look in looks),
        "changesUnderNoise": sum(a != b for a, b in pairwise(settled)),
        "secondsOfNoise": round(moments[2] - ready) if ready is not None else None,
        "endsAtOnePod": [up[0].wanted for up in ups[1:]] + [looks[-1].wanted] == [1] * len(ups),
        "timesUpToAllPods": sum(any(look.ready >= aim for look in up) for up in ups),
    }


def _first(looks: Sequence[Look], holds: Callable[[Look], bool]) -> float | None:
    return next((look.moment for look in looks if holds(look)), None)


def _since(moment: float | None, begin: float | None) -> float | None:
    return None if moment is None or begin is None else round(moment - begin, 1)
