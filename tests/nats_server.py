"""A real NATS server with JetStream on a loopback port for tests: Debian's, over a temporary folder."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 20.0


class NatsServer:
    """A server that can be stopped, killed and started again over the same folder and ports."""

    def __init__(self, folder: Path, configuration: str = "") -> None:
        self._folder = folder
        self._configuration = configuration
        self._port, self._monitoring_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def monitoring_url(self) -> str:
        """Where the server tells of itself over HTTP."""
        return f"http://127.0.0.1:{self._monitoring_port}"

    def start(self) -> None:
        """Start, and wait until JetStream answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "nats.conf"
        path.write_text(
            f"host: 127.0.0.1\nport: {self._port}\nhttp: 127.0.0.1:{self._monitoring_port}\n"
            f'jetstream: {{store_dir: "{self._folder}/jetstream"}}\n{self._configuration}\n'
        )
        with (self._folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([program(), "-c", str(path)], stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.monitoring_url}/healthz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


@contextmanager
def run_nats(folder: Path, configuration: str = "") -> Iterator[NatsServer]:
    """Run a server over a folder."""
    server = NatsServer(folder, configuration)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def program() -> str:
    """Return the program's path."""
    found = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
    if found is None:
        raise FileNotFoundError("nats-server is not installed; apt-get install nats-server")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
