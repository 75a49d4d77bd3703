"""grpc.health.v1 on a port and threads of its own, for the kubelet; started by `server`.

Invariant: it answers while the event loop is blocked, and says NOT_SERVING then; it answers while calls are refused, so
that overload restarts nothing and takes no pod out of service.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from shoal_worker.serving.probes import Heartbeat
from shoal_worker.serving.state import ServingState

# A loop that turns beats four times a second; what is slower than this answers nobody.
BLOCKED_SECONDS = 1.0
_LOOK_SECONDS = 0.25
_THREADS = 2
_MOST_CALLS = 64


class HealthPort:
    """Tells what the state says, as long as the event loop turns."""

    def __init__(self, state: ServingState, heartbeat: Heartbeat, services: tuple[str, ...]) -> None:
        self._state = state
        self._heartbeat = heartbeat
        self._services = services
        # Watchers hold no thread.
        self._servicer = health.HealthServicer(experimental_non_blocking=True)
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="health"),
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", 1024),
                ("grpc.max_concurrent_streams", _MOST_CALLS),
            ],
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        self._stop = Event()
        self._thread = Thread(target=self._follow, name="health-follow", daemon=True)

    def start(self, address: str) -> int:
        """Open the port and return its number; RuntimeError where it is taken."""
        self._tell(serving=False)
        port = self._server.add_insecure_port(address)
        self._server.start()
        self._thread.start()
        return port

    def close(self) -> None:
        """Give the port back."""
        self._stop.set()
        self._server.stop(0)

    def _follow(self) -> None:
        told = False
        while not self._stop.wait(_LOOK_SECONDS):
            serving = self._state.ready and self._heartbeat.age() < BLOCKED_SECONDS
            if serving != told:
                self._tell(serving=serving)
                told = serving

    def _tell(self, *, serving: bool) -> None:
        answers = health_pb2.HealthCheckResponse
        for service in self._services:
            self._servicer.set(service, answers.SERVING if serving else answers.NOT_SERVING)
