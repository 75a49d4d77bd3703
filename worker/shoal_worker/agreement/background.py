"""One thread for what is no user's call: comparisons, and answers to them; used by `comparing` and `internal`.

Invariant: the event loop is never blocked, and whoever does not wait any more ends the work soon: `pause`, called in it
every millisecond or so, raises then. It also sleeps a moment, so that the threads of calls need not wait for a switch.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from shoal_worker.errors import DeadlinePassed

T = TypeVar("T")
Pause = Callable[[], None]

_PAUSE_SECONDS = 0.0005


class Background:
    """A single thread."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="compare")

    async def run(self, work: Callable[[Pause], T]) -> T:
        """Do the work after what was asked for before; cancel to end it."""
        abandoned = Event()

        def pause() -> None:
            if abandoned.wait(_PAUSE_SECONDS):
                raise DeadlinePassed("nobody waits for it any more", remedy="Allow more time or send fewer rows")

        def begin() -> T:
            pause()
            return work(pause)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, begin)
        finally:
            abandoned.set()

    def close(self) -> None:
        """End the thread; what still waits for it is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)
