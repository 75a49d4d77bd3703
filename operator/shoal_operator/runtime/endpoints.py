"""Two small HTTP servers: /metrics, and /livez with /readyz.

Started by app. Invariant: /livez fails only when a restart would help; an API server that is down, or a Lease that
another replica holds, is no such case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import generate_latest

from shoal_operator.runtime.metrics import Metrics

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""


class Endpoints:
    """Serves metrics and probes on all addresses."""

    def __init__(self, metrics: Metrics, live: Iterable[Check], ready: Iterable[Check]) -> None:
        self._metrics = metrics
        self._live = tuple(live)
        self._ready = tuple(ready)
        self._runners: list[web.AppRunner] = []
        self.ports: dict[str, int] = {}
        """Path -> port that it is served on."""

    async def start(self, metrics_port: int, probe_port: int) -> None:
        """Listen; raises OSError where a port is taken."""
        await self._serve(metrics_port, {"/metrics": self._scrape})
        await self._serve(probe_port, {"/livez": _probe(self._live), "/readyz": _probe(self._ready)})

    async def stop(self) -> None:
        """Close both servers."""
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, port: int, routes: dict[str, Callable[[web.Request], object]]) -> None:
        application = web.Application()
        for path, handler in routes.items():
            application.router.add_get(path, handler)  # type: ignore[arg-type]
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, port=port).start()
        for path in routes:
            self.ports[path] = runner.addresses[0][1]

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._metrics.registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def _probe(checks: tuple[Check, ...]) -> Callable[[web.Request], object]:
    async def answer(_: web.Request) -> web.Response:
        wrong = [problem for check in checks if (problem := check()) is not None]
        return web.Response(status=503 if wrong else 200, text="\n".join(wrong) or "ok")

    return answer


def younger_than(limit: float, what: str, age: Callable[[], float | None]) -> Check:
    """Return a check that fails when `age` (None: nothing to judge) exceeds `limit` seconds."""

    def check() -> str | None:
        seconds = age()
        return None if seconds is None or seconds <= limit else f"{what} for {seconds:.0f} s, more than {limit:.0f} s"

    return check


def age_of(
    moment: Callable[[], float | None], clock: Callable[[], float] = time.monotonic
) -> Callable[[], float | None]:
    """Return a function that tells how long ago `moment` was."""

    def age() -> float | None:
        then = moment()
        return None if then is None else clock() - then

    return age
