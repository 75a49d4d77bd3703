"""A server that lies about a metric, and a pod that dies while its calls are judged: traffic moves for neither."""

from __future__ import annotations

import pytest

from hack.lab.install import install_chart
from hack.lab.kube import Object, images
from tests.e2e.scene import ANALYSIS, HELD_CANARY, Scene, await_calls
from tests.e2e.test_gates import gate

LIAR = """
import http.server, json, time
LIES = ["<html>login</html>", "[]", json.dumps({"status": "success", "data": {"resultType": "vector", "result": [
    {"metric": {}, "value": [time.time() - 3600, "1"]}]}}), "{" * 50000]
class Liar(http.server.BaseHTTPRequestHandler):
    count = 0
    def do_POST(self):
        Liar.count += 1
        body = LIES[Liar.count % len(LIES)].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 9090), Liar).serve_forever()
"""
SECURE = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}


def run_liar(scene: Scene) -> str:
    """Start the server in the test's namespace; returns its host."""
    labels = {"app": "liar"}
    container = {
        "name": "liar",
        "image": images()["worker"],
        "command": ["python3", "-c", LIAR],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "liar", "labels": labels},
        "spec": {"securityContext": SECURE, "containers": [container]},
    }
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "liar"},
        "spec": {"selector": labels, "ports": [{"port": 9090}]},
    }
    scene.kube.apply(scene.namespace, pod, service)
    scene.kube.kubectl("wait", "--for=condition=Ready", "pod/liar", "-n", scene.namespace, "--timeout=60s")
    return f"liar.{scene.namespace}:9090"


@pytest.mark.alone
def test_a_lying_server_holds_the_rollout_with_a_reason_and_fails_no_call(scene: Scene) -> None:
    """Every answer is another lie: errors in a row hold the rollout at its weight, until a person decides."""
    host = run_liar(scene)
    query = {"name": "sales", "address": f"http://{host}", "query": "sum(sales)", "max": 1, "consecutiveErrorLimit": 2}
    strategy = {"canary": {"steps": [{"setWeight": 50}, {"pause": {"durationSeconds": 5}}]}}
    install_chart(scene.kube, f"analysis.allowedHosts={{{host}}}")
    try:
        analysis = {**ANALYSIS, "onInconclusive": "Proceed", "prometheus": [{**query, "minSamples": 0}]}
        scene.serve(strategy, analysis=analysis)
        with scene.callers() as callers:
            await_calls(callers, 60)
            scene.apply_model(eps=0.6)
            scene.await_condition("clusteringdeployments", "blobs", "Paused", "GateError", seconds=120)
            status = scene.status()
            assert gate(status, "prometheus/sales")["verdict"] == "error"
            assert (status["actualWeight"], status["stable"]["version"]) == (50, 1)
            assert not status.get("blockedVersions")
            scene.command("promote")
            scene.await_stable(2)
        assert callers.last["failed"] == 0, callers.last
    finally:
        install_chart(scene.kube)


def test_a_pod_that_dies_while_it_is_judged_is_no_reason_to_roll_back(scene: Scene) -> None:
    """One of the candidate's pods is killed in mid-window: the other's calls go on to be judged, and it is replaced."""
    scene.serve(HELD_CANARY, worker={"replicas": 4})
    with scene.callers() as callers:
        await_calls(callers, 60)
        scene.apply_model(eps=0.6)
        scene.await_status("a verdict", lambda status: gate(status, "errorRate").get("verdict") == "pass", seconds=120)
        pods = scene.pods(2)
        name = pods[0]["metadata"]["name"]
        scene.kube.kubectl("delete", "pod", name, "--force", "--grace-period=0", "-n", scene.namespace)
        before = gate(scene.status(), "errorRate")["candidate"]["calls"]
        status = scene.await_status(
            "more judged calls",
            lambda status: gate(status, "errorRate").get("candidate", {}).get("calls", 0) > before + 60,
            seconds=60,
        )
        assert gate(status, "errorRate")["verdict"] != "fail"
        assert not status.get("blockedVersions")
        scene.await_status("its replacement", lambda _: len(scene.pod_uids(2)) == len(pods))
        scene.command("promote")
        scene.await_stable(2)
