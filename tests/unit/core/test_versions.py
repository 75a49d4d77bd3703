"""A version's state follows from its validation, and only what passed is served."""

from __future__ import annotations

import pytest

from shoal_operator.core.plan import Plan
from shoal_operator.core.versions import known_versions, plan_version
from tests.unit.core import objects


@pytest.mark.parametrize(("verdict", "state"), [("pass", "Active"), ("fail", "Rejected")])
def test_state_follows_from_the_verdict(verdict: str, state: str) -> None:
    version = objects.version(1, verdict=verdict)
    version["status"] = {}
    plan = plan_version(version, objects.NOW)
    assert plan.status is not None
    assert plan.status.status["state"] == state


@pytest.mark.parametrize("state", ["Active", "Rejected", "Retired", "Archived"])
def test_a_state_that_is_set_stays(state: str) -> None:
    assert plan_version(objects.version(1, state=state), objects.NOW) == Plan()


def test_what_is_servable() -> None:
    versions = [
        objects.version(3, state="Retired"),
        objects.version(1),
        objects.version(2, verdict="fail"),
        {"metadata": objects.metadata("broken"), "spec": {"version": 9}},
        {"metadata": objects.metadata("worse"), "spec": "none"},
    ]
    known = known_versions(versions)
    assert [(version.number, version.servable) for version in known] == [(1, True), (2, False), (3, False), (9, False)]
