"""Things die at the worst moment: the rollout ends as it would have, and callers do not notice."""

from __future__ import annotations

import pytest

from hack.lab.install import SYSTEM_NAMESPACE
from hack.lab.kube import wait_for
from tests.e2e.scene import NAME, Scene, await_calls

OPERATOR = "app.kubernetes.io/name=shoal"


@pytest.mark.alone
def test_an_operator_killed_in_mid_rollout_ends_it_after_its_return(scene: Scene) -> None:
    """SIGKILL-like deletion of the operator's pod while a candidate has weight."""
    scene.serve()
    with scene.callers() as callers:
        await_calls(callers, 60)
        scene.apply_model(eps=0.6)
        scene.await_status("a candidate with weight", lambda status: status.get("actualWeight", 0) > 0)
        before = {pod["metadata"]["uid"] for pod in scene.kube.find("pods", SYSTEM_NAMESPACE, OPERATOR)}
        scene.kube.kubectl("delete", "pods", "-l", OPERATOR, "--force", "--grace-period=0", "-n", SYSTEM_NAMESPACE)
        scene.await_stable(2, seconds=150)
        await_calls(callers, 60)
    after = {pod["metadata"]["uid"] for pod in scene.kube.find("pods", SYSTEM_NAMESPACE, OPERATOR)}
    assert after.isdisjoint(before)
    assert callers.last["failed"] == 0, callers.last


def test_pods_deleted_under_load_fail_no_call(scene: Scene) -> None:
    """Both pods are deleted one after the other, as a node drain does; each drains before it stops."""
    scene.serve()
    with scene.callers() as callers:
        await_calls(callers, 60)
        for pod in scene.kube.find("pods", scene.namespace, f"shoal.dev/deployment={NAME}"):
            scene.kube.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", "-n", scene.namespace)
            wait_for("the replacement", lambda: scene.status().get("readyReplicas") == 1, 30)
            scene.await_status("two ready pods", lambda status: status.get("readyReplicas") == 2)
        await_calls(callers, 120)
    assert callers.last["failed"] == 0, callers.last


def test_a_pod_killed_at_once_costs_at_most_the_calls_in_flight(scene: Scene) -> None:
    """SIGKILL of a container: only calls inside it may fail, each as UNAVAILABLE, and service goes on."""
    scene.serve()
    with scene.callers() as callers:
        await_calls(callers, 60)
        pod = scene.kube.find("pods", scene.namespace, f"shoal.dev/deployment={NAME}")[0]["metadata"]["name"]
        scene.kube.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "-n", scene.namespace)
        scene.await_status("two ready pods", lambda status: status.get("readyReplicas") == 2)
        await_calls(callers, 240)
    assert set(callers.last["errors"]) <= {"UNAVAILABLE"}, callers.last
    assert callers.last["failed"] <= 8, callers.last
