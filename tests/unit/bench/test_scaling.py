"""What `make bench-scaling` offers, and what it tells of the looks at a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench_scaling import page
from tests.bench_scaling.following import Look, follow
from tests.bench_scaling.plan import HIGH, LOW, NOISE, PLAN, Stage, draw, due, starts

STAGES = (
    Stage(LOW, 10),
    Stage(HIGH, 30),
    Stage(HIGH, 10, noisy=True),
    Stage(LOW, 20),
    Stage(HIGH, 20),
    Stage(LOW, 20),
)


def looks(*numbers: tuple[float, int, int], until: float = 110) -> list[Look]:
    """Return looks twice a second; each (second, wanted, ready) holds until the next."""
    found = []
    for step in range(int(2 * until)):
        second = step / 2
        wanted, ready = next((wanted, ready) for begin, wanted, ready in reversed(numbers) if begin <= second)
        found.append(Look(1000 + second, wanted, ready))
    return found


FOLLOWED = ((0, 1, 1), (15, 5, 1), (20, 5, 5), (30, 8, 5), (33, 8, 8), (60, 1, 1), (72, 8, 8), (95, 1, 1))


def test_noise_stays_within_its_bound_and_is_the_same_each_time() -> None:
    drawn = draw(PLAN)
    assert draw(PLAN) == drawn
    assert starts(drawn)[-1] == starts(PLAN)[-1]
    noisy = [stage.rate for stage in drawn if stage.rate not in (LOW, HIGH)]
    assert len(noisy) == PLAN[2].seconds / 5
    assert all(abs(rate / HIGH - 1) <= NOISE for rate in noisy)


def test_calls_become_due_stage_by_stage() -> None:
    assert [due(STAGES, second) for second in (0, 10, 11, 50, 51)] == [0, 80, 160, 3280, 3288]


def test_a_deployment_that_follows_is_told_so() -> None:
    told = follow(looks(*FOLLOWED), STAGES, 1000)
    assert told == {
        "secondsToFirstDecision": 5.0,
        "secondsFromDecisionToAllWanted": 15.0,
        "secondsFromDecisionToAllReady": 18.0,
        "mostPods": 8,
        "changesUnderNoise": 0,
        "timesUpToAllPods": 2,
        "timesDownToOnePod": 2,
    }


def test_changes_under_noise_count() -> None:
    told = follow(looks((0, 1, 1), (15, 8, 8), (42, 9, 8), (45, 8, 8)), STAGES, 1000)
    assert (told["changesUnderNoise"], told["mostPods"], told["timesDownToOnePod"]) == (2, 9, 0)


def test_what_never_came_is_not_met() -> None:
    told = follow(looks((0, 1, 1), (15, 5, 5)), STAGES, 1000)
    assert told["secondsFromDecisionToAllReady"] is None
    figures = {"calls": 100, "failed": 0, "mostPodStartSeconds": 4.0, **told}
    goals, _ = page.tables({"Service": figures})
    assert [row[-1] for row in goals.rows] == ["met", "met", "not met", "met"]


@pytest.fixture
def found() -> dict[str, Any]:
    machine = {"cpu": "a cpu", "cores": 2, "memory_bytes": 1e9}
    figures = {"messages": 90, "lost": 1, "double": 0, "medianPodStartSeconds": 3.5, "mostPodStartSeconds": 4.0}
    told = follow(looks(*FOLLOWED), STAGES, 1000)
    return {
        "stream": {"date": "today", "commit": "abc", "machine": machine, "figures": {**figures, **told, "looks": []}}
    }


def test_the_page_states_goals_and_figures(found: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    page.write(found, tmp_path)
    text = (tmp_path / "benchmarks-scaling.md").read_text()
    assert "| stream: 1 → 8 → 1 → 8 → 1 pods, lost of 90 messages | 0 | 1 | not met |" in text
    assert "beside a pod's start | ≤ 30 s | 14 s | met |" in text
    assert "80 a second ±9 % for 75 s" in text
    assert "looks" not in text.partition("## Figures")[2].partition("## What")[0]
