"""What is derived of a deployment and how it looks: pools, steps, time left, trends, lines, exit codes."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from shoal_cli.deployments import rules
from shoal_cli.deployments.eta import Eta, estimate
from shoal_cli.deployments.figures import show_seconds
from shoal_cli.deployments.history import read_history
from shoal_cli.deployments.lines import tell, tell_figures
from shoal_cli.deployments.outcome import ExitCode, exit_code, judge
from shoal_cli.deployments.picture import draw
from shoal_cli.deployments.trends import LONGEST, Trends, sparkline
from shoal_cli.deployments.view import View, build_view
from tests.unit.cli.sights import NOW, PODS, Raw, ago, condition, deployment, on_trial, pod, revision, verdict
from tests.unit.core import objects

Step = rules.Step


def look(raw: Raw, pods: list[Raw] | None = None) -> View:
    return build_view(raw, PODS if pods is None else pods, NOW)


def drawn(view: View, width: int = 100, trends: Trends | None = None) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(draw(view, trends))
    return console.export_text()


def test_a_rollout_is_shown_with_its_pools_shares_and_steps() -> None:
    view = look(on_trial())
    stable, candidate = view.pool("stable"), view.pool("candidate")
    assert stable is not None
    assert candidate is not None
    assert [(pool.version, pool.share, pool.ready) for pool in (stable, candidate)] == [(3, 75, 3), (4, 25, 1)]
    assert [(place.weight, place.hold_seconds, place.state) for place in view.steps] == [
        (25, 0, "done"),
        (25, 60, "now"),
        (50, 0, "next"),
        (50, 30, "next"),
    ]
    assert view.eta == Eta(NOW + timedelta(seconds=40), NOW + timedelta(seconds=70))


def scaled() -> Raw:
    """Return a deployment whose scaler wants 5 pods and cannot read one of its metrics."""
    metrics = {"queue": {"averageValue": 8}, "cpu": {"averageUtilization": 70}}
    readings = [
        {"name": "queue", "value": 12.345, "target": 8, "wants": 5},
        {"name": "cpu", "target": 70, "problem": "the metrics API gives no figures"},
    ]
    conditions = [
        condition("AbleToScale", "SucceededRescale", "from 3 to 5 pods"),
        condition("ScalingActive", "ValidMetricFound", "queue asks for 5 pods"),
        condition("ScalingLimited", "TooManyReplicas", "more pods are wanted than maxReplicas"),
    ]
    raw = deployment(scaling={"replicas": 5, "metrics": readings}, conditions=conditions)
    raw["spec"]["scaling"] = {"minReplicas": 2, "maxReplicas": 5, "metrics": metrics}
    return raw


def test_what_the_scaler_reads_and_wants_is_shown() -> None:
    view = look(scaled())
    text = drawn(view)

    assert view.replicas == 5
    assert "5 pods of 2 to 5" in text
    assert [line.split() for line in text.splitlines() if "queue" in line or "cpu" in line] == [
        ["│", "queue", "12.3", "target", "8", "wants", "5", "│"],
        ["│", "cpu", "–", "target", "70", "no", "figure", "│"],
    ]
    assert "TooManyReplicas: more pods are wanted than maxReplicas" in text
    assert "ValidMetricFound" not in text
    assert view.to_json()["scaling"]["readings"][0]["wants"] == 5


def test_the_picture_says_all_of_it_at_the_width_of_a_small_terminal() -> None:
    view = look(
        on_trial(blockedVersions=[{**revision(2), "reason": "GateFailed", "message": "bad", "since": ago(7200)}])
    )
    text = drawn(view, width=80)
    assert "…" not in text.replace("… inconclusive", "")
    for part in (
        "demo/towns",
        "Progressing",
        "75 %",
        "▸ hold 1 min (40 s left)",
        "promoted in 1 min 10 s at the earliest",
        "3 of 3 ready",
        "towns-00000004-pod1",
        "errorRate ✔ pass",
        "1.25 %",
        "latency says inconclusive.",
        "v2 GateFailed, 2h ago: bad",
    ):
        assert part in text, text


def test_of_many_pods_those_in_trouble_are_shown() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    broken = pod(3, 99, ready=False, containerStatuses=[{"ready": False, "image": "x", "state": waiting}])
    text = drawn(look(deployment(), [pod(3, number) for number in range(30)] + [broken]), width=200)
    assert "towns-00000003-pod99" in text
    assert "ImagePullFailed" in text
    assert "… 25 more pods" in text


def test_a_pause_before_any_rollout_is_told() -> None:
    assert "The next rollout is held by pause." in drawn(look(deployment(userPaused=True)))
    assert "The next rollout" not in drawn(look(on_trial(userPaused=True)))


def test_pods_of_forgotten_revisions_are_shown_as_going() -> None:
    view = look(deployment(), [pod(3, 1), pod(1, 1, ready=False)])
    assert [(pool.role, pool.version) for pool in view.pools] == [("stable", 3), ("going", 1)]


@pytest.mark.parametrize(
    "raw", [{}, {"metadata": {}, "spec": None, "status": None}, {"spec": {"strategy": {"new": 1}}}]
)
def test_whatever_an_object_holds_there_is_a_view(raw: Raw) -> None:
    view = build_view(raw, [{"metadata": {}}], NOW)
    assert view.phase == "Pending"
    drawn(view)
    json.dumps(view.to_json())


def test_json_has_the_names_and_times_of_the_api() -> None:
    found = look(on_trial()).to_json()
    assert (found["actualWeight"], found["stableVersion"], found["pools"][1]["role"]) == (25, 3, "candidate")
    assert found["eta"]["stepEnds"] == "2026-01-01T12:00:40Z"
    assert json.loads(json.dumps(found)) == found


# Time left


@pytest.mark.parametrize(
    ("steps", "step", "began", "held", "expected"),
    [
        ([Step(20, 60.0)], None, None, False, Eta()),
        ([Step(20, 60.0)], 0, None, False, Eta(NOW + timedelta(60 / 86400), NOW + timedelta(60 / 86400))),
        ([Step(20, 60.0)], 0, 30, True, Eta()),
        ([Step(20, 60.0)], 1, None, False, Eta(done=NOW)),
        ([Step(20, 60.0), Step(50, None)], 0, 50, False, Eta(NOW + timedelta(seconds=10), waits_at=1)),
        ([Step(20, None), Step(50, None)], 1, 50, False, Eta(waits_at=1)),
        ([Step(20, 10.0), Step(50, 5.0)], 0, 99, False, Eta(NOW, NOW + timedelta(seconds=5))),
    ],
)
def test_time_left(steps: list[Step], step: int | None, began: float | None, held: bool, expected: Eta) -> None:
    start = None if began is None else NOW - timedelta(seconds=began)
    assert estimate(steps, step, start, NOW, held=held) == expected


@given(
    st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1e6)), min_size=1, max_size=9),
    st.data(),
)
def test_time_left_never_grows_as_time_passes(walk: list[tuple[int, float]], data: st.DataObject) -> None:
    steps = [Step(weight, hold) for weight, hold in walk]
    step = data.draw(st.integers(0, len(steps) - 1))
    later = NOW + timedelta(seconds=data.draw(st.floats(0, 1e6)))
    first, second = (estimate(steps, step, NOW, time).done for time in (NOW, later))
    assert first is not None
    assert second is not None
    assert max(first, later) <= second <= max(first, later + (first - NOW))


# Waiting


@pytest.mark.parametrize(
    ("raw", "version", "kind"),
    [
        (deployment(), None, "healthy"),
        (deployment(), 3, "healthy"),
        (deployment(), 4, "running"),
        (deployment(generation=2), None, "running"),
        (deployment(annotations={"shoal.dev/promote": "now"}), None, "running"),
        (on_trial(), None, "running"),
        (on_trial(phase="Paused"), None, "running"),
        (deployment(phase="Degraded", conditions=[condition("Degraded", "RolledBack")]), None, "failed"),
        (deployment(phase="Degraded", conditions=[condition("Degraded", "ImagePullFailed")]), None, "running"),
        (
            deployment(phase="Degraded", conditions=[condition("Degraded", "RolledBack", status="False")]),
            None,
            "running",
        ),
        (deployment(blockedVersions=[{**revision(4), "reason": "Aborted", "since": ago(1)}]), 4, "failed"),
        (deployment(blockedVersions=[{**revision(2), "reason": "Aborted", "since": ago(1)}]), None, "healthy"),
        ({}, None, "running"),
    ],
)
def test_how_it_stands_for_a_program_that_waits(raw: Raw, version: int | None, kind: str) -> None:
    assert judge(look(raw), version).kind == kind


@pytest.mark.parametrize(
    ("raw", "timed_out", "code"),
    [
        (deployment(), False, ExitCode.DONE),
        (on_trial(), False, ExitCode.DONE),
        (on_trial(), True, ExitCode.TIMED_OUT),
        (deployment(phase="Degraded", conditions=[condition("Degraded", "RolledBack")]), False, ExitCode.DEGRADED),
        (deployment(phase="Degraded", conditions=[condition("Degraded", "Unschedulable")]), True, ExitCode.DEGRADED),
    ],
)
def test_exit_codes(raw: Raw, timed_out: bool, code: ExitCode) -> None:
    view = look(raw)
    assert exit_code(judge(view), view.phase, timed_out=timed_out) == code


# Trends and lines


def test_a_trend_has_one_point_for_each_look_and_begins_anew_with_a_candidate() -> None:
    def seen(value: float, candidate: int = 4) -> View:
        return look(on_trial(candidate=revision(candidate), verdicts=[verdict("latency", "pass", 2.0, value)]))

    trends = Trends()
    for value in (1.0, 1.0, 3.0):
        trends = trends.add(seen(value))
    assert trends.by_gate["latency"].candidate == (1.0, 3.0)
    assert "▃█" in drawn(seen(3.0), trends=trends)
    for value in range(100):
        trends = trends.add(seen(float(value)))
    assert len(trends.by_gate["latency"].stable) == LONGEST
    assert trends.add(seen(7.0, candidate=5)).by_gate["latency"].candidate == (7.0,)


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=40), st.floats(0, 1e9))
def test_a_sparkline_has_a_place_for_each_value(values: list[float | None], top: float) -> None:
    drawn = sparkline(values, top)
    assert len(drawn) == len(values)
    assert [mark == " " for mark in drawn] == [value is None for value in values]


def test_lines_change_with_what_happens_and_not_with_figures() -> None:
    line = tell(look(on_trial()))
    assert line.startswith("Progressing  stable=v3  candidate=v4  step=2/4  weight=25%  actual=25%  stable-ready=3/3")
    assert "latency=inconclusive" in line
    assert tell(look(on_trial(verdicts=[verdict("latency", "pass", 2.0, 9.0)]))) == tell(
        look(on_trial(verdicts=[verdict("latency", "pass", 2.0, 3.0)]))
    )
    assert tell_figures(look(on_trial())) == "errorRate 1.25 % (stable 0.00 %), latency 3.2 ms (stable 2.5 ms)"


@given(st.floats(0, 1e8))
def test_durations_are_read_with_two_units_at_most(seconds: float) -> None:
    assert len(show_seconds(seconds).split()) in (2, 4)


# History


def test_history_tells_revisions_with_their_standing_and_events_in_order() -> None:
    raw = on_trial(
        retiring=[{**revision(2), "until": ago(-20)}],
        previous=[revision(0x99) | {"version": 1}, revision(2)],
        blockedVersions=[{**revision(1), "reason": "GateFailed", "message": "too slow", "since": ago(100)}],
    )
    events: list[dict[str, Any]] = [
        {"metadata": {}, "type": "Normal", "reason": "Promoted", "message": "b", "count": 2, "lastTimestamp": ago(5)},
        {"metadata": {}, "type": "Warning", "reason": "RolledBack", "message": "a", "lastTimestamp": ago(50)},
    ]
    found = read_history(raw, events, [objects.version(3), objects.version(4)])
    assert [(each.version, each.standing) for each in found.revisions] == [
        (4, "candidate"),
        (3, "stable"),
        (2, "standing by"),
        (1, "before"),
        (1, "blocked"),
    ]
    assert [each.message for each in found.events] == ["a", "b"]
    assert found.servable == (3, 4)
    assert found.to_json()["revisions"][4]["why"] == "GateFailed: too slow"
