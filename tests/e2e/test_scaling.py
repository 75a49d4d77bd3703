"""The load chooses the number of pods: through both routers without a failed call, and never against another scaler."""

from __future__ import annotations

import pytest

from hack.lab.kube import Object
from tests.e2e.scene import CANARY, NAME, Scene, await_calls

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
