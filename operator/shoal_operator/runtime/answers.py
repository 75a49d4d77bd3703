"""Asks servers outside for the gates and hooks that need it, and keeps what they said last in the running window.

Started by app as one task each for gates and for hooks, off the reconcile path. Invariant: every request ends within
its time and size; a host that is not allowed is never reached, not by a redirect either; a server that is slow delays
its own gate only. What an answer means is for the core to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core.facts import timestamp
from shoal_operator.core.gates.outside import Request
from shoal_operator.core.gates.window import AnalysisWindow
from shoal_operator.core.snapshot import Answer, RawObject
from shoal_operator.runtime.store import Store, key_of

LARGEST_ANSWER = 256 * 1024
_AT_ONCE = 16
_TICK_SECONDS = 0.5
_DEFAULT_INTERVAL = 5.0
_log = structlog.get_logger(__name__)

Send = Callable[[Request], Awaitable[tuple[int, str]]]
"""Returns the status and the body; raises what aiohttp, the system or a timeout raises, or ValueError."""
Wanted = Callable[[RawObject, datetime], tuple[Request, ...]]


@dataclass(slots=True)
class _State:
    """What was said in one deployment's running window."""

    window: str
    due: float
    answers: dict[str, Answer] = field(default_factory=dict)
    asking: asyncio.Task[None] | None = None


class Answers:
    """Keeps the answers of all deployments."""

    def __init__(
        self,
        store: Store,
        window_of: Callable[[RawObject], AnalysisWindow | None],
        wanted: Wanted,
        send: Send,
        answered: Callable[[ObjectKey], None],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`answered` is told the key of a deployment that has new answers."""
        self._store = store
        self._window_of = window_of
        self._wanted = wanted
        self._send = send
        self._answered = answered
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
            key, window = key_of(raw), self._identity(raw)
            if not window:
                continue
            state = self._states.get(key)
            if state is None or state.window != window:
                state = _State(window, self._clock())
            running[key] = state
            if self._clock() >= state.due and (state.asking is None or state.asking.done()):
                state.due = self._clock() + _interval(raw)
                requests = self._wanted(raw, self._now())
                if requests:
                    state.asking = asyncio.create_task(self._ask(key, state, requests))
        for key, state in self._states.items():
            if running.get(key) is not state:
                _cancel(state)
        self._states = running

    async def settle(self) -> None:
        """Wait for the requests that are on their way."""
        await asyncio.gather(*(state.asking for state in self._states.values() if state.asking is not None))

    def of(self, deployment: RawObject) -> Mapping[str, Answer]:
        """Return request's key -> answer of the deployment's running window."""
        state = self._states.get(key_of(deployment))
        if state is None or state.window != self._identity(deployment):
            return {}
        return dict(state.answers)

    def _identity(self, raw: RawObject) -> str:
        try:
            window = self._window_of(raw)
        except Exception:
            # An object that the core cannot read is the controller's to report; it must not stop the others.
            _log.debug("no analysis window could be read", object=str(key_of(raw)), exc_info=True)
            return ""
        return window.identity if window is not None else ""

    async def _ask(self, key: ObjectKey, state: _State, requests: tuple[Request, ...]) -> None:
        at = timestamp(self._now())
        found = await asyncio.gather(*(self._one(request, at) for request in requests))
        # All at once and of one moment, so that both sides of a comparison are of the same question.
        state.answers = {request.key: answer for request, answer in zip(requests, found, strict=True)}
        self._answered(key)

    async def _one(self, request: Request, at: str) -> Answer:
        async with self._limit:
            try:
                async with asyncio.timeout(request.seconds):
                    status, body = await self._send(request)
            except TimeoutError:
                return Answer(at, error=f"none within {request.seconds:g} s")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Answer(at, error=f"{type(error).__name__}: {error}")
            return Answer(at, status, body)


class HttpSend:
    """Sends a request over HTTP to hosts that are allowed."""

    def __init__(self, denied: Callable[[str], str]) -> None:
        """`denied` tells why a URL must not be asked; empty where it may."""
        self._denied = denied
        self._session = aiohttp.ClientSession()

    async def __call__(self, request: Request) -> tuple[int, str]:
        """Return status and body. Raises ValueError where the host is not allowed or the body is too large."""
        if reason := self._denied(request.url):
            raise ValueError(reason)
        sent = {"data": dict(request.form)} if request.form else {"data": request.body.encode()}
        headers = {} if request.form else {"Content-Type": "application/json"}
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        async with self._session.post(request.url, headers=headers, allow_redirects=False, **sent) as response:
            data = bytearray()
            async for chunk in response.content.iter_chunked(65536):
                data += chunk
                if len(data) > LARGEST_ANSWER:
                    raise ValueError(f"the answer is larger than {LARGEST_ANSWER} bytes")
            return response.status, data.decode(errors="replace")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _cancel(state: _State) -> None:
    if state.asking is not None:
        state.asking.cancel()


def _interval(raw: RawObject) -> float:
    analysis = (raw.get("spec") or {}).get("analysis") or {}
    return float(analysis.get("intervalSeconds", _DEFAULT_INTERVAL))
