"""Execution of predictions, the long ones off the event loop in the order of `admission`; called by `servicer`.

Invariant: at most `threads` calls run, and one that is refused is refused at once, without waiting. A place is given
back when the work has really ended, not when its caller stopped waiting for it.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TypeVar

from shoal_worker.errors import DeadlinePassed
from shoal_worker.serving.admission import Admission, Call

T = TypeVar("T")
Cancelled = Callable[[], bool]


# A handover to a thread and back costs about as much, and far more on a busy machine.
INLINE_SECONDS = 0.0002
# Of work. At half of what the worker bears an overload is over after twice as long.
LONGEST_WAIT_SECONDS = 0.8


def is_short(expected: float) -> bool:
    """Is work of so many seconds done sooner than a thread takes it up? Then it is to be done at once."""
    return expected < INLINE_SECONDS


class Dispatcher:
    """A bounded pool of prediction threads. All methods but the work itself run on the event loop."""

    def __init__(
        self, *, threads: int, max_in_flight: int, max_seconds: float, record_wait: Callable[[float], None]
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._admission = Admission(
            slots=threads, places=max_in_flight, longest=max_seconds, longest_wait=LONGEST_WAIT_SECONDS
        )
        self._record_wait = record_wait

    @property
    def in_flight(self) -> int:
        """Calls admitted and not yet ended."""
        return self._admission.in_flight

    @property
    def queue_length(self) -> int:
        """Calls admitted that wait for a thread."""
        return self._admission.waiting

    @property
    def tenants(self) -> int:
        """Tenants with calls admitted and not yet ended."""
        return self._admission.tenants

    async def run(self, work: Callable[[Cancelled], T], seconds: float, expected: float, tenant: str) -> T:
        """Run `work` for at most `seconds`; it should stop soon after its argument turns true."""
        abandoned = Event()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = self._admission.admit(
            tenant, expected, seconds, time.monotonic(), partial(self._begin, work, abandoned, answer)
        )
        self._start_next()
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise DeadlinePassed(
                f"no answer within {seconds:.3g} s", remedy="Send fewer rows per call or allow more time"
            ) from None
        finally:
            abandoned.set()
            if call.started is None:
                self._admission.leave(call, time.monotonic())

    def close(self) -> None:
        """End the threads; what still waits for one is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _start_next(self) -> None:
        now = time.monotonic()
        for call in self._admission.take(now):
            self._record_wait(now - call.admitted)
            call.begin(call)

    def _begin(self, work: Callable[[Cancelled], T], abandoned: Event, answer: asyncio.Future[T], call: Call) -> None:
        loop = asyncio.get_running_loop()
        future = self._executor.submit(work, abandoned.is_set)

        def tell(_: object) -> None:
            # Work that outlives the server has nobody to tell.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._end, call, future, answer)

        future.add_done_callback(tell)

    def _end(self, call: Call, future: Future[T], answer: asyncio.Future[T]) -> None:
        self._admission.leave(call, time.monotonic(), complete=not answer.done())
        if not answer.done() and not future.cancelled():
            error = future.exception()
            if error is None:
                answer.set_result(future.result())
            else:
                answer.set_exception(error)
        self._start_next()
