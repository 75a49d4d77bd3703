"""An adaptive model from its data to its answers, and as the next version of a model of DBSCAN."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from hack.lab.kube import REPOSITORY
from hack.lab.objects import build_model
from shoal_engine import AdaptiveDBSCAN, plan
from tests.e2e.conftest import build_varied
from tests.e2e.scene import CANARY, NAME, Scene, await_calls, infer, infer_with_strengths
from tests.reference import answers_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PARAMETERS = {"minSamples": 8, "minClusterSize": 60}


def apply_adaptive(scene: Scene) -> None:
    """Apply the adaptive model of the varied data."""
    scene.apply_model(path="e2e/varied.parquet", algorithm="adaptiveDbscan", **PARAMETERS)


def test_labels_and_strengths_are_those_of_the_engine(scene: Scene) -> None:
    """Trained from S3, recorded with its plan, explained by `shoal`, served: each number is the engine's own."""
    apply_adaptive(scene)
    scene.apply_deployment(CANARY)
    record = scene.await_version(1)["spec"]
    scene.await_stable(1)
    rows = build_varied()
    reference = AdaptiveDBSCAN(min_samples=8, min_cluster_size=60).fit(rows)
    queries = np.random.default_rng(3).uniform(-20, 30, (5000, 2))
    labels, strengths = answers_of(reference, queries)

    with scene.client() as client:
        served_labels, served_strengths = infer_with_strengths(client, queries)
        alone = infer(client, queries[:1])
        metadata = client.get_model_metadata(NAME)

    np.testing.assert_array_equal(served_labels, labels)
    np.testing.assert_allclose(served_strengths, strengths, rtol=1e-12)
    assert alone.tolist() == labels[:1].tolist()
    assert metadata.platform == "shoal_adaptive_dbscan"
    assert [output.name for output in metadata.outputs] == ["labels", "cluster_ids", "strengths"]
    assert record["metrics"]["clusters"] == reference.labels_.max() + 1 >= 2
    assert record["algorithm"]["adaptiveDbscan"] == {**PARAMETERS, "metric": "euclidean"}
    assert record["plan"]["index"] == "tree"
    assert record["plan"]["indexBytes"] == plan(len(rows), 2).index_bytes
    assert explained(scene, f"version/{NAME}-v1")["training"]["plan"] == record["plan"]


def test_an_adaptive_version_takes_over_from_dbscan_under_load(scene: Scene) -> None:
    """Version 2 has another algorithm; no call fails meanwhile, and what it alone can tell is told afterwards."""
    scene.serve()
    with scene.client() as client, pytest.raises(InferenceServerException, match="a model of dbscan has no such"):
        infer_with_strengths(client, np.zeros((1, 2)))
    with scene.callers() as callers:
        await_calls(callers, 60)
        apply_adaptive(scene)
        scene.await_status("a candidate with weight", lambda status: status.get("actualWeight", 0) > 0)
        scene.await_stable(2, seconds=120)
        await_calls(callers, 120)
        scene.await_status("the old pods gone", lambda _: not scene.pod_uids(1))
        await_calls(callers, 120)
    assert callers.last["failed"] == 0, callers.last
    assert callers.last["byVersion"]["2"] > 0
    with scene.client() as client:
        labels, strengths = infer_with_strengths(client, np.array([[0.0, 0.0], [500.0, 500.0]]))
    assert labels[0] >= 0
    assert strengths[0] > 0.5
    assert (labels[1], strengths[1]) == (-1, 0)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"minSamples": 0}, "minSamples"),
        ({"minClusterSize": 1}, "minClusterSize"),
        ({"eps": 0.5}, "unknown field"),
        ({"metric": "cityblock"}, "manhattan"),
    ],
)
def test_wrong_adaptive_parameters_are_refused_at_admission(
    scene: Scene, parameters: dict[str, object], told: str
) -> None:
    """They never reach the operator; the text names the field."""
    model = build_model(NAME, "s3://a/b.csv", columns=["x"], algorithm="adaptiveDbscan", **parameters)
    with pytest.raises(RuntimeError, match=r"spec\.algorithm\.adaptiveDbscan") as refusal:
        scene.kube.apply(scene.namespace, model)
    assert told in str(refusal.value)


def test_parameters_that_do_not_suit_the_data_are_told_on_the_model(scene: Scene) -> None:
    """More neighbours than rows: the condition names field, value and remedy."""
    scene.apply_model(path="e2e/varied.parquet", algorithm="adaptiveDbscan", minSamples=5000)
    found = scene.await_condition("clusteringmodels", NAME, "Ready", "ParametersInvalid", seconds=30)
    for part in ("spec.algorithm.adaptiveDbscan", "5000", "2000"):
        assert part in found["message"]


def explained(scene: Scene, what: str) -> dict[str, dict[str, object]]:
    """Ask the command line about a record."""
    command = [str(REPOSITORY / ".venv/bin/shoal"), "explain", what, "--namespace", scene.namespace, "--output", "json"]
    environment = {**os.environ, "KUBECONFIG": str(scene.kube.kubeconfig)}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found: dict[str, dict[str, object]] = json.loads(printed)
    return found
