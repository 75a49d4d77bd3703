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
from shoal_operator.runtime.store import Store, key_of

LARGEST_ANSWER = 64 * 1024
DEADLINE_SECONDS = 10.0
"""What a stable pod may take for one comparison, which yields to its callers."""
_SPARE_SECONDS = 1.0
_LEAST_INTERVAL = 5.0
_MOST_PODS = 3
_AT_ONCE = 16
_TICK_SECONDS = 0.5
_log = structlog.get_logger(__name__)

Ask = Callable[[str, str], Awaitable[tuple[int, str]]]
"""Sends a body to a pod's address and returns the status and the body of the answer; raises what aiohttp, the system or
a timeout raises, or ValueError."""


@dataclass(slots=True)
class _State:
    """What was told in one deployment's running window."""

    window: str
    due: float
    comparison: Comparison | None = None
    looks: int = 0
    rows: int = MOST_ROWS
    """Rows to ask for: fewer where pods are too slow for so many."""
    asking: asyncio.Task[None] | None = None


class Comparisons:
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
        self._store = store
        self._window_of = window_of
        self._ask = ask
        self._compared = compared
        self._now = now
        self._clock = clock
        self._states: dict[ObjectKey, _State] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Ask whatever is due until cancelled."""
        try:
            while True:
                self.tick()
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            for state in self._states.values():
                _cancel(state)

    def tick(self) -> None:
        """Begin to ask what is due, and forget windows that are over."""
        running: dict[ObjectKey, _State] = {}
        for raw in self._store.of_kind("ClusteringDeployment"):
            key, window = key_of(raw), self._window(raw)
            if window is None:
                continue
            state = self._states.get(key)
            if state is None or state.window != window.identity:
                state = _State(window.identity, self._clock())
            running[key] = state
            if self._clock() >= state.due and (state.asking is None or state.asking.done()):
                state.due = self._clock() + max(_LEAST_INTERVAL, window.interval_seconds)
                state.asking = asyncio.create_task(self._look(key, raw, window, state))
        for key, state in self._states.items():
            if running.get(key) is not state:
                _cancel(state)
        self._states = running

    async def settle(self) -> None:
        """Wait for the requests that are on their way."""
        await asyncio.gather(*(state.asking for state in self._states.values() if state.asking is not None))

    def of(self, deployment: RawObject) -> Comparison | None:
        """Return the last comparison of the deployment's running window."""
        state, window = self._states.get(key_of(deployment)), self._window(deployment)
        if state is None or window is None or state.window != window.identity:
            return None
        return state.comparison

    def _window(self, raw: RawObject) -> ComparisonWindow | None:
        try:
            return self._window_of(raw)
        except Exception:
            # An object that the core cannot read is the controller's to report; it must not stop the others.
            _log.debug("no analysis window could be read", object=str(key_of(raw)), exc_info=True)
            return None

    async def _look(self, key: ObjectKey, raw: RawObject, window: ComparisonWindow, state: _State) -> None:
        asked_at = timestamp(self._now())
        pods = _choose(serving_pods(self._store, raw), window.stable)
        body = json.dumps(
            {
                "candidate": {"version": str(window.candidate.version), "digest": window.candidate.digest},
                "maxRows": state.rows,
                "deadlineSeconds": DEADLINE_SECONDS,
            }
        )
        found = await asyncio.gather(*(self._one(pod, body, window) for pod in pods))
        if found and all(isinstance(item, Refusal) and item.reason == "Busy" for item in found):
            # Each pod compares for somebody else just now: what was told before stands until the next look.
            return
        if any(isinstance(item, Refusal) and item.reason == "DeadlinePassed" for item in found):
            state.rows = max(window.least_rows, state.rows // 2)
        state.comparison = pool(found, asked_at, state.looks)
        state.looks = state.comparison.looks
        if state.comparison.problem:
            _log.info("no comparison", object=str(key), problem=state.comparison.problem)
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
            data = bytearray()
            async for chunk in response.content.iter_chunked(65536):
                data += chunk
                if len(data) > LARGEST_ANSWER:
                    raise ValueError(f"the answer is larger than {LARGEST_ANSWER} bytes")
            return response.status, data.decode()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _choose(pods: Sequence[PodFacts], stable: Revision) -> list[PodFacts]:
    """Return the pods to ask: those that have been serving longest, which have kept most."""
    able = [pod for pod in pods if pod.revision == stable.revision and pod.ready and pod.ip and not pod.deleting]
    return sorted(able, key=lambda pod: (pod.created, pod.name))[:_MOST_PODS]


def _cancel(state: _State) -> None:
    if state.asking is not None:
        state.asking.cancel()
