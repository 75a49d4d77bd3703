"""Looks at the workers' metrics while a rollout is judged, and keeps the figures of the running window.

Started by app as one task. Invariant: figures of a window are differences to readings taken at its start, for both
revisions in the same look; a scrape that fails is no data, never zero; a pod's first calls do not count. All is in
memory: a restarted operator begins a new window, which costs time and never a wrong verdict. No verdict is given here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import aiohttp
import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.facts import instant, items_at, text_at, timestamp
from shoal_operator.core.snapshot import PodFacts, RawObject, WindowFigures
from shoal_operator.runtime.figures import Counters, PodSeries, RevisionSeries, parse
from shoal_operator.runtime.observer import serving_pods
from shoal_operator.runtime.rounds import Pace, Rounds, read_bounded
from shoal_operator.runtime.store import Store

SCRAPE_SECONDS = 2.0
LARGEST_SCRAPE = 1024 * 1024
_AT_ONCE = 16
_DEFAULT_INTERVAL = 5.0
_DEFAULT_WARMUP = 5.0
_log = structlog.get_logger(__name__)


class Window(Protocol):
    """What core.gates says of a running analysis."""

    @property
    def identity(self) -> str:
        """Return what tells this window from any other of the deployment."""

    @property
    def stable(self) -> str:
        """Return the revision that serves."""

    @property
    def candidate(self) -> str:
        """Return the revision on trial."""


Scrape = Callable[[str], Awaitable[str]]


@dataclass(slots=True)
class _Counted:
    """The figures of one deployment's running window."""

    began: str
    """When the window began, RFC 3339, to tell pods born in it from older ones."""
    looked_at: str = ""
    """When the last look was, RFC 3339; empty before the first."""
    revisions: dict[str, RevisionSeries] = field(default_factory=dict)
    cold: set[str] = field(default_factory=set)
    """Uids of pods that were not ready, or not for long enough, at the last look."""


class Sampler(Rounds[_Counted]):
    """Keeps the windows of all deployments."""

    def __init__(
        self,
        store: Store,
        window_of: Callable[[RawObject], Window | None],
        scrape: Scrape,
        looked: Callable[[ObjectKey], None],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`looked` is told the key of a deployment that has new figures."""
        super().__init__(store, clock)
        self._window_of = window_of
        self._scrape = scrape
        self._looked = looked
        self._now = now
        self._limit = asyncio.Semaphore(_AT_ONCE)

    def windows(self, deployment: RawObject) -> Mapping[str, WindowFigures]:
        """Return revision -> figures of the deployment's running window; empty before the first look."""
        kept = self._kept_of(deployment)
        if kept is None or not kept.looked_at:
            return {}
        return {revision: series.figures(kept.looked_at) for revision, series in kept.revisions.items() if series.pods}

    def _pace(self, raw: RawObject) -> Pace | None:
        window = self._window_of(raw)
        return None if window is None else Pace(window.identity, _analysis(raw, "intervalSeconds", _DEFAULT_INTERVAL))

    def _begin(self) -> _Counted:
        return _Counted(self._now().strftime("%Y-%m-%dT%H:%M:%SZ"))

    async def _look(self, key: ObjectKey, raw: RawObject, kept: _Counted) -> None:
        window = self._window_of(raw)
        if window is None:
            return
        revisions = {window.stable, window.candidate}
        warmup = _analysis(raw, "warmupSeconds", _DEFAULT_WARMUP)
        found = [pod for pod in serving_pods(self._store, raw) if pod.revision in revisions]
        warm = [pod for pod in found if pod.ready and pod.ip and self._is_warm(pod, warmup)]
        kept.cold |= {pod.uid for pod in found} - {pod.uid for pod in warm}
        readings = await asyncio.gather(*(self._read(pod) for pod in warm))
        for pod, reading in zip(warm, readings, strict=True):
            if reading is None:
                continue
            pods = kept.revisions.setdefault(str(pod.revision), RevisionSeries()).pods
            if pod.uid not in pods:
                # A pod born in the window has served nothing before it; an older one counts from its first reading, as
                # does one whose first calls are not to count.
                whole = pod.created >= kept.began and not warmup
                pods[pod.uid] = PodSeries(Counters() if whole else reading)
            elif pod.uid in kept.cold:
                pods[pod.uid].pass_over(reading)
            pods[pod.uid].update(reading)
            kept.cold.discard(pod.uid)
        # Both in the same look, also a revision without a pod that could be read.
        for revision in revisions:
            kept.revisions.setdefault(revision, RevisionSeries()).end_look()
        kept.looked_at = timestamp(self._now())
        self._looked(key)

    def _is_warm(self, pod: PodFacts, warmup: float) -> bool:
        conditions = items_at(pod.status, "conditions")
        since = next((text_at(item, "lastTransitionTime") for item in conditions if item.get("type") == "Ready"), "")
        moment = instant(since)
        return not warmup or moment is None or self._now() - moment >= timedelta(seconds=warmup)

    async def _read(self, pod: PodFacts) -> Counters | None:
        async with self._limit:
            try:
                return parse(await self._scrape(str(pod.ip)))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                _log.info("no metrics from a worker", pod=pod.name, error=str(error) or type(error).__name__)
                return None


class HttpScrape:
    """Reads a worker's metrics over HTTP."""

    def __init__(self, port: int = names.METRICS_PORT) -> None:
        self._port = port
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SCRAPE_SECONDS))

    async def __call__(self, ip: str) -> str:
        """Return the text of a pod's metrics. Raises ValueError when it is too large or not the answer of a worker."""
        host = f"[{ip}]" if ":" in ip else ip
        url = f"http://{host}:{self._port}/metrics"
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"{url} answered {response.status}")
            return (await read_bounded(response, LARGEST_SCRAPE)).decode()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _analysis(raw: RawObject, name: str, default: float) -> float:
    analysis = (raw.get("spec") or {}).get("analysis") or {}
    return float(analysis.get(name, default))
