"""The model store on the cluster: the CLI in a store and in a cluster, versions rebuilt from it, damage told."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import obstore
import pytest

from hack.lab.install import STORE_BUCKET, STORE_NAMESPACE, credentials, open_bucket, port_forward
from hack.lab.kube import Kube, Object, wait_for
from shoal_cli.__main__ import main
from shoal_engine import DBSCAN
from shoal_worker.models import push
from tests.e2e.conftest import build_blobs
from tests.e2e.scene import CANARY, NAME, Scene, infer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STORE = f"s3://{STORE_BUCKET}/models"
Shoal = Callable[..., str]


@pytest.fixture
def shoal(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shoal]:
    """`shoal models …` as a person runs it, with the store's port forwarded."""
    with port_forward(kube, STORE_NAMESPACE, "service/s3", 7070) as port:
        for name, value in credentials(kube).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))

        def run(*words: str, code: int = 0) -> str:
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                found = main(["models", *words])
            assert found == code, out.getvalue() + err.getvalue()
            return out.getvalue()

        yield run


def test_the_store_outlives_the_cluster_s_records(scene: Scene, shoal: Shoal) -> None:
    """Two versions trained, one pushed from here; all records deleted and rebuilt; what serves is not disturbed."""
    namespace = scene.namespace
    before = scene.serve(version="1")
    scene.apply_model(eps=0.6)
    second = scene.await_version(2)
    in_store = ("--store", STORE, "-n", namespace)
    in_cluster = ("-n", namespace)

    listed = json.loads(shoal("list", NAME, *in_store, "-o", "json"))
    known = json.loads(shoal("list", NAME, *in_cluster, "-o", "json"))
    assert [(row["version"], row["state"], row["digest"]) for row in listed] == [
        (row["version"], row["state"], row["digest"]) for row in known
    ]
    assert [row["version"] for row in listed] == [1, 2]
    assert shoal("latest", NAME, *in_store) == shoal("latest", NAME, *in_cluster) == "2\n"

    blobs = build_blobs()
    rows = np.column_stack([blobs["x"], blobs["y"]])
    estimator = DBSCAN(0.55, min_samples=5).fit(rows)
    record = push(estimator, rows, name=NAME, namespace=namespace, store=STORE, columns=["x", "y"])
    assert (record.number, record.passed) == (3, True)
    shoal("retire", NAME, "2", *in_store)

    pods = scene.pod_uids(1)
    scene.kube.kubectl("delete", "cmv", "--all", "--namespace", namespace)
    manifests = shoal("rebuild", "--store", STORE, "-n", namespace)
    scene.kube.kubectl("apply", "--filename", "-", stdin=manifests)
    versions = wait_for("the versions", lambda: states(scene) if len(states(scene)) == 3 else None, 30)
    wait_for("version 2 retired", lambda: states(scene).get(f"{NAME}-v2") == "Retired", 30)
    assert versions.keys() == {f"{NAME}-v{number}" for number in (1, 2, 3)}
    again = scene.kube.get("clusteringmodelversions", namespace, f"{NAME}-v2")
    assert again is not None
    assert again["spec"] == second["spec"]
    status = scene.status()
    assert status["stable"]["revision"] == before["stable"]["revision"]
    assert scene.pod_uids(1) == pods, "what serves is not disturbed"
    with scene.client() as client:
        assert len(infer(client, rows[:10])) == 10

    scene.apply_deployment(CANARY, name="pushed", version="3")
    scene.await_status(
        "the pushed version served",
        lambda status: (status.get("stable") or {}).get("version") == 3 and status.get("phase") == "Healthy",
        name="pushed",
    )
    cores = rows[estimator.core_sample_indices_]
    with scene.client("pushed") as client:
        labels = infer(client, cores, "pushed")
    np.testing.assert_array_equal(labels, estimator.labels_[estimator.core_sample_indices_])


def test_damage_is_told_and_never_served(scene: Scene, kube: Kube, shoal: Shoal) -> None:
    """A flipped bit and a deleted file: `verify` tells both, and a new pod does not become ready with them."""
    scene.serve(version="1", progressDeadlineSeconds=10)
    scene.apply_model(eps=0.62)
    second = scene.await_version(2)
    scene.apply_model(eps=0.63)
    third = scene.await_version(3)
    only = ("--store", STORE, "-n", scene.namespace)
    assert shoal("verify", *only).startswith("3 sound, 0 not")
    with open_bucket(kube, STORE_BUCKET) as store:
        path = f"{folder_of(second)}/model.safetensors"
        content = bytearray(obstore.get(store, path).bytes().to_bytes())
        content[len(content) // 2] ^= 1
        obstore.put(store, path, bytes(content))
        obstore.delete(store, f"{folder_of(third)}/model.safetensors")
    told = shoal("verify", *only, code=1)
    assert "version 2" in told
    assert "does not match the manifest" in told.replace("\n", " ")
    assert "version 3" in told
    assert "not in the store" in told.replace("\n", " ")
    assert "1 sound, 2 not" in told

    for number in (2, 3):
        scene.apply_deployment(CANARY, version=str(number), progressDeadlineSeconds=10)
        status = scene.await_status(
            f"version {number} blocked",
            lambda status, number=number: number in [each["version"] for each in status.get("blockedVersions", [])],  # type: ignore[misc]
            seconds=60,
        )
        assert status["stable"]["version"] == 1
    with scene.client() as client:
        assert infer(client, np.zeros((1, 2))).shape == (1,)


def states(scene: Scene) -> dict[str, str]:
    """The states of the versions in the cluster, by name."""
    found = scene.kube.find("clusteringmodelversions", scene.namespace)
    return {each["metadata"]["name"]: (each.get("status") or {}).get("state", "") for each in found}


def folder_of(version: Object) -> str:
    """A version's folder in the bucket."""
    uri: str = version["spec"]["artifact"]["uri"]
    return uri.removeprefix(f"s3://{STORE_BUCKET}/").rstrip("/")
