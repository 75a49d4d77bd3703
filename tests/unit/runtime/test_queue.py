import asyncio

import pytest

from shoal_operator.runtime.queue import WorkQueue
from tests.unit.runtime.fakes import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> WorkQueue[str]:
    return WorkQueue(clock, lambda: 0.0)


async def test_a_key_added_many_times_comes_once(queue: WorkQueue[str]) -> None:
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert queue.depth() == 0


async def test_a_key_in_work_comes_again_only_after_it_is_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert queue.depth() == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.depth() == 0


async def test_of_several_delays_the_earliest_counts(queue: WorkQueue[str], clock: ManualClock) -> None:
    queue.add_after("a", 30)
    queue.add_after("a", 5)
    queue.add_after("a", 60)
    clock.seconds += 4.9
    assert queue.depth() == 0
    clock.seconds += 0.2
    assert queue.depth() == 1
    await queue.get()
    queue.done("a")
    clock.seconds += 100
    assert queue.depth() == 0, "the later delays are gone"


async def test_a_pass_replaces_the_pending_delay(queue: WorkQueue[str], clock: ManualClock) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    await queue.get()
    queue.add_after("a", 50)
    queue.done("a")
    clock.seconds += 10
    assert queue.depth() == 0


def test_backoff_doubles_up_to_a_minute_and_starts_afresh_after_a_success(queue: WorkQueue[str]) -> None:
    delays = [queue.add_failed("a") for _ in range(12)]
    assert delays[:4] == [0.25, 0.5, 1.0, 2.0]
    assert delays[-1] == 60.0
    assert queue.failures("a") == 12
    queue.succeeded("a")
    assert queue.add_failed("a") == 0.25


def test_jitter_shortens_by_a_quarter_at_most(clock: ManualClock) -> None:
    assert WorkQueue[str](clock, lambda: 0.999).add_failed("a") == pytest.approx(0.25 * 0.75, rel=0.01)


def test_the_server_may_ask_for_a_longer_pause(queue: WorkQueue[str]) -> None:
    assert queue.add_failed("a", at_least=30) == 30


async def test_a_waiting_worker_wakes_up_for_a_key(queue: WorkQueue[str]) -> None:
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add("a")
    assert await waiting == "a"


async def test_a_waiting_worker_wakes_up_for_an_earlier_delay() -> None:
    loop = asyncio.get_running_loop()
    queue: WorkQueue[str] = WorkQueue(loop.time, lambda: 0.0)
    queue.add_after("later", 3600)
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add_after("soon", 0.001)
    assert await asyncio.wait_for(waiting, 5) == "soon"


async def test_the_oldest_age_counts_waiting_and_work(queue: WorkQueue[str], clock: ManualClock) -> None:
    assert queue.oldest_age() == 0
    queue.add("a")
    clock.seconds += 3
    assert queue.oldest_age() == 3
    await queue.get()
    clock.seconds += 2
    assert queue.oldest_age() == 2
    queue.done("a")
    assert queue.oldest_age() == 0


async def test_a_forgotten_key_loses_its_delay_and_its_failures(queue: WorkQueue[str], clock: ManualClock) -> None:
    queue.add_failed("a")
    queue.forget("a")
    clock.seconds += 100
    assert queue.depth() == 0
    assert queue.failures("a") == 0
