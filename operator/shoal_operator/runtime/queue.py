"""The work queue: which keys are to be reconciled, and when.

Filled by the watch handlers, the sampler and the controller, drained by the controller's workers. Invariant: a key is
in at most one worker's hands, and is never lost: added while it is worked on, it comes again afterwards. What never
happens here is a decision about an object.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FIRST_BACKOFF = 0.25
_LONGEST_BACKOFF = 60.0


class WorkQueue(Generic[Key]):
    """A deduplicating queue with delayed adds and exponential backoff per key."""

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        """`clock` is monotonic; `jitter` returns a number in [0, 1) that spreads the retries."""
        self._clock = clock
        self._jitter = jitter
        self._ready: deque[Key] = deque()
        self._since: dict[Key, float] = {}
        """When each waiting key became ready; the deduplication."""
        self._working: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._timers: list[tuple[float, int, Key]] = []
        self._serial = 0
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: Key) -> None:
        """Ask for a pass as soon as a worker is free; any number of calls before it make one pass."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._since:
            self._since[key] = self._clock()
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: Key, delay: float) -> None:
        """Ask for a pass in `delay` seconds; of several pending delays the earliest counts."""
        if delay <= 0:
            self.add(key)
            return
        due = self._clock() + delay
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._serial += 1
        heapq.heappush(self._timers, (due, self._serial, key))
        self._wake.set()

    def add_failed(self, key: Key, at_least: float = 0.0) -> float:
        """Ask for a pass after the key's backoff, or after `at_least` seconds if that is longer; return the delay.

        Backoff: 0.25 s, 0.5 s, 1 s ... 60 s, each up to a quarter shorter by the jitter.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures, 16))
        delay = max(at_least, backoff * (1 - self._jitter() / 4))
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Forget the key's failures, so that its next one starts at the shortest backoff."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """Return how many passes of the key have failed in a row."""
        return self._failures.get(key, 0)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key whose object is gone."""
        self._failures.pop(key, None)
        self._due.pop(key, None)

    async def get(self) -> Key:
        """Wait for a key and take it in hand; `done` must follow. Its pending delay lapses: the pass sets a new one."""
        while True:
            self._promote()
            if self._ready:
                key = self._ready.popleft()
                del self._since[key]
                self._due.pop(key, None)
                self._working[key] = self._clock()
                return key
            self._wake.clear()
            pause = max(0.0, self._timers[0][0] - self._clock()) if self._timers else None
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def done(self, key: Key) -> None:
        """Give a key back."""
        self._working.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def depth(self) -> int:
        """Return how many keys wait for a worker."""
        self._promote()
        return len(self._ready)

    def oldest_age(self) -> float:
        """Return for how many seconds the key that is waiting or in work longest has been so."""
        oldest = min((*self._since.values(), *self._working.values()), default=None)
        return 0.0 if oldest is None else self._clock() - oldest

    def _promote(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            # A timer that was superseded by an earlier one, or by a pass, has lost its entry.
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
