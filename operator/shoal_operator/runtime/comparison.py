"""Has stable pods compare their labels with the candidate's for the rows they kept, and keeps what they told last.

Started by app as one task, off the reconcile path. Invariant: every request ends within its time and size; only pods of
the deployment are asked, by their own addresses; a pod that fails is no data with its reason told, and delays nothing
else. What an answer means is for the core to say.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import aiohttp
import structlog

from shoal_operator.api.analysis import MOST_ROWS
from shoal_operator.api.deployment import Revision
from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.facts import timestamp
from shoal_operator.core.gates.window import ComparisonWindow
from shoal_operator.core.pod_comparison import PodComparison, Refusal, pool, read_answer
from shoal_operator.core.snapshot import PodFacts, RawObject
from shoal_operator.runtime.observer import serving_pods
from shoal_operator.runtime.rounds import Pace, Rounds, read_bounded
from shoal_operator.runtime.store import Store

LARGEST_ANSWER = 64 * 1024
DEADLINE_SECONDS = 10.0
"""What a stable pod may take for one comparison, which yields to its callers."""
_SPARE_SECONDS = 1.0
_LEAST_INTERVAL = 5.0
_MOST_PODS = 3
_AT_ONCE = 16
_log = structlog.get_logger(__name__)

Ask = Callable[[str, str], Awaitable[tuple[int, str]]]
"""Sends a body to a pod's address and returns the status and the body of the answer; raises what aiohttp, the system or
a timeout raises, or ValueError."""


@dataclass(slots=True)
class _Told:
    """What was told in one deployment's running window."""

    comparison: Comparison | None = None
    looks: int = 0
    rows: int = MOST_ROWS
    """Rows to ask for: fewer where pods are too slow for so many."""


class Comparisons(Rounds[_Told]):
    """Keeps the comparisons of all deployments."""

    def __init__(
        self,
        store: Store,
        window_of: Callable[[RawObject], ComparisonWindow | None],
        ask: Ask,
        compared: Callable[[ObjectKey], None],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`compared` is told the key of a deployment that has a new comparison."""
        super().__init__(store, clock)
        self._window_of = window_of
        self._ask = ask
        self._compared = compared
        self._now = now
        self._limit = asyncio.Semaphore(_AT_ONCE)

    def of(self, deployment: RawObject) -> Comparison | None:
        """Return the last comparison of the deployment's running window."""
        told = self._kept_of(deployment)
        return told.comparison if told is not None else None

    def _pace(self, raw: RawObject) -> Pace | None:
        window = self._window_of(raw)
        return None if window is None else Pace(window.identity, max(_LEAST_INTERVAL, window.interval_seconds))

    def _begin(self) -> _Told:
        return _Told()

    async def _look(self, key: ObjectKey, raw: RawObject, kept: _Told) -> None:
        window = self._window_of(raw)
        if window is None:
            return
        asked_at = timestamp(self._now())
        pods = _choose(serving_pods(self._store, raw), window.stable)
        body = json.dumps(
            {
                "candidate": {"version": str(window.candidate.version), "digest": window.candidate.digest},
                "maxRows": kept.rows,
                "deadlineSeconds": DEADLINE_SECONDS,
            }
        )
        found = await asyncio.gather(*(self._one(pod, body, window) for pod in pods))
        if found and all(isinstance(item, Refusal) and item.reason == "Busy" for item in found):
            # Each pod compares for somebody else just now: what was told before stands until the next look.
            return
        if any(isinstance(item, Refusal) and item.reason == "DeadlinePassed" for item in found):
            kept.rows = max(window.least_rows, kept.rows // 2)
        kept.comparison = pool(found, asked_at, kept.looks)
        kept.looks = kept.comparison.looks
        if kept.comparison.problem:
            _log.info("no comparison", object=str(key), problem=kept.comparison.problem)
        self._compared(key)

    async def _one(self, pod: PodFacts, body: str, window: ComparisonWindow) -> PodComparison | Refusal:
        async with self._limit:
            try:
                async with asyncio.timeout(DEADLINE_SECONDS + _SPARE_SECONDS):
                    status, answer = await self._ask(str(pod.ip), body)
            except TimeoutError:
                return Refusal(reason="NoAnswer", message=f"pod {pod.name}: none within {DEADLINE_SECONDS:g} s")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                told = f"pod {pod.name}: {type(error).__name__}: {error}"
                return Refusal(reason="NoAnswer", message=told[:500])
            return read_answer(status, answer, window.stable, window.candidate)


class HttpAsk:
    """Asks a worker to compare, over HTTP."""

    def __init__(self, port: int = names.INTERNAL_PORT) -> None:
        self._port = port
        self._session = aiohttp.ClientSession()

    async def __call__(self, ip: str, body: str) -> tuple[int, str]:
        """Return status and body. Raises ValueError where the body is too large or no text."""
        host = f"[{ip}]" if ":" in ip else ip
        url = f"http://{host}:{self._port}/compare"
        headers = {"Content-Type": "application/json"}
        async with self._session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as response:
            return response.status, (await read_bounded(response, LARGEST_ANSWER)).decode()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _choose(pods: Sequence[PodFacts], stable: Revision) -> list[PodFacts]:
    """Return the pods to ask: those that have been serving longest, which have kept most."""
    able = [pod for pod in pods if pod.revision == stable.revision and pod.ready and pod.ip and not pod.deleting]
    return sorted(able, key=lambda pod: (pod.created, pod.name))[:_MOST_PODS]
