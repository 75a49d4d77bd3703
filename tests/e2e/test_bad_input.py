"""Bad input: a clear error where the user looks, the served version goes on, and nobody else waits."""

from __future__ import annotations

import time

import numpy as np
import obstore
import pytest
from tritonclient.utils import InferenceServerException

from hack.lab.install import STORE_BUCKET, open_bucket
from hack.lab.kube import Kube, condition, wait_for
from hack.lab.objects import build_deployment, build_model
from tests.e2e.scene import CANARY, HELD_CANARY, NAME, Scene, infer


def await_failure(scene: Scene, reason: str) -> str:
    """Wait until the model says why it can't be trained; returns the message."""
    return str(scene.await_condition("clusteringmodels", NAME, "Ready", reason, seconds=20)["message"])


def test_a_missing_column_is_named_with_those_there_are(scene: Scene) -> None:
    """The message names the field, the column asked for and the columns to choose from."""
    scene.apply_model(columns=("x", "latitude"))
    message = await_failure(scene, "ColumnMissing")
    for part in ("spec.source.columns", "latitude", "x, y, z"):
        assert part in message


def test_an_object_that_is_not_there_is_named(scene: Scene) -> None:
    """The message names the uri and what to do."""
    scene.apply_model(path="e2e/nothing-here.parquet")
    message = await_failure(scene, "SourceUnreadable")
    assert "nothing-here.parquet" in message


def test_a_truncated_file_is_refused(scene: Scene) -> None:
    """Half a Parquet file is no data."""
    scene.apply_model(path="e2e/truncated.parquet")
    assert "truncated.parquet" in await_failure(scene, "SourceFormatInvalid")


def test_missing_values_are_refused_by_column(scene: Scene) -> None:
    """A null is not a number; the message names the column."""
    scene.apply_model(path="e2e/holes.parquet")
    assert "'x'" in await_failure(scene, "DataInvalid")


def test_a_missing_secret_is_a_condition_within_five_seconds_and_heals(scene: Scene) -> None:
    """No Job is started; when the Secret appears, the training begins by itself."""
    model = build_model(NAME, "s3://shoal-data/e2e/blobs.parquet", columns=["x", "y"], eps=0.5)
    model["spec"]["source"]["secretRef"]["name"] = "elsewhere"
    scene.kube.apply(scene.namespace, model)
    found = scene.await_condition("clusteringmodels", NAME, "Ready", "SecretMissing", seconds=5)
    assert "elsewhere" in found["message"]
    assert not scene.kube.find("jobs", scene.namespace)
    held = scene.kube.get_secret(scene.namespace, "store-credentials")
    copy = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "elsewhere"}, "data": held["data"]}
    scene.kube.apply(scene.namespace, copy)
    scene.await_version(1)


def test_a_worse_clustering_is_recorded_and_never_served(scene: Scene) -> None:
    """A version outside the limits is Rejected; the version before it serves on."""
    scene.serve()
    model = build_model(NAME, "s3://shoal-data/e2e/blobs.parquet", columns=["x", "y"], eps=0.0001)
    model["spec"]["validation"] = {"minClusters": 2}
    scene.kube.apply(scene.namespace, model)
    scene.await_condition("clusteringmodels", NAME, "Degraded", "VersionRejected", seconds=60)
    version = wait_for(
        "the rejected version",
        lambda: scene.kube.get("clusteringmodelversions", scene.namespace, f"{NAME}-v2", missing_ok=True),
        10,
    )
    assert version["spec"]["validation"]["verdict"] == "fail"
    status = scene.status()
    assert status["stable"]["version"] == 1
    assert not status.get("candidate")


def test_an_unknown_version_is_a_condition_that_names_the_known_ones(scene: Scene) -> None:
    """The stable version goes on; the message says which versions there are."""
    scene.serve()
    scene.apply_deployment(CANARY, version="7")
    found = scene.await_condition("clusteringdeployments", NAME, "Degraded", "VersionNotFound", seconds=5)
    assert "7" in found["message"]
    assert scene.status()["stable"]["version"] == 1


