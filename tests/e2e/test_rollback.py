"""The way back after a promotion, at once; a candidate judged at 100 %, and one looked at before its first step."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from hack.lab.install import install_chart, port_forward
from hack.lab.kube import Object, wait_for
from tests.e2e.scene import ANALYSIS, NAME, Scene, await_calls, infer
from tests.e2e.test_gates import build_judge

ROUTERS = ["Service", "Gateway"]
RETURN_SECONDS = 5.0
"""The longest that the way back may take, from the command or the verdict to all traffic on stable."""

JUDGE = """
import http.server, json
class Judge(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        facts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        verdict = "fail" if facts["weight"] == 100 else "pass"
        body = json.dumps({"verdict": verdict, "message": "nobody buys any more"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Judge).serve_forever()
"""


def quick(**more: Any) -> Object:
    """Return blue-green that gives all traffic as soon as the pods are ready."""
    return {"blueGreen": {"steps": 1, "scaleDownDelaySeconds": 120, **more}}


def routed_version(scene: Scene, router: str) -> int | None:
    """Return the version that the router gives all calls to, as the cluster's objects say; None for several."""
    status = scene.status()
    known = [status.get(role) for role in ("stable", "candidate")] + status.get("retiring", [])
    versions = {item["revision"]: item["version"] for item in known if item}
    if router == "Service":
        selector = (scene.kube.get("services", scene.namespace, NAME) or {})["spec"]["selector"]
        return versions.get(selector.get("shoal.dev/revision"))
    route = scene.kube.get("grpcroutes", scene.namespace, NAME) or {}
    backends = route["spec"]["rules"][0]["backendRefs"]
    bearing = [item["name"].removeprefix(f"{NAME}-") for item in backends if item["weight"]]
    return versions.get(bearing[0]) if len(bearing) == 1 else None


def await_return(scene: Scene, router: str, since: float, what: str) -> float:
    """Wait until the router gives all calls to version 1; prints and returns the seconds that it took."""
    wait_for("all traffic on version 1", lambda: routed_version(scene, router) == 1, 60)
    seconds = time.monotonic() - since
    print(f"\n{router}: {what} to 100 % on the version before in {seconds:.2f} s")
    return seconds


@pytest.mark.parametrize("router", ROUTERS)
def test_a_rollback_inside_the_delay_is_instant_and_fails_no_call(scene: Scene, router: str) -> None:
    """Version 2 was promoted; the command moves all calls to the pods of version 1 that stand by, and none fails."""
    scene.serve(quick(), router, worker={"replicas": 2, "maxConnectionAgeSeconds": 5})
    standing_by = scene.pod_uids(1)
    with scene.callers(router) as callers:
        await_calls(callers, 60)
        scene.apply_model(eps=0.6)
        scene.await_stable(2, seconds=120)
        await_calls(callers, 240)
        assert callers.last["byVersion"]["2"] > 0
        since = time.monotonic()
        scene.command("rollback")
        assert await_return(scene, router, since, "from the command") < RETURN_SECONDS
        status = scene.await_status("version 1 stable", lambda status: status["stable"]["version"] == 1)
        assert [(item["version"], item["reason"]) for item in status["blockedVersions"]] == [(2, "RolledBack")]
        # Connections to version 2 end by themselves, at their age.
        wait_for("no more calls on version 2", lambda: _steady(scene, callers), 60)
        await_calls(callers, 240)
    assert callers.last["failed"] == 0, callers.last
    assert scene.pod_uids(1) == standing_by, "nothing was restarted"
    scene.await_condition("clusteringdeployments", NAME, "Degraded", "RolledBack")
    scene.command("retry")
    scene.await_stable(2, seconds=120)


def _steady(scene: Scene, callers: Any) -> bool:
    """Tell whether a second of calls brought none of version 2."""
    before = callers.last["byVersion"].get("2", 0)
    sent = callers.last["sent"]
    wait_for("another line of the callers", lambda: callers.last["sent"] >= sent + 90, 30)
    return bool(callers.last["byVersion"].get("2", 0) == before)


def test_an_older_version_in_the_spec_goes_back_at_once(scene: Scene) -> None:
    """What Git says after a revert: modelRef.version names the version that stands by."""
    scene.serve(quick())
    scene.apply_model(eps=0.6)
    scene.await_stable(2, seconds=120)
    since = time.monotonic()
    scene.apply_deployment(quick(), version="1")
    assert await_return(scene, "Service", since, "from the apply") < RETURN_SECONDS
    status = scene.await_stable(1)
    assert not status.get("blockedVersions")


@pytest.mark.alone
@pytest.mark.parametrize("router", ROUTERS)
def test_a_failure_with_all_traffic_switches_back_before_it_is_stable(scene: Scene, router: str) -> None:
    """A service of ours condemns version 2 once it has all calls: version 1, which stayed stable, gets them again."""
    scene.kube.apply(scene.namespace, *build_judge(JUDGE))
    install_chart(scene.kube, f"analysis.allowedHosts={{judge.{scene.namespace}:8080}}")
    gate = {"name": "sales", "url": f"http://judge.{scene.namespace}:8080/", "initialDelaySeconds": 5}
    try:
        scene.serve(quick(postPromotion={"durationSeconds": 60}), router, analysis={**ANALYSIS, "webhooks": [gate]})
        with scene.callers(router) as callers:
            await_calls(callers, 60)
            scene.apply_model(eps=0.6)
            status = scene.await_status(
                "all traffic on version 2", lambda status: status.get("actualWeight") == 100, seconds=120
            )
            assert status["stable"]["version"] == 1
            record = (scene.kube.get("clusteringdeployments", scene.namespace, NAME) or {})["metadata"]["annotations"]
            assert '"version":1' in record["shoal.dev/stable"]
            status = scene.await_status("the verdict", lambda status: status.get("blockedVersions"), seconds=60)
            assert await_return(scene, router, time.monotonic(), "from the verdict") < RETURN_SECONDS
            await_calls(callers, 120)
        assert callers.last["failed"] == 0, callers.last
    finally:
        install_chart(scene.kube)
    assert "nobody buys any more" in status["blockedVersions"][0]["message"]
    assert status["stable"]["version"] == 1


def test_the_complete_pool_can_be_looked_at_before_its_first_step(scene: Scene) -> None:
    """autoPromotionSeconds: version 2 answers whoever asks the preview Service, all callers still get version 1."""
    scene.serve(quick(autoPromotionSeconds=15))
    with scene.callers() as callers:
        await_calls(callers, 60)
        scene.apply_model(eps=0.6)
        status = scene.await_status(
            "a complete pool", lambda status: status.get("candidateReadyReplicas") == 2 and status.get("stepStartedAt")
        )
        assert (status["weight"], status["actualWeight"]) == (0, 0)
        assert "to be looked at until" in status["message"]
        with port_forward(scene.kube, scene.namespace, f"service/{NAME}-preview", 8001) as port:
            client = triton.InferenceServerClient(f"127.0.0.1:{port}")
            assert infer(client, np.array([[-5.0, -5.0], [50.0, 50.0]])).tolist()[1] == -1
            client.close()
        assert "2" not in callers.last["byVersion"]
        scene.await_stable(2, seconds=60)
        await_calls(callers, 120)
    assert callers.last["failed"] == 0, callers.last
