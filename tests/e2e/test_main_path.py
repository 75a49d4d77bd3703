"""Apply a model, serve it, call it: the first thing that anyone does."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from hack.lab.kube import wait_for
from tests.e2e.conftest import build_blobs
from tests.e2e.scene import NAME, Scene, infer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_an_independent_client_gets_the_answers_of_the_reference(scene: Scene) -> None:
    """The served labels are scikit-learn's: the cluster of the nearest core sample within eps, else noise."""
    scene.serve()
    version = scene.await_version(1)
    blobs = build_blobs()
    rows = np.column_stack([blobs["x"], blobs["y"]])
    reference = DBSCAN(eps=0.5, min_samples=5).fit(rows)
    queries = np.random.default_rng(1).uniform(-8, 8, size=(5000, 2))
    distances, nearest = NearestNeighbors(n_neighbors=1).fit(reference.components_).kneighbors(queries)
    core_labels = reference.labels_[reference.core_sample_indices_]
    expected = np.where(distances[:, 0] <= 0.5, core_labels[nearest[:, 0]], -1)

    with scene.client() as client:
        labels = infer(client, queries)
        singles = np.concatenate([infer(client, queries[i : i + 1]) for i in range(20)])
        metadata = client.get_model_metadata(NAME)
        ready = client.is_server_live() and client.is_server_ready() and client.is_model_ready(NAME)

    assert version["spec"]["metrics"]["clusters"] == len(set(reference.labels_) - {-1})
    assert adjusted_rand_score(expected, labels) == 1.0
    np.testing.assert_array_equal(labels == -1, expected == -1)
    np.testing.assert_array_equal(singles, labels[:20])
    assert ready
    assert [tensor.name for tensor in metadata.inputs] == ["points"]


def test_csv_trains_the_same_model_as_parquet(scene: Scene) -> None:
    """The same rows give the same artifact, by its digest, whatever the file format: no second version is recorded."""
    scene.apply_model()
    scene.await_version(1)
    scene.apply_model(path="e2e/blobs.csv")
    scene.await_condition("clusteringmodels", NAME, "Progressing", "Unchanged", seconds=90)
    assert [each["spec"]["version"] for each in scene.kube.find("clusteringmodelversions", scene.namespace)] == [1]


def test_scaling_is_not_a_new_revision(scene: Scene) -> None:
    """`kubectl scale` changes the number of pods and nothing else: the running pods stay."""
    before = scene.serve()
    uids = scene.pod_uids(1)
    scene.kube.kubectl("scale", "cdep", NAME, "--replicas=3", "--namespace", scene.namespace)
    after = scene.await_status("three ready pods", lambda status: status.get("readyReplicas") == 3)
    assert after["stable"]["revision"] == before["stable"]["revision"]
    assert uids < scene.pod_uids(1)


def test_deleting_the_objects_leaves_nothing(scene: Scene) -> None:
    """Deployments, Services, budgets and pods go with their owner."""
    scene.serve()
    scene.kube.kubectl("delete", "cdep,cmodel", NAME, "--namespace", scene.namespace)

    def nothing_left() -> bool:
        kinds = ("deployments", "poddisruptionbudgets", "pods", "jobs", "clusteringmodelversions")
        managed = "app.kubernetes.io/managed-by=shoal"
        left = [thing for kind in kinds for thing in scene.kube.find(kind, scene.namespace)]
        return not left and not scene.kube.find("services", scene.namespace, managed)

    assert wait_for("an empty namespace", nothing_left, 60)


def test_an_owned_object_that_is_deleted_comes_back(scene: Scene) -> None:
    """Out-of-band deletion of the Service and of the Deployment is repaired within ten seconds."""
    status = scene.serve()
    for kind, plural, name in (
        ("service", "services", NAME),
        ("deployment", "deployments", f"{NAME}-{status['stable']['revision']}"),
    ):
        before = scene.kube.get(plural, scene.namespace, name)
        assert before is not None
        scene.kube.kubectl("delete", kind, name, "--namespace", scene.namespace)

        def look(plural: str = plural, name: str = name, uid: str = before["metadata"]["uid"]) -> bool:
            found = scene.kube.get(plural, scene.namespace, name, missing_ok=True)
            return found is not None and found["metadata"]["uid"] != uid

        assert wait_for(f"{name} to come back", look, 10)
