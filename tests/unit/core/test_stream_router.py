"""How the leases of a stream are shared: what each pod is told, in which order, and what share that is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision
from shoal_operator.core import names
from shoal_operator.core.plan import Label
from shoal_operator.core.routing import Arrangement, Question
from shoal_operator.core.snapshot import DeploymentSnapshot, PodFacts
from shoal_operator.core.stream_router import arrange
from tests.unit.core import objects

STABLE = Revision(revision="aaaaaaaa", version=1)
CANDIDATE = Revision(revision="bbbbbbbb", version=2)
SPEC = ClusteringDeploymentSpec.model_validate(
    {
        "modelRef": {"name": "cities"},
        "ingestion": {
            "nats": {"url": "nats://nats:4222"},
            "stream": "readings",
            "output": {"subject": "labels"},
            "deadLetterSubject": "dead",
        },
    }
)


def pool(revision: Revision, count: int, share: str = "", ready: bool = True) -> list[PodFacts]:
    name = revision.revision[0]
    return [
        replace(objects.pod(f"{name}{place}", revision.revision, ready=ready), share=share) for place in range(count)
    ]


def ask(weight: int, pods: list[PodFacts], candidate: Revision | None = CANDIDATE) -> Arrangement:
    snapshot = DeploymentSnapshot(objects.deployment(), pods=tuple(pods))
    return arrange(Question(snapshot, SPEC, STABLE, candidate, weight))


def told(arrangement: Arrangement) -> dict[str, str | None]:
    found = {}
    for action in arrangement.actions:
        assert isinstance(action, Label)
        assert set(action.annotations) == {names.SHARE}
        found[action.key.name] = action.annotations[names.SHARE]
    return found


def obey(pods: list[PodFacts], arrangement: Arrangement) -> list[PodFacts]:
    wanted = told(arrangement)
    return [replace(pod, share=wanted.get(pod.name) or pod.share) for pod in pods]


def test_alone_a_version_leases_all_also_with_pods_that_are_not_ready() -> None:
    pods = pool(STABLE, 2, ready=False)
    assert told(ask(0, pods, None)) == {"a0": "100", "a1": "100"}
    settled = ask(0, obey(pods, ask(0, pods, None)), None)
    assert (settled.settled, settled.actions, settled.routed) == (True, (), {STABLE.revision})


@pytest.mark.parametrize(
    ("weight", "stable", "candidate"),
    [(0, "100", "0"), (10, "100", "5"), (50, "100", "25"), (51, "24.5", "100"), (90, "5", "100"), (100, "0", "100")],
)
def test_the_smaller_part_is_paced(weight: int, stable: str, candidate: str) -> None:
    assert told(ask(weight, pool(STABLE, 2) + pool(CANDIDATE, 2))) == {
        "a0": stable, "a1": stable, "b0": candidate, "b1": candidate
    }  # fmt: skip


@given(st.integers(0, 100), st.integers(1, 9), st.integers(1, 9))
def test_what_was_told_is_the_weight(weight: int, stable: int, candidate: int) -> None:
    pods = pool(STABLE, stable) + pool(CANDIDATE, candidate)
    found = ask(weight, obey(pods, ask(weight, pods)))
    assert (found.settled, found.actual_weight, found.actions) == (True, weight, ())


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 5), st.integers(1, 5))
def test_shares_fall_before_others_rise(before: int, after: int, stable: int, candidate: int) -> None:
    pods = pool(STABLE, stable) + pool(CANDIDATE, candidate)
    pods = obey(pods, ask(before, pods))
    shares = {pod.name: float(pod.share) for pod in pods}
    rises = [float(value or 0) > shares[name] for name, value in told(ask(after, pods)).items()]
    assert rises == sorted(rises)


def test_a_rollback_takes_the_candidates_share_at_once() -> None:
    pods = pool(STABLE, 2, "5") + pool(CANDIDATE, 1, "100")
    assert list(told(ask(0, pods)).items()) == [("b0", "0"), ("a0", "100"), ("a1", "100")]


def test_a_retired_version_leases_nothing() -> None:
    snapshot = DeploymentSnapshot(objects.deployment(), pods=(*pool(CANDIDATE, 1), *pool(STABLE, 1, "100")))
    found = arrange(Question(snapshot, SPEC, CANDIDATE, None, 0))
    assert list(told(found).items()) == [("a0", "0"), ("b0", "100")]
    assert found.routed == {STABLE.revision}


def test_a_candidate_without_a_ready_pod_gets_nothing_and_stable_all() -> None:
    pods = pool(STABLE, 1) + pool(CANDIDATE, 1, ready=False)
    assert told(ask(80, pods)) == {"a0": "100", "b0": "0"}


def test_a_pod_that_is_not_ready_gets_no_part_of_a_paced_one() -> None:
    pods = [*pool(STABLE, 1), *pool(CANDIDATE, 2)]
    pods[2] = replace(pods[2], ready=False)
    assert told(ask(20, pods)) == {"a0": "100", "b0": "20", "b1": "0"}


@pytest.mark.parametrize("share", ["none", "-5", "1e9", "NaN"])
def test_a_share_that_somebody_else_wrote_is_none_and_is_mended(share: str) -> None:
    found = ask(10, pool(STABLE, 1, "100") + pool(CANDIDATE, 1, share))
    assert (found.actual_weight, told(found)) == (0, {"b0": "10"})


@pytest.mark.parametrize(
    ("mine", "theirs", "measured"), [(200, 800, 20.0), (1, 2, 33.3), (0, 50, 0.0), (0, 0, None), (7, None, None)]
)
def test_what_was_really_leased_is_reported(mine: int, theirs: int | None, measured: float | None) -> None:
    pods = (*pool(STABLE, 1, "100"), *pool(CANDIDATE, 1, "10"))
    counted = {CANDIDATE.revision: mine, STABLE.revision: theirs}
    windows = {
        revision: replace(objects.window(10), leased=count) for revision, count in counted.items() if count is not None
    }
    snapshot = DeploymentSnapshot(objects.deployment(), pods=pods, windows=windows)
    found = arrange(Question(snapshot, SPEC, STABLE, CANDIDATE, 10))
    assert (found.actual_weight, found.measured_weight) == (10, measured)
    assert arrange(Question(snapshot, SPEC, STABLE, None, 0)).measured_weight is None
