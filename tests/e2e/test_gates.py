"""The gates beyond errors and latency stop a version on the real cluster, by live figures, records and services."""

from __future__ import annotations

import pytest

from hack.lab.install import install_chart
from hack.lab.kube import Object, images
from tests.e2e.scene import ANALYSIS, HELD_CANARY, Scene, await_calls

MELTED = 9.0
"""An eps that melts the four blobs into one cluster, which reaches the callers' points too; with 0.5 they are noise."""

SERVER = """
import http.server, json
class Judge(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        facts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        version = facts["candidate"]["version"]
        verdict = {"verdict": "fail" if version == 2 else "pass", "message": f"version {version} sells nothing"}
        body = json.dumps(verdict).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Judge).serve_forever()
"""


def gate(status: Object, name: str) -> Object:
    """Return what a gate said last, if anything."""
    return next((item for item in status.get("verdicts", ()) if item["gate"] == name), {})


def await_rollback(scene: Scene, name: str) -> Object:
    """Wait until a gate has rolled version 2 back; returns the status."""
    status = scene.await_status("a blocked version", lambda status: status.get("blockedVersions"), seconds=120)
    assert name in status["blockedVersions"][0]["message"], status["blockedVersions"]
    assert status["blockedVersions"][0]["version"] == 2
    assert (status["stable"]["version"], status["weight"]) == (1, 0)
    return status


def test_a_version_that_melts_the_clusters_is_stopped_by_its_live_noise(scene: Scene) -> None:
    """Nobody's call fails and none is slow, but what was noise is in a cluster now."""
    scene.serve(HELD_CANARY, analysis={**ANALYSIS, "noiseRatio": {"maxDecrease": 0.1, "minSamples": 100}})
    with scene.callers() as callers:
        await_calls(callers, 60)
        scene.apply_model(eps=MELTED)
        status = await_rollback(scene, "noiseRatio")
        await_calls(callers, 60)
    assert callers.last["failed"] == 0, callers.last
    kept = next(item for item in status["gates"] if item["gate"] == "noiseRatio")
    assert kept["failed"] == 1
    assert kept["history"][-1]["verdict"] == "fail"
    assert kept["history"][-1]["stable"] > kept["history"][-1]["candidate"] + 0.1


def test_a_version_with_too_few_clusters_is_stopped_by_its_record_without_traffic(scene: Scene) -> None:
    """The records of both versions are compared as soon as the candidate has weight; no call is needed."""
    scene.serve(HELD_CANARY, analysis={**ANALYSIS, "clusterCount": {}})
    scene.apply_model(eps=MELTED)
    status = await_rollback(scene, "clusterCount")
    assert "1 clusters, stable 4" in status["blockedVersions"][0]["message"]


def test_a_dry_run_tells_and_stops_nothing(scene: Scene) -> None:
    """The same version, judged by the same gate as a dry run, goes on to the pause."""
    scene.serve(HELD_CANARY, analysis={**ANALYSIS, "clusterCount": {"dryRun": True}})
    scene.apply_model(eps=MELTED)
    status = scene.await_status(
        "the verdict of the dry run", lambda status: gate(status, "clusterCount").get("verdict") == "fail"
    )
    assert gate(status, "clusterCount")["dryRun"] is True
    scene.await_status("the endless pause", lambda status: status.get("phase") == "Paused")
    scene.command("promote")
    scene.await_stable(2)


def build_judge(script: str) -> tuple[Object, Object]:
    """Return the pod that answers webhooks by a script on port 8080, and its Service, both named judge."""
    labels = {"app": "judge"}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "judge", "labels": labels},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "judge",
                    "image": images()["worker"],
                    "command": ["python3", "-c", script],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "judge"},
        "spec": {"selector": labels, "ports": [{"port": 8080}]},
    }
    return pod, service


@pytest.fixture
def judge(scene: Scene) -> Object:
    """Start the service, and return the gate that asks it."""
    scene.kube.apply(scene.namespace, *build_judge(SERVER))
    return {"name": "sales", "url": f"http://judge.{scene.namespace}:8080/", "consecutiveErrorLimit": 1}


@pytest.mark.alone
def test_a_service_is_asked_only_where_it_is_allowed_and_then_stops_a_version(scene: Scene, judge: Object) -> None:
    """Denied by default, which holds the rollout and moves nothing; once allowed, its word counts."""
    scene.serve(HELD_CANARY, analysis={**ANALYSIS, "webhooks": [judge]})
    scene.apply_model(eps=0.6)
    status = scene.await_status(
        "the denial", lambda status: gate(status, "webhook/sales").get("verdict") == "error", seconds=120
    )
    assert "analysis.allowedHosts" in gate(status, "webhook/sales")["message"]
    assert status["actualWeight"] == 50
    install_chart(scene.kube, f"analysis.allowedHosts={{judge.{scene.namespace}:8080}}")
    try:
        status = await_rollback(scene, "webhook/sales")
    finally:
        install_chart(scene.kube)
    assert "version 2 sells nothing" in status["blockedVersions"][0]["message"]
