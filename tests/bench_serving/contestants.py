"""The servers that compete: how each is started, on one core, and what it uses. Started by `__main__`, asked by `race`.

Invariant: whatever was started is ended, however the benchmark ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.bench_serving.model import NAME, Served

METHOD = "/inference.GRPCInferenceService/ModelInfer"
OURS, ECHO, MLSERVER, KSERVE = "Shoal", "echo", "MLServer", "KServe"
PEERS = Path(__file__).with_name("peers")
_START_SECONDS = 90.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running contestant."""

    name: str
    target: str
    process: subprocess.Popen[bytes]
    seconds_to_ready: float
    """From the start of the process to the first answer."""

    def ask(self, request: bytes) -> bytes:
        """One call."""
        return _ask(self.target, request)

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_bytes(self) -> int:
        """Memory that it holds, shared libraries and mapped files included."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Contestant:
    """How a server is started: a command and its environment, for a folder of its own, a model and two free ports."""

    name: str
    command: Callable[[Path, Served, int, int], tuple[list[str], dict[str, str]]]


@contextmanager
def run_server(contestant: Contestant, served: Served, folder: Path, core: int, request: bytes) -> Iterator[Server]:
    """Start a contestant on one core and wait until it answers the request."""
    folder.mkdir(parents=True, exist_ok=True)
    port, other = _free_ports()
    command, environment = contestant.command(folder, served, port, other)
    with (folder / "log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            target = f"127.0.0.1:{port}"
            seconds = _await_answer(contestant.name, process, target, request, began, folder / "log")
            yield Server(contestant.name, target, process, seconds)
        finally:
            _end(process)


def prepare_peers(served: Served, cache: Path, folder: Path) -> None:
    """Pickle the model for each peer with its own scikit-learn."""
    for name in (MLSERVER, KSERVE):
        target = _pickled(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        program = str(peer_python(cache, name))
        subprocess.run([program, str(PEERS / "prepare.py"), str(served.cores), str(target)], check=True)


def contestants(cache: Path, folder: Path) -> tuple[Contestant, ...]:
    """All of them, in the order in which they take turns."""

    def echo(_: Path, __: Served, port: int, ___: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, str(PEERS / "serve_echo.py"), str(port)], {}

    def mlserver(place: Path, _: Served, port: int, other: int) -> tuple[list[str], dict[str, str]]:
        settings = {
            "host": "127.0.0.1",
            "grpc_port": port,
            "http_port": other,
            "metrics_port": _free_ports()[0],
            # In the server's own process: what its guide advises for light models, and the faster way here.
            "parallel_workers": 0,
            "debug": False,
        }
        model = {
            "name": NAME,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(_pickled(folder, MLSERVER))},
        }
        (place / "settings.json").write_text(json.dumps(settings))
        (place / "model-settings.json").write_text(json.dumps(model))
        program = peer_python(cache, MLSERVER).with_name("mlserver")
        return [str(program), "start", str(place)], {"PYTHONPATH": str(PEERS)}

    def kserve(_: Path, __: Served, port: int, other: int) -> tuple[list[str], dict[str, str]]:
        program = [str(peer_python(cache, KSERVE)), str(PEERS / "serve_kserve.py")]
        return [*program, NAME, str(_pickled(folder, KSERVE)), str(port), str(other)], {}

    return Contestant(OURS, shoal), Contestant(ECHO, echo), Contestant(MLSERVER, mlserver), Contestant(KSERVE, kserve)


def shoal(place: Path, served: Served, port: int, other: int) -> tuple[list[str], dict[str, str]]:
    """The worker with its defaults, as a pod starts it, but for ports, paths and the drain."""
    environment = {
        "SHOAL_MODEL_NAME": NAME,
        "SHOAL_MODEL_VERSION": "1",
        "SHOAL_ARTIFACT_URI": f"file://{served.artifact}",
        "SHOAL_ARTIFACT_DIGEST": served.digest,
        "SHOAL_FILE_ROOT": str(served.artifact.parent),
        "SHOAL_CACHE_DIR": str(place / "cache"),
        "SHOAL_REPORT_PATH": str(place / "report.json"),
        "SHOAL_BIND_ADDRESS": "127.0.0.1",
        "SHOAL_GRPC_PORT": str(port),
        "SHOAL_METRICS_PORT": str(other),
        "SHOAL_INTERNAL_PORT": "0",
        "SHOAL_DRAIN_DELAY_SECONDS": "0",
    }
    return [sys.executable, "-m", "shoal_worker", "serve"], environment


def peer_python(cache: Path, name: str) -> Path:
    """The interpreter of a peer's environment."""
    return cache / name.lower() / "bin" / "python"


def _pickled(folder: Path, name: str) -> Path:
    return folder / f"prepared-{name}" / "model.joblib"


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _ask(target: str, request: bytes) -> bytes:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(target, options=options) as channel:
        answer: bytes = channel.unary_unary(METHOD)(request, timeout=_START_SECONDS)
        return answer


def _await_answer(
    name: str, process: subprocess.Popen[bytes], target: str, request: bytes, began: float, log: Path
) -> float:
    """Seconds until the server answered."""
    host, _, port = target.partition(":")
    while time.monotonic() < began + _START_SECONDS:
        if process.poll() is not None:
            break
        try:
            # A channel that was refused waits before it tries again; a bare connection need not.
            socket.create_connection((host, int(port)), timeout=1).close()
            _ask(target, request)
            return time.monotonic() - began
        except OSError:
            pass
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
                break
        time.sleep(_POLL_SECONDS)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
    waited = time.monotonic() - began
    raise RuntimeError(f"{name} gave no answer in {waited:.0f} s; the end of its log:\n{last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    # Also what it started itself.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
