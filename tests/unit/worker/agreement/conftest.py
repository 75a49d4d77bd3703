"""Two versions of a model and workers of them, as they are in a deployment during a rollout."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from shoal_worker.settings import ServeSettings
from tests.unit.worker.harness import CENTRES, Running, make_spec, make_table, run_server, train_table
from tests.unit.worker.test_inference import raw_request

Worker = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture(scope="session")
def wrong_files() -> ArtifactFiles:
    """A version that takes the second blob for noise."""
    table = make_table()
    return train_table(table.select(table.numbers[:, 0] < 5), make_spec(validation={"minClusters": 1})).files


@pytest.fixture
def worker(make_settings: Callable[..., ServeSettings], tmp_path: Path) -> Worker:
    """Start a worker of an artifact under a version's number."""

    @asynccontextmanager
    async def run(files: ArtifactFiles, version: str, **changes: Any) -> AsyncIterator[Running]:
        directory = tmp_path / f"v{version}" / directory_name(files.digest)
        directory.mkdir(parents=True)
        (directory / "manifest.json").write_bytes(files.manifest)
        (directory / "model.safetensors").write_bytes(files.model)
        settings = make_settings(
            artifact_uri=f"file://{directory}",
            artifact_digest=files.digest,
            model_version=version,
            cache_dir=tmp_path / f"cache-{version}",
            **changes,
        )
        async with run_server(settings) as running:
            yield running

    return run


def draw_points(rows: int, seed: int = 0) -> np.ndarray:
    """Rows of both blobs in turn, and one in ten of neither."""
    random = np.random.default_rng(seed)
    points = np.array(CENTRES)[np.arange(rows) % 2] + random.normal(0, 0.2, (rows, 2))
    points[::10] = [30.0, 30.0]
    return points


def address(running: Running) -> str:
    return f"http://127.0.0.1:{running.server.internal_port}"


async def compare(stable: Running, files: ArtifactFiles, version: str = "4", **asked: Any) -> tuple[int, Any]:
    body = {
        "candidate": {"version": version, "digest": files.digest},
        "maxRows": 2000,
        "deadlineSeconds": 20.0,
        **asked,
    }
    async with aiohttp.ClientSession() as session, session.post(f"{address(stable)}/compare", json=body) as response:
        return response.status, json.loads(await response.text())


async def call(stable: Running, points: np.ndarray, rows: int) -> None:
    for part in np.array_split(points, len(points) // rows):
        await stable.stub.ModelInfer(raw_request(part))
