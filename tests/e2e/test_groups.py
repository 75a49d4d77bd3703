"""Deployments of one model in order and together, a gate that runs a Job, and hooks, on the real cluster."""

from __future__ import annotations

from typing import Any

import pytest

from hack.lab.install import install_chart
from hack.lab.kube import Object, images, wait_for
from tests.e2e.scene import ANALYSIS, HELD_CANARY, NAME, Scene

QUICK: Object = {"canary": {"steps": [{"setWeight": 50}], "scaleDownDelaySeconds": 3}}
RESTRICTED: Object = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINED: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

JUDGE = """
import os, sys
version = os.environ["SHOAL_CANDIDATE_VERSION"]
print(f"version {version} at {os.environ['SHOAL_WEIGHT']} %", file=open("/dev/termination-log", "w"))
sys.exit(version == "2")
"""

SERVER = """
import http.server, json
asked = []
class Desk(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        facts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked.append(self.headers["Idempotency-Key"])
        print(facts["at"], facts["candidate"]["version"], "again" if asked.count(asked[-1]) > 1 else "new", flush=True)
        self.send_response(200 if asked.count(asked[-1]) > 1 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8080), Desk).serve_forever()
"""


def container(name: str, script: str) -> Object:
    """Return a container that runs a script."""
    return {
        "name": name,
        "image": images()["worker"],
        "command": ["python3", "-c", script],
        "securityContext": CONTAINED,
    }


def cron_job(name: str, script: str, *, startable: bool = True) -> Object:
    """Return a suspended CronJob that runs a script."""
    pod = {"restartPolicy": "Never", "securityContext": RESTRICTED, "containers": [container("judge", script)]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "annotations": {"shoal.dev/startable": "true"} if startable else {}},
        "spec": {
            "schedule": "0 0 1 1 *",
            "suspend": True,
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }


def apply_member(scene: Scene, name: str, strategy: Object = QUICK, **group: Any) -> None:
    """Apply a deployment with one pod that is a member of the group."""
    scene.apply_deployment(strategy, name=name, worker={"replicas": 1}, group={"name": "eu", **group})


def await_stable(scene: Scene, version: int, *names: str) -> None:
    """Wait until deployments serve a version."""
    for name in names:
        scene.await_status(
            f"version {version} in {name}",
            lambda status: (status.get("stable") or {}).get("version") == version and not status.get("candidate"),
            seconds=120,
            name=name,
        )


def await_waiting(scene: Scene, name: str, told: str) -> Object:
    """Wait until a deployment waits for its group, and says so; returns the status."""
    return scene.await_status(
        f"{name} waits: {told}",
        lambda status: (
            told in status.get("message", "")
            and any(item["reason"] == "AwaitingGroup" for item in status["conditions"] if item["type"] == "Paused")
        ),
        seconds=120,
        name=name,
    )


def command(scene: Scene, name: str, word: str) -> None:
    """Give a deployment a command."""
    scene.kube.kubectl(
        "annotate", "cdep", name, f"shoal.dev/{word}=true", "--overwrite", "--namespace", scene.namespace
    )


def test_one_begins_after_the_other(scene: Scene) -> None:
    """The second has no pods of the new version until the first serves it."""
    scene.apply_model()
    apply_member(scene, "berlin", HELD_CANARY)
    apply_member(scene, "paris", promoteAfter=["berlin"])
    await_stable(scene, 1, "berlin", "paris")
    scene.apply_model(eps=0.6)
    status = await_waiting(scene, "paris", "berlin is at step 2 of 2")
    assert (status["candidate"]["version"], status["weight"], status["candidateReplicas"]) == (2, 0, 0)
    command(scene, "berlin", "promote")
    await_stable(scene, 2, "berlin", "paris")


def test_members_go_together_forward_and_back(scene: Scene) -> None:
    """All wait for the last one; when it is aborted all go back, when it is promoted all are."""
    scene.apply_model()
    apply_member(scene, "berlin", together=True)
    apply_member(scene, "paris", HELD_CANARY, together=True)
    await_stable(scene, 1, "berlin", "paris")
    scene.apply_model(eps=0.6)
    status = await_waiting(scene, "berlin", "paris is at step 2 of 2")
    assert (status["stage"], status["candidateReadyReplicas"]) == ("Passed", 1)
    command(scene, "paris", "abort")
    status = scene.await_status("berlin rolled back", lambda status: status.get("blockedVersions"), name="berlin")
    assert status["blockedVersions"][0]["reason"] == "GroupFailed"
    assert "deployment paris of its group rolled it back (Aborted)" in status["blockedVersions"][0]["message"]
    await_stable(scene, 1, "berlin", "paris")
    command(scene, "paris", "retry")
    await_waiting(scene, "berlin", "paris is at step 2 of 2")
    command(scene, "paris", "promote")
    await_stable(scene, 2, "berlin", "paris")


