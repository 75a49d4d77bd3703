"""Stores of both kinds, files and a real S3 server, and versions to put into them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.models.record import Draft, ModelKey
from shoal_worker.models.store import ModelStore
from shoal_worker.store.objects import Location, Store, open_store
from tests.s3 import BUCKET, S3Server, s3_server
from tests.unit.worker.harness import make_spec, make_table, train_table

__all__ = ["s3_server"]

KEY = ModelKey("fish", "towns")
LIMIT = 1 << 30
START = datetime(2026, 5, 1, tzinfo=UTC)


class Clock:
    """A clock that moves a minute at each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


class Place:
    """Where a store lies, and how to open it."""

    def __init__(self, uri: str, secret_dir: Path, file_root: Path, folder: Path) -> None:
        self.uri, self.secret_dir, self.file_root, self.folder = uri, secret_dir, file_root, folder

    def open(self) -> tuple[Store, Location]:
        return open_store(self.uri, field="storeUri", secret_dir=self.secret_dir, file_root=self.file_root)

    def models(self) -> ModelStore:
        return ModelStore(*self.open(), limit=LIMIT, clock=Clock())


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A fresh, empty store."""
    if request.param == "file":
        folder = tmp_path / "store"
        folder.mkdir()
        yield Place(f"file://{folder}", tmp_path / "none", tmp_path, folder)
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        prefix = uuid.uuid4().hex
        secret = server.write_secret(tmp_path / "secret")
        yield Place(f"s3://{BUCKET}/{prefix}", secret, tmp_path, server.folder / prefix)


@pytest.fixture
def models(place: Place) -> ModelStore:
    """The model store there."""
    return place.models()


@pytest.fixture(scope="session")
def files() -> ArtifactFiles:
    """The bytes of a small trained model."""
    return train_table(make_table(), make_spec()).files


@pytest.fixture(scope="session")
def other_files() -> ArtifactFiles:
    """The bytes of another."""
    return train_table(make_table(120), make_spec()).files


def draft(files: ArtifactFiles, training: str = "a", *, verdict: str = "pass", **more: Any) -> Draft:
    """A version to be saved."""
    report = {
        "outcome": "Succeeded",
        "artifact": {"uri": "elsewhere", "digest": files.digest, "bytes": files.size},
        "metrics": {"rows": 201, "clusters": 2, "noiseRatio": 0.005},
        "validation": {"verdict": verdict},
    }
    return Draft(training_hash=training, digest=files.digest, report=report, **more)
