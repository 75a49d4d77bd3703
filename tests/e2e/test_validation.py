"""A version is tested before it serves; one that fails is recorded and never served; parameters are searched for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hack.lab.install import DATA_BUCKET
from hack.lab.kube import Object, wait_for
from hack.lab.objects import build_model
from tests.e2e.scene import CANARY, NAME, Scene, infer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TESTS = {"basicFunctionality", "parameterValidation", "edgeCases", "performance", "memory", "reproducibility"}
CENTRES = np.array([[-5.0, -5.0], [5.0, 5.0], [-5.0, 5.0], [5.0, -5.0]])


def apply_validated(scene: Scene, validation: Object, **dbscan: Any) -> None:
    """Apply the model of the blobs with limits."""
    model = build_model(NAME, f"s3://{DATA_BUCKET}/e2e/blobs.parquet", columns=["x", "y"], **dbscan)
    model["spec"]["validation"] = validation
    scene.kube.apply(scene.namespace, model)


def await_recorded(scene: Scene, number: int, state: str) -> Object:
    """Wait until a version is recorded in a state, and return it."""

    def look() -> Object | None:
        found = scene.kube.get("clusteringmodelversions", scene.namespace, f"{NAME}-v{number}", missing_ok=True) or {}
        return found if found.get("status", {}).get("state") == state else None

    return wait_for(f"version {number} is {state}", look, 120)


def judged(version: Object) -> dict[str, Object]:
    """Return the tests of a version by name."""
    return {test["name"]: test for test in version["spec"]["validation"]["tests"]}


def test_a_relative_limit_rejects_while_the_live_version_serves(scene: Scene) -> None:
    """Version 2 clusters otherwise and is rejected, pinned or not; a dry run lets version 3 pass with its verdict."""
    first = scene.serve()["stable"]["version"]
    assert first == 1
    assert set(judged(await_recorded(scene, 1, "Active"))) >= TESTS

    apply_validated(scene, {"relative": {"minAgreement": 0.9, "minDbcvRatio": 0.9}}, eps=0.06, minSamples=5)
    second = await_recorded(scene, 2, "Rejected")
    agreement = judged(second)["minAgreement"]
    assert agreement["verdict"] == "fail"
    assert agreement["figures"]["baselineVersion"] == 1
    assert agreement["figures"]["adjustedRand"] < 0.9
    assert "minAgreement" in second["status"]["message"]
    told = scene.await_condition("clusteringmodels", NAME, "Degraded", "VersionRejected")
    assert "minAgreement" in told["message"]

    pin = '{"spec":{"modelRef":{"version":"2"}}}'
    scene.kube.kubectl("patch", "cdep", NAME, "--type=merge", "-p", pin, "--namespace", scene.namespace)
    scene.await_condition("clusteringdeployments", NAME, "Degraded", "VersionRejected")
    assert scene.status()["stable"]["version"] == 1
    assert not scene.pods(2)
    with scene.client() as client:
        assert len(set(infer(client, CENTRES).tolist()) - {-1}) == 4

    dry = {"relative": {"minAgreement": 0.9, "minDbcvRatio": 0.9, "dryRun": True}}
    apply_validated(scene, dry, eps=0.07, minSamples=5)
    third = await_recorded(scene, 3, "Active")
    assert third["spec"]["validation"]["verdict"] == "pass"
    assert judged(third)["minAgreement"]["verdict"] == "fail"
    assert judged(third)["minAgreement"]["dryRun"] is True
    assert any(warning.startswith("minAgreement") for warning in third["spec"]["validation"]["warnings"])


def test_a_model_that_is_too_slow_is_rejected(scene: Scene) -> None:
    """A nanosecond a row is what no model keeps."""
    apply_validated(scene, {"tests": {"performance": {"maxMillisPerSample": 0.000001}}}, eps=0.5)
    version = await_recorded(scene, 1, "Rejected")
    performance = judged(version)["performance"]
    assert performance["verdict"] == "fail"
    assert performance["limits"] == {"maxMillisPerSample": 0.000001}
    assert performance["figures"]["batchMillisPerSample"] > 0.000001
    assert {name for name, test in judged(version).items() if test["verdict"] == "fail"} == {"performance"}
    scene.apply_deployment(CANARY)
    scene.await_condition("clusteringdeployments", NAME, "Ready", "VersionNotReady")


def test_a_search_finds_eps_inside_its_bounds(scene: Scene) -> None:
    """The four blobs are found by an eps that nobody gave; what was tried is recorded with the version."""
    search = {"eps": {"min": 0.05, "max": 5.0}, "minSamples": {"min": 4, "max": 12}, "trials": 24}
    apply_validated(scene, {"minClusters": 2, "maxNoiseRatio": 0.2}, search=search)
    record = await_recorded(scene, 1, "Active")["spec"]
    found = record["algorithm"]["dbscan"]
    assert 0.05 <= found["eps"] <= 5.0
    assert 4 <= found["minSamples"] <= 12
    assert "search" not in found
    assert record["metrics"]["clusters"] == 4
    assert record["search"]["trials"] == 24
    best = record["search"]["best"][0]
    assert (best["eps"], best["minSamples"]) == (found["eps"], found["minSamples"])


@pytest.mark.parametrize(
    ("dbscan", "told"),
    [
        ({}, "give it, or let dbscan.search find it"),
        ({"eps": 1, "search": {"eps": {"min": 1, "max": 2}}}, "given and searched for"),
        ({"search": {"eps": {"min": 3, "max": 2}}}, "min 3 is above max 2"),
        ({"metric": "cosine", "search": {"eps": {"min": 1, "max": 3}}}, "beyond the metric's largest distance"),
        ({"search": {"trials": 201}}, "less than or equal to 200"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(scene: Scene, dbscan: Object, told: str) -> None:
    """The API server says what to change before anything runs."""
    with pytest.raises(RuntimeError) as refused:
        apply_validated(scene, {}, **dbscan)
    assert told in str(refused.value)
