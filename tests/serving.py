"""What tests of serving share: the settings of a real worker process, its start on free loopback ports, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

MODEL = "blobs"
COMMAND = [sys.executable, "-m", "shoal_worker", "serve"]
# Long enough for a machine that many tests share; what a call takes on one of its own is measured elsewhere.
CALL_SECONDS = 30
_READY_SECONDS = 60
_END_SECONDS = 20


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A serving process and its ports."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    metrics_port: int
    health_port: int

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def cpu_seconds(self) -> float:
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as response:
            lines = [line for line in response.read().decode().splitlines() if line.startswith("shoal_")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def open_channel(self, *options: tuple[str, int]) -> grpc.Channel:
        return grpc.insecure_channel(
            f"127.0.0.1:{self.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1), *options]
        )

    def health(self) -> int:
        with grpc.insecure_channel(f"127.0.0.1:{self.health_port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            return stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS, wait_for_ready=True).status


def environment(artifact: Path, digest: str, work: Path, **changes: str) -> dict[str, str]:
    """What `serve` is configured by, with the artifact below `work`; changes are settings without their prefix."""
    settings = {
        "MODEL_NAME": MODEL,
        "MODEL_VERSION": "3",
        "ARTIFACT_URI": f"file://{artifact}",
        "ARTIFACT_DIGEST": digest,
        "FILE_ROOT": str(work),
        "CACHE_DIR": str(work / "cache"),
        "REPORT_PATH": str(work / "report"),
        "BIND_ADDRESS": "127.0.0.1",
        "DRAIN_DELAY_SECONDS": "0",
        "DRAIN_GRACE_SECONDS": "1",
        **{f"{port}_PORT": "0" for port in ("GRPC", "METRICS", "INTERNAL", "HEALTH")},
        **changes,
    }
    return {"PATH": os.environ["PATH"], **{f"SHOAL_{key}": value for key, value in settings.items()}}


@contextmanager
def run_worker(
    variables: Mapping[str, str], work: Path, *, until: str = "serving", before: Sequence[str] = ()
) -> Iterator[WorkerProcess]:
    """Run a worker, wait until it logs the event, and have it end cleanly. `before`: a command that starts it."""
    log = work / "log"
    command = [*before, *COMMAND]
    with log.open("wb") as stream, subprocess.Popen(command, env=dict(variables), stderr=stream) as process:
        try:
            listening = _await_event(log, process, until)["listening"]
            yield WorkerProcess(process, *(listening[f"{port}_port"] for port in ("grpc", "metrics", "health")))
        finally:
            process.terminate()
            try:
                code = process.wait(_END_SECONDS)
            finally:
                process.kill()
    assert code == 0, log.read_text()


def _await_event(log: Path, process: subprocess.Popen[bytes], event: str) -> dict[str, Any]:
    """Return the log's events by name, once this one is among them."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        events = {line["event"]: line for line in map(json.loads, lines)}
        if event in events:
            return events
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(f"no event {event!r}: {log.read_text()}")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition that another process brings about; tell whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
