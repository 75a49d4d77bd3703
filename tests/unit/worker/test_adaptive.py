"""Adaptive models: trained, stored and served with labels and strengths that are the engine's own."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from safetensors.numpy import load, save

from shoal_engine import AdaptiveDBSCAN
from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.files import ArtifactFiles, directory_name, verify_artifact
from shoal_worker.errors import ArtifactInvalid, SettingsInvalid
from shoal_worker.model import Model, build_model
from shoal_worker.settings import ServeSettings
from tests.reference import answers_of
from tests.unit.worker.harness import (
    MACHINE,
    Running,
    make_spec,
    make_table,
    make_varied_table,
    run_server,
    train_table,
)
from tests.unit.worker.test_inference import raw_request, typed_request

TABLE = make_varied_table()
SPEC = make_spec(algorithm={"adaptiveDbscan": {"minSamples": 8, "minClusterSize": 40}})
FILES = train_table(TABLE, SPEC).files
REFERENCE = AdaptiveDBSCAN(min_samples=8, min_cluster_size=40).fit(TABLE.numbers)


def load_model(files: ArtifactFiles) -> Model:
    return build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)


def never() -> bool:
    return False


def test_clusters_of_unlike_density_are_found_and_passed_on() -> None:
    trained = train_table(TABLE, SPEC)
    assert trained.metrics.clusters == REFERENCE.labels_.max() + 1 == 2
    assert trained.validation.verdict == "pass"
    assert trained.plan.index == "tree"
    assert trained.files == FILES, "a repetition gives the same artifact"
    manifest = json.loads(FILES.manifest)
    assert (manifest["formatVersion"], manifest["kind"]) == (3, "adaptiveDbscan")
    assert manifest["parameters"] == {"metric": "euclidean", "minClusterSize": 40, "minSamples": 8}


def test_served_labels_and_strengths_are_those_of_the_engine() -> None:
    queries = np.random.default_rng(2).uniform(-20, 30, (2000, 2))
    labels, strengths = load_model(FILES).predict_with_strengths(queries, never)
    expected_labels, expected_strengths = answers_of(REFERENCE, queries)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(strengths, expected_strengths, rtol=1e-12)
    np.testing.assert_array_equal(load_model(FILES).predict(queries, never), labels)
    engine_labels, engine_strengths = REFERENCE.predict_with_strength(queries)
    np.testing.assert_array_equal(labels, engine_labels)
    np.testing.assert_allclose(strengths, engine_strengths, rtol=1e-12)


def test_training_rows_keep_their_strengths() -> None:
    labels, strengths = load_model(FILES).predict_with_strengths(TABLE.numbers, never)
    same = labels == REFERENCE.labels_
    assert same.mean() > 0.99
    np.testing.assert_allclose(strengths[same], REFERENCE.probabilities_[same], rtol=1e-12)


def test_a_model_of_dbscan_tells_no_strengths() -> None:
    files = train_table(make_table(), make_spec()).files
    with pytest.raises(TypeError, match="no strengths"):
        load_model(files).predict_with_strengths(np.zeros((1, 2)), never)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [({"minSamples": 10_000}, "min_samples"), ({"metric": "haversine"}, "radians")],
)
def test_parameters_that_do_not_suit_the_data_are_told_by_field(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsInvalid, match=told) as error:
        train_table(TABLE, make_spec(algorithm={"adaptiveDbscan": parameters}))
    assert error.value.field.startswith("spec.")


def refitted(changed: dict[str, np.ndarray]) -> ArtifactFiles:
    model = save(changed)
    manifest = json.loads(FILES.manifest)
    manifest["files"]["model.safetensors"] = {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    for name, array in changed.items():
        manifest["tensors"][name]["shape"] = list(array.shape)
    return ArtifactFiles(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode(), model)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("radii", lambda values: values[:-1]),
        ("peaks", lambda values: np.append(values, 1.0)),
        ("core_strengths", lambda values: values[1:]),
        ("radii", lambda values: -values),
        ("radii", lambda values: values * np.nan),
        ("peaks", lambda values: values * np.inf),
        ("core_strengths", lambda values: values + 1),
        ("core_strengths", lambda values: values * np.nan),
        ("cluster_ids", lambda values: values[:-1]),
        ("cluster_ids", lambda values: values * 0),
        ("cluster_ids", lambda values: values - 1),
        ("cluster_ids", lambda values: values + 1),
        ("cluster_ids", lambda values: values.astype(np.int32)),
    ],
)
def test_numbers_that_lie_under_right_digests_are_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    tensors = {key: array.copy() for key, array in load(FILES.model).items()}
    files = refitted({**tensors, name: change(tensors[name])})
    with pytest.raises(ArtifactInvalid):
        load_model(files)


class TestServing:
    @pytest.fixture
    async def adaptive(self, tmp_path: Path, make_settings: Callable[..., ServeSettings]) -> AsyncIterator[Running]:
        """A server of the adaptive model."""
        directory = tmp_path / "artifacts" / directory_name(FILES.digest)
        directory.mkdir(parents=True)
        (directory / "manifest.json").write_bytes(FILES.manifest)
        (directory / "model.safetensors").write_bytes(bytes(FILES.model))
        async with run_server(
            make_settings(artifact_uri=f"file://{directory}", artifact_digest=FILES.digest)
        ) as running:
            yield running

    QUERIES = np.array([[0.0, 0.0], [12.0, 12.0], [14.0, 9.0], [99.0, 99.0]])

    async def test_labels_alone_unless_strengths_are_asked_for(self, adaptive: Running) -> None:
        response = await adaptive.stub.ModelInfer(raw_request(self.QUERIES))
        assert [output.name for output in response.outputs] == ["labels"]
        assert (
            np.frombuffer(response.raw_output_contents[0], "<i4").tolist()
            == answers_of(REFERENCE, self.QUERIES)[0].tolist()
        )

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    async def test_raw_outputs_come_in_the_order_asked_for(self, adaptive: Running, dtype: type) -> None:
        request = raw_request(self.QUERIES.astype(dtype))
        for name in ("strengths", "labels"):
            request.outputs.add(name=name)
        response = await adaptive.stub.ModelInfer(request)
        assert [(o.name, o.datatype, list(o.shape)) for o in response.outputs] == [
            ("strengths", "FP64", [4]),
            ("labels", "INT32", [4]),
        ]
        labels, strengths = answers_of(REFERENCE, self.QUERIES)
        np.testing.assert_allclose(np.frombuffer(response.raw_output_contents[0], "<f8"), strengths, rtol=1e-12)
        assert np.frombuffer(response.raw_output_contents[1], "<i4").tolist() == labels.tolist()

    async def test_typed_strengths_alone(self, adaptive: Running) -> None:
        request = typed_request(self.QUERIES)
        request.outputs.add(name="strengths")
        (output,) = (await adaptive.stub.ModelInfer(request)).outputs
        strengths = answers_of(REFERENCE, self.QUERIES)[1]
        np.testing.assert_allclose(output.contents.fp64_contents, strengths, rtol=1e-12)
        assert output.contents.fp64_contents[-1] == 0

    async def test_many_rows_and_none_are_answered_too(self, adaptive: Running) -> None:
        for copies in (0, 50_000):
            request = raw_request(np.tile(self.QUERIES, (copies, 1)))
            request.outputs.add(name="strengths")
            (raw,) = (await adaptive.stub.ModelInfer(request)).raw_output_contents
            expected = np.tile(answers_of(REFERENCE, self.QUERIES)[1], copies)
            np.testing.assert_allclose(np.frombuffer(raw, "<f8"), expected, rtol=1e-12)

    async def test_an_output_that_there_is_not_is_refused(self, adaptive: Running) -> None:
        request = raw_request(self.QUERIES)
        request.outputs.add(name="distances")
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await adaptive.stub.ModelInfer(request)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "Ask for 'labels' or 'cluster_ids' or 'strengths'" in refusal.value.details()

    async def test_metadata_tells_both_outputs(self, adaptive: Running) -> None:
        model = await adaptive.stub.ModelMetadata(pb.ModelMetadataRequest(name="blobs"))
        assert model.platform == "shoal_adaptive_dbscan"
        assert [(t.name, t.datatype) for t in model.outputs] == [
            ("labels", "INT32"),
            ("cluster_ids", "INT64"),
            ("strengths", "FP64"),
        ]


async def test_strengths_of_a_dbscan_model_are_refused_with_the_remedy(running: Running) -> None:
    request = raw_request(np.zeros((1, 2)))
    request.outputs.add(name="strengths")
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await running.stub.ModelInfer(request)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "a model of dbscan has no such output (got strengths). Ask for 'labels'" in refusal.value.details()
