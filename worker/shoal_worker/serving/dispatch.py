"""Admission and execution of predictions, the long ones off the event loop; called by `servicer`.

Invariant: at most `max_in_flight` calls are admitted and at most `threads` run; one more is refused at once, without
waiting. A slot is given back when the work has really ended, not when its caller stopped waiting for it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from shoal_worker.errors import DeadlinePassed, Overloaded

T = TypeVar("T")
Cancelled = Callable[[], bool]


# A handover to a thread and back costs about as much, and far more on a busy machine.
INLINE_SECONDS = 0.0002


def _never() -> bool:
    return False


class Dispatcher:
    """A bounded pool of prediction threads. All methods but the work itself run on the event loop."""

    def __init__(self, *, threads: int, max_in_flight: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._threads = threads
        self._limit = max_in_flight
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Calls admitted and not yet ended."""
        return self._in_flight

    @property
    def queue_length(self) -> int:
        """Calls admitted that wait for a thread."""
        return max(self._in_flight - self._threads, 0)

    async def run(self, work: Callable[[Cancelled], T], seconds: float, expected: float) -> T:
        """Run `work` for at most `seconds`; it should stop soon after its argument turns true.

        Work `expected` to be done sooner than a thread takes it up is done at once.
        """
        if self._in_flight >= self._limit:
            raise Overloaded(
                f"{self._limit} calls are in flight already",
                remedy="Retry after a pause with jitter, or scale the deployment up",
            )
        if expected < INLINE_SECONDS:
            return work(_never)
        abandoned = Event()
        loop = asyncio.get_running_loop()
        self._in_flight += 1
        future = self._executor.submit(work, abandoned.is_set)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DeadlinePassed(
                f"no answer within {seconds:.3g} s", remedy="Send fewer rows per call or allow more time"
            ) from None
        finally:
            abandoned.set()
            self._release(future, loop)

    def close(self) -> None:
        """End the threads; what still waits for one is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _release(self, future: Future[T], loop: asyncio.AbstractEventLoop) -> None:
        if future.done():
            self._in_flight -= 1
        else:
            future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release, future, loop))
