"""A model with preprocessing: its artifact, and requests of raw columns, by name or as a matrix."""

import hashlib
import json
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from safetensors.numpy import load, save

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.files import Artifact, ArtifactFiles, directory_name, verify_artifact
from shoal_worker.artifact.manifest import Column
from shoal_worker.data.frame import Frame
from shoal_worker.errors import ArtifactInvalid
from shoal_worker.model import Model, build_model
from shoal_worker.settings import ServeSettings
from tests.unit.worker.harness import MACHINE, Running, make_spec, run_server, train_table

STEPS: list[dict[str, Any]] = [
    {"impute": {"columns": ["size"], "strategy": "median"}},
    {"oneHot": {"columns": ["kind"]}},
    {"scale": {}},
    {"pca": {"components": 3}},
]


def make_rows(rows: int = 300) -> Frame:
    """Two kinds of things of two sizes; some sizes and kinds are missing."""
    random = np.random.default_rng(3)
    second = np.arange(rows) % 2 == 1
    numbers = np.column_stack(
        [random.normal(np.where(second, 100, 20), 3), random.normal(np.where(second, -1, 1), 0.1)]
    )
    numbers[::50, 0] = np.nan
    kinds = np.array(["fjord" if each else "Zürich" for each in second], dtype=object)
    kinds[7] = None
    columns = (
        Column(name="size", dtype="int64"),
        Column(name="kind", dtype="string"),
        Column(name="y", dtype="double"),
    )
    return Frame(columns, numbers, {"kind": kinds})


def make_files(steps: list[dict[str, Any]] = STEPS, rows: Frame | None = None) -> ArtifactFiles:
    spec = make_spec(preprocessing=steps, algorithm={"dbscan": {"eps": 0.8, "minSamples": 5}})
    return train_table(rows or make_rows(), spec).files


FILES = make_files()
NUMERIC = make_files(STEPS[:1] + STEPS[2:3], Frame(
    (Column(name="size", dtype="int64"), Column(name="y", dtype="double")), make_rows().numbers, {}
))  # fmt: skip


def load_model(files: ArtifactFiles) -> Model:
    return build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)


