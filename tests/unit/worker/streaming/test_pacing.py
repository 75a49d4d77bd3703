"""How leases are shared: exact in the long run, nothing for a share of 0, and nobody's work is left lying."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoal_worker.streaming.pacing import PATIENCE, UNKNOWN_PATIENCE, Pacer, Standing


def standing(leases: int, pending: int = 1000, held: int = 100) -> Standing:
    return Standing(leases, pending, held)


@given(
    share=st.floats(min_value=1, max_value=60),
    others=st.lists(st.integers(min_value=0, max_value=500), min_size=20, max_size=200),
)
def test_a_share_is_kept_whatever_the_rhythm_of_the_others(share: float, others: list[int]) -> None:
    pacer = Pacer(share, 0.0)
    total, own = 7000, 0
    assert pacer.allow(standing(total), 0, 0.0) == 0
    for number, leased in enumerate(others):
        total += leased
        allowed = pacer.allow(standing(total), 0, 0.1 * number)
        assert allowed is not None
        pacer.count(allowed)
        total, own = total + allowed, own + allowed
        assert own <= share / 100 * (total - 7000)
    # Leases of its own add to all leases, so it comes near to its share within a few looks without others.
    for _ in range(30):
        allowed = pacer.allow(standing(total), 0, 20.0) or 0
        pacer.count(allowed)
        total, own = total + allowed, own + allowed
    assert own >= share / 100 * (total - 7000) - 3


def test_a_share_of_none_leases_nothing_however_long_nobody_does() -> None:
    pacer = Pacer(0, 0.0)
    assert pacer.allow(standing(100, held=0), 0, 0.0) == 0
    assert pacer.allow(standing(100, held=0), 0, 1e6) == 0


def test_all_is_not_counted() -> None:
    assert Pacer(100, 0.0).allow(standing(0), 0, 0.0) is None


def test_it_stands_in_while_nobody_else_holds_a_message_and_some_wait() -> None:
    pacer = Pacer(10, 0.0)
    assert pacer.allow(standing(50, held=0), 0, 0.0) == 0
    assert pacer.allow(standing(50, held=0), 0, PATIENCE) == 0
    assert pacer.allow(standing(50, held=0), 0, PATIENCE + 0.1) is None
    pacer.count(500)
    assert pacer.allow(standing(550, held=500), 500, PATIENCE + 0.2) is None
    # The others lease again: what was taken for them is not held against it, and it keeps to its share.
    assert pacer.allow(standing(650, held=100), 0, PATIENCE + 0.3) == 0
    assert pacer.allow(standing(750, held=100), 0, PATIENCE + 0.4) == 10


def test_others_that_hold_messages_or_nothing_that_waits_are_no_reason_to_stand_in() -> None:
    pacer = Pacer(10, 0.0)
    assert pacer.allow(standing(50, held=3), 0, 0.0) == 0
    assert pacer.allow(standing(50, held=3), 0, 100.0) == 0
    assert pacer.allow(standing(50, pending=0, held=0), 0, 200.0) == 0
    assert pacer.allow(standing(50, held=2), 2, 200.0 + PATIENCE) == 0


def test_a_worker_that_was_told_nothing_waits_longer() -> None:
    pacer = Pacer(None, 0.0)
    assert pacer.allow(standing(50, held=0), 0, UNKNOWN_PATIENCE) == 0
    assert pacer.allow(standing(50, held=0), 0, UNKNOWN_PATIENCE + 1) is None


def test_another_share_counts_anew() -> None:
    pacer = Pacer(50, 0.0)
    pacer.allow(standing(0), 0, 0.0)
    assert pacer.allow(standing(100), 0, 0.1) == 50
    pacer.change(10, 0.2)
    assert pacer.allow(standing(100), 0, 0.3) == 0
    assert pacer.allow(standing(200), 0, 0.4) == 10


def test_a_consumer_that_counts_from_one_again_is_followed() -> None:
    pacer = Pacer(50, 0.0)
    pacer.allow(standing(1000), 0, 0.0)
    assert pacer.allow(standing(20), 0, 0.1) == 0
    assert pacer.allow(standing(120), 0, 0.2) == 50
