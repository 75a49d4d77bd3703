"""The exploration keeps its bounds, repeats nothing and finds the top of a hill."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_worker.training.exploring import Axis, Place, explore

AXES = st.one_of(
    st.tuples(st.floats(1e-6, 1e6), st.floats(1, 1e4)).map(lambda pair: Axis("eps", pair[0], pair[0] * pair[1])),
    st.tuples(st.integers(2, 500), st.integers(0, 500)).map(
        lambda pair: Axis("count", pair[0], pair[0] + pair[1], whole=True)
    ),
)


@given(st.lists(AXES, min_size=1, max_size=2).map(tuple), st.integers(1, 60), st.randoms(use_true_random=False))
def test_every_place_is_new_and_within_bounds(axes: tuple[Axis, ...], trials: int, random: object) -> None:
    tried: list[Place] = []

    def score(place: Place) -> float | None:
        tried.append(place)
        return random.choice([None, random.random() * 2 - 1])  # type: ignore[attr-defined]

    explore(axes, trials, score)
    assert 1 <= len(tried) <= trials
    assert len(set(tried)) == len(tried)
    for place in tried:
        for axis, value in zip(axes, place, strict=True):
            assert axis.low <= value <= axis.high
            assert not axis.whole or value == int(value)


@pytest.mark.parametrize("top", [(0.013, 4), (0.9, 30), (2.0, 9)])
def test_it_finds_the_top_of_a_hill(top: Place) -> None:
    from math import log

    axes = (Axis("eps", 0.01, 3.0), Axis("min_samples", 2, 40, whole=True))
    found: dict[Place, float] = {}

    def score(place: Place) -> float:
        found[place] = -sum(log(a / b) ** 2 for a, b in zip(place, top, strict=True))
        return found[place]

    explore(axes, 60, score)
    best = max(found, key=lambda place: found[place])
    assert best[0] == pytest.approx(top[0], rel=0.15)
    assert best[1] == pytest.approx(top[1], rel=0.35)


def test_few_whole_numbers_are_all_tried_and_no_more() -> None:
    tried: list[Place] = []
    explore((Axis("min_samples", 3, 7, whole=True),), 200, lambda place: tried.append(place))
    assert sorted(tried) == [(3,), (4,), (5,), (6,), (7,)]


def test_nothing_good_at_first_is_looked_for_more_finely() -> None:
    axes = (Axis("eps", 1.0, 1000.0),)
    found: list[Place] = []

    def score(place: Place) -> float | None:
        found.append(place)
        return 1.0 if 500 < place[0] < 600 else None

    explore(axes, 60, score)
    assert any(500 < place[0] < 600 for place in found)
