"""What is kept of users' requests: rows only, sealed, and never at the price of a call."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from cryptography.exceptions import InvalidTag

from shoal_proto import inference_pb2 as pb
from shoal_worker.agreement.excerpt import BATCH_ROWS, MOST_ROWS, join_excerpts, rows_of, take_excerpt
from shoal_worker.agreement.keeping import Keeper
from shoal_worker.agreement.reservoir import Bounds
from shoal_worker.agreement.sealing import Sealer
from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.artifact.manifest import Column
from shoal_worker.data.frame import Frame
from shoal_worker.model import Model, build_model
from shoal_worker.serving.answering import answer_request
from tests.unit.worker.agreement.conftest import Worker, draw_points
from tests.unit.worker.harness import MACHINE, make_spec, train_table
from tests.unit.worker.test_inference import raw_request, typed_request
from tests.unit.worker.test_server import read_metrics

BOUNDS = Bounds(rows=1000, size=1 << 20, age=60.0)


def model_of(files: ArtifactFiles) -> Model:
    return build_model(verify_artifact(files, files.digest), name="blobs", version="3", machine=MACHINE)


@pytest.fixture(scope="module")
def model(files: ArtifactFiles) -> Model:
    return model_of(files)


@pytest.fixture(scope="module")
def shop() -> Model:
    """A model of a number and a text."""
    random = np.random.default_rng(0)
    kinds = np.array(["apple", "b\u00e4r"], dtype=object)[np.arange(200) % 2]
    columns = (Column(name="size", dtype="float64"), Column(name="kind", dtype="string"))
    table = Frame(columns, random.normal(0, 0.1, (200, 1)), {"kind": kinds})
    spec = make_spec(preprocessing=[{"oneHot": {"columns": ["kind"]}}])
    return model_of(train_table(table, spec).files)


def never() -> bool:
    return False


def excerpt_of(model: Model, request: pb.ModelInferRequest) -> pb.ModelInferRequest | None:
    return take_excerpt(model, request, answer_request(model, request, never))


def shop_request(rows: int) -> pb.ModelInferRequest:
    kinds = [("apple", "b\u00e4r")[row % 2].encode() for row in range(rows)]
    request = pb.ModelInferRequest(model_name="blobs", id="secret")
    request.inputs.add(
        name="kind", datatype="BYTES", shape=[rows], contents=pb.InferTensorContents(bytes_contents=kinds)
    )
    request.inputs.add(
        name="size", datatype="INT64", shape=[rows], contents=pb.InferTensorContents(int64_contents=[0] * rows)
    )
    return request


def labels_of(model: Model, request: pb.ModelInferRequest) -> list[int]:
    return answer_request(model, request, never).labels.tolist()


class TestSealing:
    def test_what_is_sealed_is_not_readable(self) -> None:
        sealer, content = Sealer(), b"48.8566,2.3522" * 20
        sealed = [sealer.seal(content) for _ in range(2)]
        assert all(content[:6] not in one for one in sealed)
        assert sealed[0] != sealed[1]
        assert [sealer.open(one) for one in sealed] == [content, content]

    def test_it_opens_only_where_it_was_sealed_and_as_it_was(self) -> None:
        sealer = Sealer()
        sealed = sealer.seal(b"a row")
        with pytest.raises(InvalidTag):
            Sealer().open(sealed)
        with pytest.raises(InvalidTag):
            sealer.open(sealed[:-1] + bytes([sealed[-1] ^ 1]))

    def test_nonces_differ(self) -> None:
        sealer = Sealer()
        assert len({sealer.seal(b"")[:12] for _ in range(1000)}) == 1000


class TestExcerpts:
    @pytest.mark.parametrize("make", [raw_request, typed_request])
    def test_a_small_request_is_kept_whole_but_for_what_is_no_row(self, model: Model, make: Any) -> None:
        request = make(draw_points(20))
        request.id, request.model_version = "secret", "3"
        request.parameters["user"].string_param = "secret"
        excerpt = excerpt_of(model, request)
        assert excerpt is not None
        assert (excerpt.id, excerpt.model_version, len(excerpt.parameters)) == ("", "", 0)
        assert [output.name for output in excerpt.outputs] == ["labels"]
        assert labels_of(model, excerpt) == labels_of(model, request)
        assert b"secret" not in excerpt.SerializeToString()

    def test_single_precision_stays(self, model: Model) -> None:
        excerpt = excerpt_of(model, raw_request(draw_points(3).astype(np.float32)))
        assert excerpt is not None
        assert excerpt.inputs[0].datatype == "FP32"

    def test_of_a_large_request_some_rows_are_kept(self, model: Model) -> None:
        points = draw_points(10_000)
        excerpt = excerpt_of(model, raw_request(points))
        assert excerpt is not None
        assert 32 <= rows_of(excerpt) <= MOST_ROWS
        kept = np.frombuffer(excerpt.raw_input_contents[0]).reshape(-1, 2)
        assert kept[0].tolist() == points[0].tolist()
        assert kept[-1] in points[-200:]

    def test_of_no_rows_nothing_is_kept(self, model: Model) -> None:
        assert excerpt_of(model, raw_request(np.empty((0, 2)))) is None

    def test_columns_are_kept_by_name_and_in_order(self, shop: Model) -> None:
        excerpt = excerpt_of(shop, shop_request(6))
        assert excerpt is not None
        assert [(tensor.name, tensor.datatype) for tensor in excerpt.inputs] == [("size", "FP64"), ("kind", "BYTES")]
        assert labels_of(shop, excerpt) == labels_of(shop, shop_request(6))

    def test_joined_excerpts_are_answered_as_apart(self, model: Model, shop: Model) -> None:
        for asked, requests in (
            (model, [raw_request(draw_points(rows, seed=rows)) for rows in (1, 30, 64, 7)] * 10),
            (shop, [shop_request(rows) for rows in (1, 30, 5)] * 5),
        ):
            excerpts = [excerpt for request in requests if (excerpt := excerpt_of(asked, request)) is not None]
            assert len(excerpts) == len(requests)
            batches = list(join_excerpts(excerpts, range(len(excerpts))))
            assert all(sum(batch.rows) <= BATCH_ROWS for batch in batches)
            assert len(batches) < len(excerpts) / 2
            labels = np.concatenate([labels_of(asked, batch.request) for batch in batches])
            places = np.concatenate([batch.places for batch in batches])
            for place, excerpt in enumerate(excerpts):
                assert labels[places == place].tolist() == labels_of(asked, excerpt)

    def test_forms_are_not_mixed(self, model: Model) -> None:
        requests = [raw_request(draw_points(2).astype(kind)) for kind in (np.float64, np.float32) * 5]
        excerpts = [excerpt for request in requests if (excerpt := excerpt_of(model, request)) is not None]
        assert [len(batch.members) for batch in join_excerpts(excerpts, range(10))] == [5, 5]


class TestKeeper:
    def test_what_lies_there_is_sealed(self, model: Model) -> None:
        keeper, request = Keeper(BOUNDS), raw_request(draw_points(4))
        keeper.offer(model, request, answer_request(model, request, never))
        (kept,) = keeper.draw(100)
        assert kept.rows == 4
        assert request.raw_input_contents[0][:16] not in kept.sealed
        assert keeper.open(kept).raw_input_contents[0] == request.raw_input_contents[0]

    def test_a_failure_costs_what_is_kept_and_nothing_else(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        keeper, request = Keeper(BOUNDS), raw_request(draw_points(4))
        answer = answer_request(model, request, never)
        keeper.offer(model, request, answer)

        def fail(*_: object) -> bytes:
            raise MemoryError

        monkeypatch.setattr(Sealer, "seal", fail)
        keeper.offer(model, request, answer)
        monkeypatch.undo()
        keeper.offer(model, request, answer)
        assert (keeper.rows, keeper.draw(100)) == (0, ())

    async def test_what_is_old_is_forgotten_without_calls(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shoal_worker.agreement.keeping._TIDY_SECONDS", 0)
        keeper, request = Keeper(Bounds(rows=10, size=1000, age=1e-9)), raw_request(draw_points(1))
        keeper.offer(model, request, answer_request(model, request, never))
        tending = asyncio.create_task(keeper.tend())
        while keeper.rows:  # noqa: ASYNC110 - each turn lets the task have one
            await asyncio.sleep(0)
        tending.cancel()


class TestCalls:
    async def test_nothing_is_kept_without_an_address_or_room(self, worker: Worker, files: ArtifactFiles) -> None:
        for version, changes in (("3", {}), ("4", {"compare_url": "http://127.0.0.1:9", "reservoir_rows": 0})):
            async with worker(files, version, **changes) as running:
                await running.stub.ModelInfer(raw_request(draw_points(5)))
                metrics = await read_metrics(running)
            assert (metrics["shoal_reservoir_rows"], metrics["shoal_reservoir_bytes"]) == (0, 0)

    async def test_refused_calls_are_not_kept(self, worker: Worker, files: ArtifactFiles) -> None:
        async with worker(files, "3", compare_url="http://127.0.0.1:9") as running:
            with pytest.raises(grpc.aio.AioRpcError):
                await running.stub.ModelInfer(raw_request(np.array([[np.nan, 0.0]])))
            assert (await read_metrics(running))["shoal_reservoir_rows"] == 0

    async def test_a_keeper_that_fails_fails_no_call(
        self, worker: Worker, files: ArtifactFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError

        monkeypatch.setattr("shoal_worker.agreement.keeping.take_excerpt", fail)
        async with worker(files, "3", compare_url="http://127.0.0.1:9") as running:
            for _ in range(3):
                response = await running.stub.ModelInfer(raw_request(draw_points(5)))
                assert response.outputs[0].shape == [5]
            metrics = await read_metrics(running)
        assert metrics['shoal_requests_total{code="OK"}'] == 3
        assert metrics["shoal_reservoir_rows"] == 0
