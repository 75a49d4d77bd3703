"""The simulated scalers size pools as their sources say, and the operator's own core as the HorizontalPodAutoscaler."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench_scaler.__main__ import FIGURES
from tests.bench_scaler.page import write_page
from tests.bench_scaler.scalers import INTERVAL, SCALERS, Autoscaler, Formula, Knative, Shoal
from tests.bench_scaler.simulation import CAPACITY, START_SECONDS, TARGET, Scaler, run
from tests.bench_scaler.traces import TRACES


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 40), st.integers(5, 400)), min_size=1, max_size=8))
def test_the_core_and_the_other_rule_agree_on_the_same_figures(parts: list[tuple[int, int]]) -> None:
    """Written apart from each other, they want the same pods wherever both see the same: loads that hold for a look."""
    demand = np.repeat([float(calls) for _, calls in parts], [looks * INTERVAL for looks, _ in parts])
    ours, theirs = Shoal(), Autoscaler(total=False)
    ours_wanted = theirs_wanted = 5
    ready = 5
    for now, calls in enumerate(demand.tolist()):
        ours.see(now, calls, ready)
        theirs.see(now, calls, ready)
        ours_wanted = ours.size(now, ours_wanted, ready)
        theirs_wanted = theirs.size(now, theirs_wanted, ready)
        assert ours_wanted == theirs_wanted
        # Pods are ready at once, so that each has a figure of the whole next look.
        ready = ours_wanted


def follow(scaler: Scaler, *parts: tuple[int, float]) -> list[int]:
    """Return the sizes when the load is as told, (seconds, calls) by (seconds, calls); pods are ready at once."""
    wanted, now, sizes = 4, 0, []
    for seconds, calls in parts:
        for _ in range(seconds):
            scaler.see(now, calls, wanted)
            wanted = max(1, scaler.size(now, wanted, wanted))
            sizes.append(wanted)
            now += 1
    return sizes


def test_keda_shares_the_sum_and_keeps_the_highest_of_five_minutes() -> None:
    sizes = follow(Autoscaler(total=True), (60, 40), (60, 100), (400, 40))

    assert sizes[59] == 4
    # Twice as many at once, then the rest.
    assert [sizes[at] for at in (74, 89)] == [8, 10]
    assert sizes[119 + 280] == 10
    assert sizes[-1] == 4


def test_knative_panics_at_twice_the_load_and_only_grows_for_a_minute() -> None:
    sizes = follow(Knative(), (120, 40), (10, 200), (120, 40))

    assert sizes[119] == 4
    # The panic window of 6 s is full of 200.
    assert max(sizes[120:131]) == 20
    assert set(sizes[131:180]) == {20}
    assert sizes[-1] == 4


def test_the_bare_formula_follows_every_moment() -> None:
    assert follow(Formula(), (60, 40), (30, 41))[::15] == [4, 4, 4, 4, 4, 5]


@pytest.mark.parametrize("name", SCALERS)
def test_a_load_that_stays_costs_what_it_needs(name: str) -> None:
    outcome = run(np.full(900, 6 * TARGET), SCALERS[name]())

    assert outcome.pod_seconds == outcome.least_pod_seconds
    assert (outcome.unserved, outcome.changes) == (0, 0)


def test_pods_start_late_and_what_they_cannot_serve_is_counted() -> None:
    outcome = run(np.array([10.0] * 300 + [100.0] * 100), Formula())

    # Seen at the end of its first look, then they start.
    assert outcome.late_seconds == INTERVAL - 1 + START_SECONDS
    assert outcome.unserved == outcome.late_seconds * (100 - CAPACITY)


def test_equal_seeds_give_equal_loads() -> None:
    for trace in TRACES:
        assert np.array_equal(trace.draw(1), trace.draw(1))
        assert trace.draw(1).min() >= 0


def test_the_page_is_that_of_the_figures(tmp_path: Path) -> None:
    rows = json.loads(FIGURES.read_text())["rows"]

    write_page(rows, tmp_path / "page.md")

    assert (tmp_path / "page.md").read_text() == (FIGURES.parents[1] / "benchmarks-scaler.md").read_text()
    assert "not met" not in (tmp_path / "page.md").read_text()
