"""Somebody deletes the route or a Service in mid-rollout: it comes back as it was, and the rollout goes on."""

from __future__ import annotations

import pytest

from hack.lab.callers import Callers
from hack.lab.kube import Object, wait_for
from tests.e2e.scene import HELD_CANARY, NAME, Scene, await_calls


@pytest.mark.parametrize(("router", "plural"), [("Service", "services"), ("Gateway", "grpcroutes")])
def test_deleted_routing_comes_back_with_the_same_share(scene: Scene, router: str, plural: str) -> None:
    """A call in the moment without it may fail, as nothing routes it; afterwards none does."""
    scene.serve(HELD_CANARY, router)
    with scene.callers(router, rate=20) as callers:
        await_calls(callers, 40)
        scene.apply_model(eps=0.6)
        scene.await_status("the endless pause", lambda status: status.get("phase") == "Paused", seconds=120)
        assert callers.last["failed"] == 0, callers.last
        before = routing(scene, plural)
        scene.kube.kubectl("delete", plural, NAME, "--namespace", scene.namespace)
        after = wait_for("another in its place", lambda: another(scene, plural, before), 15)
        assert share(after) == share(before)
        assert after["spec"].get("clusterIP") == before["spec"].get("clusterIP"), "clients keep what they resolved"
        scene.await_status("the rollout where it was", lambda status: status.get("actualWeight") == 50)
        wait_for("calls that all succeed again", lambda: recovered(callers), 90)
        assert callers.last["failed"] < 400, callers.last
        assert not scene.status().get("blockedVersions")
        scene.command("promote")
        scene.await_stable(2, seconds=120)


def recovered(callers: Callers) -> bool:
    """Look whether no call fails while every connection reaches its greatest age and is made anew."""
    before = callers.last
    wait_for("300 calls", lambda: callers.last["sent"] >= before["sent"] + 300, 60)
    return bool(callers.last["failed"] == before["failed"])


def routing(scene: Scene, plural: str) -> Object:
    """Return the object that routes the calls."""
    return scene.kube.get(plural, scene.namespace, NAME) or {}


def another(scene: Scene, plural: str, before: Object) -> Object | None:
    """Return the object that took the place of a deleted one, once there is one."""
    found = scene.kube.get(plural, scene.namespace, NAME, missing_ok=True)
    return found if found and found["metadata"]["uid"] != before["metadata"]["uid"] else None


def share(found: Object) -> object:
    """Return what decides where calls go."""
    return found["spec"].get("rules") or found["spec"]["selector"]
