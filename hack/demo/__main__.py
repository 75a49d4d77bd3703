"""The story: v1 is trained and served, v2 is canaried and promoted, v3 is stopped, pods come and go with the load.

Run by `make demo`, after the cluster is up and the images are built. Ends with an error when anything is not as told,
above all when a call failed or v3 answered one. A second run starts from the beginning.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow.parquet as pq
import tritonclient.grpc as triton
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live

from hack.demo.view import Size, read_size, render, render_scaling
from hack.lab.callers import Callers
from hack.lab.install import (
    DATA_BUCKET,
    STORE_BUCKET,
    STORE_NAMESPACE,
    build_cities,
    credentials,
    install_chart,
    open_bucket,
    port_forward,
    prepare_namespace,
    upload,
)
from hack.lab.kube import REPOSITORY, Kube, Object, kubeconfig, wait_for
from hack.lab.objects import build_deployment, build_gateway, build_model

NAMESPACE = "demo"
NAME = "cities"
SOURCE = f"s3://{DATA_BUCKET}/demo/cities.parquet"
EARTH_RADIUS_KM = 6371.0
STEPS = [
    {"shadow": {"durationSeconds": 15}},
    {"setWeight": 20},
    {"pause": {"durationSeconds": 15}},
    {"setWeight": 50},
    {"pause": {"durationSeconds": 15}},
]
LEAST_AGREEMENT = 0.7
"""Of the clusters within 47 km and within 50 km 0.87 is expected; of those within 150 km and within 47 km 0.16."""
CALLED_CITIES = 4000
SCALING: Object = {
    "minReplicas": 2,
    "maxReplicas": 4,
    "intervalSeconds": 2,
    "metrics": {"requestsPerSecond": {"averageValue": 20}},
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 4}},
}
"""For a demo: who scales in earnest looks every 15 s and keeps a pod for five minutes of lull."""
PEAK_RATE = 80
console = Console(highlight=False)


def say(text: str) -> None:
    """Open the next chapter."""
    console.print(f"\n[bold cyan]▌[/] [bold]{text}[/]")


def tell(text: str) -> None:
    """Say what was seen."""
    console.print(f"  {text}")


def model(*, kilometres: float, **dbscan: Any) -> Object:
    """Return the model of the world's cities, which lie in degrees; a distance on the globe is an angle in radians."""
    eps = kilometres / EARTH_RADIUS_KM
    steps: list[Object] = [{"toRadians": {}}]
    columns = ["lat", "lon"]
    told = build_model(NAME, SOURCE, columns=columns, preprocessing=steps, eps=eps, metric="haversine", **dbscan)
    told["spec"]["validation"] = {"minClusters": 100, "maxNoiseRatio": 0.6}
    return told


def await_version(kube: Kube, number: int) -> Object:
    """Wait until a version is recorded, and say what it is."""

    def look() -> Object | None:
        found = kube.get("clusteringmodels", NAMESPACE, NAME, missing_ok=True) or {}
        status = found.get("status", {})
        if status.get("phase") == "Failed":
            raise SystemExit(f"training failed: {status.get('message')}")
        return kube.get("clusteringmodelversions", NAMESPACE, f"{NAME}-v{number}", missing_ok=True)

    with console.status(f"training version {number}"):
        started = time.monotonic()
        version = wait_for(f"version {number}", look, seconds=180)
    metrics = version["spec"]["metrics"]
    tell(
        f"version {number}: {metrics['rows']} rows, {metrics['clusters']} clusters, "
        f"{metrics['noiseRatio']:.1%} noise; trained in {time.monotonic() - started:.1f} s"
    )
    tests = version["spec"]["validation"]["tests"]
    tell(f"validation: {version['spec']['validation']['verdict']} ({', '.join(test['name'] for test in tests)})")
    return version


def forget_versions(kube: Kube) -> None:
    """Remove what the store knows of an earlier run, which would number the versions on."""
    with open_bucket(kube, STORE_BUCKET) as store:
        found = [each["path"] for page in obstore.list(store, prefix=f"models/models/{NAMESPACE}/") for each in page]
        obstore.delete(store, found)


