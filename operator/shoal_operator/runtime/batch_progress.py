"""Asks the pods of running batches how many rows they have labelled.

Started by app as one task. Invariant: it only tells what a pod said last; a pod that does not answer keeps its last
number, and all is in memory: a restarted operator asks again. The pods need no right of any kind for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import structlog
from prometheus_client.parser import text_string_to_metric_families

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.snapshot import RawObject
from shoal_operator.runtime.store import Link, Store, key_of, uid_of

_AT_ONCE = 16
_INTERVAL_SECONDS = 2.0
_ROWS = "shoal_batch_rows_total"
_PHASES = ("Planning", "Running")
_log = structlog.get_logger(__name__)

Scrape = Callable[[str], Awaitable[str]]


class BatchProgress:
    """Keeps the last numbers of all running batches."""

    def __init__(self, store: Store, scrape: Scrape, looked: Callable[[ObjectKey], None]) -> None:
        """`looked` is told the key of a batch that has new numbers."""
        self._store = store
        self._scrape = scrape
        self._looked = looked
        self._rows: dict[ObjectKey, dict[str, int]] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            began = time.monotonic()
            await self.tick()
            await asyncio.sleep(max(0.5, _INTERVAL_SECONDS - (time.monotonic() - began)))

    async def tick(self) -> None:
        """Ask the pods of every running batch once, and forget the batches that are over."""
        running = {
            key_of(raw): raw
            for raw in self._store.of_kind("ClusteringBatch")
            if (raw.get("status") or {}).get("phase") in _PHASES
        }
        self._rows = {key: rows for key, rows in self._rows.items() if key in running}
        await asyncio.gather(*(self._look(key) for key in running))

    def rows(self, batch: RawObject) -> Mapping[str, int]:
        """Return pod's uid -> rows that it has labelled, as it told last."""
        return self._rows.get(key_of(batch), {})

    async def _look(self, key: ObjectKey) -> None:
        owned = Link("owned-by-batch", key.namespace, names.label_value(key.name))
        asked = [pod for pod in self._store.linked("Pod", owned) if _is_running(pod)]
        told = await asyncio.gather(*(self._ask(pod) for pod in asked))
        known = self._rows.get(key, {})
        fresh = {uid_of(pod): rows for pod, rows in zip(asked, told, strict=True) if rows is not None}
        # Pods that have ended tell by their reports.
        kept = {uid_of(pod): known[uid_of(pod)] for pod in asked if uid_of(pod) in known} | fresh
        self._rows[key] = kept
        if kept != known:
            self._looked(key)

    async def _ask(self, pod: RawObject) -> int | None:
        async with self._limit:
            try:
                return read_rows(await self._scrape(str((pod.get("status") or {}).get("podIP"))))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                _log.debug("no rows from a pod", pod=pod["metadata"]["name"], error=str(error) or type(error).__name__)
                return None


def read_rows(text: str) -> int:
    """Read the rows out of a pod's metrics; ValueError where they are not told."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _ROWS and 0 <= sample.value < 2**53:
                return int(sample.value)
    raise ValueError(f"there is no {_ROWS}")


def _is_running(pod: RawObject) -> bool:
    status = pod.get("status") or {}
    return status.get("phase") == "Running" and bool(status.get("podIP"))
