"""A new version takes over: both strategies on both routers under load, and everything that can change its course."""

from __future__ import annotations

import time

import pytest

from hack.lab.kube import Object
from tests.e2e.scene import BLUE_GREEN, CANARY, HELD_CANARY, Scene, await_calls

ROUTERS = ["Service", "Gateway"]


def version(revision: Object | None) -> int | None:
    """Return the version of a revision of the status."""
    return (revision or {}).get("version")


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("strategy", [CANARY, BLUE_GREEN], ids=["canary", "blueGreen"])
def test_a_promotion_under_load_fails_no_call_and_restarts_no_pod(scene: Scene, strategy: Object, router: str) -> None:
    """Version 2 takes over step by step while calls flow; its pods on trial are the pods that serve afterwards."""
    scene.serve(strategy, router)
    with scene.callers(router) as callers:
        await_calls(callers, 60)
        scene.apply_model(eps=0.6)
        scene.await_status("a candidate with weight", lambda status: status.get("actualWeight", 0) > 0)
        on_trial = scene.pod_uids(2)
        status = scene.await_stable(2, seconds=120)
        await_calls(callers, 120)
        scene.await_status("the old pods gone", lambda _: not scene.pod_uids(1))
        await_calls(callers, 120)
    assert callers.last["failed"] == 0, callers.last
    assert callers.last["byVersion"]["2"] > 0
    assert on_trial <= scene.pod_uids(2)
    assert not status.get("blockedVersions")


@pytest.mark.parametrize("router", ROUTERS)
def test_a_version_that_breaks_callers_is_rolled_back_and_blocked(scene: Scene, router: str) -> None:
    """Version 2 wants three columns, every caller sends two: the error gate sends all traffic back to version 1."""
    scene.serve(HELD_CANARY, router)
    with scene.callers(router) as callers:
        await_calls(callers, 60)
        scene.apply_model(columns=("x", "y", "z"))
        status = scene.await_status("a blocked version", lambda status: status.get("blockedVersions"), seconds=120)
        assert version(status["stable"]) == 1
        assert status["blockedVersions"][0]["version"] == 2
        assert "errorRate" in status["blockedVersions"][0]["message"]
        assert status["weight"] == 0
        # Connections to version 2 may outlive its weight, until its pods have drained.
        scene.await_status("version 2's pods gone", lambda _: not scene.pods(2))
        failed = await_calls(callers, 60)["failed"]
        await_calls(callers, 120)
        assert callers.last["failed"] == failed
    scene.await_condition("clusteringdeployments", "blobs", "Degraded", "RolledBack")
    scene.command("retry")
    scene.await_status("another try", lambda status: version(status.get("candidate")) == 2)


def test_abort_sends_all_traffic_back(scene: Scene) -> None:
    """Abort wins at any step; the version stays blocked."""
    scene.serve(HELD_CANARY)
    scene.apply_model(eps=0.6)
    scene.await_status("a candidate with weight", lambda status: status.get("actualWeight", 0) > 0)
    started = time.monotonic()
    scene.command("abort")
    status = scene.await_status("the abort", lambda status: status.get("blockedVersions"))
    assert time.monotonic() - started < 10
    assert (status["weight"], version(status["stable"])) == (0, 1)
    assert status["blockedVersions"][0]["reason"] == "Aborted"
    found = scene.kube.get("clusteringdeployments", scene.namespace, "blobs") or {}
    scene.await_status(
        "the annotation removed",
        lambda _: (
            "shoal.dev/abort"
            not in (scene.kube.get("clusteringdeployments", scene.namespace, "blobs") or found)["metadata"].get(
                "annotations", {}
            )
        ),
    )


def test_pause_holds_and_promote_ends_an_endless_step(scene: Scene) -> None:
    """A paused rollout keeps its weight; promote goes on where only a person can."""
    scene.serve(HELD_CANARY, "Gateway")
    scene.apply_model(eps=0.6)
    scene.await_status("the endless pause", lambda status: status.get("phase") == "Paused")
    scene.command("pause")
    scene.await_condition("clusteringdeployments", "blobs", "Paused", "PausedByUser")
    assert scene.status()["actualWeight"] == 50
    scene.command("resume")
    scene.await_condition("clusteringdeployments", "blobs", "Paused", "PausedByStep")
    scene.command("promote")
    scene.await_stable(2)


def test_a_change_of_mind_starts_again_from_the_old_stable(scene: Scene) -> None:
    """Version 3 arrives while version 2 is half out: version 1 stays the stable one until 3 is promoted."""
    scene.serve(HELD_CANARY)
    scene.apply_model(eps=0.6)
    scene.await_status("version 2 on trial", lambda status: status.get("actualWeight", 0) > 0)
    scene.apply_model(eps=0.7)
    status = scene.await_status("version 3 on trial", lambda status: version(status.get("candidate")) == 3)
    assert version(status["stable"]) == 1
    scene.await_status("weight for version 3", lambda status: status.get("actualWeight", 0) > 0)
    scene.await_status("version 2's pods gone", lambda _: not scene.pod_uids(2))
    scene.command("promote-full")
    scene.await_stable(3)


def test_a_pinned_version_is_served_and_going_back_is_a_rollout_too(scene: Scene) -> None:
    """modelRef.version pins a version; setting it back to the stable one mid-rollout undoes the rollout at once."""
    scene.serve(HELD_CANARY)
    scene.apply_model(eps=0.6)
    scene.await_status("version 2 on trial", lambda status: status.get("actualWeight", 0) > 0)
    scene.apply_deployment(HELD_CANARY, version="1")
    status = scene.await_stable(1, seconds=30)
    assert status["weight"] == 0
    assert not status.get("blockedVersions")
