"""Stable and candidate label the same rows on the real cluster: a worse candidate is stopped before anybody meets it.

The callers draw their rows from the blobs that the model was trained on, so that labels are more than noise.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hack.lab.kube import Object
from tests.e2e.conftest import build_blobs
from tests.e2e.scene import ANALYSIS, Scene, await_calls

MELTED = 9.0
"""An eps that melts the four blobs into one cluster; no call fails, and none is slower."""
AGREE: Object = {**ANALYSIS, "agreement": {"min": 0.9, "minSamples": 200}}
SHADOW: Object = {
    "canary": {
        "steps": [
            {"shadow": {"durationSeconds": 8}},
            {"setWeight": 50},
            {"pause": {"durationSeconds": 4}},
        ],
        "scaleDownDelaySeconds": 3,
    }
}
EARLY: Object = {
    "blueGreen": {
        "steps": 1,
        "intervalSeconds": 0,
        "prePromotion": {"durationSeconds": 8},
        "scaleDownDelaySeconds": 3,
    }
}


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float64]:
    """Return the rows that callers send."""
    blobs = build_blobs()
    return np.column_stack([blobs["x"].to_numpy(), blobs["y"].to_numpy()])


def gate(status: Object) -> Object:
    """Return what the agreement gate said last, if anything."""
    return next((item for item in status.get("verdicts", ()) if item["gate"] == "agreement"), {})


@pytest.mark.parametrize(("strategy", "router"), [(SHADOW, "Service"), (EARLY, "Gateway")])
def test_a_worse_clustering_is_rolled_back_before_anybody_is_sent_to_it(
    scene: Scene, rows: NDArray[np.float64], strategy: Object, router: str
) -> None:
    """Its weight never leaves 0, and no caller ever gets an answer of version 2."""
    scene.serve(strategy, router, analysis=AGREE)
    weights = set()
    with scene.callers(router, points=rows) as callers:
        await_calls(callers, 120)
        scene.apply_model(eps=MELTED)

        def blocked(status: Object) -> bool:
            weights.add((status.get("weight"), status.get("actualWeight")))
            return bool(status.get("blockedVersions"))

        status = scene.await_status("the rollback", blocked, seconds=150)
        await_calls(callers, 120)
    assert weights == {(0, 0)}
    [found] = status["blockedVersions"]
    assert (found["version"], found["reason"]) == (2, "GateFailed")
    assert found["message"].startswith("gate agreement: ARI 0.")
    assert status["agreement"]["version"] == 2
    assert status["agreement"]["ari"] < 0.5
    assert callers.last["failed"] == 0, callers.last
    assert set(callers.last["byVersion"]) == {"1"}, callers.last


def test_an_equivalent_clustering_with_other_labels_passes_and_is_remembered(
    scene: Scene, rows: NDArray[np.float64]
) -> None:
    """The same rows in reverse: the same clusters, found in another order and thus numbered otherwise."""
    scene.serve(SHADOW, analysis=AGREE)
    with scene.callers(points=rows) as callers:
        await_calls(callers, 120)
        scene.apply_model(path="e2e/reversed.parquet")
        status = scene.await_status(
            "the verdict in shadow", lambda status: gate(status).get("verdict") == "pass", seconds=150
        )
        assert (status["step"], status["weight"]) == (0, 0)
        preview = scene.kube.get("services", scene.namespace, "blobs-preview")
        assert preview is not None
        scene.await_stable(2, seconds=120)
    assert callers.last["failed"] == 0, callers.last
    [remembered] = scene.status()["agreementHistory"]
    assert (remembered["version"], remembered["against"]) == (2, 1)
    assert remembered["ari"] > 0.99
    assert any(match["stable"] != match["candidate"] for match in remembered["worst"]), "the labels are others"
    assert scene.kube.get("services", scene.namespace, "blobs-preview", missing_ok=True) is None


def test_without_rows_a_shadow_waits_and_says_so(scene: Scene) -> None:
    """Nobody calls: the rollout holds at weight 0, until a person decides."""
    scene.serve(SHADOW, analysis=AGREE)
    scene.apply_model(path="e2e/reversed.parquet")
    status = scene.await_status("the hold", lambda status: status.get("phase") == "Paused", seconds=150)
    assert "In shadow (step 1 of 3), no verdict yet: agreement: too few rows yet" in status["message"]
    assert (status["weight"], status["actualWeight"], status["blockedVersions"]) == (0, 0, [])
    scene.command("promote-full")
    scene.await_stable(2)
