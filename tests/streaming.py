"""What tests and benchmarks of streams share: a stored model, and real workers that consume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from tests.nats_server import NatsServer
from tests.streams import CONSUMER
from tests.unit.worker.harness import make_spec, make_table, train_table

READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A trained model in a file store, and points to ask it for."""

    root: Path
    files: ArtifactFiles
    points: np.ndarray


def store_model(root: Path) -> Stored:
    """Train a small model and store it as the operator's Jobs do."""
    table = make_table()
    files = train_table(table, make_spec()).files
    directory = root / "artifacts" / directory_name(files.digest)
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_bytes(files.manifest)
    (directory / "model.safetensors").write_bytes(files.model)
    return Stored(root, files, table.numbers)


@dataclass(slots=True)
class Worker:
    """A worker process that consumes."""

    process: subprocess.Popen[str]
    metrics_port: int
    log: list[str] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """Its metrics, and the CPU time of the process."""
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in self.metrics_text().splitlines())
            if name.startswith(("shoal_", "process_cpu"))
        }

    def metrics_text(self) -> str:
        """Its metrics as it tells them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            found: str = answer.read().decode()
        return found

    def explanation(self) -> tuple[int, str]:
        """Status and text of /readyz."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()

    def await_ready(self) -> None:
        """Wait until it takes messages."""
        deadline = time.monotonic() + READY_SECONDS
        while self.explanation()[0] != 200:
            assert self.process.poll() is None, "the worker has ended"
            assert time.monotonic() < deadline, self.explanation()
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def environment(stored: Stored, server: NatsServer, name: str, work: Path, **changes: str) -> dict[str, str]:
    """What `consume` is configured by; changes are settings without their prefix."""
    settings = {
        "MODEL_NAME": "blobs",
        "MODEL_VERSION": "3",
        "ARTIFACT_URI": f"file://{stored.root}/artifacts/{directory_name(stored.files.digest)}",
        "ARTIFACT_DIGEST": stored.files.digest,
        "FILE_ROOT": str(stored.root),
        "CACHE_DIR": str(work / "cache"),
        "REPORT_PATH": str(work / "report"),
        "NATS_SECRET_DIR": str(work / "nats"),
        "BIND_ADDRESS": "127.0.0.1",
        "METRICS_PORT": "0",
        "INTERNAL_PORT": "0",
        "NATS_URL": server.url,
        "INPUT_STREAM": f"{name}-in",
        "CONSUMER": CONSUMER,
        "OUTPUT_SUBJECT": f"{name}.out",
        "DEAD_LETTER_SUBJECT": f"{name}.dead",
        "ACK_WAIT_SECONDS": "2",
        **changes,
    }
    return {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(work),
        **{f"SHOAL_{key}": value for key, value in settings.items()},
    }


def forget_consumer(variables: Mapping[str, str]) -> int:
    """Run the verb that deletes the consumer, and return its exit code."""
    command = [sys.executable, "-m", "shoal_worker", "forget-consumer"]
    return subprocess.run(command, env=dict(variables), stderr=subprocess.DEVNULL, timeout=60).returncode


@contextmanager
def run_worker(variables: Mapping[str, str], work: Path, *, ready: bool = True) -> Iterator[Worker]:
    """Run a worker, ready unless told otherwise, and kill it at the end."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "worker.log"
    with path.open("a") as log:
        begin = path.stat().st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "shoal_worker", "consume"], env=dict(variables), stderr=log, text=True
        )
    try:
        worker = Worker(process, _find_port(process, path, begin))
        if ready:
            worker.await_ready()
        yield worker
    finally:
        process.kill()
        process.wait()


def _find_port(process: subprocess.Popen[str], path: Path, begin: int) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with path.open() as log:
            log.seek(begin)
            for line in log:
                if '"listening"' in line and line.endswith("\n"):
                    port: int = json.loads(line)["metrics_port"]
                    return port
        assert process.poll() is None, path.read_text()
        time.sleep(0.02)
    raise AssertionError(path.read_text())