class TestArtifact:
    def test_the_probes_are_raw_rows_and_go_through_the_preprocessing(self) -> None:
        artifact: Artifact = verify_artifact(FILES, FILES.digest)
        probes = artifact.tensors.probes
        assert artifact.manifest.features == ("pca1", "pca2", "pca3")
        assert [column.name for column in artifact.manifest.schema_.columns] == ["size", "kind", "y"]
        raw = make_rows()
        for row in range(probes.rows):
            same = (raw.texts["kind"] == probes.texts["kind"][row]) & (raw.number("y") == probes.number("y")[row])
            assert same.any(), "each probe is a row of the training data"
        model = load_model(FILES)
        assert np.array_equal(model.predict(model.prepare(probes), lambda: False), artifact.tensors.probe_labels)
        assert artifact.manifest.to_bytes() == FILES.manifest

    def test_numbers_of_another_fit_fail_the_self_test(self) -> None:
        tensors = {name: values.copy() for name, values in load(FILES.model).items()}
        tensors["preprocessing"][0] += 1e6  # what missing sizes become
        tensors["preprocessing"][1] += 50  # a mean
        with pytest.raises(ArtifactInvalid, match="self-test failed"):
            load_model(changed(save(tensors)))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"features": ["pca1", "pca2", "size"]}, "features are not what the steps make"),
            ({"features": []}, "features"),
            ({"preprocessing": []}, "still of texts"),
            ({"preprocessing": [{"step": "unitNorm"}]}, "belong to no step"),
            ({"preprocessing": [{"step": "eval", "code": "1"}]}, "preprocessing.0"),
            ({"preprocessing": [{"step": "select", "columns": ["zz"]}]}, "not there"),
            ({"preprocessing": [{"step": "pca", "components": 3, "whiten": False}]}, "3 components of 2 columns"),
            ({"preprocessing": [{"step": "scale", "columns": ["size"] * 4096, "method": "robust"}]}, "are needed"),
            ({"preprocessing": [{"step": "unitNorm"}] * 33}, "preprocessing"),
            ({"schema": {"columns": [{"name": "size", "dtype": "string"}]}}, "tensor"),
        ],
        ids=str,
    )
    def test_a_record_that_does_not_fit_is_refused(self, change: dict[str, Any], told: str) -> None:
        files = changed(FILES.model, **change)
        with pytest.raises(ArtifactInvalid, match=told):
            verify_artifact(files, files.digest)

    def test_fitted_numbers_without_steps_are_refused(self) -> None:
        manifest = json.loads(NUMERIC.manifest) | {"preprocessing": [], "features": ["size", "y"]}
        files = ArtifactFiles(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode(), NUMERIC.model)
        with pytest.raises(ArtifactInvalid):
            load_model(files)

    @pytest.mark.parametrize(
        ("tensor", "value"),
        [("preprocessing", np.nan), ("preprocessing", np.inf), ("probe_texts", 2), ("probe_texts", -2)],
    )
    def test_values_that_cannot_be_are_refused(self, tensor: str, value: float) -> None:
        tensors = {name: values.copy() for name, values in load(FILES.model).items()}
        tensors[tensor].flat[0] = value
        files = changed(save(tensors))
        with pytest.raises(ArtifactInvalid):
            verify_artifact(files, files.digest)

    def test_too_few_or_too_many_fitted_numbers_are_refused(self) -> None:
        for keep, told in ((slice(None, -1), "needed"), (slice(0, None), "belong to no step")):
            tensors = dict(load(FILES.model))
            values = tensors["preprocessing"]
            tensors["preprocessing"] = values[keep] if told == "needed" else np.append(values, 1.0)
            records = json.loads(FILES.manifest)["tensors"]
            records["preprocessing"]["shape"] = [len(tensors["preprocessing"])]
            files = changed(save(tensors), tensors=records)
            with pytest.raises(ArtifactInvalid, match=told):
                verify_artifact(files, files.digest)


def changed(model: bytes, **changes: Any) -> ArtifactFiles:
    manifest = json.loads(FILES.manifest)
    manifest["files"]["model.safetensors"] = {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    manifest.update(changes)
    return ArtifactFiles(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode(), model)


Settings = Callable[..., ServeSettings]


def store(files: ArtifactFiles, root: Path) -> dict[str, Any]:
    directory = root / "artifacts" / directory_name(files.digest)
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_bytes(files.manifest)
    (directory / "model.safetensors").write_bytes(files.model)
    return {"artifact_uri": f"file://{directory}", "artifact_digest": files.digest}


@pytest.fixture
async def mixed(tmp_path: Path, make_settings: Settings) -> AsyncIterator[Running]:
    """A server of the model with a text column."""
    async with run_server(make_settings(**store(FILES, tmp_path))) as running:
        yield running


@pytest.fixture
async def numeric(tmp_path: Path, make_settings: Settings) -> AsyncIterator[Running]:
    """A server of the model with numbers only."""
    async with run_server(make_settings(**store(NUMERIC, tmp_path))) as running:
        yield running


DTYPES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "UINT8": "u1", "BOOL": "?"}
Tensor = tuple[str, str, list[int], list[Any]]


def raw(tensors: list[Tensor]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="blobs")
    for name, datatype, shape, values in tensors:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        if datatype == "BYTES":
            parts = [value if isinstance(value, bytes) else value.encode() for value in values]
            request.raw_input_contents.append(b"".join(struct.pack("<I", len(part)) + part for part in parts))
        else:
            request.raw_input_contents.append(np.array(values, DTYPES.get(datatype, "<f8")).tobytes())
    return request


FIELDS = {
    "FP64": "fp64",
    "FP32": "fp32",
    "INT64": "int64",
    "INT32": "int",
    "INT16": "int",
    "UINT8": "uint",
    "BOOL": "bool",
}


