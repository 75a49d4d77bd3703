"""What `shoal lint` tells of names that lead nowhere among the manifests: members of groups, CronJobs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.cli.sights import Raw
from tests.unit.cli.test_lint import GOOD, lint, manifest

__all__ = ["lint"]


def member(name: str, *after: str, model: str = "cities", group: str = "world") -> str:
    return manifest(
        name=name, **{**GOOD, "modelRef": {"name": model}, "group": {"name": group, "promoteAfter": [*after]}}
    )


def cron_job(name: str, *, namespace: str | None = None, startable: bool = True) -> str:
    metadata: Raw = {"name": name, **({"namespace": namespace} if namespace else {})}
    if startable:
        metadata["annotations"] = {"shoal.dev/startable": "true"}
    return yaml.safe_dump({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": {}})


def told(lint: Any, *manifests: str) -> list[tuple[str, str, str]]:
    _, found = lint("---\n".join(manifests))
    return [(each["object"].partition("/")[2], each["rule"], each["message"]) for each in found]


def test_members_that_wait_for_each_other_are_told_at_each(lint: Any) -> None:
    found = told(lint, member("a", "b"), member("b", "c"), member("c", "a"), member("d", "a"))
    assert [(name, rule) for name, rule, _ in found] == [(name, "group-invalid") for name in "abc"]
    assert "wait for each other: a after b after c after a" in found[0][2]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], None),
        ([member("b")], None),
        ([member("b", "not-among-the-files")], None),
        ([member("b", model="rivers")], "serves model rivers, not cities"),
        ([member("b", group="europe")], "is not in group world"),
        ([manifest(name="b", **GOOD)], "is not in group world"),
        ([manifest(name="b", modelRef=7)], None),
    ],
    ids=["elsewhere", "fine", "fine so far", "another model", "another group", "no group", "no valid spec"],
)
def test_who_cannot_be_waited_for_is_told(lint: Any, others: list[str], expected: str | None) -> None:
    found = [message for name, rule, message in told(lint, member("a", "b"), *others) if name == "a" and rule]
    assert len(found) == (1 if expected else 0)
    assert all(str(expected) in message for message in found)


def test_one_that_waits_for_itself_is_told(lint: Any) -> None:
    assert "a is this deployment itself" in told(lint, member("a", "a"))[0][2]


def gated(**changes: Any) -> str:
    return manifest(**{**GOOD, "analysis": {"jobs": [{"name": "smoke", "cronJob": "judge", **changes}]}})


@pytest.mark.parametrize(
    ("manifests", "expected"),
    [
        ([gated()], None),
        ([gated(), cron_job("judge")], None),
        ([gated(), cron_job("other", namespace="elsewhere")], None),
        ([gated(enabled=False), cron_job("other")], None),
        ([gated(), cron_job("other")], ("unknown-cronjob", "no CronJob judge is among these files; there are other")),
        ([gated(), cron_job("judge", startable=False)], ("not-startable", 'shoal.dev/startable: "true"')),
    ],
    ids=["elsewhere", "fine", "another namespace", "switched off", "misspelt", "not startable"],
)
def test_the_cron_job_of_a_gate_is_looked_up(lint: Any, manifests: list[str], expected: tuple[str, str] | None) -> None:
    found = [(rule, message) for _, rule, message in told(lint, *manifests) if "cron" in rule or "start" in rule]
    assert len(found) == (1 if expected else 0)
    if expected:
        assert found[0][0] == expected[0]
        assert expected[1] in found[0][1]


def test_the_cron_job_of_a_hook_is_looked_up_and_told_where_it_is_named(lint: Any) -> None:
    hooks = [
        {"name": "tell", "at": "AfterPromotion", "url": "http://chat/"},
        {"name": "migrate", "at": "BeforePromotion", "cronJob": "migrate"},
    ]
    _, found = lint(f"{manifest(**GOOD, hooks=hooks)}---\n{cron_job('other')}")
    assert [(each["rule"], each["field"]) for each in found] == [("unknown-cronjob", "spec.hooks[1].cronJob")]
