"""A real S3 server on a loopback port for tests: versitygw, as in the cluster, over a temporary folder."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from hack.cluster.binaries import ensure_versitygw
from hack.cluster.layout import default_layout
from hack.cluster.progress import Steps

BUCKET = "shoal-store"
_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server with one bucket, and the folder in which the bucket's objects are files."""

    endpoint: str
    folder: Path

    @property
    def credentials(self) -> dict[str, str]:
        """What a store's Secret would hold."""
        return {
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests-secret",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def write_secret(self, directory: Path) -> Path:
        """Write the credentials as a mounted Secret has them."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, value in self.credentials.items():
            (directory / name).write_text(value)
        return directory


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests of a session; each keeps to a prefix of its own."""
    with run_s3(tmp_path_factory.mktemp("s3") / "buckets") as server:
        yield server


@contextmanager
def run_s3(folder: Path) -> Iterator[S3Server]:
    """Run a server over a folder; a bucket is a folder in it."""
    (folder / BUCKET).mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--port", f"127.0.0.1:{port}", "--health", "/healthz", "--quiet", "posix", str(folder)]
    with (folder.parent / "versitygw.log").open("wb") as log:
        process = subprocess.Popen(
            [versitygw(), *arguments],
            env={"ROOT_ACCESS_KEY": "tests", "ROOT_SECRET_KEY": "tests-secret"},
            stdout=log,
            stderr=log,
        )
    try:
        server = S3Server(f"http://127.0.0.1:{port}", folder / BUCKET)
        _await_health(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(10)


@cache
def versitygw() -> str:
    """Return the program's path; builds it where the cluster has not."""
    return str(ensure_versitygw(default_layout(), Steps()))


def _await_health(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{server.endpoint}/healthz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.02)
