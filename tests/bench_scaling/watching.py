"""Looks at a deployment twice a second while it is driven; used by `drives`."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from types import TracebackType

from hack.lab.kube import Object
from tests.bench_scaling.following import Look
from tests.e2e.scene import NAME, Scene

_PERIOD_SECONDS = 0.5


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