def typed(tensors: list[Tensor]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="blobs")
    for name, datatype, shape, values in tensors:
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        parts = [value.encode() if isinstance(value, str) else value for value in values]
        getattr(tensor.contents, f"{FIELDS.get(datatype, 'bytes')}_contents").extend(parts)
    return request


GOOD: list[Tensor] = [
    ("kind", "BYTES", [4], ["fjord", "Zürich", "Zürich", "Oslo"]),
    ("size", "FP64", [4, 1], [100.0, 20.0, float("nan"), 5000.0]),
    ("y", "FP32", [4], [-1.0, 1.0, 1.0, 9.0]),
]


async def labels(running: Running, request: pb.ModelInferRequest) -> list[int]:
    response = await running.stub.ModelInfer(request)
    (output,) = response.outputs
    if response.raw_output_contents:
        return np.frombuffer(response.raw_output_contents[0], "<i4").tolist()
    return list(output.contents.int_contents)


@pytest.mark.parametrize("encode", [raw, typed])
async def test_columns_by_name_in_any_order_and_of_any_numeric_type(mixed: Running, encode: Any) -> None:
    model = load_model(FILES)
    wanted = model.predict(
        model.prepare(
            Frame(
                model.columns,
                np.array([[100, -1], [20, 1], [np.nan, 1], [5000, 9]], dtype=np.float64),
                {"kind": np.array(["fjord", "Zürich", "Zürich", "Oslo"], dtype=object)},
            )
        ),
        lambda: False,
    ).tolist()
    assert wanted[0] != wanted[1]
    assert wanted[3] == -1
    for order in (GOOD, GOOD[::-1]):
        assert await labels(mixed, encode(order)) == wanted
    for datatype in ("INT64", "INT32", "INT16", "UINT8"):
        whole = [
            ("size", datatype, [2], [100, 20]),
            ("y", "INT32", [2], [-1, 1]),
            ("kind", "BYTES", [2], ["fjord", "Zürich"]),
        ]
        assert await labels(mixed, encode(whole)) == wanted[:2]


async def test_an_empty_batch_of_columns_has_no_labels(mixed: Running) -> None:
    assert await labels(mixed, raw([(name, datatype, [0], []) for name, datatype, _, _ in GOOD])) == []


async def test_numbers_may_come_as_a_matrix_or_by_column(numeric: Running) -> None:
    points = np.array([[100, -1], [20, 1], [np.nan, 1]])
    by_column = await labels(numeric, raw([("y", "FP64", [3], [-1, 1, 1]), ("size", "FP64", [3], [100, 20, np.nan])]))
    assert by_column == await labels(numeric, raw([("points", "FP64", [3, 2], points.ravel().tolist())]))
    assert by_column[:2] == await labels(numeric, raw([("points", "FP32", [2, 2], points[:2].ravel().tolist())]))
    assert -1 not in by_column


async def test_metadata_lists_the_columns(mixed: Running) -> None:
    model = await mixed.stub.ModelMetadata(pb.ModelMetadataRequest(name="blobs"))
    assert [(each.name, each.datatype, list(each.shape)) for each in model.inputs] == [
        ("size", "FP64", [-1]),
        ("kind", "BYTES", [-1]),
        ("y", "FP64", [-1]),
    ]


def but(place: int, **changes: Any) -> list[Tensor]:
    tensors = [list(tensor) for tensor in GOOD]
    for key, value in changes.items():
        tensors[place][["name", "datatype", "shape", "values"].index(key)] = value
    return [tuple(tensor) for tensor in tensors]  # type: ignore[misc]


