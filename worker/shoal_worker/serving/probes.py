"""HTTP face for kubelet and Prometheus: /livez, /readyz, /metrics; started by `server`.

Invariant: /livez is about this process only and never about the model or the store, so that an outage elsewhere
restarts nothing. Answers nothing else, and takes no input.
"""

import asyncio
import time

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from shoal_worker.serving.metrics import Metrics
from shoal_worker.serving.state import ServingState

HEARTBEAT_SECONDS = 0.25
STALL_SECONDS = 10.0


class Heartbeat:
    """Proof that the event loop turns: a task that notes the time again and again."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._lag = 0.0

    def age(self) -> float:
        """Seconds since the loop last turned."""
        return time.monotonic() - self._last

    def lag(self) -> float:
        """Seconds that the loop's last turn came too late."""
        return max(self._lag, self.age() - HEARTBEAT_SECONDS)

    async def beat(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._lag = max(self.age() - HEARTBEAT_SECONDS, 0.0)
            self._last = time.monotonic()


def build_probe_app(state: ServingState, metrics: Metrics, heartbeat: Heartbeat) -> web.Application:
    """The three routes."""

    async def livez(_: web.Request) -> web.Response:
        stalled = heartbeat.age() > STALL_SECONDS
        return web.Response(status=503 if stalled else 200, text=f"event loop turned {heartbeat.age():.1f} s ago\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=200 if state.ready else 503, text=f"{state.explanation}\n")

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(client_max_size=1024)
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", exposition)])
    return app
