"""The reservoir holds a uniform sample of the last minutes and never more than its bounds."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_worker.agreement.reservoir import MOST_A_SECOND, Bounds, Reservoir

BOUNDS = Bounds(rows=100, size=10_000, age=60.0)


def offer(reservoir: Reservoir, now: float, rows: int = 1, size: int = 10) -> bool:
    wanted = reservoir.wants()
    if wanted:
        reservoir.add(bytes(size), rows, now)
    return wanted


def fill(reservoir: Reservoir, seconds: range, calls: int) -> None:
    """So many calls in each second, with the second's tidying up after them."""
    for second in seconds:
        for call in range(calls):
            offer(reservoir, second + call / calls)
        reservoir.tidy(second + 1)


Step = tuple[str, int, int]


@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "tidy", "wait"]), st.integers(0, 80), st.integers(0, 6000)), max_size=60
    ),
    st.integers(0, 1 << 32),
)
def test_the_bounds_hold_whatever_comes(steps: list[Step], seed: int) -> None:
    reservoir, now = Reservoir(BOUNDS, Random(seed)), 0.0
    for kind, rows, size in steps:
        match kind:
            case "offer":
                offer(reservoir, now, rows, size)
            case "tidy":
                reservoir.tidy(now)
            case _:
                now += rows
        assert reservoir.rows <= BOUNDS.rows
        assert reservoir.size <= BOUNDS.size
        drawn = reservoir.draw(50, now)
        assert sum(kept.rows for kept in drawn) <= 50
        assert all(now - kept.kept_at < BOUNDS.age for kept in drawn)
        if kind == "tidy":
            assert reservoir.rows == sum(kept.rows for kept in reservoir.draw(1000, now))


def test_everything_is_kept_where_it_fits() -> None:
    reservoir = Reservoir(BOUNDS, Random(0))
    assert all(offer(reservoir, 0.0) for _ in range(100))
    assert reservoir.rows == 100
    assert reservoir.size == 1000


def test_what_is_too_large_is_not_kept() -> None:
    reservoir = Reservoir(BOUNDS, Random(0))
    offer(reservoir, 0.0, rows=101)
    offer(reservoir, 0.0, size=10_001)
    assert (reservoir.rows, reservoir.size) == (0, 0)


def test_what_is_too_old_is_forgotten() -> None:
    reservoir = Reservoir(BOUNDS, Random(0))
    offer(reservoir, 0.0)
    offer(reservoir, 30.0)
    assert [kept.kept_at for kept in reservoir.draw(100, 60.0)] == [30.0], "not even drawn before it is forgotten"
    reservoir.tidy(60.0)
    assert reservoir.rows == 1
    reservoir.tidy(90.0)
    assert (reservoir.rows, reservoir.size) == (0, 0)


def test_a_burst_costs_no_more_than_a_second_may() -> None:
    reservoir = Reservoir(Bounds(rows=10_000, size=1 << 20, age=60.0), Random(0))
    assert sum(offer(reservoir, 0.0) for _ in range(5000)) == MOST_A_SECOND
    reservoir.tidy(1.0)
    assert offer(reservoir, 1.0), "the next second has its own share"


def test_old_and_new_calls_are_equally_likely() -> None:
    drawn = np.zeros(10)
    for seed in range(60):
        reservoir = Reservoir(BOUNDS, Random(seed))
        fill(reservoir, range(10), calls=100)
        for kept in reservoir.draw(50, 10.0):
            drawn[int(kept.kept_at)] += 1
    # Chi-square with 9 degrees of freedom: 27.9 is exceeded once in a thousand.
    assert ((drawn - drawn.mean()) ** 2 / drawn.mean()).sum() < 27.9
    assert drawn.sum() > 60 * 20


def test_calls_are_as_likely_in_busy_as_in_quiet_seconds() -> None:
    quiet, busy = 0, 0
    for seed in range(60):
        reservoir = Reservoir(BOUNDS, Random(seed))
        fill(reservoir, range(5), calls=20)
        fill(reservoir, range(5, 10), calls=180)
        times = [kept.kept_at for kept in reservoir.draw(40, 10.0)]
        quiet += sum(time < 5 for time in times)
        busy += sum(time >= 5 for time in times)
    assert quiet / (quiet + busy) == pytest.approx(0.1, abs=0.03)


def test_after_a_burst_quiet_traffic_is_kept_again() -> None:
    reservoir = Reservoir(BOUNDS, Random(0))
    fill(reservoir, range(10), calls=400)
    fill(reservoir, range(10, 200), calls=1)
    assert reservoir.rows >= 50, "nearly all calls of the last minute"


def test_draws_differ() -> None:
    reservoir = Reservoir(BOUNDS, Random(0))
    for second in range(100):
        offer(reservoir, second / 100)
    first, second_draw = (reservoir.draw(20, 1.0) for _ in range(2))
    assert len(first) == len(second_draw) == 20
    assert first != second_draw
