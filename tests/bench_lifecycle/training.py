"""What a training costs beside its fit, on a node that has the image.

From `kubectl apply` to the stored artifact, which the log of the worker tells, and to the recorded version, for which
kubelet and Job controller report the end of the pod first.

`measure()` trains on the cluster that is up, with the chart as it is in the tree; alone:
`python -m tests.bench_lifecycle.training`. Each training is of a model of its own, so all of them store a version.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from statistics import median
from typing import Any

from hack.lab.install import DATA_BUCKET, build_cities, install_chart, prepare_namespace, upload
from hack.lab.kube import Kube, Object, kubeconfig, wait_for
from hack.lab.objects import build_model

_REPEATS = 5
_POLL_SECONDS = 0.05
_PATH = "bench/cities.parquet"


def measure() -> dict[str, Any]:
    """Train the model of the world's cities some times; seconds are medians."""
    kube = Kube(kubeconfig())
    install_chart(kube)
    upload(kube, {_PATH: build_cities()})
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    prepare_namespace(kube, namespace)
    try:
        # The first training warms the node: image, page cache, DNS.
        runs = [_train(kube, namespace, f"cities-{at}") for at in range(_REPEATS + 1)][1:]
    finally:
        kube.kubectl("delete", "namespace", namespace, "--wait=false")
    return {
        "trainings": _REPEATS,
        "rows": runs[0]["rows"],
        "totalSeconds": round(median(run["total"] for run in runs), 3),
        "fitSeconds": round(median(run["fit"] for run in runs), 3),
        "overheadSeconds": round(median(run["stored"] - run["fit"] for run in runs), 3),
        "largestOverheadSeconds": round(max(run["stored"] - run["fit"] for run in runs), 3),
    }


def _train(kube: Kube, namespace: str, name: str) -> dict[str, float]:
    uri = f"s3://{DATA_BUCKET}/{_PATH}"
    model = build_model(
        name,
        uri,
        columns=["lat", "lon"],
        preprocessing=[{"toRadians": {}}],
        eps=0.006,
        minSamples=5,
        metric="haversine",
    )
    started, began = time.monotonic(), datetime.now(UTC)
    kube.apply(namespace, model)

    def look() -> Object | None:
        return kube.get("clusteringmodelversions", namespace, f"{name}-v1", missing_ok=True)

    version = wait_for(f"version 1 of {name}", look, 120, every=_POLL_SECONDS)
    total = time.monotonic() - started
    metrics = version["spec"]["metrics"]
    stored = (_stored_at(kube, namespace, name) - began).total_seconds()
    return {"total": total, "stored": stored, "fit": metrics["fitSeconds"], "rows": metrics["rows"]}


def _stored_at(kube: Kube, namespace: str, name: str) -> datetime:
    """Return when the training's pod had stored the artifact and its card, by the node's clock, which is this one."""
    log = kube.kubectl("logs", "--selector", f"shoal.dev/model={name}", "--namespace", namespace, "--tail=-1")
    ends = [line for line in map(json.loads, log.splitlines()) if line["event"] == "training done"]
    return datetime.fromisoformat(ends[-1]["timestamp"])


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