SCHEMA = "size (int64), kind (string), y (double)"
WRONG: dict[str, tuple[pb.ModelInferRequest, tuple[str, ...]]] = {
    "no input": (raw([]), ("'size' is missing", SCHEMA)),
    "a missing column": (raw(GOOD[:2]), ("'y' is missing", SCHEMA)),
    "a column that is not the model's": (raw([*GOOD, ("z", "FP64", [4], [0] * 4)]), ("no such column", "z", SCHEMA)),
    "a column that comes twice": (raw([*GOOD, GOOD[2]]), ("comes twice", "y", SCHEMA)),
    "a text for a number": (raw(but(1, datatype="BYTES", values=["a"] * 4)), ("size", "must be FP64", SCHEMA)),
    "a number for a text": (raw(but(0, datatype="FP64", values=[1] * 4)), ("kind", "must be BYTES", SCHEMA)),
    "an unknown type": (raw(but(2, datatype="FP16")), ("y", "FP16", SCHEMA)),
    "one row less": (raw(but(2, shape=[3], values=[0] * 3)), ("y", "[4] or [4, 1]", SCHEMA)),
    "a wider column": (raw(but(2, shape=[4, 2], values=[0] * 8)), ("y", "[4] or [4, 1]", SCHEMA)),
    "no shape": (raw(but(1, shape=[])), ("size", "the shape must be", SCHEMA)),
    "a negative shape": (raw(but(1, shape=[-4])), ("size", "the shape must be", SCHEMA)),
    "an overflowing shape": (raw([(n, d, [2**62], v) for n, d, _, v in GOOD]), ("needs",)),
    "fewer values than rows": (raw(but(2, values=[0.0])), ("needs 16 bytes",)),
    "infinity": (raw(but(1, values=[1, 2, float("inf"), 4])), ("row 2 is infinite in column 'size'",)),
    "a missing value that is not imputed": (
        raw(but(2, values=[0, float("nan"), 1, 1])),
        ("row 1 is missing in column 'y'", "may have missing values: kind, size"),
    ),
    "text that is not UTF-8": (raw(but(0, values=[b"\xff"] * 4)), ("kind: a text is not UTF-8",)),
    "a long text": (raw(but(0, values=["x" * 257] * 4)), ("kind: a text has 257 characters, and at most 256",)),
    "fewer texts than rows": (raw(but(0, values=["a"])), ("there must be 4 texts",)),
    "more texts than rows": (raw(but(0, values=["a"] * 5)), ("there must be 4 texts",)),
    "a whole number beyond floats": (raw(but(1, datatype="INT64", values=[2**60] * 4)), ("size", "beyond 2^53")),
    "a value beyond its type": (typed(but(1, datatype="INT16", values=[70_000] * 4)), ("does not fit INT16",)),
    "a matrix where there is a text": (
        raw([("points", "FP64", [1, 3], [0] * 3)]),
        ("no such column", "points", SCHEMA),
    ),
    "a long id": (pb.ModelInferRequest(model_name="blobs", id="i" * 2000, inputs=raw(GOOD).inputs), ("id",)),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_request_names_the_column_and_the_schema(mixed: Running, case: str) -> None:
    request, told = WRONG[case]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await mixed.stub.ModelInfer(request)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for part in told:
        assert part in refusal.value.details()
    assert await labels(mixed, raw(GOOD)), "the same connection still serves"


def test_a_lying_length_of_a_text_is_refused() -> None:
    from shoal_worker.errors import RequestInvalid
    from shoal_worker.serving.columns import read_rows

    model = load_model(FILES)
    for content in (b"\xff\xff\xff\xff", b"\x01", b"\x02\x00\x00\x00a", b"\x00\x00\x00\x00" * 3 + b"\x09\x00\x00\x00"):
        request = raw(GOOD)
        request.raw_input_contents[0] = content
        with pytest.raises(RequestInvalid, match="there must be 4 texts"):
            read_rows(model, request)


async def test_damaged_messages_never_break_the_worker(mixed: Running) -> None:
    random = np.random.default_rng(4)
    call = mixed.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    for number in range(400):
        body = bytearray((raw(GOOD) if number % 2 else typed(GOOD)).SerializeToString())
        for place in random.integers(0, len(body), 3):
            body[place] = random.integers(0, 256)
        try:
            await call(bytes(body))
        except grpc.aio.AioRpcError as refusal:
            assert refusal.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)  # noqa: PT017


def test_serving_loads_no_library_of_the_training() -> None:
    import subprocess
    import sys

    heavy = ("sklearn", "scipy", "pyarrow")
    script = f"import sys, shoal_worker.serving.server\nprint([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