def test_a_tampered_artifact_is_never_served(scene: Scene, kube: Kube) -> None:
    """One flipped byte of version 2: its pods never become ready, version 1 serves on, the deployment says why."""
    scene.serve(version="1", progressDeadlineSeconds=10)
    scene.apply_model(eps=0.61)
    version = scene.await_version(2)
    folder = version["spec"]["artifact"]["uri"].removeprefix(f"s3://{STORE_BUCKET}/").rstrip("/")
    with open_bucket(kube, STORE_BUCKET) as store:
        path = f"{folder}/model.safetensors"
        content = bytearray(obstore.get(store, path).bytes().to_bytes())
        content[-1] ^= 1
        obstore.put(store, path, bytes(content))
    scene.apply_deployment(CANARY, version="2", progressDeadlineSeconds=10)
    status = scene.await_status("a blocked version", lambda status: status.get("blockedVersions"), seconds=60)
    assert status["stable"]["version"] == 1
    with scene.client() as client:
        assert infer(client, np.zeros((1, 2))).shape == (1,)


REFUSED = [
    ("strategy", {"strategy": {"canary": {}, "blueGreen": {}}}),
    ("strategy", {"strategy": {}}),
    ("setWeight", {"strategy": {"canary": {"steps": [{"setWeight": 50}, {"setWeight": 20}]}}}),
    ("setWeight", {"strategy": {"canary": {"steps": [{"setWeight": 50, "pause": {}}]}}}),
    ("gateway", {"traffic": {"router": "Gateway"}}),
    ("version", {"modelRef": {"name": NAME, "version": "newest"}}),
    ("replicas", {"worker": {"replicas": -1}}),
]


@pytest.mark.parametrize(("field", "spec"), REFUSED, ids=[f"{i}-{field}" for i, (field, _) in enumerate(REFUSED)])
def test_a_wrong_deployment_is_refused_at_admission(scene: Scene, field: str, spec: dict[str, object]) -> None:
    """The API server refuses it by the CRD's rules, with a text that names the field."""
    deployment = build_deployment(NAME, NAME, strategy=HELD_CANARY)
    deployment["spec"].update(spec)
    with pytest.raises(RuntimeError, match=field):
        scene.kube.apply(scene.namespace, deployment)


@pytest.mark.parametrize("parameters", [{"eps": 0}, {"eps": -1}, {"eps": 0.5, "minSamples": 0}])
def test_a_wrong_model_is_refused_at_admission(scene: Scene, parameters: dict[str, object]) -> None:
    """Parameters outside their range never reach the operator."""
    with pytest.raises(RuntimeError, match=r"spec\.algorithm\.dbscan"):
        scene.kube.apply(scene.namespace, build_model(NAME, "s3://a/b.csv", columns=["x"], **parameters))


def test_bad_requests_are_told_what_is_wrong_and_harm_nobody(scene: Scene) -> None:
    """NaN, a wrong width and a message far too large: a stated error each; the next call is answered."""
    scene.serve()
    with scene.client() as client:
        for points, told in ((np.full((1, 2), np.nan), "not finite"), (np.zeros((1, 3)), "3")):
            with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT") as caught:
                infer(client, points)
            assert told in str(caught.value)
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            infer(client, np.zeros((1, 2)), model="nobody")
        with pytest.raises(InferenceServerException, match=r"RESOURCE_EXHAUSTED|UNAVAILABLE|INVALID_ARGUMENT"):
            infer(client, np.zeros((8_000_000, 2)))
    with scene.client() as client:
        assert infer(client, np.zeros((1, 2))).shape == (1,)
    pods = scene.kube.find("pods", scene.namespace, f"shoal.dev/deployment={NAME}")
    assert sum(state["restartCount"] for pod in pods for state in pod["status"]["containerStatuses"]) == 0


def test_a_broken_neighbour_delays_nobody(scene: Scene) -> None:
    """Ten models that can't be trained and one that can: its version comes as if it were alone."""
    for number in range(10):
        broken = build_model(f"broken-{number}", "s3://shoal-data/e2e/none.parquet", columns=["x"], eps=0.5)
        broken["spec"]["source"]["secretRef"]["name"] = "nowhere"
        scene.kube.apply(scene.namespace, broken)
    started = time.monotonic()
    scene.apply_model()
    scene.await_version(1, seconds=30)
    assert time.monotonic() - started < 30
    for number in range(10):
        found = condition(scene.kube.get("clusteringmodels", scene.namespace, f"broken-{number}"), "Ready")
        assert found["reason"] == "SecretMissing"