def fetch_card(kube: Kube, number: int) -> Path:
    """Fetch a version's model card from the store by the command line, as a person does; returns where it lies."""
    path = REPOSITORY / "dist" / f"{NAME}-v{number}.html"
    path.parent.mkdir(exist_ok=True)
    with port_forward(kube, STORE_NAMESPACE, "service/s3", 7070) as port:
        store = {**credentials(kube), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        words = ("card", NAME, str(number), "-n", NAMESPACE, "--store", f"s3://{STORE_BUCKET}/models", "-o", str(path))
        subprocess.run(
            [sys.executable, "-m", "shoal_cli", "models", *words],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **store},
        )
    return path


def pick_cities(parquet: bytes) -> NDArray[np.float64]:
    """Return the places that the callers ask about: latitudes and longitudes of some cities, in degrees."""
    table = pq.read_table(io.BytesIO(parquet))
    places = np.column_stack([table["lat"].to_numpy(), table["lon"].to_numpy()])
    return np.random.default_rng(0).permutation(places)[:CALLED_CITIES]


def watch(kube: Kube, load: Callers, seconds: float, done: Callable[[Object], bool]) -> Object:
    """Draw the rollout until it is done; returns the last status."""
    started = time.monotonic()
    with Live(console=console, refresh_per_second=4) as live:

        def look() -> Object | None:
            found = kube.get("clusteringdeployments", NAMESPACE, NAME) or {}
            status: Object = found.get("status", {})
            live.update(render(status, load.last, time.monotonic() - started))
            return status if done(status) else None

        return wait_for("the rollout's end", look, seconds)


