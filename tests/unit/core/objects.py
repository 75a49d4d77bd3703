"""Builds the raw objects that the core's tests feed it: models, versions, deployments, pods, Jobs."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from shoal_operator.core import names
from shoal_operator.core.comparison import Comparison, Estimate
from shoal_operator.core.snapshot import Defaults, Look, PodFacts, WindowFigures

NAMESPACE = "fish"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STORE = "s3://bucket/models"
DEFAULTS = Defaults("docker.io/shoal/worker:1", STORE, store_secret_name="store", store_claim_name=None)
PLAN = {
    "index": "grid",
    "threads": 2,
    "batchRows": 4096,
    "memoryMap": True,
    "fitBytes": 1000,
    "indexBytes": 500,
    "reasons": {"index": "2 columns: cells are quickest"},
}

Raw = dict[str, Any]


def metadata(name: str, **more: Any) -> Raw:
    return {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "generation": 1, **more}


def model(spec: Raw | None = None, status: Raw | None = None, annotations: Raw | None = None) -> Raw:
    base: Raw = {"source": {"uri": "s3://data/cities.parquet"}, "algorithm": {"dbscan": {"eps": 0.5}}}
    return {
        "kind": "ClusteringModel",
        "metadata": metadata("cities", annotations=annotations or {}),
        "spec": {**base, **(spec or {})},
        "status": status or {},
    }


def version(
    number: int,
    *,
    verdict: str = "pass",
    training_hash: str = "",
    state: str | None = None,
    annotations: Raw | None = None,
) -> Raw:
    digest = f"{number:064x}"
    tests = [] if verdict == "pass" else [{"name": "minClusters", "verdict": "fail", "message": "1 cluster, least 2"}]
    told = state if state in ("Retired", "Archived") else "Active"
    record = {names.LIFECYCLE: json.dumps({"wanted": told, "stored": told})} if told != "Active" else {}
    return {
        "kind": "ClusteringModelVersion",
        "metadata": metadata(f"cities-v{number}", annotations={**record, **(annotations or {})}),
        "spec": {
            "modelRef": {"name": "cities"},
            "version": number,
            "trainingHash": training_hash or f"hash{number}",
            "artifact": {"uri": f"{STORE}/artifacts/sha256-{digest}", "digest": f"sha256:{digest}", "bytes": 10},
            "algorithm": {"dbscan": {"eps": 0.5}},
            "schema": {"columns": [{"name": "lat", "dtype": "float64"}]},
            "metrics": {"rows": 10, "clusters": 2, "noiseRatio": 0.1, "coreSamples": 5, "fitSeconds": 0.1},
            "validation": {"verdict": verdict, "tests": tests},
        },
        "status": {"state": state or ("Active" if verdict == "pass" else "Rejected")},
    }


def cron_job(name: str = "judge", *, startable: bool = True, spec: Raw | None = None, pod: Raw | None = None) -> Raw:
    """Build a suspended CronJob of one container."""
    container = {"name": "judge", "image": "judge:1", "env": [{"name": "TEAM", "value": "fish"}]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}, **(pod or {})}
    return {
        "kind": "CronJob",
        "metadata": metadata(name, annotations={names.STARTABLE: "true"} if startable else {}),
        "spec": {"suspend": True, "jobTemplate": {"spec": {"backoffLimit": 0, "template": template, **(spec or {})}}},
    }


def deployment(
    spec: Raw | None = None, status: Raw | None = None, annotations: Raw | None = None, name: str = "cities"
) -> Raw:
    return {
        "kind": "ClusteringDeployment",
        "metadata": metadata(name, annotations=annotations or {}, resourceVersion="1"),
        "spec": {"modelRef": {"name": "cities"}, **copy.deepcopy(spec or {})},
        "status": copy.deepcopy(status or {}),
    }


def pod(name: str, revision: str, *, ready: bool = True, routed: bool = False, status: Raw | None = None) -> PodFacts:
    return PodFacts(
        name=name,
        uid=f"uid-{name}",
        revision=revision,
        ready=ready,
        deleting=False,
        routed=routed,
        ip="10.0.0.1",
        created="2026-01-01T00:00:00Z",
        status=status or {},
    )


def window(
    calls: int, errors: int = 0, mean: float = 0.01, spread: float = 0.3, looks: int = 6, noise: float = 0.1
) -> WindowFigures:
    """Build figures of calls that came evenly over some looks, with a standard deviation of `spread` means.

    Each call has four rows, of which the share `noise` is noise.
    """
    squares = calls * mean * mean * (1 + spread * spread)
    durations = {mean * (1 - spread): calls / 2, mean * (1 + spread): calls / 2}
    each = Look(
        calls / looks,
        errors / looks,
        calls * mean / looks,
        squares / looks,
        {bound: count / looks for bound, count in durations.items()},
        4 * calls / looks,
        4 * calls * noise / looks,
    )
    return WindowFigures(calls, errors, calls * mean, squares, (each,) * looks)


def compared(
    ari: float, variance: float, *, noise: float = 1.0, labels: float = 1.0, requests: int = 200, **more: Any
) -> Comparison:
    """Build what both versions made of the same rows, 1000 unless told otherwise."""
    facts: dict[str, Any] = {"asked_at": "2026-01-01T00:00:00Z", "rows": 1000, **more}
    return Comparison(
        ari=Estimate(ari, variance),
        noise_agreement=Estimate(noise, variance),
        label_agreement=Estimate(labels, variance),
        requests=requests,
        **facts,
    )


def terminated(message: str = "", *, reason: str = "Error", code: int = 1, restarts: int = 0) -> Raw:
    ended = {"reason": reason, "exitCode": code, "message": message}
    return {"phase": "Failed", "containerStatuses": [{"restartCount": restarts, "state": {"terminated": ended}}]}


def crash_loop(restarts: int) -> Raw:
    return {
        "containerStatuses": [
            {
                "ready": False,
                "restartCount": restarts,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 1}},
            }
        ]
    }


def success_report(uri: str = f"{STORE}/artifacts/sha256-{'a' * 64}", version: int = 1, **more: Any) -> str:
    return json.dumps(
        {
            "outcome": "Succeeded",
            "version": version,
            "artifact": {"uri": uri, "digest": f"sha256:{'a' * 64}", "bytes": 10},
            "schema": {"columns": [{"name": "lat", "dtype": "float64"}]},
            "metrics": {"rows": 10, "clusters": 2, "noiseRatio": 0.1, "coreSamples": 5, "fitSeconds": 0.1},
            "validation": {"verdict": "pass", "tests": []},
            "algorithm": {"dbscan": {"eps": 0.5, "minSamples": 5, "metric": "euclidean"}},
            "plan": PLAN,
            "frameworkVersions": {"shoal-engine": "0.1.0"},
            **more,
        }
    )


def failure_report(**more: Any) -> str:
    return json.dumps(
        {
            "outcome": "Failed",
            "reason": "ColumnMissing",
            "field": "spec.source.columns",
            "value": "lon",
            "message": "the data has no such column",
            "remedy": "Choose among lat, lng",
            "transient": False,
            **more,
        }
    )
