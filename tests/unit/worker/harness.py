"""What the worker's tests share: a small table and spec, and a real server on loopback ports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from shoal_worker.artifact.manifest import Column
from shoal_worker.data.frame import Frame
from shoal_worker.resources import Machine
from shoal_worker.serving.server import WorkerServer
from shoal_worker.settings import ServeSettings
from shoal_worker.spec.training import TrainingSpec
from shoal_worker.training.outcome import Trained, train_model

MACHINE = Machine(cpus=2, memory=1 << 30)
CENTRES = ((0.0, 0.0), (10.0, 10.0))


def make_table(rows: int = 200, columns: tuple[str, ...] = ("x", "y")) -> Frame:
    """Two dense blobs and a lonely point."""
    random = np.random.default_rng(7)
    blobs = [random.normal(centre, 0.3, (rows // 2, 2)) for centre in CENTRES]
    points = np.concatenate([*blobs, [[50.0, 50.0]]])
    return Frame(tuple(Column(name=name, dtype="float64") for name in columns), points, {})


def make_spec(**changes: Any) -> TrainingSpec:
    """A valid training spec."""
    fields: dict[str, Any] = {
        "name": "blobs",
        "source": {"uri": "file:///blobs.csv"},
        "algorithm": {"dbscan": {"eps": 0.8, "minSamples": 4}},
        "storeUri": "file:///store",
    }
    return TrainingSpec.model_validate({**fields, **changes})


def make_varied_table() -> Frame:
    """A dense blob, one forty times as wide, and sparse noise around both."""
    random = np.random.default_rng(5)
    dense, wide = random.normal(0.0, 0.05, (400, 2)), random.normal(12.0, 2.0, (400, 2))
    points = np.concatenate([dense, wide, random.uniform(-20, 30, (40, 2))])
    return Frame((Column(name="x", dtype="float64"), Column(name="y", dtype="float64")), points, {})


def train_table(table: Frame, spec: TrainingSpec) -> Trained:
    """Train as a Job does."""
    return train_model(table, spec, MACHINE, None, lambda _stage, _fraction: None)


@dataclass(frozen=True, slots=True)
class Running:
    """A server and a client of it."""

    server: WorkerServer
    channel: grpc.aio.Channel
    stub: Any

    def open_channel(self, *options: tuple[str, int]) -> grpc.aio.Channel:
        """A connection of its own."""
        return open_channel(self.server, *options)


def open_channel(server: WorkerServer, *options: tuple[str, int]) -> grpc.aio.Channel:
    """Connect without sharing connections with other channels of the process."""
    return grpc.aio.insecure_channel(
        f"127.0.0.1:{server.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1), *options]
    )


@asynccontextmanager
async def run_server(settings: ServeSettings, *, load: bool = True) -> AsyncIterator[Running]:
    """Start a server, loaded unless told otherwise, and close it."""
    server = WorkerServer(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        await server.start()
        if load:
            await server.load()
        channel = await stack.enter_async_context(open_channel(server))
        yield Running(server, channel, GRPCInferenceServiceStub(channel))


async def wait_until(condition: Callable[[], Awaitable[bool]], seconds: float = 5) -> None:
    """Poll a condition that another task brings about."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition lies in another process or task
            await asyncio.sleep(0.005)
