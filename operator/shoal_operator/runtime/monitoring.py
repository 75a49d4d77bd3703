"""Asks a NATS server's monitoring port how many messages wait, for deployments that have no pod to tell it.

Used by runtime.loads. Invariant: a host that is not allowed is never reached, and an answer has its time and size.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import aiohttp

from shoal_operator.core.backlog import read_monitoring
from shoal_operator.runtime.rounds import read_bounded

AskBacklog = Callable[[str, str, str], Awaitable[int]]
"""Takes the monitoring URL, the stream and the consumer."""
_LARGEST_ANSWER = 8 * 1024 * 1024
_SECONDS = 5.0


class NatsMonitor:
    """Asks over HTTP."""

    def __init__(self, denied: Callable[[str], str]) -> None:
        """`denied` tells why a URL must not be asked; empty where it may."""
        self._denied = denied
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS))

    async def __call__(self, url: str, stream: str, consumer: str) -> int:
        """Return the backlog. Raises ValueError, or what aiohttp, the system or a timeout raises."""
        asked = f"{url}/jsz?consumers=true"
        if reason := self._denied(asked):
            raise ValueError(reason)
        async with self._session.get(asked, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"{asked} answered {response.status}")
            return read_monitoring(json.loads(await read_bounded(response, _LARGEST_ANSWER)), stream, consumer)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
