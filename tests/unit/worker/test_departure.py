"""A worker that drains goes on until its clients have left: none of their calls meets the shutdown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from shoal_worker.serving.departure import await_departure
from shoal_worker.settings import ServeSettings
from tests.unit.worker.harness import run_server, wait_until
from tests.unit.worker.test_server import make_request

Settings = Callable[..., ServeSettings]


class Route:
    """A Service, in small: new connections go to the target of the moment, old ones stay where they are."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Route"]:
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(_copy(reader, ahead), _copy(behind, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(1 << 16):
            writer.write(content)
            await writer.drain()
    writer.close()


async def test_clients_that_call_without_a_pause_lose_no_call(stored: Path, make_settings: Settings) -> None:
    settings = make_settings(drain_connections_seconds=30, max_connection_age_seconds=1)
    async with (
        run_server(settings) as old,
        run_server(make_settings()) as new,
        Route(old.server.grpc_port).open() as route,
    ):
        answered, enough, over = 0, 50, asyncio.Event()

        async def more_answered() -> bool:
            return answered >= enough

        async def call() -> None:
            nonlocal answered
            async with grpc.aio.insecure_channel(f"127.0.0.1:{route.port}") as channel:
                stub = GRPCInferenceServiceStub(channel)
                while not over.is_set():
                    await stub.ModelInfer(make_request())
                    answered += 1

        calling = [asyncio.create_task(call()) for _ in range(4)]
        await wait_until(more_answered)
        route.target = new.server.grpc_port
        await asyncio.wait_for(old.server.drain(asyncio.Event()), 20)
        enough = answered + 50
        await wait_until(more_answered)
        over.set()
        await asyncio.gather(*calling)


async def test_a_client_that_stays_is_waited_for_no_longer_than_set(stored: Path, make_settings: Settings) -> None:
    async with run_server(make_settings(drain_connections_seconds=1)) as running:
        await running.stub.ModelInfer(make_request())
        await asyncio.wait_for(running.server.drain(asyncio.Event()), 10)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await running.stub.ModelInfer(make_request())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_second_signal_ends_the_wait(stored: Path, make_settings: Settings) -> None:
    hurry = asyncio.Event()
    async with run_server(make_settings()) as running:
        await running.stub.ModelInfer(make_request())
        waiting = asyncio.create_task(await_departure(running.server.grpc_port, 60, hurry))
        await asyncio.sleep(0)
        hurry.set()
        assert await asyncio.wait_for(waiting, 10) == 1