def await_pods(kube: Kube, count: int, sizes: list[Size], started: float) -> None:
    """Draw the pool until so many pods are wanted and ready, and no others are there."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def look() -> bool:
            status: Object = (kube.get("clusteringdeployments", NAMESPACE, NAME) or {}).get("status", {})
            sizes.append(read_size(status))
            live.update(render_scaling(status, sizes, time.monotonic() - started))
            return (sizes[-1].wanted, sizes[-1].ready, status.get("replicas")) == (count, count, count)

        wait_for(f"{count} pods", look, 60)
    console.print(render_scaling({}, sizes, time.monotonic() - started))


def scale(kube: Kube, target: str, points: NDArray[np.float64]) -> int:
    """Let a peak of calls come and go; returns the calls that failed."""
    sizes: list[Size] = []
    started = time.monotonic()
    with Callers(kube, NAMESPACE, target, NAME, rate=PEAK_RATE, seconds=60, points=points, name="peak") as peak:
        await_pods(kube, 4, sizes, started)
    await_pods(kube, 2, sizes, started)
    tell(f"[green]2 pods, 4 under {PEAK_RATE} calls a second, 2 again; {peak.last['failed']} calls failed[/]")
    failed: int = peak.last["failed"]
    return failed


def predict(kube: Kube) -> None:
    """Call the model once with an independent client, as an application would."""
    places = {"Shibuya": (35.66, 139.70), "Montmartre": (48.89, 2.34), "Point Nemo": (-48.88, -123.39)}
    rows = np.array(list(places.values()))
    service = kube.gateway_service(NAMESPACE, NAME)
    with port_forward(kube, service[0], f"service/{service[1]}", 8080) as port:
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        points = triton.InferInput("points", list(rows.shape), "FP64")
        points.set_data_from_numpy(rows)
        answer = client.infer(NAME, [points])
        client.close()
    labels = answer.as_numpy("labels")
    version = answer.get_response().model_version
    for place, label in zip(places, labels, strict=True):
        tell(f"{place}: " + ("noise" if label < 0 else f"cluster {label}") + f" (version {version})")


def main() -> int:
    """Tell the story."""
    started = time.monotonic()
    kube = Kube(kubeconfig())
    say("Install Shoal by its chart, the cities of the world into the object store")
    with console.status("installing"):
        install_chart(kube)
        kube.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true", "--timeout=120s")
        prepare_namespace(kube, NAMESPACE)
        forget_versions(kube)
        cities = build_cities()
        upload(kube, {"demo/cities.parquet": cities})
        kube.apply(NAMESPACE, build_gateway(NAME))
    tell(f"operator and CRDs are there; data at {SOURCE}")

    say("Apply a model: degrees to radians, then clusters of cities within 50 km of each other")
    kube.apply(NAMESPACE, model(kilometres=50, minSamples=5))
    await_version(kube, 1)
    card = fetch_card(kube, 1)
    tell(f"its model card, kept beside the artifact, is now in {card}")

    say("Serve version 1 behind a Gateway, and call it")
    traffic = {"router": "Gateway", "gateway": {"name": NAME}}
    analysis = {
        "intervalSeconds": 2,
        "errorRate": {"minSamples": 30},
        "latency": {"minSamples": 30},
        "agreement": {"min": LEAST_AGREEMENT},
    }
    canary = {"steps": STEPS, "scaleDownDelaySeconds": 10}
    spec: Object = {"strategy": {"canary": canary}, "traffic": traffic, "analysis": analysis}
    kube.apply(NAMESPACE, build_deployment(NAME, NAME, **spec))
    with console.status("waiting for the pods"):
        wait_for(
            "version 1 to serve",
            lambda: (
                (kube.get("clusteringdeployments", NAMESPACE, NAME) or {}).get("status", {}).get("phase") == "Healthy"
            ),
            seconds=120,
        )
    predict(kube)

    say("Version 2, within 47 km: in shadow it labels what version 1 was asked; then a canary under load, promoted")
    namespace, service = kube.gateway_service(NAMESPACE, NAME)
    target = f"{service}.{namespace}.svc.cluster.local:8080"
    load = Callers(kube, NAMESPACE, target, NAME, points=pick_cities(cities))
    with load:
        kube.apply(NAMESPACE, model(kilometres=47, minSamples=5))
        await_version(kube, 2)
        status = watch(kube, load, 240, lambda status: (status.get("stable") or {}).get("version") == 2)
        agreed = status["agreementHistory"][-1]["ari"]
        time.sleep(3)
        before = load.last
        failed_v2 = before["failed"]
        tell(f"[green]version 2 is stable; {before['sent']} calls, {failed_v2} failed; it agreed by {agreed:.2f}[/]")

        say("Version 3 is bad: within 150 km whole countries melt together. It is valid, quick, and fails no call")
        kube.apply(NAMESPACE, model(kilometres=150, minSamples=5))
        await_version(kube, 3)
        status = watch(kube, load, 240, lambda status: bool(status.get("blockedVersions")))
        time.sleep(3)
    blocked = status["blockedVersions"][0]
    tell(f"[red]version {blocked['version']} rolled back: {blocked['message']}[/]")
    met = load.last["byVersion"].get("3", 0)
    tell(
        f"in shadow, at weight 0: {met} of {load.last['sent'] - before['sent']} calls met version 3; "
        f"stable is v{status['stable']['version']}"
    )

    say("Let the load choose the pods: 20 calls a second each, a peak comes and goes")
    kube.apply(NAMESPACE, build_deployment(NAME, NAME, **spec, scaling=SCALING))
    failed_peak = scale(kube, target, pick_cities(cities))

    say("What next")
    path = kube.kubeconfig
    for line in (
        f"export KUBECONFIG={path}",
        f"kubectl --namespace {NAMESPACE} get cmodel,cmv,cdep",
        f"kubectl --namespace {NAMESPACE} describe cdep {NAME}",
        "kubectl explain cdep.spec.strategy.canary",
        f"xdg-open {card}   # version 1 on one page: `shoal models card` fetches it for any version",
        f"kubectl --namespace {NAMESPACE} annotate cdep {NAME} shoal.dev/retry=yes   # try version 3 again",
        "make cluster-down   # leaves nothing behind",
    ):
        console.print(f"  [bold]{line}[/]", soft_wrap=True)
    console.print(f"\n  the demo took {time.monotonic() - started:.0f} s")
    if load.last["failed"] or failed_peak or met or status["stable"]["version"] != 2:
        console.print("[bold red]The story did not go as it should.[/]")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
