"""The internal port: hostile bodies, candidates that lie, refuse or hang, and users who notice nothing of it."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from shoal_proto import inference_pb2 as pb
from shoal_worker.agreement import comparing, internal
from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.errors import SettingsInvalid
from shoal_worker.serving.server import WorkerServer
from shoal_worker.settings import ServeSettings
from tests.unit.worker.agreement.conftest import Worker, address, call, compare, draw_points
from tests.unit.worker.harness import Running, run_server, wait_until
from tests.unit.worker.test_inference import raw_request, typed_request
from tests.unit.worker.test_server import read_metrics

DIGEST = "sha256:" + "c" * 64
NOWHERE = "http://127.0.0.1:9"
Reply = Callable[[pb.ModelInferRequest], Awaitable[web.Response]]


async def post(running: Running, path: str, body: bytes | str) -> tuple[int, Any, Any]:
    content = io.BytesIO(body.encode() if isinstance(body, str) else body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address(running)}{path}", data=content) as response,
    ):
        answer = await response.read()
        told = json.loads(answer) if response.content_type == "application/json" else answer
        return response.status, told, response.headers


async def compare_fake(stable: Running, **asked: Any) -> tuple[int, Any]:
    body = {"candidate": {"version": "4", "digest": DIGEST}, "maxRows": 2000, "deadlineSeconds": 20.0, **asked}
    status, told, _ = await post(stable, "/compare", json.dumps(body))
    return status, told


def labelled(
    request: pb.ModelInferRequest, *, version: str = "4", digest: str = DIGEST, rows: int | None = None
) -> web.Response:
    """The answer of a candidate for which everything is in cluster 0."""
    count = request.inputs[0].shape[0] if rows is None else rows
    response = pb.ModelInferResponse(raw_output_contents=[np.zeros(count, "<i4").tobytes()])
    response.outputs.add(name="labels", datatype="INT32", shape=[count])
    return web.Response(body=response.SerializeToString(), headers={"Shoal-Version": version, "Shoal-Digest": digest})


@asynccontextmanager
async def candidate_that(reply: Reply) -> AsyncIterator[str]:
    """The address of something that answers /answer as told."""

    async def answer(request: web.Request) -> web.Response:
        return await reply(pb.ModelInferRequest.FromString(await request.read()))

    async with candidate_at(answer) as url:
        yield url


@asynccontextmanager
async def candidate_at(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """The address of an HTTP server with that route."""
    app = web.Application(client_max_size=1 << 22)
    app.add_routes([web.post("/answer", answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class TestAnswer:
    @pytest.mark.parametrize("make", [raw_request, typed_request])
    async def test_it_is_that_of_a_call(self, running: Running, make: Any) -> None:
        request = make(draw_points(20))
        request.outputs.add(name="cluster_ids")
        request.outputs.add(name="labels")
        called = await running.stub.ModelInfer(request)
        status, content, headers = await post(running, "/answer", request.SerializeToString())
        assert status == 200
        assert headers["Content-Type"] == "application/x-protobuf"
        assert (headers["Shoal-Version"], headers["Shoal-Digest"].split(":")[0]) == ("3", "sha256")
        answered = pb.ModelInferResponse.FromString(content)
        assert answered.outputs[:2] == called.outputs[:2]
        assert answered.raw_output_contents[:2] == called.raw_output_contents[:2]

    async def test_rows_out_of_reach_come_beside_the_labels(self, running: Running) -> None:
        request = raw_request(np.array([[0.0, 0.0], [99.0, 0.0]]))
        _, content, _ = await post(running, "/answer", request.SerializeToString())
        answered = pb.ModelInferResponse.FromString(content)
        assert [(output.name, output.datatype) for output in answered.outputs][1:] == [("out_of_reach", "BOOL")]
        assert answered.raw_output_contents[1] == b"\0\1"

    @pytest.mark.parametrize(
        ("body", "status", "reason"),
        [
            (b"\xff" * 100, 400, "RequestInvalid"),
            (b"", 404, "ModelUnknown"),
            (pb.ModelInferRequest(model_name="other").SerializeToString(), 404, "ModelUnknown"),
            (pb.ModelInferRequest(model_name="blobs", model_version="9").SerializeToString(), 404, "ModelUnknown"),
            (pb.ModelInferRequest(model_name="blobs").SerializeToString(), 400, "RequestInvalid"),
            (raw_request(np.full((2, 2), np.nan)).SerializeToString(), 400, "RequestInvalid"),
            (raw_request(np.zeros((2, 3))).SerializeToString(), 400, "RequestInvalid"),
            (b"x" * (internal.MOST_BODY_BYTES + 1), 413, "RequestInvalid"),
        ],
        ids=["no message", "empty", "other model", "other version", "no input", "NaN", "too wide", "too large"],
    )
    async def test_a_wrong_body_is_refused(self, running: Running, body: bytes, status: int, reason: str) -> None:
        got, told, headers = await post(running, "/answer", body)
        assert (got, told["reason"]) == (status, reason)
        assert told["message"]
        assert headers["Shoal-Version"] == "3"

    async def test_more_than_may_wait_are_refused(self, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(internal, "MOST_WAITING", 0)
        status, told, _ = await post(running, "/answer", raw_request(draw_points(1)).SerializeToString())
        assert (status, told["reason"]) == (409, "Busy")

    async def test_an_unexpected_error_hides_its_details(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("a secret")

        monkeypatch.setattr(internal, "answer_request", fail)
        status, told, _ = await post(running, "/answer", raw_request(draw_points(1)).SerializeToString())
        assert (status, told["reason"]) == (500, "Internal")
        assert "secret" not in told["message"]

    async def test_other_paths_and_methods_are_told_as_json(self, running: Running) -> None:
        assert (await post(running, "/metrics", b""))[0] == 404
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{address(running)}/compare") as response,
        ):
            assert (response.status, (await response.json())["reason"]) == (405, "RequestInvalid")


class TestReadiness:
    async def test_a_worker_without_a_model_answers_503(
        self, stored: Any, make_settings: Callable[..., ServeSettings]
    ) -> None:
        async with run_server(make_settings(compare_url=NOWHERE), load=False) as running:
            for path, body in (("/answer", b""), ("/compare", b"{}")):
                status, told, headers = await post(running, path, body)
                assert (status, told["reason"]) == (503, "ModelNotReady")
                assert "Shoal-Version" not in headers

    async def test_a_draining_worker_answers_503(
        self, stored: Any, make_settings: Callable[..., ServeSettings]
    ) -> None:
        async with run_server(make_settings(compare_url=NOWHERE, drain_delay_seconds=60)) as running:
            hurry = asyncio.Event()
            draining = asyncio.create_task(running.server.drain(hurry))
            await asyncio.sleep(0)
            status, told, _ = await post(running, "/answer", raw_request(draw_points(1)).SerializeToString())
            assert (status, told["reason"], told["message"].split(".")[0]) == (503, "ModelNotReady", "draining")
            hurry.set()
            await draining

    async def test_a_port_in_use_is_told_by_name(
        self, running: Running, make_settings: Callable[..., ServeSettings]
    ) -> None:
        server = WorkerServer(make_settings(internal_port=running.server.internal_port))
        with pytest.raises(SettingsInvalid) as error:
            await server.start()
        assert error.value.field == "SHOAL_INTERNAL_PORT"
        await server.close()

    @pytest.mark.parametrize("url", ["http://", "ftp://a:1", "http://user@a:1", "http://a:1/path", "http://a:1?x=y"])
    def test_an_address_must_be_one(self, make_settings: Callable[..., ServeSettings], url: str) -> None:
        with pytest.raises(ValueError, match="compare_url"):
            make_settings(compare_url=url)


class TestCompareRequest:
    VALID: dict[str, Any] = {"candidate": {"version": "4", "digest": DIGEST}}  # noqa: RUF012 - never changed

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "[]",
            "{",
            "[" * 100_000,
            "{}",
            '{"candidate": null}',
            json.dumps({"candidate": {"version": 4, "digest": DIGEST}}),
            json.dumps({"candidate": {"version": "4", "digest": "sha256:short"}}),
            json.dumps({**VALID, "maxRows": 0}),
            json.dumps({**VALID, "maxRows": 10**9}),
            json.dumps({**VALID, "maxRows": "2000"}),
            json.dumps({**VALID, "deadlineSeconds": 0}),
            json.dumps({**VALID, "deadlineSeconds": 1e9}),
            '{"candidate": {"version": "4", "digest": "' + DIGEST + '"}, "deadlineSeconds": NaN}',
            json.dumps({**VALID, "url": "http://elsewhere"}),
            "\ud800".encode("utf-8", "surrogatepass"),
        ],
    )
    async def test_a_wrong_body_is_refused(self, running: Running, body: bytes | str) -> None:
        status, told, _ = await post(running, "/compare", body)
        assert (status, told["reason"]) == (400, "RequestInvalid")
        assert len(told["message"]) <= 500

    async def test_where_nothing_is_kept_there_is_nothing_to_compare(self, running: Running) -> None:
        status, told = await compare_fake(running)
        assert (status, told["reason"], told["rows"]) == (409, "TooFewRows", 0)
        assert "SHOAL_COMPARE_URL" in told["message"]


class TestCandidates:
    async def test_too_few_requests_are_told(self, worker: Worker, files: ArtifactFiles) -> None:
        async with worker(files, "3", compare_url=NOWHERE) as stable:
            await call(stable, draw_points(comparing.LEAST_REQUESTS - 1), rows=1)
            status, told = await compare_fake(stable)
        assert (status, told["reason"], told["rows"]) == (409, "TooFewRows", comparing.LEAST_REQUESTS - 1)

    async def test_nobody_there_is_unreachable(self, worker: Worker, files: ArtifactFiles) -> None:
        async with worker(files, "3", compare_url=NOWHERE) as stable:
            await call(stable, draw_points(50), rows=1)
            status, told = await compare_fake(stable)
        assert (status, told["reason"]) == (502, "CandidateUnreachable")

    @pytest.mark.parametrize("identity", [{"version": "5"}, {"digest": "sha256:" + "d" * 64}])
    async def test_another_version_is_a_mismatch(
        self, worker: Worker, files: ArtifactFiles, identity: dict[str, str]
    ) -> None:
        async def reply(request: pb.ModelInferRequest) -> web.Response:
            return labelled(request, **identity)

        async with candidate_that(reply) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(50), rows=1)
            status, told = await compare_fake(stable)
            assert (status, told["reason"]) == (409, "CandidateMismatch")
            assert (await read_metrics(stable))["shoal_compared_rows_total"] == 0

    async def test_a_mismatch_of_a_real_worker_is_told(self, worker: Worker, files: ArtifactFiles) -> None:
        async with worker(files, "4") as candidate, worker(files, "3", compare_url=address(candidate)) as stable:
            await call(stable, draw_points(50), rows=1)
            status, told = await compare(stable, files, version="5")
        assert (status, told["reason"]) == (409, "CandidateMismatch")

    @pytest.mark.parametrize(
        "answer",
        [
            lambda request: labelled(request, rows=1),
            lambda request: web.Response(body=b"\xff" * 9, headers={"Shoal-Version": "4", "Shoal-Digest": DIGEST}),
            lambda request: web.Response(body=bytes(2 << 20), headers={"Shoal-Version": "4", "Shoal-Digest": DIGEST}),
            lambda request: web.Response(status=307, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
            lambda request: web.Response(status=503, text="draining"),
        ],
        ids=["a label for many rows", "no message", "too large", "a redirect", "not ready"],
    )
    async def test_what_is_no_answer_is_unreachable(
        self, worker: Worker, files: ArtifactFiles, answer: Callable[[pb.ModelInferRequest], web.Response]
    ) -> None:
        async def reply(request: pb.ModelInferRequest) -> web.Response:
            return answer(request)

        async with candidate_that(reply) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(50), rows=1)
            status, told = await compare_fake(stable)
        assert (status, told["reason"]) == (502, "CandidateUnreachable")

    @pytest.mark.parametrize("status", [400, 500])
    async def test_one_bad_request_costs_no_others(self, worker: Worker, files: ArtifactFiles, status: int) -> None:
        async def reply(request: pb.ModelInferRequest) -> web.Response:
            points = np.frombuffer(request.raw_input_contents[0]).reshape(-1, 2)
            if (points == [30.0, 30.0]).all(axis=1).any():
                return web.Response(status=status, headers={"Shoal-Version": "4", "Shoal-Digest": DIGEST})
            return labelled(request)

        async with candidate_that(reply) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(100), rows=1)
            got, told = await compare_fake(stable)
        assert got == 200
        assert (told["requests"], told["rows"], told["refused"]) == (90, 90, 10)
        assert told["outOfReach"] is None, "this candidate does not tell"

    async def test_a_candidate_that_refuses_everything_is_told_so(self, worker: Worker, files: ArtifactFiles) -> None:
        calls = 0

        async def reply(_: pb.ModelInferRequest) -> web.Response:
            nonlocal calls
            calls += 1
            return web.Response(status=400, headers={"Shoal-Version": "4", "Shoal-Digest": DIGEST})

        async with candidate_that(reply) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(400), rows=1)
            status, told = await compare_fake(stable)
        assert (status, told["reason"], told["rows"]) == (409, "TooFewRows", 0)
        assert told["refused"] > 50
        assert calls < 300, "it is not asked row by row for ever"

    async def test_only_so_many_rows_are_asked_for(self, worker: Worker, files: ArtifactFiles) -> None:
        async def reply(request: pb.ModelInferRequest) -> web.Response:
            return labelled(request)

        async with candidate_that(reply) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(100), rows=1)
            status, told = await compare_fake(stable, maxRows=40)
        assert (status, told["rows"]) == (200, 40)

    async def test_the_next_candidate_behind_the_address_is_found(self, worker: Worker, files: ArtifactFiles) -> None:
        """As a Service does: open connections stay with the pod that they lead to, new ones go to the next."""
        peers = set()

        async def answer(request: web.Request) -> web.Response:
            assert request.transport is not None
            peers.add(request.transport.get_extra_info("peername"))
            return labelled(pb.ModelInferRequest.FromString(await request.read()))

        async with candidate_at(answer) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(50), rows=1)
            for _ in range(3):
                assert (await compare_fake(stable))[0] == 200
        assert len(peers) == 3


class TestUsers:
    async def test_a_candidate_that_hangs_costs_the_comparison_only(self, worker: Worker, files: ArtifactFiles) -> None:
        asked, stop = asyncio.Event(), asyncio.Event()

        async def reply(request: pb.ModelInferRequest) -> web.Response:
            asked.set()
            await stop.wait()
            return labelled(request)

        async with candidate_that(reply) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(50), rows=1)
            under_way = asyncio.create_task(compare_fake(stable, deadlineSeconds=1.0))
            await asked.wait()
            status, told = await compare_fake(stable)
            assert (status, told["reason"]) == (409, "Busy")
            await call(stable, draw_points(20), rows=1)
            status, told = await under_way
            assert (status, told["reason"]) == (504, "DeadlinePassed")
            stop.set()
            status, _ = await compare_fake(stable)
            assert status == 200, "the next comparison goes on as ever"

    async def test_calls_are_answered_while_a_comparison_computes(
        self, worker: Worker, files: ArtifactFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()
        original = comparing.measure_figures

        def held(*arguments: Any) -> Any:
            begun.set()
            assert go_on.wait(30)
            return original(*arguments)

        async def reply(request: pb.ModelInferRequest) -> web.Response:
            return labelled(request)

        monkeypatch.setattr(comparing, "measure_figures", held)
        async with candidate_that(reply) as url, worker(files, "3", compare_url=url) as stable:
            await call(stable, draw_points(50), rows=1)
            under_way = asyncio.create_task(compare_fake(stable))

            async def computing() -> bool:
                return begun.is_set()

            await wait_until(computing, seconds=30)
            await call(stable, draw_points(20), rows=1)
            await stable.stub.ModelInfer(raw_request(draw_points(200_000)))
            go_on.set()
            assert (await under_way)[0] == 200
            metrics = await read_metrics(stable)
        assert metrics['shoal_requests_total{code="OK"}'] == 71

    async def test_a_worker_ends_without_waiting_for_a_comparison(self, worker: Worker, files: ArtifactFiles) -> None:
        asked = asyncio.Event()

        async def reply(_: pb.ModelInferRequest) -> web.Response:
            asked.set()
            await asyncio.sleep(60)
            raise AssertionError

        async with candidate_that(reply) as url:
            async with worker(files, "3", compare_url=url) as stable:
                await call(stable, draw_points(50), rows=1)
                under_way = asyncio.create_task(compare_fake(stable, deadlineSeconds=60.0))
                await asked.wait()
                started = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - started < 20
            with pytest.raises(aiohttp.ClientError):
                await under_way
