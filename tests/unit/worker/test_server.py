"""The life of a serving process: readiness, health, overload, deadlines, drain, probes."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from shoal_proto import inference_pb2 as pb
from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from shoal_worker.errors import ArtifactInvalid, SettingsInvalid
from shoal_worker.model import Model
from shoal_worker.serving.server import WorkerServer
from shoal_worker.settings import ServeSettings
from tests.unit.worker.harness import Running, open_channel, run_server, wait_until

Settings = Callable[..., ServeSettings]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("", "inference.GRPCInferenceService")


def make_request(rows: int = 1) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="blobs", raw_input_contents=[np.zeros((rows, 2)).tobytes()])
    request.inputs.add(name="points", datatype="FP64", shape=[rows, 2])
    return request


async def check_health(running: Running, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(running.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def get(running: Running, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{running.server.metrics_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def read_metrics(running: Running) -> dict[str, float]:
    _, text = await get(running, "/metrics")
    lines = [line for line in text.splitlines() if line.startswith("shoal_")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


class Gate:
    """Holds predictions until opened, and tells how many have begun."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        self._open = threading.Event()
        self.entered = 0
        self.abandoned = 0

    def predict(self, model: Model, points: np.ndarray, cancelled: Callable[[], bool]) -> np.ndarray:
        self.entered += 1
        while not self._open.wait(0.005):
            if cancelled():
                self.abandoned += 1
                break
        return self._original(model, points, cancelled)

    def open(self) -> None:
        self._open.set()


@contextmanager
def held_predictions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(Model.predict)
    monkeypatch.setattr(Model, "predict", lambda model, points, cancelled: gate.predict(model, points, cancelled))
    try:
        yield gate
    finally:
        gate.open()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    monkeypatch.setattr("shoal_worker.serving.dispatch.INLINE_SECONDS", 0)
    with held_predictions(monkeypatch) as gate:
        yield gate


async def until_entered(gate: Gate, count: int) -> None:
    async def reached() -> bool:
        return gate.entered >= count

    await wait_until(reached)


async def until_metric(running: Running, name: str, value: float) -> None:
    async def reached() -> bool:
        return (await read_metrics(running))[name] == value

    await wait_until(reached)


