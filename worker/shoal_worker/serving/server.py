"""The serving process: ports, loading, readiness, drain; run by `__main__`.

Invariant: health says SERVING only while a verified model is there and no drain has begun. Order of the drain:
NOT_SERVING, keep serving for the drain delay and until the clients have left, refuse new calls and let those in flight
end within the grace, exit.
"""

import asyncio
import gc
import signal
from contextlib import suppress

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from shoal_worker.errors import WorkerError
from shoal_worker.resources import available_cpus
from shoal_worker.serving.arrivals import make_counted
from shoal_worker.serving.departure import await_departure
from shoal_worker.serving.dispatch import Dispatcher
from shoal_worker.serving.health import HealthPort
from shoal_worker.serving.loading import load_model
from shoal_worker.serving.metrics import Metrics
from shoal_worker.serving.ports import HttpPorts, port_taken
from shoal_worker.serving.priority import let_this_thread_go_first
from shoal_worker.serving.servicer import INFERENCE_SERVICE, InferenceServicer, build_handler
from shoal_worker.serving.state import ServingState
from shoal_worker.settings import ServeSettings

HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_SERVICES = ("", INFERENCE_SERVICE.full_name)

_log = structlog.get_logger(__name__)


class WorkerServer:
    """One model behind four ports. Use: start, load, (serve), drain, close."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._state = ServingState()
        self._metrics = Metrics()
        threads = settings.threads or available_cpus()
        self._dispatcher = Dispatcher(
            threads=threads,
            max_in_flight=settings.max_in_flight,
            max_seconds=settings.max_request_seconds,
            record_wait=self._metrics.record_wait,
        )
        self._http = HttpPorts(settings, self._state, self._metrics)
        self._metrics.watch_load(self._dispatcher, self._http.heartbeat.lag)
        self._health = health.HealthServicer()
        self._health_port = HealthPort(self._state, self._http.heartbeat, _SERVICES)
        self._grpc, arrivals = make_counted(
            lambda: grpc.aio.server(
                options=_channel_options(settings),
                # Far above the places: who sends a message slowly must not keep others out.
                maximum_concurrent_rpcs=max(1024, 4 * settings.max_in_flight),
            )
        )
        self._metrics.watch_arrivals(arrivals)
        self.grpc_port = 0
        self.health_port = 0

    @property
    def metrics_port(self) -> int:
        """Where /metrics is."""
        return self._http.metrics_port

    @property
    def internal_port(self) -> int:
        """Where /compare is."""
        return self._http.internal_port

    async def start(self) -> None:
        """Open all ports, not ready yet."""
        await self._set_health(serving=False)
        await self._http.start()
        try:
            self.health_port = self._health_port.start(f"{self._settings.bind_address}:{self._settings.health_port}")
        except RuntimeError as error:
            raise port_taken("SHOAL_HEALTH_PORT", self._settings.health_port) from error
        servicer = InferenceServicer(
            self._state,
            self._dispatcher,
            self._metrics,
            self._http.keeper,
            max_request_seconds=self._settings.max_request_seconds,
        )
        self._grpc.add_generic_rpc_handlers((build_handler(servicer),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection(
            [INFERENCE_SERVICE.full_name, HEALTH_SERVICE, reflection.SERVICE_NAME], self._grpc
        )
        try:
            self.grpc_port = self._grpc.add_insecure_port(f"{self._settings.bind_address}:{self._settings.grpc_port}")
        except RuntimeError as error:
            raise port_taken("SHOAL_GRPC_PORT", self._settings.grpc_port) from error
        await self._grpc.start()
        ports = {"grpc": self.grpc_port, "metrics": self.metrics_port, "health": self.health_port}
        ports["internal"] = self.internal_port
        _log.info("listening", **{f"{name}_port": port for name, port in ports.items()})

    async def load(self) -> None:
        """Load and verify the model, then turn ready. An outage of the store is waited for as long as it takes."""
        model = await load_model(self._settings, self._state)
        self._metrics.record_model(model)
        self._state.record_model(model)
        if self._state.ready:
            await self._set_health(serving=True)
        _log.info(
            "serving",
            digest=model.digest,
            kind=model.kind,
            clusters=model.clusters,
            columns=len(model.columns),
            threads_per_call=model.plan.threads,
            batch_rows=model.batch_rows,
            memory_map=model.plan.memory_map,
        )

    async def drain(self, hurry: asyncio.Event) -> None:
        """Leave without losing a call; `hurry` ends the delay and the wait for clients early."""
        _log.info("draining", delay=self._settings.drain_delay_seconds, grace=self._settings.drain_grace_seconds)
        self._state.start_drain()
        await self._health.enter_graceful_shutdown()
        with suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), self._settings.drain_delay_seconds)
        left = await await_departure(self.grpc_port, self._settings.drain_connections_seconds, hurry)
        _log.info("stopping", connections=left)
        await self._grpc.stop(self._settings.drain_grace_seconds)

    async def close(self) -> None:
        """Give everything back; calls still in flight are cut."""
        await self._grpc.stop(0)
        await self._http.close()
        self._health_port.close()
        self._dispatcher.close()

    async def _set_health(self, *, serving: bool) -> None:
        answers = health_pb2.HealthCheckResponse
        status = answers.SERVING if serving else answers.NOT_SERVING
        for service in _SERVICES:
            await self._health.set(service, status)


async def serve(settings: ServeSettings) -> int:
    """Serve until SIGTERM or SIGINT; a second signal ends the drain delay. Return the exit code."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    server = WorkerServer(settings)
    loading = stopping = None
    try:
        await server.start()
        # By now there are those of gRPC; those that load the model and label rows are yet to come.
        let_this_thread_go_first()
        loading = asyncio.create_task(_load_for_good(server))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and (failure := loading.exception()):
            if not isinstance(failure, WorkerError):
                _log.error("loading failed unexpectedly", exc_info=failure)
            return 1
        await stopping
        await server.drain(hurry)
        return 0
    finally:
        for task in (loading, stopping):
            if task:
                task.cancel()
        await server.close()


async def _load_for_good(server: WorkerServer) -> None:
    await server.load()
    # Modules and model stay: collections need not look at them again, which would hold all calls up for 20 to 50 ms.
    gc.collect()
    gc.freeze()


def _channel_options(settings: ServeSettings) -> list[tuple[str, int]]:
    """Limits of the transport. Anything a peer can make us hold or compute has one."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        # Calls that the event loop has not taken up yet are its queue. Beyond the first number more and more of them
        # are refused, beyond the second all, by the transport's own threads: to refuse them here would cost the loop
        # nearly what answering does. Up to eight connections have no call refused, and a loop that
        # stalls for two seconds at 200 calls/s refuses none.
        ("grpc.server.max_pending_requests", 8 * settings.max_concurrent_streams),
        ("grpc.server.max_pending_requests_hard_limit", 16 * settings.max_concurrent_streams),
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", round(settings.max_request_seconds * 1000)),
        # Proxies ping idle connections more often than the default of 5 minutes allows; a flood still ends in GOAWAY.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 2),
        # Who connects and says nothing holds a file for so long.
        ("grpc.server_handshake_timeout_ms", 20_000),
        # Peers that vanished without a word are noticed.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # The size limit is applied to the message as sent, so a compressed one could grow without bound: identity only.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # What the transport refuses is counted by gRPC alone.
        ("grpc.enable_channelz", 1),
        # Two workers on one port would share its calls unseen.
        ("grpc.so_reuseport", 0),
    ]
