"""What metrics ask for, by the worked examples of the HorizontalPodAutoscaler's own tests (replica calculator)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shoal_operator.api.deployment import Revision, WorkerSettings
from shoal_operator.api.meta import ResourceRequirements
from shoal_operator.api.scaling import Scaling
from shoal_operator.core.facts import timestamp
from shoal_operator.core.scaling.proposal import Pool, Proposal, propose
from shoal_operator.core.snapshot import Load, LoadSample, PodFacts
from tests.unit.core.objects import NOW

REVISION = Revision(
    revision="00000001",
    version=1,
    settings=WorkerSettings(resources=ResourceRequirements(requests={"cpu": "1", "memory": "1Gi"})),
)
HOT, COOL = timedelta(minutes=1), timedelta(minutes=30)


def pod(
    place: int, *, ready: bool = True, phase: str = "Running", deleting: bool = False, age: timedelta = COOL
) -> PodFacts:
    started = timestamp(NOW - age)
    # A pod that is not ready has never been.
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": started}
    status = {"phase": phase, "startTime": started, "conditions": [condition]}
    return PodFacts(f"pod-{place}", f"uid-{place}", "00000001", ready, deleting, False, "10.0.0.1", started, status)


def load(metric: str, values: list[float | None], **problems: str) -> Load:
    samples = {
        f"uid-{place}": LoadSample(round(1000 * value), NOW, timedelta(seconds=30))
        for place, value in enumerate(values)
        if value is not None
    }
    return Load(timestamp(NOW), {metric: samples}, problems)


def ask(metric: str, target: float, pods: list[PodFacts], values: list[float | None], current: int) -> Proposal:
    kind = "averageUtilization" if metric in ("cpu", "memory") else "averageValue"
    spec = Scaling.model_validate({"maxReplicas": 100, "metrics": {metric: {kind: target}}})
    return propose(spec, (Pool(REVISION, tuple(pods)),), load(metric, values), current, NOW)[0]


def ready(count: int) -> list[PodFacts]:
    return [pod(place) for place in range(count)]


CPU_CASES: list[tuple[str, list[PodFacts], list[float | None], float, int, int]] = [
    ("grows by the ratio", ready(3), [0.3, 0.5, 0.7], 30, 3, 5),
    ("an unready pod counts as idle when growing", [pod(0, ready=False), pod(1), pod(2)], [0.3, 0.5, 0.7], 30, 3, 4),
    ("so does one that starts", [pod(0, age=timedelta(seconds=10)), pod(1), pod(2)], [0.3, 0.5, 0.7], 30, 3, 4),
    (
        "and nothing changes where that turns the direction",
        [pod(0), pod(1, ready=False), pod(2, ready=False)],
        [0.4, 0.5, 0.7],
        30,
        3,
        3,
    ),
    (
        "failed pods do not count",
        [pod(0), pod(1), pod(2, phase="Failed"), pod(3, phase="Failed")],
        [0.5, 0.7],
        30,
        2,
        4,
    ),
    ("nor do pods that leave", [pod(0), pod(1), pod(2, deleting=True), pod(3, deleting=True)], [0.5, 0.7], 30, 2, 4),
    ("shrinks by the ratio", ready(5), [0.1, 0.3, 0.5, 0.25, 0.25], 50, 5, 3),
    ("an unready pod is left out when shrinking", [*ready(4), pod(4, ready=False)], [0.1, 0.3, 0.5, 0.25, 9], 50, 5, 3),
    ("within the tolerance nothing changes", ready(3), [1.01, 1.02, 1.04], 100, 3, 3),
    ("a pod without a figure counts as full when shrinking", ready(4), [0.4, 0.4, 0.4, None], 100, 4, 3),
    ("and as idle when growing", ready(4), [1.0, 1.0, 1.0, None], 50, 4, 6),
    ("and nothing changes where that turns the direction", ready(3), [0.95, None, None], 90, 3, 3),
    ("a target above 100 percent", ready(4), [1.0, 1.0, 1.0, None], 200, 4, 3),
]


@pytest.mark.parametrize(
    ("pods", "values", "target", "current", "expected"),
    [case[1:] for case in CPU_CASES],
    ids=[case[0] for case in CPU_CASES],
)
def test_utilization(
    pods: list[PodFacts], values: list[float | None], target: float, current: int, expected: int
) -> None:
    assert ask("cpu", target, pods, values, current).replicas == expected


@pytest.mark.parametrize(
    ("pods", "values", "target", "current", "expected"),
    [
        (ready(3), [20, 10, 30], 15, 3, 4),
        # Figures of unready pods count: only CPU is that of starting up.
        ([pod(0), pod(1), pod(2, ready=False, age=HOT)], [50, 10, 30], 15, 3, 6),
        (ready(1), [8.6], 4.4, 1, 2),
        (ready(5), [12, 12, 12, 12, 12], 20, 5, 3),
        ([pod(0), pod(1), pod(2, phase="Pending")], [30, 30, None], 15, 3, 4),
        (ready(3), [15, 15, 15], 15, 3, 3),
        (ready(3), [1e300, 1e300, 1e300], 0.001, 3, 1_000_000),
    ],
)
def test_average_value(
    pods: list[PodFacts], values: list[float | None], target: float, current: int, expected: int
) -> None:
    assert ask("queue", target, pods, values, current).replicas == expected


@pytest.mark.parametrize(
    ("metric", "target", "values", "current", "expected"),
    [
        # The documentation: 200m where 100m should be doubles, 50m halves.
        ("queue", 0.1, [0.2, 0.2], 2, 4),
        ("queue", 0.1, [0.05] * 4, 4, 2),
        ("queue", 0.1, [0.109] * 4, 4, 4),
        ("cpu", 60, [0.9, 0.9], 2, 3),
        ("cpu", 50, [0.55, 0.54], 2, 2),
        # A whole percent is what counts, as in the HorizontalPodAutoscaler's int32.
        ("cpu", 50, [0.559, 0.559], 2, 2),
        ("cpu", 50, [0.56, 0.56], 2, 3),
    ],
)
def test_the_documentations_ratios(
    metric: str, target: float, values: list[float], current: int, expected: int
) -> None:
    found = ask(metric, target, ready(current), list(values), current)

    assert found.replicas == expected


def timed(started: int, turned: int, status: str, **more: Any) -> PodFacts:
    """Build a pod that started and changed its readiness so many seconds ago."""
    condition = {"type": "Ready", "status": status, "lastTransitionTime": timestamp(NOW - timedelta(seconds=turned))}
    told = {"phase": "Running", "startTime": timestamp(NOW - timedelta(seconds=started)), "conditions": [condition]}
    return PodFacts("pod-0", "uid-0", "00000001", status == "True", False, False, "10.0.0.1", "", {**told, **more})


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        # In the first five minutes a sample counts once it is of ready time alone: its window of 30 s.
        (timed(200, 31, "True"), True),
        (timed(200, 30, "True"), True),
        (timed(200, 29, "True"), False),
        (timed(200, 100, "False"), False),
        (timed(200, 100, "Unknown"), True),
        (timed(299, 29, "True"), False),
        (timed(300, 29, "True"), True),
        # After them an unready pod counts, unless it has never been ready: it turned within 30 s of its start.
        (timed(301, 100, "False"), True),
        (timed(301, 271, "False"), True),
        (timed(301, 272, "False"), False),
        (timed(301, 301, "False"), False),
        (timed(301, 301, "Unknown"), True),
        (timed(400, 100, "True", startTime=None), False),
        (timed(400, 100, "True", conditions=[]), False),
    ],
)
def test_cpu_of_a_pod_that_starts_does_not_count(pod: PodFacts, counts: bool) -> None:
    """The CPU initialisation period (5 min) and the initial readiness delay (30 s) of the HorizontalPodAutoscaler."""
    others = [replace(each, name=f"pod-{place}", uid=f"uid-{place}") for place, each in enumerate(ready(3))][1:]

    found = ask("cpu", 50, [pod, *others], [3.0, 1.0, 1.0], 3)

    # Three times 100 percent by the one that starts: 10 pods with it, 4 without.
    assert found.replicas == (10 if counts else 4)


def test_memory_of_a_pod_that_starts_counts() -> None:
    bytes_used = [3.0 * (1 << 30), 1.0 * (1 << 30), 1.0 * (1 << 30)]
    others = ready(3)[1:]

    assert ask("memory", 50, [timed(10, 5, "True"), *others], list(bytes_used), 3).replicas == 10


@pytest.mark.parametrize(
    ("up", "down", "value", "expected"),
    [(0.1, 0.1, 10.9, 4), (0.05, 0.1, 10.9, 5), (0.1, 0.1, 7, 3), (0.1, 0.4, 7, 4), (0.0, 0.0, 10.1, 5)],
)
def test_each_direction_has_its_own_tolerance(up: float, down: float, value: float, expected: int) -> None:
    behavior = {"scaleUp": {"tolerance": up}, "scaleDown": {"tolerance": down}}
    metrics = {"queue": {"averageValue": 10}}
    spec = Scaling.model_validate({"maxReplicas": 100, "metrics": metrics, "behavior": behavior})

    found = propose(spec, (Pool(REVISION, tuple(ready(4))),), load("queue", [value] * 4), 4, NOW)[0]

    assert found.replicas == expected


def test_missing_figures_at_exactly_the_target_change_nothing() -> None:
    """The HorizontalPodAutoscaler counts them as 0 here and removes a pod for them; missing data must not do that."""
    assert ask("queue", 10, ready(4), [10, 10, 10, None], 4).replicas == 4


def test_a_metric_without_any_figure_asks_for_nothing_and_says_why() -> None:
    found = ask("queue", 1, ready(2), [None, None], 2)

    assert found.replicas is None
    assert found.reading.problem == "no ready pod of version 1 has a figure"


def test_a_percentage_of_a_request_that_is_not_set_asks_for_nothing() -> None:
    spec = Scaling.model_validate({"maxReplicas": 9, "metrics": {"cpu": {"averageUtilization": 50}}})
    bare = Pool(REVISION.model_copy(update={"settings": WorkerSettings()}), tuple(ready(1)))

    found = propose(spec, (bare,), load("cpu", [1.0]), 1, NOW)[0]

    assert found.reading.problem.startswith("worker.resources.requests.cpu is not set")


def test_demands_of_two_versions_add_up_and_are_never_averaged() -> None:
    """A slow candidate needs pods of its own, however well the mean looks (argo-rollouts 4607)."""
    spec = Scaling.model_validate({"maxReplicas": 100, "metrics": {"queue": {"averageValue": 10}}})
    stable = Pool(REVISION, tuple(ready(10)))
    candidate = Pool(REVISION.model_copy(update={"version": 2}), (pod(10),))
    values: dict[str, Any] = {f"uid-{place}": LoadSample(9000, NOW) for place in range(10)}
    values["uid-10"] = LoadSample(40_000, NOW)

    found = propose(spec, (stable, candidate), Load(timestamp(NOW), {"queue": values}), 10, NOW)[0]

    assert (found.replicas, found.candidate) == (13, 4)