def verdict(status: Object) -> Object:
    """Return what the Job gate said last, if anything."""
    return next((item for item in status.get("verdicts", ()) if item["gate"] == "job/towns"), {})


def test_a_job_judges_a_version(scene: Scene) -> None:
    """It runs only where the CronJob's owner allows it; its failure stops version 2, its end lets version 3 pass."""
    scene.kube.apply(scene.namespace, cron_job("judge", JUDGE, startable=False))
    gate = {"name": "towns", "cronJob": "judge", "timeoutSeconds": 90}
    scene.serve(HELD_CANARY, analysis={**ANALYSIS, "jobs": [gate]}, worker={"replicas": 1})
    scene.apply_model(eps=0.6)
    status = scene.await_status("the refusal", lambda status: verdict(status).get("verdict") == "error", seconds=120)
    assert "kubectl annotate cronjob judge shoal.dev/startable=true" in verdict(status)["message"]
    assert status["weight"] == 50
    scene.kube.kubectl(
        "annotate", "cronjob", "judge", "shoal.dev/startable=true", "--overwrite", "--namespace", scene.namespace
    )
    status = scene.await_status("a blocked version", lambda status: status.get("blockedVersions"), seconds=120)
    assert "job/towns: Job blobs-task-" in status["blockedVersions"][0]["message"]
    assert "version 2 at 50 %" in status["blockedVersions"][0]["message"]
    scene.apply_model(eps=0.7)
    scene.await_status(
        "the Job's end", lambda status: verdict(status).get("message", "").startswith("version 3 at 50 %"), seconds=150
    )
    jobs = scene.kube.find("jobs", scene.namespace, f"shoal.dev/task-of={NAME}")
    assert len(jobs) == 2
    assert all(job["metadata"]["ownerReferences"][0]["kind"] == "ClusteringDeployment" for job in jobs)
    scene.command("promote")
    scene.await_stable(3)


@pytest.fixture
def desk(scene: Scene) -> Object:
    """Start a service that refuses every new request once; returns its pod."""
    labels = {"app": "desk"}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "desk", "labels": labels},
        "spec": {"securityContext": RESTRICTED, "containers": [container("desk", SERVER)]},
    }
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "desk"},
        "spec": {"selector": labels, "ports": [{"port": 8080}]},
    }
    scene.kube.apply(scene.namespace, pod, service)
    return pod


@pytest.mark.alone
def test_hooks_run_before_and_are_told_after(scene: Scene, desk: Object) -> None:
    """A Job lets the rollout begin; a service is told of the promotion until it says that it knows."""
    scene.kube.apply(scene.namespace, cron_job("prepare", "print('ready')"))
    host = f"desk.{scene.namespace}:8080"
    hooks = [
        {"name": "prepare", "at": "BeforeRollout", "cronJob": "prepare"},
        {"name": "tell", "at": "AfterPromotion", "url": f"http://{host}/"},
    ]
    install_chart(scene.kube, f"analysis.allowedHosts={{{host}}}")
    try:
        status = scene.serve(QUICK, hooks=hooks, worker={"replicas": 1}, analysis=ANALYSIS)
        assert status["hooks"] == []
        scene.apply_model(eps=0.6)
        scene.await_stable(2, seconds=150)
        status = scene.await_status(
            "both hooks' success",
            lambda status: [item["state"] for item in status["hooks"]] == ["Succeeded"] * 2,
            seconds=60,
        )
    finally:
        install_chart(scene.kube)
    assert [item["name"] for item in status["hooks"]] == ["prepare", "tell"]
    name = desk["metadata"]["name"]
    logs = wait_for("what was told", lambda: scene.kube.kubectl("logs", name, "--namespace", scene.namespace), 30)
    told = [line for line in logs.splitlines() if line.startswith("AfterPromotion")]
    assert told[:2] == ["AfterPromotion 2 new", "AfterPromotion 2 again"]
