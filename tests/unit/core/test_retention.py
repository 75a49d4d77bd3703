"""What becomes of a model's versions: by annotation, by retention, and never while somebody uses them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.lifecycle import Retention
from shoal_operator.core import names
from shoal_operator.core.lifecycle import read_lifecycle, write_lifecycle
from shoal_operator.core.retention import age_versions
from shoal_operator.core.uses import find_uses
from shoal_operator.core.versions import known_versions
from tests.unit.core import objects

Raw = dict[str, Any]


def age(
    versions: list[Raw],
    retention: Retention,
    deployments: tuple[Raw, ...] = (),
    now: datetime = objects.NOW,
    batches: tuple[Raw, ...] = (),
) -> dict[int, str]:
    """Age the versions in place; return what each is to become."""
    known = known_versions(versions)
    raws = {raw["spec"]["version"]: raw for raw in versions}
    ageing = age_versions(raws, known, find_uses(deployments, batches, known), retention, now)
    for item in ageing:
        raws[item.version.number]["metadata"]["annotations"][names.LIFECYCLE] = write_lifecycle(item.after) or ""
    return {item.version.number: item.after.wanted for item in ageing}


def wish(number: int, state: str) -> Raw:
    return objects.version(number, annotations={names.STATE: state})


def serving(role: str, number: int) -> Raw:
    revision = {"revision": "0" * 8, "version": number, "digest": f"sha256:{number:064x}"}
    if role == "pinned":
        return objects.deployment({"modelRef": {"name": "cities", "version": str(number)}})
    if role == "pinned by digest":
        return objects.deployment({"modelRef": {"name": "cities", "version": revision["digest"]}})
    if role == "recorded":
        return objects.deployment(annotations={names.STABLE_RECORD: json.dumps(revision)})
    if role == "standing by":
        return objects.deployment(status={"retiring": [{**revision, "until": "2026-01-01T00:00:00Z"}]})
    if role == "rollback window":
        spec = {"strategy": {"canary": {"rollbackWindow": {"revisions": 2}}}}
        past = [{**revision, "revision": f"{place}" * 8, "version": place} for place in (8, 9)]
        return objects.deployment(spec, status={"previous": [past[0], revision, past[1]]})
    return objects.deployment(status={role: revision})


ROLES = ["stable", "candidate", "standing by", "rollback window", "recorded", "pinned", "pinned by digest"]


@pytest.mark.parametrize(
    ("retention", "older"),
    [
        (Retention(keep=2), "Archived"),
        (Retention(keep=2, archive_retired=False), "Retired"),
        (Retention(keep=3), "Active"),
        (Retention(), "Active"),
    ],
)
def test_versions_beyond_keep_leave(retention: Retention, older: str) -> None:
    versions = [objects.version(number) for number in (1, 2, 3)]
    assert age(versions, retention) == {1: older, 2: "Active", 3: "Active"}


def test_rejected_versions_are_counted_apart() -> None:
    versions = [objects.version(number, verdict="fail" if number % 2 else "pass") for number in range(1, 7)]
    wanted = age(versions, Retention(keep=1))
    assert [number for number, state in wanted.items() if state == "Active"] == [5, 6]


@pytest.mark.parametrize("role", ROLES)
def test_what_is_used_stays_active_under_retention(role: str) -> None:
    versions = [objects.version(number) for number in (1, 2, 3)]
    assert age(versions, Retention(keep=1), (serving(role, 1),)) == {1: "Active", 2: "Archived", 3: "Active"}


@pytest.mark.parametrize("role", ROLES)
def test_archiving_what_is_used_is_refused_and_done_once_nobody_uses_it(role: str) -> None:
    versions = [wish(1, "Archived"), objects.version(2)]
    assert age(versions, Retention(), (serving(role, 1),))[1] == "Retired"
    record = read_lifecycle(versions[0])
    assert record.problem == "VersionInUse"
    assert "ClusteringDeployment cities" in record.message
    assert age(versions, Retention())[1] == "Archived"
    assert read_lifecycle(versions[0]).problem == ""


def test_a_batch_uses_its_version_until_it_has_ended() -> None:
    versions = [objects.version(1), objects.version(2)]
    pinned = {"model": "cities", "version": 1, "digest": f"sha256:{1:064x}"}
    batch = {"metadata": objects.metadata("nightly"), "status": {"pinned": pinned}}
    assert age(versions, Retention(keep=1), batches=(batch,))[1] == "Active"
    batch["status"]["completedAt"] = "2026-01-01T00:00:00Z"
    assert age(versions, Retention(keep=1), batches=(batch,))[1] == "Archived"


def test_a_version_with_the_artifact_of_a_used_one_is_used() -> None:
    versions = [wish(1, "Archived"), objects.version(2)]
    versions[1]["spec"]["artifact"] = versions[0]["spec"]["artifact"]
    assert age(versions, Retention(), (serving("stable", 2),))[1] == "Retired"


def test_the_annotation_wins_over_retention() -> None:
    versions = [wish(1, "Active"), objects.version(2), wish(3, "Retired"), objects.version(4)]
    assert age(versions, Retention(keep=1)) == {1: "Active", 2: "Archived", 3: "Retired", 4: "Active"}


def test_without_the_annotation_retention_decides_again() -> None:
    versions = [wish(1, "Archived"), objects.version(2)]
    assert age(versions, Retention())[1] == "Archived"
    del versions[0]["metadata"]["annotations"][names.STATE]
    assert age(versions, Retention())[1] == "Active"


def test_what_retention_retired_stays_so_until_somebody_asks_for_it() -> None:
    versions = [objects.version(1), objects.version(2)]
    assert age(versions, Retention(keep=1))[1] == "Archived"
    assert age(versions, Retention(keep=10))[1] == "Archived"
    versions[0]["metadata"]["annotations"][names.STATE] = "Active"
    assert age(versions, Retention(keep=1))[1] == "Active"


def test_a_word_that_is_no_state_is_told_and_changes_nothing() -> None:
    versions = [wish(1, "archived\n")]
    assert age(versions, Retention())[1] == "Active"
    assert "set it to one of: Active, Retired, Archived" in read_lifecycle(versions[0]).message


def test_deletion_comes_after_its_days_and_not_while_used() -> None:
    versions = [objects.version(number) for number in (1, 2, 3)]
    retention = Retention(keep=1, delete_after_days=2)
    assert age(versions, retention) == {1: "Archived", 2: "Archived", 3: "Active"}
    later = objects.NOW + timedelta(days=1, hours=23)
    assert age(versions, retention, now=later) == {1: "Archived", 2: "Archived", 3: "Active"}
    later = objects.NOW + timedelta(days=2)
    pinned = (serving("pinned", 1),)
    assert age(versions, retention, pinned, now=later) == {1: "Retired", 2: "Deleted", 3: "Active"}
    assert age(versions, retention, now=later)[1] == "Deleted"


def test_the_newest_version_is_never_deleted() -> None:
    versions = [objects.version(1), wish(2, "Archived")]
    assert age(versions, Retention(delete_after_days=0)) == {1: "Active", 2: "Archived"}


def test_a_pin_does_not_bring_an_archived_version_back_but_keeps_it_from_deletion() -> None:
    versions = [objects.version(1, state="Archived", annotations={names.STATE: "Archived"}), objects.version(2)]
    later = objects.NOW + timedelta(days=9)
    assert age(versions, Retention(delete_after_days=1), (serving("pinned", 1),))[1] == "Archived"
    assert age(versions, Retention(delete_after_days=1), (serving("pinned", 1),), now=later)[1] == "Archived"
    assert read_lifecycle(versions[0]).problem == "VersionInUse"


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["", "Active", "Retired", "Archived", "?"])), max_size=8),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([None, 0, 1]),
    st.sets(st.tuples(st.sampled_from(ROLES), st.integers(1, 8)), max_size=3),
)
def test_ageing_settles_and_takes_nothing_from_its_users(
    made: list[tuple[bool, str]], keep: int, archive: bool, days: int | None, users: set[tuple[str, int]]
) -> None:
    versions = [
        objects.version(number, verdict="pass" if passed else "fail", annotations={names.STATE: state} if state else {})
        for number, (passed, state) in enumerate(made, 1)
    ]
    retention = Retention(keep=keep, archive_retired=archive, delete_after_days=days)
    deployments = tuple(serving(role, number) for role, number in sorted(users))
    first = age(versions, retention, deployments)
    records = [read_lifecycle(version) for version in versions]
    assert age(versions, retention, deployments) == first
    assert [read_lifecycle(version) for version in versions] == records
    for number, state in first.items():
        if any(number == used for _, used in users):
            assert state in ("Active", "Retired")
    if first:
        assert first[max(first)] != "Deleted"
