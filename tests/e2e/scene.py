"""Given, when, then for the end-to-end tests: a namespace, what is applied to it, and what is awaited of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from hack.lab.callers import Callers
from hack.lab.install import DATA_BUCKET, port_forward
from hack.lab.kube import Kube, Object, condition, wait_for
from hack.lab.objects import build_deployment, build_gateway, build_model

NAME = "blobs"
ANALYSIS = {"intervalSeconds": 1, "errorRate": {"minSamples": 20}, "latency": {"minSamples": 20, "maxRatio": 5}}
CANARY = {
    "canary": {
        "steps": [
            {"setWeight": 20},
            {"pause": {"durationSeconds": 4}},
            {"setWeight": 50},
            {"pause": {"durationSeconds": 4}},
        ],
        "scaleDownDelaySeconds": 3,
    }
}
BLUE_GREEN = {"blueGreen": {"steps": 2, "intervalSeconds": 4, "scaleDownDelaySeconds": 3}}
HELD_CANARY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}], "scaleDownDelaySeconds": 3}}


@dataclass(frozen=True)
class Scene:
    """One namespace of the cluster, and the verbs that tests are written in."""

    kube: Kube
    namespace: str

    def apply_model(
        self,
        name: str = NAME,
        *,
        path: str = "e2e/blobs.parquet",
        columns: tuple[str, ...] = ("x", "y"),
        preprocessing: Sequence[Object] = (),
        algorithm: str = "dbscan",
        **parameters: Any,
    ) -> None:
        """Apply a ClusteringModel of the blobs; further keywords are the algorithm's parameters."""
        if algorithm == "dbscan":
            parameters = {"eps": 0.5, "minSamples": 5, **parameters}
        uri = f"s3://{DATA_BUCKET}/{path}"
        model = build_model(
            name, uri, columns=list(columns), preprocessing=preprocessing, algorithm=algorithm, **parameters
        )
        self.kube.apply(self.namespace, model)

    def apply_deployment(
        self, strategy: Object, router: str = "Service", *, name: str = NAME, version: str = "latest", **spec: Any
    ) -> None:
        """Apply a ClusteringDeployment, and the Gateway that it needs."""
        traffic: Object = {"router": router}
        if router == "Gateway":
            self.kube.apply(self.namespace, build_gateway(NAME))
            traffic["gateway"] = {"name": NAME}
        settings = {"analysis": ANALYSIS, "traffic": traffic, **spec}
        self.kube.apply(self.namespace, build_deployment(name, NAME, strategy=strategy, version=version, **settings))

    def serve(self, strategy: Object = CANARY, router: str = "Service", **spec: Any) -> Object:
        """Train a model of the blobs, deploy it and wait until version 1 serves; returns the deployment's status."""
        self.apply_model()
        self.apply_deployment(strategy, router, **spec)
        return self.await_stable(1)

    def command(self, word: str) -> None:
        """Give a command, as a user types it."""
        self.kube.kubectl(
            "annotate", "cdep", NAME, f"shoal.dev/{word}=true", "--overwrite", "--namespace", self.namespace
        )

    def status(self, name: str = NAME) -> Object:
        """Return the deployment's status."""
        found = self.kube.get("clusteringdeployments", self.namespace, name, missing_ok=True) or {}
        status: Object = found.get("status", {})
        return status

    def await_version(self, number: int, seconds: float = 90) -> Object:
        """Wait until a version of the model is recorded and is the latest; returns it."""

        def look() -> Object | None:
            model = self.kube.get("clusteringmodels", self.namespace, NAME) or {}
            if model.get("status", {}).get("latestVersion") != number:
                return None
            return self.kube.get("clusteringmodelversions", self.namespace, f"{NAME}-v{number}", missing_ok=True)

        return wait_for(f"version {number} of {NAME}", look, seconds)

    def await_status(
        self, what: str, holds: Callable[[Object], Any], seconds: float = 90, *, name: str = NAME
    ) -> Object:
        """Wait until the deployment's status is as wanted; returns it."""

        def look() -> Object | None:
            status = self.status(name)
            return status if status and holds(status) else None

        return wait_for(what, look, seconds)

    def await_stable(self, version: int, seconds: float = 90) -> Object:
        """Wait until a version is stable with no candidate and all is healthy."""
        return self.await_status(
            f"version {version} stable",
            lambda status: (
                (status.get("stable") or {}).get("version") == version
                and not status.get("candidate")
                and status.get("phase") == "Healthy"
            ),
            seconds,
        )

    def await_condition(self, plural: str, name: str, type_: str, reason: str, seconds: float = 30) -> Object:
        """Wait until an object has a condition with a reason; returns the condition."""

        def look() -> Object | None:
            found = condition(self.kube.get(plural, self.namespace, name), type_)
            return found if found.get("reason") == reason else None

        return wait_for(f"{type_} {reason} on {plural}/{name}", look, seconds)

    def pod_uids(self, version: int) -> frozenset[str]:
        """Return the uids of a version's pods, those excepted that are being deleted."""
        pods = self.pods(version)
        return frozenset(pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"])

    def pods(self, version: int) -> list[Object]:
        """Return a version's pods."""
        return self.kube.find("pods", self.namespace, f"shoal.dev/deployment={NAME},shoal.dev/version={version}")

    def target(self, router: str) -> str:
        """Return the address that callers inside the cluster use."""
        if router == "Gateway":
            namespace, service = self.kube.gateway_service(self.namespace, NAME)
            return f"{service}.{namespace}.svc.cluster.local:8080"
        return f"{NAME}.{self.namespace}.svc.cluster.local:8001"

    def callers(self, router: str = "Service", rate: float = 60, points: NDArray[np.float64] | None = None) -> Callers:
        """Return constant load on the deployment, to be entered as a context; `points` are the rows to draw from."""
        return Callers(self.kube, self.namespace, self.target(router), NAME, rate=rate, points=points)

    @contextmanager
    def client(self, name: str = NAME) -> Iterator[triton.InferenceServerClient]:
        """Yield an independent client of the protocol, connected to one of the stable pods."""
        with port_forward(self.kube, self.namespace, f"service/{name}", 8001) as port:
            client = triton.InferenceServerClient(f"127.0.0.1:{port}")
            yield client
            client.close()


def infer(client: triton.InferenceServerClient, points: NDArray[Any], model: str = NAME) -> NDArray[np.int32]:
    """Ask for the labels of rows of float32 or float64."""
    tensor = triton.InferInput("points", list(points.shape), "FP64" if points.dtype == np.float64 else "FP32")
    tensor.set_data_from_numpy(points)
    labels: NDArray[np.int32] = client.infer(model, [tensor]).as_numpy("labels")
    return labels


def infer_with_strengths(
    client: triton.InferenceServerClient, points: NDArray[np.float64], model: str = NAME
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Ask for the labels of rows and how firmly they belong to their clusters."""
    tensor = triton.InferInput("points", list(points.shape), "FP64")
    tensor.set_data_from_numpy(points)
    outputs = [triton.InferRequestedOutput(name) for name in ("labels", "strengths")]
    answer = client.infer(model, [tensor], outputs=outputs)
    return answer.as_numpy("labels"), answer.as_numpy("strengths")


def await_calls(callers: Callers, more: int, seconds: float = 60) -> Object:
    """Wait until so many more calls were answered; returns the count."""
    wanted = callers.last["ok"] + more if "ok" in callers.last else more
    wait_for(f"{more} more calls", lambda: callers.last.get("ok", 0) >= wanted, seconds)
    return callers.last
