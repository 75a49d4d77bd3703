"""Raw deployments and pods as a cluster holds them, for the tests of the verbs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

Raw = dict[str, Any]

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
STEPS = [
    {"setWeight": 25},
    {"pause": {"durationSeconds": 60}},
    {"setWeight": 50},
    {"pause": {"durationSeconds": 30}},
]


def ago(seconds: float) -> str:
    """Return a time before NOW, as status has it."""
    return (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def revision(version: int, **more: Any) -> Raw:
    return {
        "revision": f"{version:08x}",
        "version": version,
        "digest": f"sha256:{version:064x}",
        "uri": "s3://x",
        "image": "w:1",
        **more,
    }


def condition(type_: str, reason: str, message: str = "", status: str = "True") -> Raw:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def verdict(gate: str, said: str, stable: float | None = None, candidate: float | None = None, calls: int = 100) -> Raw:
    figures = {
        side: {"calls": calls, **({"value": value} if value is not None else {})}
        for side, value in (("stable", stable), ("candidate", candidate))
    }
    return {"gate": gate, "verdict": said, "message": f"{gate} says {said}.", **figures}


def deployment(*, spec: Raw | None = None, annotations: Raw | None = None, generation: int = 1, **status: Any) -> Raw:
    """Return a deployment of version 3, healthy unless status says otherwise."""
    base = {
        "observedGeneration": 1,
        "phase": "Healthy",
        "message": "Version 3 serves; 3 of 3 pods are ready.",
        "stable": revision(3),
        "replicas": 3,
        "conditions": [],
    }
    return {
        "apiVersion": "shoal.dev/v1alpha1",
        "kind": "ClusteringDeployment",
        "metadata": {
            "name": "towns",
            "namespace": "demo",
            "uid": "uid-towns",
            "generation": generation,
            "creationTimestamp": ago(86_400),
            "annotations": annotations or {},
        },
        "spec": {
            "modelRef": {"name": "cities", "version": "latest"},
            "worker": {"replicas": 3},
            "strategy": {"canary": {"steps": STEPS}},
            **(spec or {}),
        },
        "status": {**base, **status},
    }


def on_trial(step: int = 1, began: float = 20, **more: Any) -> Raw:
    """Return a deployment with version 4 on trial at a step that began so many seconds before NOW."""
    status = {
        "phase": "Progressing",
        "message": "Version 4 gets 25 %, at step 2 of 4.",
        "candidate": revision(4),
        "weight": 25,
        "actualWeight": 25,
        "step": step,
        "stepCount": 4,
        "stepStartedAt": ago(began),
        "verdicts": [
            {
                "gate": "readiness",
                "verdict": "pass",
                "message": "1 of 1 pods are ready.",
                "candidate": {"calls": 0, "value": 1.0},
            },
            verdict("errorRate", "pass", 0.0, 0.0125),
            verdict("latency", "inconclusive", 2.5, 3.25, calls=12),
        ],
    }
    return deployment(**{**status, **more})


def pod(version: int, number: int, *, ready: bool = True, **more: Any) -> Raw:
    """Return a pod of a version."""
    state = {"running": {}} if ready else {"waiting": {"reason": "ContainerCreating"}}
    return {
        "metadata": {
            "name": f"towns-{version:08x}-pod{number}",
            "namespace": "demo",
            "creationTimestamp": ago(600 if version == 3 else 90),
            "labels": {
                "shoal.dev/deployment": "towns",
                "shoal.dev/revision": f"{version:08x}",
                "shoal.dev/version": str(version),
                "shoal.dev/routed": "true",
            },
        },
        "status": {
            "phase": "Running" if ready else "Pending",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"ready": ready, "restartCount": 0, "state": state}],
            **more,
        },
    }


PODS = [pod(3, 1), pod(3, 2), pod(3, 3), pod(4, 1)]
