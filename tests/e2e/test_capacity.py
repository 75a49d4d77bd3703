"""The capacity rule on a real cluster: at every change of a life under load, pods bear the calls routed to them."""

from __future__ import annotations

import pytest

from hack.lab.kube import wait_for
from tests.e2e.scene import Scene, await_calls
from tests.e2e.timeline import record

STRATEGY = {
    "canary": {
        "steps": [
            {"setWeight": 30},
            {"pause": {"durationSeconds": 2}},
            {"setScale": {"percent": 100}},
            {"setWeight": 50},
            {"pause": {}},
            {"setScale": {"matchWeight": True}},
            {"pause": {"durationSeconds": 2}},
        ],
        "scaleDownDelaySeconds": 3,
    }
}


@pytest.mark.parametrize("router", ["Service", "Gateway"])
def test_pods_bear_what_is_routed_to_them_at_every_change(scene: Scene, router: str) -> None:
    """A promotion, with a candidate's pod lost on the way, then an abort; the rule holds at every watch event."""
    with record(scene.kube, scene.namespace, "blobs") as timeline:
        scene.serve(STRATEGY, router)
        with scene.callers(router, rate=20) as callers:
            await_calls(callers, 20)
            scene.apply_model(eps=0.6)
            scene.await_status("the endless pause", lambda status: status.get("phase") == "Paused", seconds=120)
            victim = scene.pods(2)[0]["metadata"]
            scene.kube.kubectl("delete", "pod", victim["name"], "--wait=false", "--namespace", scene.namespace)
            scene.await_status(
                "both pods ready again",
                lambda status: (
                    status.get("candidateReadyReplicas") == 2
                    and victim["uid"] not in scene.pod_uids(2)
                    and status.get("actualWeight") == 50
                ),
            )
            scene.command("promote")
            scene.await_stable(2, seconds=120)
            scene.await_status("the old pods gone", lambda _: not scene.pods(1))
            scene.apply_model(eps=0.7)
            scene.await_status("version 3 on trial", lambda status: status.get("actualWeight", 0) > 0, seconds=120)
            scene.command("abort")
            scene.await_status("the abort", lambda status: status.get("blockedVersions"))
            wait_for("version 3's pods gone", lambda: not scene.pods(3), 60)
            await_calls(callers, 20)
    assert callers.last["failed"] == 0, callers.last
    changes = timeline.check()
    assert min(changes[kind] for kind in ("Deployment", "Pod", "Service")) > 5, changes
    assert router == "Service" or changes["GRPCRoute"] > 5, changes
