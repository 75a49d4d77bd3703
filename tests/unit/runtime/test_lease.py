import pytest

from shoal_operator.errors import LeaseLost, Unreachable
from shoal_operator.runtime.lease import Lease
from tests.unit.runtime.fakes import FakeApi, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def contender(api: FakeApi, clock: ManualClock, identity: str) -> Lease:
    return Lease(api, "ns", "shoal", identity, clock)


async def test_the_first_leads_and_the_second_waits(api: FakeApi, clock: ManualClock) -> None:
    first, second = contender(api, clock, "a"), contender(api, clock, "b")
    assert await first.attempt()
    assert not await second.attempt()
    assert first.fence() == pytest.approx(14.5)
    with pytest.raises(LeaseLost):
        second.fence()


async def test_another_takes_over_only_after_it_saw_no_change_for_the_whole_duration(
    api: FakeApi, clock: ManualClock
) -> None:
    first, second = contender(api, clock, "a"), contender(api, clock, "b")
    await first.attempt()
    clock.seconds += 100  # However old the Lease is: the second has only now begun to look at it.
    assert not await second.attempt()
    clock.seconds += 14
    assert not await second.attempt()
    clock.seconds += 1.1
    assert await second.attempt()


async def test_the_fence_falls_before_another_can_take_over(api: FakeApi, clock: ManualClock) -> None:
    first, second = contender(api, clock, "a"), contender(api, clock, "b")
    await first.attempt()
    await second.attempt()
    clock.seconds += 9.9
    assert first.fence() == pytest.approx(4.6)
    clock.seconds += 0.2
    with pytest.raises(LeaseLost):
        first.fence()
    assert not await second.attempt()


async def test_a_leader_outlives_failed_renewals_within_the_deadline(api: FakeApi, clock: ManualClock) -> None:
    lease = contender(api, clock, "a")
    await lease.attempt()
    clock.seconds += 4
    api.failures.append(Unreachable("no answer"))
    assert await lease.attempt(), "still within the deadline"
    clock.seconds += 4
    assert await lease.attempt()
    assert lease.fence() == pytest.approx(14.5)


async def test_a_leader_that_was_replaced_learns_it_from_the_conflict(api: FakeApi, clock: ManualClock) -> None:
    first, second = contender(api, clock, "a"), contender(api, clock, "b")
    await first.attempt()
    await second.attempt()
    clock.seconds += 15.1
    assert await second.attempt()
    assert not await first.attempt(), "the write conflicts"
    with pytest.raises(LeaseLost):
        await first.attempt()


async def test_a_released_lease_is_free_at_once_and_writes_end_with_it(api: FakeApi, clock: ManualClock) -> None:
    first, second = contender(api, clock, "a"), contender(api, clock, "b")
    await first.attempt()
    await first.release()
    with pytest.raises(LeaseLost):
        first.fence()
    assert await second.attempt()


async def test_a_renewal_that_was_cut_off_but_arrived_does_not_stop_the_release(
    api: FakeApi, clock: ManualClock
) -> None:
    lease, twin = contender(api, clock, "a"), contender(api, clock, "a")
    await lease.attempt()
    await twin.attempt()  # Stands for the renewal whose answer was never read.
    await lease.release()
    (stored,) = api.objects.values()
    assert stored["spec"]["holderIdentity"] == ""


async def test_a_lease_that_another_took_meanwhile_is_not_released(api: FakeApi, clock: ManualClock) -> None:
    first, second = contender(api, clock, "a"), contender(api, clock, "b")
    await first.attempt()
    await second.attempt()
    clock.seconds += 15.1
    await second.attempt()
    await first.release()
    (stored,) = api.objects.values()
    assert stored["spec"]["holderIdentity"] == "b"


async def test_a_process_of_the_same_name_goes_on_at_once(api: FakeApi, clock: ManualClock) -> None:
    await contender(api, clock, "a").attempt()
    assert await contender(api, clock, "a").attempt()


async def test_the_renewal_counts_from_before_its_request(api: FakeApi, clock: ManualClock) -> None:
    lease = contender(api, clock, "a")

    class Slow(FakeApi):
        async def request(self, *arguments: object, **named: object) -> dict[str, object]:
            clock.seconds += 2
            return await api.request(*arguments, **named)  # type: ignore[arg-type]

    lease._transport = Slow()
    await lease.attempt()
    assert lease.fence() == pytest.approx(14.5 - 4)
