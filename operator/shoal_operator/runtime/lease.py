"""Leader election over a Lease, and the fence that every write passes.

Held by app for the life of the process. Invariant: this process writes only while it renewed the Lease less than the
renew deadline ago, by its own monotonic clock; others take over only after they saw the Lease unchanged for its whole
duration, by theirs. No wall clock is compared, so clock skew is harmless.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from shoal_operator.errors import ApiError, Conflict, LeaseLost, NotFound
from shoal_operator.runtime.resources import LEASE
from shoal_operator.runtime.transport import Transport

DURATION_SECONDS = 15.0
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0
_REQUEST_SECONDS = 3.0
_MARGIN_SECONDS = 0.5
_RELEASE_ATTEMPTS = 3
_log = structlog.get_logger(__name__)


class Lease:
    """One process's claim to be the leader."""

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`now` only fills in the Lease's times, for people; no decision reads them."""
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._now = now
        self._lease: dict[str, Any] | None = None
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = float("-inf")
        self._renewed: float | None = None
        self.answered = False
        """Whether the API server has answered about the Lease at least once."""

    @property
    def held(self) -> bool:
        """Whether this process may write now."""
        return self._renewed is not None and self._clock() < self._renewed + RENEW_DEADLINE_SECONDS

    def fence(self) -> float:
        """Return for how many seconds a write that starts now may last; raise LeaseLost if none may start."""
        if self._renewed is None or not self.held:
            raise LeaseLost(
                f"the Lease {self._namespace}/{self._name} was not renewed in time; nothing more is written"
            )
        return self._renewed + DURATION_SECONDS - _MARGIN_SECONDS - self._clock()

    async def acquire(self) -> None:
        """Wait until this process is the leader."""
        while True:
            if await self.attempt():
                break
            await asyncio.sleep(RETRY_SECONDS)
        _log.info("leading", lease=f"{self._namespace}/{self._name}", identity=self._identity)

    async def hold(self) -> None:
        """Renew until cancelled; raise LeaseLost when the renewals failed for too long or another process leads."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await self.attempt()
            self.fence()

    async def attempt(self) -> bool:
        """Take or renew the Lease once if it may be; return whether it is ours now."""
        began = self._clock()
        try:
            if self._lease is None:
                self._look(await self._read())
            written = await self._write() if self._free() else None
        except Conflict:
            # Somebody else wrote; look again with the next attempt before writing.
            self._lease = None
            return False
        except ApiError as error:
            _log.warning("the Lease could not be reached", error=str(error))
            self._lease = None
            return self.held
        if written is None:
            self._lease = None
            if self._renewed is not None:
                self._renewed = None
                raise LeaseLost(f"another process holds the Lease {self._namespace}/{self._name}")
            return False
        self._look(written)
        # From before the request: nobody can have seen this renewal earlier.
        self._renewed = began
        return True

    async def release(self) -> None:
        """Let another process lead at once. Nothing may be written after this."""
        lease = self._lease
        if self._renewed is None:
            return
        self._renewed = None
        try:
            for _ in range(_RELEASE_ATTEMPTS):
                if lease is None:
                    lease = await self._read()
                if lease["spec"].get("holderIdentity") != self._identity:
                    return
                try:
                    await self._put(
                        {**lease, "spec": {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}
                    )
                    return
                except Conflict:
                    # A renewal that was cancelled on its way may have arrived all the same.
                    lease = None
        except ApiError as error:
            _log.info("the Lease could not be released; it expires by itself", error=str(error))

    async def _read(self) -> dict[str, Any]:
        try:
            lease = await self._request("GET", LEASE.path(self._namespace, self._name))
        except NotFound:
            lease = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.kind,
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": {},
            }
        self.answered = True
        return lease

    def _look(self, lease: dict[str, Any]) -> None:
        self._lease = lease
        spec = lease.get("spec") or {}
        seen = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()

    def _free(self) -> bool:
        spec = (self._lease or {}).get("spec") or {}
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        return self._clock() > self._seen_at + float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)

    async def _write(self) -> dict[str, Any]:
        lease = self._lease or {}
        spec = lease.get("spec") or {}
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = spec.get("holderIdentity") == self._identity
        claim = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION_SECONDS),
            "acquireTime": spec.get("acquireTime") if ours else now,
            "renewTime": now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if ours else 1),
        }
        return await self._put({**lease, "spec": claim})

    async def _put(self, lease: dict[str, Any]) -> dict[str, Any]:
        if "resourceVersion" in lease["metadata"]:
            return await self._request("PUT", LEASE.path(self._namespace, self._name), lease)
        return await self._request("POST", LEASE.path(self._namespace), lease)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._transport.request(method, path, body=body, seconds=_REQUEST_SECONDS)
