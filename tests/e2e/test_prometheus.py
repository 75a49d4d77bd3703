"""A gate on PromQL against a real Prometheus server (Debian's), which scrapes the workers in the cluster."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hack.lab.install import install_chart
from hack.lab.kube import CACHE, Object, images
from tests.e2e.scene import ANALYSIS, HELD_CANARY, Scene, await_calls
from tests.e2e.scene import NAME as BLOBS
from tests.e2e.test_gates import MELTED, await_rollback, gate

NAME = "prometheus"
MODEL = 'on(instance) group_left() shoal_model_info{version="$(version)"}'
NOISE = f"sum(rate(shoal_noise_rows_total[20s]) * {MODEL}) / sum(rate(shoal_rows_total[20s]) * {MODEL})"
CONFIGURATION = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: workers
    dns_sd_configs: [{names: [workers.NAMESPACE.svc.cluster.local], type: A, port: 8002, refresh_interval: 1s}]
"""
RECEIVE = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, open('/data/prometheus', 'wb'))"
RUN = (
    "until [ -f /data/complete ]; do sleep 0.2; done; chmod +x /data/prometheus; exec /data/prometheus "
    "--config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/data/tsdb --web.listen-address=:9090"
)


def fetch_program() -> Path:
    """Return the server's program, out of Debian's package."""
    folder = CACHE / "debian" / NAME
    program = folder / "usr" / "bin" / NAME
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", NAME], cwd=folder, check=True, capture_output=True, timeout=300)
        [package] = folder.glob("*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True, capture_output=True, timeout=60)
    return program


def build_server(namespace: str) -> tuple[Object, ...]:
    """Return the server's objects: its configuration, its pod, the Service that names the workers, and its own."""
    labels = {"app": NAME}
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "configuration", "mountPath": "/etc/prometheus"}]
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME},
            "data": {"prometheus.yml": CONFIGURATION.replace("NAMESPACE", namespace)},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME, "labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "fsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": NAME,
                        "image": images()["worker"],
                        "command": ["sh", "-c", RUN],
                        "volumeMounts": mounts,
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
                "volumes": [
                    {"name": "data", "emptyDir": {}},
                    {"name": "configuration", "configMap": {"name": NAME}},
                ],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "workers"},
            "spec": {
                "clusterIP": "None",
                "selector": {"shoal.dev/deployment": BLOBS},
                "ports": [{"port": 8002}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": labels, "ports": [{"port": 9090}]},
        },
    )


@pytest.fixture
def server(scene: Scene) -> str:
    """Run the server in the test's namespace; returns its host."""
    program = fetch_program()
    scene.kube.apply(scene.namespace, *build_server(scene.namespace))
    scene.kube.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--namespace", scene.namespace, "--timeout=60s")
    inside = ["kubectl", "exec", "--namespace", scene.namespace, "--stdin", NAME, "--"]
    environment = {**os.environ, "KUBECONFIG": str(scene.kube.kubeconfig)}
    with program.open("rb") as binary:
        subprocess.run([*inside, "python3", "-c", RECEIVE], stdin=binary, check=True, env=environment, timeout=180)
    scene.kube.kubectl("exec", "--namespace", scene.namespace, NAME, "--", "touch", "/data/complete")
    return f"{NAME}.{scene.namespace}:9090"


@pytest.mark.alone
def test_a_query_stops_a_version_that_labels_otherwise(scene: Scene, server: str) -> None:
    """The share of noise rows by PromQL: all of the callers' rows in version 1, none in version 2."""
    query = {"name": "noise", "address": f"http://{server}", "query": NOISE, "minRatio": 0.5, "minSamples": 20}
    install_chart(scene.kube, f"analysis.allowedHosts={{{server}}}")
    try:
        scene.serve(HELD_CANARY, analysis={**ANALYSIS, "prometheus": [query]})
        with scene.callers() as callers:
            await_calls(callers, 60)
            scene.apply_model(eps=MELTED)
            status = await_rollback(scene, "prometheus/noise")
        assert "0, stable 1, limit at least stable x0.5: outside" in status["blockedVersions"][0]["message"]
        assert callers.last["failed"] == 0, callers.last
    finally:
        install_chart(scene.kube)


@pytest.mark.alone
def test_a_query_without_data_holds_and_fails_nothing(scene: Scene, server: str) -> None:
    """A metric that nobody has: no verdict, and the version is promoted by a person."""
    query = {"name": "nothing", "address": f"http://{server}", "query": "shoal_nothing", "max": 1, "minSamples": 0}
    install_chart(scene.kube, f"analysis.allowedHosts={{{server}}}")
    try:
        scene.serve(HELD_CANARY, analysis={**ANALYSIS, "prometheus": [query]})
        scene.apply_model(eps=0.6)
        status = scene.await_status(
            "the server's word",
            lambda status: "gives no data" in gate(status, "prometheus/nothing").get("message", ""),
            seconds=120,
        )
        assert gate(status, "prometheus/nothing")["verdict"] == "inconclusive"
        scene.command("promote")
        scene.await_stable(2)
    finally:
        install_chart(scene.kube)
