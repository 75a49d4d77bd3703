"""Fixtures of the worker's tests: a small trained model, its settings, a loaded server."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from shoal_worker.settings import ServeSettings
from tests.unit.worker.harness import Running, make_spec, make_table, run_server, train_table


@pytest.fixture(scope="session")
def files() -> ArtifactFiles:
    """The bytes of a trained model."""
    return train_table(make_table(), make_spec()).files


@pytest.fixture
def stored(files: ArtifactFiles, tmp_path: Path) -> Path:
    """The directory of the trained model in a file store below tmp_path."""
    directory = tmp_path / "artifacts" / directory_name(files.digest)
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_bytes(files.manifest)
    (directory / "model.safetensors").write_bytes(files.model)
    return directory


@pytest.fixture
def make_settings(files: ArtifactFiles, tmp_path: Path) -> Callable[..., ServeSettings]:
    """Settings of a worker of the stored model, with free ports and no pause."""

    def build(**changes: Any) -> ServeSettings:
        defaults: dict[str, Any] = {
            "model_name": "blobs",
            "model_version": "3",
            "artifact_uri": f"file://{tmp_path}/artifacts/{directory_name(files.digest)}",
            "artifact_digest": files.digest,
            "grpc_port": 0,
            "metrics_port": 0,
            "internal_port": 0,
            "health_port": 0,
            "bind_address": "127.0.0.1",
            "cache_dir": tmp_path / "cache",
            "store_secret_dir": tmp_path / "no-secret",
            "file_root": tmp_path,
            "report_path": tmp_path / "report.json",
            "drain_delay_seconds": 0,
            "drain_connections_seconds": 0,
            "load_retry_seconds": 0.05,
        }
        return ServeSettings(**{**defaults, **changes})

    return build


@pytest.fixture
async def running(stored: Path, make_settings: Callable[..., ServeSettings]) -> AsyncIterator[Running]:
    """A loaded server with default limits."""
    async with run_server(make_settings()) as running:
        yield running
