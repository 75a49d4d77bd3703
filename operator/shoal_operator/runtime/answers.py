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

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core.facts import timestamp
from shoal_operator.core.gates.outside import Request
from shoal_operator.core.gates.window import AnalysisWindow
from shoal_operator.core.snapshot import Answer, RawObject
from shoal_operator.runtime.rounds import Pace, Rounds, read_bounded
from shoal_operator.runtime.store import Store

LARGEST_ANSWER = 256 * 1024
_AT_ONCE = 16
_DEFAULT_INTERVAL = 5.0

Send = Callable[[Request], Awaitable[tuple[int, str]]]
"""Returns the status and the body; raises what aiohttp, the system or a timeout raises, or ValueError."""
Wanted = Callable[[RawObject, datetime], tuple[Request, ...]]


@dataclass(slots=True)
class _Said:
    """What was said in one deployment's running window."""

    answers: dict[str, Answer] = field(default_factory=dict)


class Answers(Rounds[_Said]):
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
        super().__init__(store, clock)
        self._window_of = window_of
        self._wanted = wanted
        self._send = send
        self._answered = answered
        self._now = now
        self._limit = asyncio.Semaphore(_AT_ONCE)

    def of(self, deployment: RawObject) -> Mapping[str, Answer]:
        """Return request's key -> answer of the deployment's running window."""
        said = self._kept_of(deployment)
        return dict(said.answers) if said is not None else {}

    def _pace(self, raw: RawObject) -> Pace | None:
        window = self._window_of(raw)
        return None if window is None else Pace(window.identity, _interval(raw))

    def _begin(self) -> _Said:
        return _Said()

    async def _look(self, key: ObjectKey, raw: RawObject, kept: _Said) -> None:
        requests = self._wanted(raw, self._now())
        if not requests:
            return
        at = timestamp(self._now())
        found = await asyncio.gather(*(self._one(request, at) for request in requests))
        # All at once and of one moment, so that both sides of a comparison are of the same question.
        kept.answers = {request.key: answer for request, answer in zip(requests, found, strict=True)}
        self._answered(key)

    async def _one(self, request: Request, at: str) -> Answer:
        async with self._limit:
            return await ask(self._send, request, at)


async def ask(send: Send, request: Request, at: str) -> Answer:
    """Send a request that belongs to a moment; whatever befalls it is an answer too."""
    try:
        async with asyncio.timeout(request.seconds):
            status, body = await send(request)
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
            return response.status, (await read_bounded(response, LARGEST_ANSWER)).decode(errors="replace")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _interval(raw: RawObject) -> float:
    analysis = (raw.get("spec") or {}).get("analysis") or {}
    return float(analysis.get("intervalSeconds", _DEFAULT_INTERVAL))
