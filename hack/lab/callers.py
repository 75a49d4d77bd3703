"""Callers of a served model: a pod inside the cluster under constant load, and its counts as they come in.

Used by the demo and the end-to-end tests; inside the cluster, so that they run the same on any cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from hack.lab.kube import REPOSITORY, Kube, Object, images, wait_for
from hack.lab.objects import build_load

NAME = "load"
RATE = 60
LONGEST_SECONDS = 900


class Callers:
    """A context in which calls flow; `last` is the newest line of the generator, updated each second."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        target: str,
        model: str,
        *,
        rate: float = RATE,
        seconds: float = LONGEST_SECONDS,
        options: Sequence[str] = (),
        name: str = NAME,
        points: NDArray[np.float64] | None = None,
    ) -> None:
        """`points` are the rows that the calls are drawn from, a few thousand at most; none for random ones near 0.

        `options` are further arguments of hack/lab/load.py.
        """
        self._kube = kube
        self._namespace = namespace
        self._name = name
        script = (REPOSITORY / "hack" / "lab" / "load.py").read_text()
        self._objects = build_load(
            name,
            script,
            image=images()["worker"],
            arguments=[target, model, "--rate", f"{rate:g}", "--seconds", f"{seconds:g}", *options],
            points=points,
        )
        self.last: Object = {"sent": 0, "failed": 0, "byVersion": {}}

    def __enter__(self) -> Callers:
        self._kube.apply(self._namespace, *self._objects)
        self._kube.kubectl(
            "wait", "--for=condition=Ready", f"pod/{self._name}", "--namespace", self._namespace, "--timeout=60s"
        )
        self._logs = subprocess.Popen(
            ["kubectl", "logs", "--follow", "--namespace", self._namespace, self._name],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "KUBECONFIG": str(self._kube.kubeconfig)},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for("the first calls", lambda: self.last["sent"], 30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kube.kubectl("delete", "pod", self._name, "--namespace", self._namespace, "--timeout=60s")
        self._logs.wait(20)
        self._reader.join(5)
        if self._logs.stdout is not None:
            self._logs.stdout.close()

    def _read(self) -> None:
        assert self._logs.stdout is not None
        for line in self._logs.stdout:
            if line.startswith("{"):
                self.last = json.loads(line)
