"""Where the measured rollouts happen: a namespace of its own, four versions of one model, one deployment under load.

Used by the suites beside it. Versions 1, 2 and 3 are as good as each other. `FRAGILE`, the fourth, does not fill in
missing values: it refuses the calls that have one, so the load decides how many of its calls fail.
"""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hack.lab.callers import Callers
from hack.lab.install import install_chart, prepare_namespace, upload
from hack.lab.kube import Kube, Object, kubeconfig, wait_for
from tests.e2e.scene import NAME, Scene

ROUTERS = ("Service", "Gateway")
GOOD = (1, 2, 3)
FRAGILE = 4
WORKER = {"replicas": 2, "drainDelaySeconds": 2, "drainGraceSeconds": 5, "maxConnectionAgeSeconds": 3}
_PATH = "bench/rollouts.parquet"
_COLUMNS = ("x", "y")
_FILLED = ({"impute": {"columns": list(_COLUMNS)}},)
_UNFILLED = ({"clip": {"columns": list(_COLUMNS), "min": -1e9, "max": 1e9}},)
_POLL_SECONDS = 0.05
_SILENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Stage:
    """The namespace, and the verbs that the suites are written in."""

    scene: Scene
    router: str = "Service"

    @contextmanager
    def serving(self, router: str, strategy: Object, **spec: object) -> Iterator[Stage]:
        """Serve version 1 by a router; the deployment and its pods are gone afterwards."""
        settings: Object = {"worker": WORKER, **spec}
        self.scene.apply_deployment(strategy, router, version="1", **settings)
        try:
            self.scene.await_stable(1)
            yield Stage(self.scene, router)
        finally:
            self.scene.kube.kubectl("delete", "cdep", NAME, "--namespace", self.scene.namespace, "--timeout=60s")
            wait_for("no pods", lambda: not self._pods(), 60)

    def callers(self, rate: float, *, missing: float = 0.0) -> Callers:
        """Return constant load, to be entered as a context; `missing` is the share of calls that lack a value."""
        scene = self.scene
        options = ["--missing", f"{missing:g}", "--columns", *_COLUMNS]
        target = scene.target(self.router)
        return Callers(scene.kube, scene.namespace, target, NAME, rate=rate, seconds=1800, options=options)

    def roll_to(self, version: int) -> float:
        """Lead the deployment to a version, as an apply would; returns when that began, Unix time."""
        began = time.time()
        patch = json.dumps({"spec": {"modelRef": {"version": str(version)}}})
        self.scene.kube.kubectl("patch", "cdep", NAME, "--type=merge", "--patch", patch, "-n", self.scene.namespace)
        return began

    def await_pod_start(self, version: int, before: frozenset[str]) -> float:
        """Wait until one of a version's new pods is ready; returns the seconds from its creation to that."""
        seen: dict[str, float] = {}

        def look() -> float | None:
            for pod in self._pods(version):
                uid = pod["metadata"]["uid"]
                if uid in before:
                    continue
                seen.setdefault(uid, time.time())
                conditions = pod["status"].get("conditions", ())
                if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
                    return max(time.time() - seen[uid], _POLL_SECONDS)
            return None

        return wait_for(f"a ready pod of version {version}", look, 90, every=_POLL_SECONDS)

    def await_weight(self, version: int, weight: int, seconds: float = 90) -> Object:
        """Wait until a version on trial has a weight by the router's own word."""

        def reached(status: Object) -> bool:
            return (status.get("candidate") or {}).get("version") == version and status.get("actualWeight") == weight

        return self.scene.await_status(f"{weight} % for version {version}", reached, seconds)

    def reset(self) -> None:
        """Go back to version 1 and forget what is blocked."""
        self.roll_to(1)
        self.scene.command("retry")
        self.scene.await_status("nothing blocked", lambda status: not status.get("blockedVersions"))
        self.scene.await_stable(1)
        wait_for("the candidate's pods gone", lambda: not [pod for pod in self._pods() if not _is_of(pod, 1)], 60)

    def uids(self, version: int) -> frozenset[str]:
        """Return the uids of a version's pods, those that are being deleted included."""
        return frozenset(pod["metadata"]["uid"] for pod in self._pods(version))

    def _pods(self, version: int | None = None) -> list[Object]:
        pods = self.scene.kube.find("pods", self.scene.namespace, f"shoal.dev/deployment={NAME}")
        return [pod for pod in pods if version is None or _is_of(pod, version)]


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Install the chart, train the versions in a namespace of their own, and delete it in the end."""
    kube = Kube(kubeconfig())
    install_chart(kube)
    upload(kube, {_PATH: build_data()})
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    prepare_namespace(kube, namespace)
    scene = Scene(kube, namespace)
    try:
        for version in (*GOOD, FRAGILE):
            steps = _UNFILLED if version == FRAGILE else _FILLED
            scene.apply_model(path=_PATH, columns=_COLUMNS, preprocessing=steps, eps=0.5 + version / 100)
            scene.await_version(version)
        yield Stage(scene)
    finally:
        kube.kubectl("delete", "namespace", namespace, "--wait=false")


def await_appearance(callers: Callers, version: int, since: float) -> float:
    """Wait for a version's first answer after a silence; returns its Unix time."""

    def look() -> float | None:
        moment: float = callers.last.get("appeared", {}).get(str(version), 0.0)
        return moment if moment >= since else None

    return wait_for(f"an answer of version {version}", look, 60, every=0.2)


def await_silence(callers: Callers, version: int) -> float:
    """Wait until a version has not answered for a while; returns the Unix time of its last answer."""

    def look() -> float | None:
        last: dict[str, float] = callers.last.get("lastAnswer", {})
        mine = last.get(str(version), 0.0)
        return mine if mine and max(last.values()) - mine >= _SILENCE_SECONDS else None

    return wait_for(f"the last answer of version {version}", look, 60, every=0.2)


def _is_of(pod: Object, version: int) -> bool:
    return bool(pod["metadata"]["labels"].get("shoal.dev/version") == str(version))


def build_data() -> bytes:
    """Return 2,000 rows of four blobs as a Parquet file."""
    random = np.random.default_rng(7)
    rows = np.concatenate([random.normal(centre, 0.6, (500, 2)) for centre in ((-5, -5), (5, 5), (-5, 5), (5, -5))])
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": rows[:, 0], "y": rows[:, 1]}), sink)
    return sink.getvalue()
