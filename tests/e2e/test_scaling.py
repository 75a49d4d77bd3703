"""The load chooses the number of pods: through both routers without a failed call, and never against other writers."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest
import yaml

from hack.lab.install import install_chart, port_forward
from hack.lab.kube import REPOSITORY, Object, wait_for
from tests.e2e.scene import CANARY, NAME, Scene, await_calls
from tests.e2e.test_hostile_metrics import run_liar

SCALING: Object = {
    "minReplicas": 1,
    "maxReplicas": 3,
    "intervalSeconds": 2,
    "metrics": {"requestsPerSecond": {"averageValue": 20}},
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 6}},
}


def ready(status: Object, count: int) -> bool:
    """Tell whether so many pods of stable are there, and all ready."""
    return status.get("readyReplicas") == status.get("replicas") == count


@pytest.mark.parametrize("router", ["Service", "Gateway"])
def test_pods_follow_the_load_up_and_down_and_no_call_fails(scene: Scene, router: str) -> None:
    """60 calls a second at 20 a pod are 3 pods; 10 are one again. Calls flow all the time."""
    scene.serve(CANARY, router, scaling=SCALING, worker={"replicas": 1})
    with scene.callers(router, rate=60) as callers:
        status = scene.await_status("3 pods", lambda status: ready(status, 3), seconds=120)
        assert status["scaling"]["replicas"] == 3
        assert status["scaling"]["metrics"][0]["name"] == "requestsPerSecond"
        scene.await_condition("clusteringdeployments", NAME, "ScalingActive", "ValidMetricFound")
        await_calls(callers, 120)
    assert callers.last["failed"] == 0, callers.last
    with scene.callers(router, rate=10) as callers:
        scene.await_status("one pod", lambda status: ready(status, 1), seconds=150)
        # The pods that left have drained once they are gone.
        await_calls(callers, 100)
    assert callers.last["failed"] == 0, callers.last


def test_another_autoscaler_of_the_same_deployment_is_refused(scene: Scene) -> None:
    """Both would fight over the pods; without spec.scaling an external one works by /scale."""
    scene.serve(CANARY, scaling=SCALING, worker={"replicas": 1})
    target = {"apiVersion": "shoal.dev/v1alpha1", "kind": "ClusteringDeployment", "name": NAME}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    rival = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "rival"},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2, "metrics": [metric]},
    }
    scene.kube.apply(scene.namespace, rival)
    told = scene.await_condition("clusteringdeployments", NAME, "ScalingActive", "ScaleConflict")
    assert "HorizontalPodAutoscaler rival" in told["message"]
    scene.kube.kubectl("delete", "hpa", "rival", "--namespace", scene.namespace)
    scene.apply_deployment(CANARY, worker={"replicas": 1})
    scene.kube.kubectl("scale", "cdep", NAME, "--replicas=2", "--namespace", scene.namespace)
    scene.await_status("2 pods by /scale", lambda status: ready(status, 2))


def pool_of(scene: Scene) -> Object:
    """Return stable's Deployment."""
    return scene.kube.get("deployments", scene.namespace, f"{NAME}-{scene.status()['stable']['revision']}") or {}


def test_a_pool_that_somebody_else_scales_is_set_back_and_the_writer_is_named(scene: Scene) -> None:
    """A person writes the pool's number again and again; each write costs one of ours an interval at most."""
    scene.serve(CANARY, scaling={**SCALING, "intervalSeconds": 10}, worker={"replicas": 1})
    began, written, generation = time.monotonic(), 0, pool_of(scene)["metadata"]["generation"]
    while time.monotonic() - began < 30:
        pool = pool_of(scene)
        if pool["spec"]["replicas"] != 2:
            name = pool["metadata"]["name"]
            scene.kube.kubectl("scale", "deployment", name, "--replicas=2", "--namespace", scene.namespace)
            written += 1
        time.sleep(0.5)
    told = scene.await_condition("clusteringdeployments", NAME, "AbleToScale", "ScaleConflict")
    assert told["status"] == "False"
    assert "kubectl set Deployment" in told["message"]
    scene.await_status("the number of the scaler", lambda _: pool_of(scene)["spec"]["replicas"] == 1, seconds=30)
    # Each write changes the generation once: theirs, and as many of ours as there were intervals.
    ours = pool_of(scene)["metadata"]["generation"] - generation - written
    assert 1 <= ours <= 30 / 10 + 2


def test_a_number_set_by_scale_beside_the_scaler_has_no_effect_and_is_told(scene: Scene) -> None:
    scene.serve(CANARY, scaling=SCALING, worker={"replicas": 1})
    scene.kube.kubectl("scale", "cdep", NAME, "--replicas=3", "--namespace", scene.namespace)
    told = scene.await_condition("clusteringdeployments", NAME, "AbleToScale", "ScaleConflict")
    assert "worker.replicas to 3 by the scale subresource" in told["message"]
    assert pool_of(scene)["spec"]["replicas"] == 1


@pytest.mark.alone
def test_a_server_that_lies_about_a_scaling_metric_removes_no_pod(scene: Scene) -> None:
    host = run_liar(scene)
    query = {"name": "jobs", "address": f"http://{host}", "query": "sum(jobs)", "averageValue": 10}
    install_chart(scene.kube, f"analysis.allowedHosts={{{host}}}")
    try:
        scene.serve(CANARY, scaling={**SCALING, "metrics": {"prometheus": [query]}}, worker={"replicas": 2})
        scene.await_condition("clusteringdeployments", NAME, "ScalingActive", "FailedGetExternalMetric")
        status = scene.status()
        assert status["scaling"]["replicas"] == 2
        assert status["scaling"]["metrics"][0]["problem"]
    finally:
        install_chart(scene.kube)


def answered(scene: Scene, pod: str) -> float:
    """Return the calls that a pod has answered."""
    with (
        port_forward(scene.kube, scene.namespace, f"pod/{pod}", 8002) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response,
    ):
        found = re.findall(r'^shoal_requests_total\{code="OK"\} (\S+)', response.read().decode(), re.MULTILINE)
    return sum(float(number) for number in found)


def test_a_gateway_that_starts_slowly_gives_a_new_pod_its_calls_little_by_little(scene: Scene) -> None:
    """examples/slow-start.yaml on the route: far from half at first, half in the end, and no call fails."""
    policy = yaml.safe_load((REPOSITORY / "examples" / "slow-start.yaml").read_text())
    policy["spec"]["targetRefs"][0]["name"] = NAME
    policy["spec"]["loadBalancer"]["slowStart"]["window"] = "15s"
    scene.serve(CANARY, "Gateway", worker={"replicas": 1})
    scene.kube.apply(scene.namespace, policy)
    (old,) = (pod["metadata"]["name"] for pod in scene.pods(1))
    with scene.callers("Gateway", rate=100) as callers:
        # To Envoy the old pod is new too when the policy comes.
        await_calls(callers, 2000)
        scene.kube.kubectl("scale", "cdep", NAME, "--replicas=2", "--namespace", scene.namespace)
        scene.await_status("2 pods", lambda status: ready(status, 2))
        (new,) = (name for pod in scene.pods(1) if (name := pod["metadata"]["name"]) != old)

        def share(calls: int) -> float:
            """Return the new pod's part of the next calls."""
            before = answered(scene, old), answered(scene, new)
            await_calls(callers, calls)
            theirs, mine = answered(scene, old) - before[0], answered(scene, new) - before[1]
            return mine / (theirs + mine)

        first = share(200)
        assert first < 0.35, first
        wait_for("an equal part", lambda: share(500) > 0.45, 90)
    assert callers.last["failed"] == 0, callers.last
