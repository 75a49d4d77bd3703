"""A version's state follows from its validation and its lifecycle, and only what passed and is Active is offered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shoal_operator.api.meta import Reason
from shoal_operator.core import names
from shoal_operator.core.plan import Emit
from shoal_operator.core.versions import known_versions, plan_version
from tests.unit.core import objects


def status_of(version: dict[str, Any]) -> dict[str, Any]:
    plan = plan_version(version, objects.NOW)
    assert plan.status is not None
    return plan.status.status


def with_record(version: dict[str, Any], **record: str) -> dict[str, Any]:
    version["metadata"]["annotations"] = {names.LIFECYCLE: json.dumps(record)}
    return version


@pytest.mark.parametrize(("verdict", "state"), [("pass", "Active"), ("fail", "Rejected")])
def test_state_follows_from_the_verdict(verdict: str, state: str) -> None:
    version = objects.version(1, verdict=verdict)
    version["status"] = {}
    assert status_of(version)["state"] == state


@pytest.mark.parametrize(
    ("wanted", "stored", "state"),
    [
        ("Active", "Active", "Active"),
        ("Retired", "Active", "Retired"),
        ("Retired", "Retired", "Retired"),
        ("Archived", "Active", "Retired"),
        ("Archived", "Archived", "Archived"),
        ("Active", "Archived", "Archived"),
        ("Deleted", "Archived", "Archived"),
        ("Deleted", "Retired", "Retired"),
    ],
)
def test_it_is_archived_as_long_as_the_store_says_so(wanted: str, stored: str, state: str) -> None:
    assert status_of(with_record(objects.version(1), wanted=wanted, stored=stored))["state"] == state


def test_a_lost_status_comes_back_as_it_was() -> None:
    version = with_record(objects.version(1), wanted="Archived", stored="Archived", message="Old.")
    first = status_of(version)
    version["status"] = {}
    assert status_of(version) == first
    assert "kubectl annotate cmv cities-v1 shoal.dev/state=Active --overwrite --namespace fish" in first["message"]


def test_a_second_pass_changes_nothing_and_tells_nothing() -> None:
    version = with_record(objects.version(1), wanted="Retired", problem="VersionInUse", message="It is in use.")
    version["status"] = status_of(version)
    plan = plan_version(version, objects.NOW)
    assert plan.status is not None
    assert (plan.status.status, plan.clean_up) == (version["status"], ())


def test_figures_are_told_with_the_digits_that_a_list_has_room_for() -> None:
    version = objects.version(1)
    version["spec"]["metrics"] |= {"noiseRatio": 0.10249999999999998, "silhouette": 0.5123456789}
    assert (status_of(version)["noise"], status_of(version)["silhouette"]) == ("10.2 %", "0.512")
    del version["spec"]["metrics"]["silhouette"]
    assert status_of(version)["silhouette"] == ""


def test_a_refusal_is_a_condition_and_an_event() -> None:
    version = with_record(objects.version(1), wanted="Retired", problem="VersionInUse", message="It is in use.")
    plan = plan_version(version, objects.NOW)
    assert Emit("Warning", Reason.VERSION_IN_USE, "It is in use.") in plan.clean_up
    degraded = next(item for item in status_of(version)["conditions"] if item["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"], degraded["message"]) == ("True", "VersionInUse", "It is in use.")


@pytest.mark.parametrize("text", ["", "none", "[]", '{"wanted": "Gone"}', "x" * 9000, '{"message": "a\\u0000b"}'])
def test_a_record_that_cannot_be_read_counts_as_none(text: str) -> None:
    version = objects.version(1)
    version["metadata"]["annotations"] = {names.LIFECYCLE: text}
    assert status_of(version)["state"] == "Active"


def test_what_is_servable() -> None:
    versions = [
        objects.version(4, state="Archived"),
        objects.version(3, state="Retired"),
        objects.version(1),
        objects.version(2, verdict="fail"),
        {"metadata": objects.metadata("broken"), "spec": {"version": 9}},
        {"metadata": objects.metadata("worse"), "spec": "none"},
    ]
    known = known_versions(versions)
    assert [(version.number, version.servable) for version in known] == [
        (1, True),
        (2, False),
        (3, False),
        (4, False),
        (9, False),
    ]
    assert [version.number for version in known if version.held] == [1, 3]


def test_a_refusal_names_the_tests_that_reject_and_no_dry_run() -> None:
    version = objects.version(1, verdict="fail")
    version["spec"]["validation"]["tests"] = [
        {"name": "minAgreement", "verdict": "fail", "message": "0.4, wanted >= 0.9"},
        {"name": "memory", "verdict": "fail", "dryRun": True, "message": "too much"},
        {"name": "edgeCases", "verdict": "warn", "message": "look"},
    ]
    assert known_versions([version])[0].refusal == "minAgreement: 0.4, wanted >= 0.9"
    plan = plan_version(version, objects.NOW)
    assert plan.status is not None
    assert plan.status.status["message"] == "It failed its validation: minAgreement: 0.4, wanted >= 0.9."
    assert "minAgreement" in plan.status.status["conditions"][0]["message"]
