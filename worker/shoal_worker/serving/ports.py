"""The two HTTP ports of a worker: for kubelet and Prometheus, and for the operator and the deployment's other pods.

Opened by `server` and by `streaming.process`. Invariant: they are open before there is a model, so that whoever asks
hears why it is not ready; comparisons take nothing from users' requests.
"""

import asyncio

from aiohttp import web

from shoal_worker.agreement.asking import CandidateClient
from shoal_worker.agreement.background import Background
from shoal_worker.agreement.comparing import Comparer
from shoal_worker.agreement.internal import build_internal_app
from shoal_worker.agreement.keeping import Keeper
from shoal_worker.agreement.reservoir import Bounds
from shoal_worker.errors import SettingsInvalid
from shoal_worker.serving.metrics import Metrics
from shoal_worker.serving.probes import Heartbeat, build_probe_app
from shoal_worker.serving.state import ServingState
from shoal_worker.settings import ModelSettings

_INTERNAL_GRACE_SECONDS = 0.5


class HttpPorts:
    """Both ports. Use: start, close."""

    def __init__(self, settings: ModelSettings, state: ServingState, metrics: Metrics) -> None:
        self._settings = settings
        self._state = state
        self._metrics = metrics
        self._background = Background()
        self._client: CandidateClient | None = None
        self._internal: web.AppRunner | None = None
        self.heartbeat = Heartbeat()
        self._probes = web.AppRunner(build_probe_app(state, metrics, self.heartbeat), access_log=None)
        self._tasks: list[asyncio.Task[None]] = []
        self.keeper = _build_keeper(settings)
        self.metrics_port = 0
        self.internal_port = 0

    async def start(self) -> None:
        """Open both."""
        self._tasks.append(asyncio.create_task(self.heartbeat.beat()))
        await self._probes.setup()
        self.metrics_port = await self._open(self._probes, "SHOAL_METRICS_PORT", self._settings.metrics_port)
        comparer = self._build_comparer()
        app = build_internal_app(self._state, self._background, comparer)
        # Who waits for a comparison when the worker ends is not worth waiting for.
        self._internal = web.AppRunner(app, access_log=None, shutdown_timeout=_INTERNAL_GRACE_SECONDS)
        await self._internal.setup()
        self.internal_port = await self._open(self._internal, "SHOAL_INTERNAL_PORT", self._settings.internal_port)

    async def close(self) -> None:
        """Close both, and end what they do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._probes.cleanup()
        if self._internal is not None:
            await self._internal.cleanup()
        if self._client is not None:
            await self._client.close()
        self._background.close()

    def _build_comparer(self) -> Comparer | None:
        """Begin to keep requests for comparisons, where there is somebody to compare with."""
        keeper = self.keeper
        if keeper is None:
            return None
        self._metrics.watch_reservoir(lambda: keeper.rows, lambda: keeper.size)
        self._client = CandidateClient(self._settings.compare_url)
        self._tasks.append(asyncio.create_task(keeper.tend()))
        return Comparer(keeper, self._client, self._background, self._metrics.record_compared)

    async def _open(self, runner: web.AppRunner, field: str, port: int) -> int:
        try:
            await web.TCPSite(runner, self._settings.bind_address, port).start()
        except OSError as error:
            raise port_taken(field, port) from error
        opened: int = runner.addresses[0][1]
        return opened


def port_taken(field: str, port: int) -> SettingsInvalid:
    """A port that another process has."""
    return SettingsInvalid("the port cannot be opened", field=field, value=port, remedy="Choose a free port above 1023")


def _build_keeper(settings: ModelSettings) -> Keeper | None:
    if not settings.compare_url or not settings.reservoir_rows:
        return None
    return Keeper(Bounds(settings.reservoir_rows, settings.reservoir_bytes, settings.reservoir_age_seconds))
