"""The scaler as a model that is checked: every order in which figures and pods may lag, from every beginning.

S48. At each look an adversary chooses how old the figures are (0 to 3 looks) and, when pods are added, how long they
take to start (0 to 3 looks). The states that can be reached are walked through one by one; a set of states that can
be gone round for ever must have one size, and no state may leave the bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest

from shoal_operator.api.scaling import PastChange, PastRecommendation, Scaling, ScalingStatus
from shoal_operator.core.facts import instant, timestamp
from shoal_operator.core.snapshot import LoadSample
from tests.unit.core.objects import NOW
from tests.unit.core.scaler_loop import decide, scaling

LEAST, MOST, LAG = 2, 6, 3
STEP = timedelta(seconds=15)
# Longer than figures and pods may lag together, as the default of 300 s is by far.
CALM = scaling(LEAST, MOST, behavior={"scaleDown": {"stabilizationWindowSeconds": 15 * (2 * LAG + 1)}})
RASH = scaling(LEAST, MOST, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})


class State(NamedTuple):
    """All that the future depends on; times are looks ago."""

    size: int
    ran: tuple[int, ...]
    """Pods that ran at this look and the three before it, newest first."""
    starting: tuple[int, ...]
    """Looks that each pod which does not run yet still takes."""
    recommendations: tuple[tuple[int, int], ...]
    changes: tuple[tuple[int, int], ...]


def begin(size: int) -> State:
    return State(size, (size,) * (LAG + 1), (), (), ())


def ago(text: str) -> int:
    moment = instant(text)
    assert moment is not None
    return round((NOW - moment) / STEP)


def past(looks: int) -> str:
    return timestamp(NOW - looks * STEP)


def look(spec: Scaling, state: State, demand: float, lag: int, *, blind: bool) -> ScalingStatus:
    """Decide on figures that are this old; pods that did not run then have none, unless the source is blind to that."""
    status = ScalingStatus(
        replicas=state.size,
        recommendations=[PastRecommendation(at=past(at), replicas=count) for at, count in state.recommendations],
        changes=[PastChange(at=past(at), change=change) for at, change in state.changes],
    )
    then, running = state.ran[lag], state.ran[0]
    value = round(1000 * demand / then)
    samples = {
        f"uid-{place}": LoadSample(value, datetime.min) for place in range(running if blind else min(then, running))
    }
    return decide(spec, status, running, samples, NOW)


def follow(spec: Scaling, state: State, demand: float, *, blind: bool) -> Iterator[State]:
    """Return every state that may be next."""
    for lag in range(LAG + 1):
        status = look(spec, state, demand, lag, blind=blind)
        added = status.replicas - state.size
        for start in range(LAG + 1) if added > 0 else (0,):
            # Those that start go first, as a ReplicaSet removes what is not ready.
            starting = [*state.starting, *[start] * max(0, added)]
            starting = starting[: max(0, len(starting) + min(0, added))]
            left = tuple(sorted(each - 1 for each in starting if each > 0))
            running = status.replicas - len(left)
            yield State(
                status.replicas,
                (max(1, running), *state.ran[:LAG]),
                left,
                tuple((ago(item.at) + 1, item.replicas) for item in status.recommendations),
                tuple((ago(item.at) + 1, item.change) for item in status.changes if ago(item.at) < 1),
            )


def explore(spec: Scaling, demand: float, *, blind: bool = False) -> dict[State, list[State]]:
    """Return every state that can be reached, with those that may follow."""
    graph: dict[State, list[State]] = {}
    waiting = [begin(size) for size in range(LEAST, MOST + 1)]
    while waiting:
        state = waiting.pop()
        if state not in graph:
            graph[state] = list(dict.fromkeys(follow(spec, state, demand, blind=blind)))
            waiting += graph[state]
    return graph


def find_rounds(graph: dict[State, list[State]]) -> list[list[State]]:
    """Return the sets of states that can be gone round for ever: Tarjan's strongly connected components."""
    number: dict[State, int] = {}
    lowest: dict[State, int] = {}
    stack: list[State] = []
    on_stack: set[State] = set()
    found: list[list[State]] = []
    for root in graph:
        if root in number:
            continue
        work = [(root, iter(graph[root]))]
        while work:
            state, following = work[-1]
            if state not in number:
                number[state] = lowest[state] = len(number)
                stack.append(state)
                on_stack.add(state)
            for after in following:
                if after not in number:
                    work.append((after, iter(graph[after])))
                    break
                if after in on_stack:
                    lowest[state] = min(lowest[state], number[after])
            else:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[state])
                if lowest[state] == number[state]:
                    part = stack[stack.index(state) :]
                    del stack[-len(part) :]
                    on_stack.difference_update(part)
                    if len(part) > 1 or state in graph[state]:
                        found.append(part)
    return found


@pytest.mark.parametrize("blind", [False, True], ids=["figures by pod", "one figure for all"])
@pytest.mark.parametrize("demand", [5.0, 19.0, 22.5, 33.0, 38.0, 47.0, 55.0, 61.0, 90.0])
def test_no_order_of_lags_makes_it_swing_for_ever_or_leave_its_bounds(demand: float, blind: bool) -> None:
    graph = explore(CALM, demand, blind=blind)

    assert all(LEAST <= state.size <= MOST for state in graph)
    rounds = find_rounds(graph)
    assert rounds
    assert [part for part in rounds if len({state.size for state in part}) > 1] == []


def test_without_a_window_some_order_of_lags_does() -> None:
    """The check finds what it is there to find: four pods are too few for 47, and figures of four make five six."""
    rounds = find_rounds(explore(RASH, 47.0, blind=True))

    assert any({4, 5, 6} <= {state.size for state in part} for part in rounds)
