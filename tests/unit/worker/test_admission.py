"""Who waits, who is next, who is refused: bounds, deadlines and fairness, without a clock."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_worker.errors import Overloaded
from shoal_worker.serving.admission import Admission, Call


@dataclass
class Line:
    """An admission and the time; calls take what was expected of them."""

    admission: Admission
    now: float = 0.0
    running: list[Call] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)

    def admit(self, tenant: str = "", cost: float = 1.0, seconds: float = 1000.0) -> Call:
        call = self.admission.admit(tenant, cost, seconds, self.now, self.begin)
        self.start()
        return call

    def begin(self, call: Call) -> None:
        self.running.append(call)
        self.begun.append(call.tenant)

    def start(self) -> None:
        for call in self.admission.take(self.now):
            call.begin(call)

    def end_one(self) -> None:
        call = self.running.pop(0)
        self.now += call.cost
        self.admission.leave(call, self.now, complete=True)
        self.start()


def make_line(slots: int = 1, places: int = 8, longest: float = 1000.0, longest_wait: float = 1000.0) -> Line:
    return Line(Admission(slots=slots, places=places, longest=longest, longest_wait=longest_wait))


def refusal(line: Line, tenant: str = "", cost: float = 1.0, seconds: float = 1000.0) -> Overloaded:
    with pytest.raises(Overloaded) as refused:
        line.admit(tenant, cost, seconds)
    return refused.value


class TestBounds:
    def test_one_tenant_may_hold_all_places(self) -> None:
        line = make_line(slots=2, places=5)
        for _ in range(5):
            line.admit()
        assert (line.admission.running, line.admission.waiting) == (2, 3)
        error = refusal(line)
        assert (error.reason, error.code) == ("QueueFull", "RESOURCE_EXHAUSTED")
        assert error.retry_after == pytest.approx(0.75)
        line.end_one()
        line.admit()

    def test_a_flood_leaves_another_tenant_its_share(self) -> None:
        line = make_line(places=6)
        for _ in range(6):
            line.admit("flood")
        for _ in range(3):
            line.admit("quiet")
        assert refusal(line, "quiet").reason == "TenantShare"
        assert "its share is 3" in str(refusal(line, "flood"))
        while line.running:
            line.end_one()
        # Alone again, it has all places again.
        for _ in range(6):
            line.admit("flood")

    def test_many_tenants_at_once_get_no_more_than_twice_the_places(self) -> None:
        line = make_line(places=4)
        for _ in range(4):
            line.admit("first")
        for number in range(4):
            line.admit(f"tenant-{number}")
        assert line.admission.in_flight == 8
        assert refusal(line, "tenant-4").reason == "QueueFull"

    def test_a_cancelled_call_gives_its_place_back(self) -> None:
        line = make_line(places=2)
        line.admit()
        waiting = line.admit()
        refusal(line)
        line.admission.leave(waiting, line.now)
        line.admission.leave(waiting, line.now)
        line.admit()
        assert line.admission.in_flight == 2

    def test_a_flood_of_cancelled_calls_is_forgotten(self) -> None:
        line = make_line(places=4)
        line.admit("busy")
        line.admit("busy")
        for _ in range(1000):
            line.admission.leave(line.admit("flood"), line.now)
        assert len(line.admission._order) < 30
        assert line.admission.tenants == 1

    def test_no_more_work_waits_than_is_soon_done(self) -> None:
        line = make_line(longest_wait=2.0)
        for _ in range(4):
            line.admit("flood")
        error = refusal(line, "flood")
        assert (error.reason, error.retry_after) == ("QueueFull", pytest.approx(1.5))
        # Another's turn comes before those that wait.
        line.admit("quiet")

    def test_long_calls_wait_for_two_of_their_kind(self) -> None:
        line = make_line(longest_wait=2.0)
        for _ in range(4):
            line.admit(cost=5.0)
        assert refusal(line, cost=5.0).reason == "QueueFull"

    def test_a_long_name_is_cut(self) -> None:
        line = make_line()
        assert len(line.admit("x" * 10_000).tenant) == 128


class TestDeadlines:
    def test_a_call_whose_turn_would_come_too_late_is_refused_at_once(self) -> None:
        line = make_line()
        for _ in range(3):
            line.admit(cost=2.0)
        error = refusal(line, cost=1.0, seconds=6.5)
        assert error.reason == "DeadlineShort"
        assert error.retry_after == pytest.approx(6.0)
        line.admit(cost=1.0, seconds=7.5)

    def test_the_work_already_done_counts(self) -> None:
        line = make_line()
        line.admit(cost=2.0)
        line.now = 1.5
        line.admit(cost=1.0, seconds=1.6)

    def test_an_expired_call_never_begins(self) -> None:
        line = make_line()
        line.admit("a", cost=2.0)
        line.admit("b", cost=1.0, seconds=3.0)
        line.admit("c", cost=1.0)
        line.now = 2.0  # the first takes twice as long as expected
        line.end_one()
        assert line.begun == ["a", "c"]
        assert line.admission.in_flight == 1

    def test_calls_that_take_longer_than_expected_are_learnt_from(self) -> None:
        line = make_line()
        for _ in range(60):
            line.admit(cost=1.0)
            line.now += 1.0
            line.end_one()
        line.admit(cost=1.0)
        line.admit(cost=1.0)
        # Each takes about two seconds.
        assert refusal(line, cost=1.0, seconds=4.5).reason == "DeadlineShort"

    def test_on_an_idle_worker_only_the_rows_count(self) -> None:
        line = make_line()
        for _ in range(60):
            line.admit(cost=1.0)
            line.now += 10.0
            line.end_one()
        line.admit(cost=1.0, seconds=1.5)

    @pytest.mark.parametrize(
        ("seconds", "advice"), [(2.0, "Send 1/6 of the rows per call, or allow more time"), (60.0, "Send 1/2 of")]
    )
    def test_work_that_cannot_end_in_time_is_refused_for_good(self, seconds: float, advice: str) -> None:
        error = refusal(make_line(longest=10.0), cost=11.0, seconds=seconds)
        assert (error.reason, error.retry_after) == ("WorkBudget", None)
        assert advice in error.remedy


class TestFairness:
    def test_one_tenants_calls_begin_in_order(self) -> None:
        line = make_line()
        calls = [line.admit(cost=cost) for cost in (3.0, 0.1, 2.0, 0.1)]
        order = []
        while line.running:
            order.append(line.running[0])
            line.end_one()
        assert order == calls

    def test_who_waits_takes_turns_with_a_flood(self) -> None:
        line = make_line(places=8)
        for _ in range(8):
            line.admit("flood")
        for _ in range(3):
            line.admit("quiet")
        while line.running:
            line.end_one()
        assert line.begun[:7] == ["flood", "quiet", "flood", "quiet", "flood", "quiet", "flood"]

    def test_turns_are_by_work_not_by_calls(self) -> None:
        line = make_line(places=40)
        for _ in range(10):
            line.admit("large", cost=4.0)
        for _ in range(20):
            line.admit("small", cost=1.0)
        while line.begun.count("small") < 20:
            line.end_one()
        assert line.begun.count("large") in (5, 6)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.floats(0.01, 5), st.floats(0.1, 20), st.integers(0, 3)), max_size=80
    ),
    st.integers(1, 3),
    st.integers(1, 9),
)
def test_whatever_comes_bounds_hold_and_nothing_is_lost(
    steps: list[tuple[str, float, float, int]], slots: int, places: int
) -> None:
    line = make_line(slots, places, longest=4.0)
    fates: Counter[str] = Counter()
    for tenant, cost, seconds, then in steps:
        try:
            call = line.admit(tenant, cost, seconds)
            fates["admitted"] += 1
            if then == 1 and call.started is None:
                line.admission.leave(call, line.now)
                fates["withdrawn"] += 1
        except Overloaded:
            fates["refused"] += 1
        if then == 2 and line.running:
            line.end_one()
        if then == 3:
            line.now += cost
        assert line.admission.running == len(line.running) <= slots
        assert line.admission.in_flight <= 2 * places
        # A slot is never idle while somebody waits.
        assert line.admission.running == slots or line.admission.waiting == 0
    while line.running:
        line.end_one()
    assert line.admission.in_flight == line.admission.tenants == 0
    assert fates["admitted"] + fates["refused"] == len(steps)
    assert len(line.begun) <= fates["admitted"] - fates["withdrawn"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.1, 2)), min_size=30, max_size=60))
def test_tenants_that_both_wait_get_equal_work(arrivals: list[tuple[str, float]]) -> None:
    line = make_line(places=100)
    for tenant in "ab":
        line.admit(tenant, 2.0)
    for tenant, cost in arrivals:
        line.admit(tenant, cost)
    done = {"a": 0.0, "b": 0.0}
    total = {tenant: 2.0 + sum(cost for name, cost in arrivals if name == tenant) for tenant in "ab"}
    while line.running:
        call = line.running[0]
        if done[call.tenant] + 1e-6 < total[call.tenant]:
            done[call.tenant] += call.cost
        both_wait = all(done[tenant] + 2.0 < total[tenant] for tenant in "ab")
        if both_wait:
            assert abs(done["a"] - done["b"]) <= 4.0 + 1e-6
        line.end_one()
