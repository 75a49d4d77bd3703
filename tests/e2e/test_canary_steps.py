"""Canary steps that only a Gateway can do, through a real one: copies, calls by metadata, exact shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt

import numpy as np
import tritonclient.grpc as triton

from hack.lab.callers import Callers
from hack.lab.install import port_forward
from hack.lab.kube import Object, wait_for
from tests.e2e.scene import NAME, Scene, await_calls

STEPS = [
    {"mirror": {"percent": 50, "durationSeconds": 20}},
    {"setHeader": {"name": "x-tester", "value": "yes"}},
    {"setWeight": 20},
    {"analysis": {"maxSeconds": 120}},
    {"pause": {}},
]
STRATEGY = {"canary": {"steps": STEPS, "scaleDownDelaySeconds": 3}}
CALLS = 10_000


@contextmanager
def through_the_gateway(scene: Scene) -> Iterator[triton.InferenceServerClient]:
    """Yield a client that is connected to the proxy."""
    namespace, service = scene.kube.gateway_service(scene.namespace, NAME)
    with port_forward(scene.kube, namespace, f"service/{service}", 8080) as port:
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        yield client
        client.close()


def answered_by(client: triton.InferenceServerClient, headers: dict[str, str] | None = None) -> str:
    """Return the version that answers a call with this metadata."""
    tensor = triton.InferInput("points", [1, 2], "FP64")
    tensor.set_data_from_numpy(np.zeros((1, 2)))
    return str(client.infer(NAME, [tensor], headers=headers).get_response().model_version)


def count(callers: Callers) -> tuple[int, int]:
    """Return the calls that versions 1 and 2 answered so far."""
    found = callers.last["byVersion"]
    return found.get("1", 0), found.get("2", 0)


def calls(status: Object, side: str) -> int:
    """Return the calls of a side in the window of the gate on errors; 0 while nothing is copied."""
    found = [item.get(side) or {} for item in status.get("verdicts", []) if item["gate"] == "errorRate"]
    return found[0].get("calls", 0) if found and status.get("mirror") else 0


def copied(status: Object) -> int:
    """Return the copied calls that the gates saw."""
    return calls(status, "candidate")


def called(status: Object) -> int:
    """Return the calls of users that the gates saw in the same time."""
    return calls(status, "stable")


def test_a_candidate_sees_copies_then_chosen_callers_then_its_exact_share(scene: Scene) -> None:
    """No user gets an answer to a copy; metadata leads to version 2; so do 20 % of 10,000 calls, within 3 sigma."""
    scene.serve(STRATEGY, "Gateway")
    with scene.callers("Gateway", rate=150) as callers:
        await_calls(callers, 50)
        scene.apply_model(eps=0.6)
        first = scene.await_status("copies that the gates see", lambda status: copied(status) > 20, seconds=150)
        assert (first["weight"], first["mirror"]) == (0, 50)
        later = scene.await_status("more of them", lambda status: copied(status) > copied(first) + 300)
        assert count(callers)[1] == 0, "a user got the answer to a copy"
        # Of each pod's first seconds neither counts, so the share is that of what came since.
        share = (copied(later) - copied(first)) / (called(later) - called(first))
        assert 0.35 < share < 0.65, share
        scene.await_status("the weight", lambda status: status.get("actualWeight") == 20, seconds=90)
        route = scene.kube.get("grpcroutes", scene.namespace, NAME) or {}
        assert not any(rule.get("filters") for rule in route["spec"]["rules"])
        scene.await_status("the endless pause", lambda status: status.get("phase") == "Paused", seconds=120)
        begun = count(callers)
        with through_the_gateway(scene) as client:
            assert {answered_by(client, {"x-tester": "yes"}) for _ in range(20)} == {"2"}
            assert "1" in {answered_by(client) for _ in range(40)}
        wait_for(f"{CALLS} calls", lambda: sum(count(callers)) - sum(begun) >= CALLS, 240)
        old, new = (now - then for now, then in zip(count(callers), begun, strict=True))
        sigma = sqrt(0.2 * 0.8 / (old + new))
        assert abs(new / (old + new) - 0.2) < 3 * sigma, (old, new)
        scene.command("abort")
        scene.await_status("the abort", lambda status: status.get("blockedVersions"))
        wait_for(
            "the route without the candidate",
            lambda: len((scene.kube.get("grpcroutes", scene.namespace, NAME) or {})["spec"]["rules"]) == 1,
            30,
        )
        with through_the_gateway(scene) as client:
            wait_for("version 1 for everybody", lambda: answered_by(client, {"x-tester": "yes"}) == "1", 20)
    assert callers.last["failed"] == 0, callers.last["details"]


def test_a_copy_that_fails_rolls_back_and_no_user_notices(scene: Scene) -> None:
    """Version 2 wants three columns: every copied call fails there, none of the users' does."""
    scene.serve({"canary": {"steps": [{"mirror": {"percent": 100, "durationSeconds": 600}}]}}, "Gateway")
    with scene.callers("Gateway") as callers:
        await_calls(callers, 60)
        scene.apply_model(columns=("x", "y", "z"))
        status = scene.await_status("a blocked version", lambda status: status.get("blockedVersions"), seconds=120)
        assert "errorRate" in status["blockedVersions"][0]["message"]
        await_calls(callers, 60)
    route = scene.kube.get("grpcroutes", scene.namespace, NAME) or {}
    assert [rule.get("filters") for rule in route["spec"]["rules"]] == [None]
    assert (callers.last["failed"], set(callers.last["byVersion"])) == (0, {"1"}), callers.last