class TestReadiness:
    async def test_nothing_is_ready_before_the_model_is_loaded(self, stored: Path, make_settings: Settings) -> None:
        async with run_server(make_settings(), load=False) as running:
            assert [await check_health(running, service) for service in SERVICES] == [NOT_SERVING, NOT_SERVING]
            assert not (await running.stub.ServerReady(pb.ServerReadyRequest())).ready
            assert not (await running.stub.ModelReady(pb.ModelReadyRequest(name="blobs"))).ready
            assert (await running.stub.ServerLive(pb.ServerLiveRequest())).live
            assert (await get(running, "/readyz"))[0] == 503
            assert (await get(running, "/livez"))[0] == 200
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await running.stub.ModelInfer(make_request())
            assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE

            await running.server.load()
            assert [await check_health(running, service) for service in SERVICES] == [SERVING, SERVING]
            assert (await running.stub.ModelReady(pb.ModelReadyRequest(name="blobs", version="3"))).ready
            assert (await get(running, "/readyz"))[0] == 200

    async def test_an_unknown_service_is_not_found(self, running: Running) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await check_health(running, "no.such.Service")
        assert refusal.value.code() is grpc.StatusCode.NOT_FOUND

    async def test_a_changed_artifact_is_never_served(self, stored: Path, make_settings: Settings) -> None:
        content = bytearray((stored / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (stored / "model.safetensors").write_bytes(content)
        settings = make_settings()
        async with run_server(settings, load=False) as running:
            with pytest.raises(ArtifactInvalid, match="does not match the manifest"):
                await running.server.load()
            assert await check_health(running) == NOT_SERVING
            assert "DigestMismatch" in (await get(running, "/readyz"))[1]
        assert json.loads(settings.report_path.read_text())["reason"] == "DigestMismatch"

    async def test_a_store_that_comes_back_is_waited_for(self, stored: Path, make_settings: Settings) -> None:
        secret = stored.parent / "secret"
        secret.mkdir()
        for key, value in {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }.items():
            (secret / key).write_text(value)
        settings = make_settings(artifact_uri="s3://models/a", store_secret_dir=secret)
        async with run_server(settings, load=False) as running:
            loading = asyncio.create_task(running.server.load())

            async def told() -> bool:
                return "StoreUnavailable" in (await get(running, "/readyz"))[1]

            await wait_until(told)
            assert json.loads(settings.report_path.read_text())["transient"] is True
            assert (await get(running, "/livez"))[0] == 200
            # What comes back is, for this test, the local copy.
            copy = settings.cache_dir / stored.name
            copy.parent.mkdir()
            stored.rename(copy)  # noqa: ASYNC240 - a rename in tmp_path blocks nothing
            await loading
            assert await check_health(running) == SERVING
        assert settings.report_path.read_text() == ""

    async def test_a_port_in_use_is_told_by_name(self, running: Running, make_settings: Settings) -> None:
        server = WorkerServer(make_settings(grpc_port=running.server.grpc_port))
        with pytest.raises(SettingsInvalid, match="port") as error:
            await server.start()
        assert error.value.field == "SHOAL_GRPC_PORT"
        await server.close()

    async def test_reflection_lists_the_services(self, running: Running) -> None:
        stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)

        async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")

        answers = [answer async for answer in stub.ServerReflectionInfo(ask())]
        names = {service.name for service in answers[0].list_services_response.service}
        assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names


def open_health(running: Running) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{running.server.health_port}")


class TestHealthPort:
    async def test_it_says_what_the_state_is(self, stored: Path, make_settings: Settings) -> None:
        async with run_server(make_settings(), load=False) as running, open_health(running) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[1]))
            assert (await watch.read()).status == NOT_SERVING
            await running.server.load()
            assert (await watch.read()).status == SERVING
            assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
            assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
            draining = asyncio.create_task(running.server.drain(asyncio.Event()))
            assert (await watch.read()).status == NOT_SERVING
            await draining

    async def test_a_corrupt_model_is_never_said_to_serve(self, stored: Path, make_settings: Settings) -> None:
        content = bytearray((stored / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (stored / "model.safetensors").write_bytes(content)
        async with run_server(make_settings(), load=False) as running, open_health(running) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == NOT_SERVING
            with pytest.raises(ArtifactInvalid):
                await running.server.load()
            assert (await stub.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(watch.read(), 0.6)

    async def test_it_says_so_while_the_event_loop_is_blocked(self, running: Running) -> None:
        seen: list[int] = []

        def watch(until: float) -> None:
            with grpc.insecure_channel(f"127.0.0.1:{running.server.health_port}") as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                for answer in stub.Watch(health_pb2.HealthCheckRequest()):
                    seen.append(answer.status)
                    if seen[-2:] == [SERVING, NOT_SERVING] or time.monotonic() > until:
                        return

        async def serving() -> bool:
            return SERVING in seen

        watching = asyncio.create_task(asyncio.to_thread(watch, time.monotonic() + 10))
        await wait_until(serving)
        blocked = time.monotonic()
        while seen[-1] == SERVING and time.monotonic() < blocked + 5:
            time.sleep(0.05)  # noqa: ASYNC251 - the loop is to be blocked
        assert seen[-1] == NOT_SERVING
        await watching

    async def test_a_port_in_use_is_told_by_name(self, running: Running, make_settings: Settings) -> None:
        server = WorkerServer(make_settings(health_port=running.server.health_port))
        with pytest.raises(SettingsInvalid, match="port") as error:
            await server.start()
        assert error.value.field == "SHOAL_HEALTH_PORT"
        await server.close()


class TestLoad:
    async def test_calls_beyond_the_limit_are_refused_at_once(
        self, stored: Path, make_settings: Settings, gate: Gate
    ) -> None:
        async with run_server(make_settings(max_in_flight=3, threads=1)) as running:
            calls = [asyncio.ensure_future(running.stub.ModelInfer(make_request())) for _ in range(3)]
            await until_entered(gate, 1)

            async def queued() -> bool:
                return (await read_metrics(running))["shoal_queue_length"] == 2

            await wait_until(queued)
            assert (await read_metrics(running))["shoal_in_flight"] == 3
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await running.stub.ModelInfer(make_request())
            assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await check_health(running) == SERVING
            gate.open()
            assert all(response.outputs[0].shape == [1] for response in await asyncio.gather(*calls))
            assert (await read_metrics(running))["shoal_in_flight"] == 0

    async def test_the_event_loop_turns_while_predictions_run(self, running: Running, gate: Gate) -> None:
        call = asyncio.ensure_future(running.stub.ModelInfer(make_request()))
        await until_entered(gate, 1)
        assert (await get(running, "/livez"))[0] == 200
        gate.open()
        await call

    async def test_a_deadline_ends_the_work(self, running: Running, gate: Gate) -> None:
        await running.channel.channel_ready()
        call = running.stub.ModelInfer(make_request(), timeout=1)
        await until_entered(gate, 1)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await call
        assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

        async def given_back() -> bool:
            return gate.abandoned == 1 and (await read_metrics(running))["shoal_in_flight"] == 0

        await wait_until(given_back)

    async def test_a_cancelled_call_ends_the_work(self, running: Running, gate: Gate) -> None:
        call = running.stub.ModelInfer(make_request())
        await until_entered(gate, 1)
        call.cancel()

        async def given_back() -> bool:
            metrics = await read_metrics(running)
            return metrics["shoal_in_flight"] == 0 and metrics['shoal_requests_total{code="CANCELLED"}'] == 1

        await wait_until(given_back)
        assert gate.abandoned == 1

    async def test_a_call_without_deadline_gets_the_servers(
        self, stored: Path, make_settings: Settings, gate: Gate
    ) -> None:
        async with run_server(make_settings(max_request_seconds=0.1)) as running:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await running.stub.ModelInfer(make_request())
            assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "0.1 s" in refusal.value.details()

    async def test_an_unexpected_error_hides_its_details(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("a secret")

        monkeypatch.setattr(Model, "predict", fail)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await running.stub.ModelInfer(make_request())
        assert refusal.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in refusal.value.details()
        await until_metric(running, 'shoal_requests_total{code="INTERNAL"}', 1)

    async def test_old_connections_are_told_to_go_without_losing_calls(
        self, stored: Path, make_settings: Settings
    ) -> None:
        async with run_server(make_settings(max_connection_age_seconds=0.05)) as running:
            stop = asyncio.get_running_loop().time() + 0.6
            while asyncio.get_running_loop().time() < stop:
                await running.stub.ModelInfer(make_request())

    async def test_a_flood_of_one_tenant_leaves_another_its_share(
        self, stored: Path, make_settings: Settings, gate: Gate
    ) -> None:
        def call(running: Running, tenant: str) -> Any:
            return running.stub.ModelInfer(make_request(), metadata=(("shoal-tenant", tenant),))

        async with run_server(make_settings(max_in_flight=4, threads=1)) as running:
            flood = [asyncio.ensure_future(call(running, "flood")) for _ in range(4)]
            await until_metric(running, "shoal_in_flight", 4)
            quiet = [asyncio.ensure_future(call(running, "quiet")) for _ in range(2)]
            await until_metric(running, "shoal_in_flight", 6)
            for tenant in ("flood", "quiet"):
                with pytest.raises(grpc.aio.AioRpcError) as refusal:
                    await call(running, tenant)
                assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "its share is 2" in refusal.value.details()
                assert int(dict(refusal.value.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
            metrics = await read_metrics(running)
            assert metrics["shoal_tenants"] == 2
            assert metrics['shoal_refusals_total{reason="TenantShare"}'] == 2
            gate.open()
            await asyncio.gather(*flood, *quiet)
            assert (await read_metrics(running))["shoal_queue_seconds_count"] == 6

    async def test_rows_that_cannot_be_done_in_time_are_refused_for_good(self, running: Running) -> None:
        model = running.server._state.require_model()
        running.server._state.record_model(replace(model, seconds_per_row=1.0))
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await running.stub.ModelInfer(make_request(21))
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "Send 1/2 of the rows per call" in refusal.value.details()
        assert dict(refusal.value.trailing_metadata())["grpc-retry-pushback-ms"] == "-1"
        assert (await read_metrics(running))['shoal_refusals_total{reason="WorkBudget"}'] == 1

    async def test_a_withdrawn_call_never_begins_and_gives_its_place_back(
        self, stored: Path, make_settings: Settings, gate: Gate
    ) -> None:
        async with run_server(make_settings(max_in_flight=2, threads=1)) as running:
            first = asyncio.ensure_future(running.stub.ModelInfer(make_request()))
            await until_entered(gate, 1)
            second = running.stub.ModelInfer(make_request())
            await until_metric(running, "shoal_queue_length", 1)
            second.cancel()
            await until_metric(running, "shoal_queue_length", 0)
            third = asyncio.ensure_future(running.stub.ModelInfer(make_request()))
            await until_metric(running, "shoal_queue_length", 1)
            gate.open()
            await asyncio.gather(first, third)
            assert gate.entered == 2

    async def test_short_work_needs_no_thread(self, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        names = []
        original = Model.predict

        def predict(model: Model, points: np.ndarray, cancelled: Callable[[], bool]) -> np.ndarray:
            names.append(threading.current_thread().name)
            return original(model, points, cancelled)

        monkeypatch.setattr(Model, "predict", predict)
        await running.stub.ModelInfer(make_request(1))
        await running.stub.ModelInfer(make_request(200_000))
        assert names[0] == threading.current_thread().name
        assert names[1].startswith("predict")

        # Nor is more work begun on the event loop than it could bear if the rows were hard ones.
        model = running.server._state.require_model()
        running.server._state.record_model(replace(model, loop_rows=1))
        await running.stub.ModelInfer(make_request(2))
        assert names[2].startswith("predict")


class TestMetrics:
    @pytest.mark.parametrize("pairs", [1, 100])
    async def test_calls_rows_noise_and_the_model_are_counted(self, running: Running, stored: Path, pairs: int) -> None:
        request = make_request(2 * pairs)
        request.raw_input_contents[0] = np.array([[0.0, 0.0], [99.0, 99.0]] * pairs).tobytes()
        await running.stub.ModelInfer(request)
        with pytest.raises(grpc.aio.AioRpcError):
            await running.stub.ModelInfer(pb.ModelInferRequest(model_name="x" * 50))
        # A refusal is counted once it is sent.
        await until_metric(running, 'shoal_requests_total{code="NOT_FOUND"}', 1)
        metrics = await read_metrics(running)
        assert metrics['shoal_requests_total{code="OK"}'] == 1
        assert metrics["shoal_request_duration_seconds_count"] == 2
        assert metrics["shoal_rows_total"] == 2 * pairs
        assert metrics["shoal_noise_rows_total"] == pairs
        assert metrics["shoal_model_clusters"] == 2
        digest = stored.name.replace("-", ":")
        assert metrics[f'shoal_model_info{{digest="{digest}",model="blobs",version="3"}}'] == 1

    async def test_no_series_is_named_by_a_request(self, running: Running) -> None:
        before = set(await read_metrics(running))
        for number in range(20):
            with pytest.raises(grpc.aio.AioRpcError):
                await running.stub.ModelInfer(pb.ModelInferRequest(model_name=f"model-{number}", id=str(number)))
        assert set(await read_metrics(running)) == before

    async def test_bytes_that_are_no_message_are_counted(self, running: Running) -> None:
        with pytest.raises(grpc.aio.AioRpcError):
            await running.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff")
        # The count follows the sending of the refusal.
        await until_metric(running, 'shoal_requests_total{code="INVALID_ARGUMENT"}', 1)

    async def test_what_the_transport_received_and_what_was_answered(self, running: Running) -> None:
        await running.stub.ModelInfer(make_request())
        with pytest.raises(grpc.aio.AioRpcError):
            await running.stub.ModelInfer(pb.ModelInferRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await running.channel.unary_unary("/no.such/Method")(b"")

        async def counted() -> bool:
            metrics = await read_metrics(running)
            return metrics["shoal_transport_calls_total"] == metrics["shoal_transport_answers_total"] == 3

        await wait_until(counted)


class TestDrain:
    async def test_calls_in_flight_and_during_the_delay_succeed(
        self, stored: Path, make_settings: Settings, gate: Gate
    ) -> None:
        hurry = asyncio.Event()
        async with run_server(make_settings(drain_delay_seconds=60, threads=2)) as running:
            before = asyncio.ensure_future(running.stub.ModelInfer(make_request()))
            await until_entered(gate, 1)
            draining = asyncio.create_task(running.server.drain(hurry))

            async def not_serving() -> bool:
                return await check_health(running) == NOT_SERVING

            await wait_until(not_serving)
            assert await check_health(running, SERVICES[1]) == NOT_SERVING
            assert (await get(running, "/readyz")) == (503, "draining\n")
            assert not (await running.stub.ServerReady(pb.ServerReadyRequest())).ready

            # A client that has not heard of it yet, on a connection of its own.
            async with open_channel(running.server) as late:
                during = asyncio.ensure_future(GRPCInferenceServiceStub(late).ModelInfer(make_request()))
                await until_entered(gate, 2)
                hurry.set()

                async def refused() -> bool:
                    try:
                        async with open_channel(running.server) as channel:
                            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                    except grpc.aio.AioRpcError as error:
                        return error.code() is grpc.StatusCode.UNAVAILABLE
                    return False

                await wait_until(refused)
                gate.open()
                responses = await asyncio.gather(before, during)
            assert [response.outputs[0].shape for response in responses] == [[1], [1]]
            await draining

    async def test_who_watches_the_health_hears_of_it(self, stored: Path, make_settings: Settings) -> None:
        async with run_server(make_settings(drain_grace_seconds=0)) as running:
            watch = health_pb2_grpc.HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            draining = asyncio.create_task(running.server.drain(asyncio.Event()))
            assert (await watch.read()).status == NOT_SERVING
            await draining

    async def test_a_model_that_loads_during_the_drain_does_not_turn_ready(
        self, stored: Path, make_settings: Settings
    ) -> None:
        async with run_server(make_settings(drain_delay_seconds=60), load=False) as running:
            hurry = asyncio.Event()
            draining = asyncio.create_task(running.server.drain(hurry))
            await asyncio.sleep(0)
            await running.server.load()
            assert await check_health(running) == NOT_SERVING
            hurry.set()
            await draining
