"""Which command may be given when, and where a rollback leads."""

from __future__ import annotations

import pytest

from shoal_cli.deployments import commands, rules
from shoal_cli.deployments.options import read_seconds
from shoal_cli.deployments.view import View, build_view
from shoal_cli.errors import UsageError
from shoal_operator.core.commands import read_commands
from tests.unit.cli.sights import NOW, PODS, Raw, ago, condition, deployment, on_trial, revision
from tests.unit.core import objects

PAUSED = [condition("Paused", "PausedByUser")]
BLOCKED = [{**revision(2), "reason": "GateFailed", "message": "bad", "since": ago(9)}]


def look(raw: Raw) -> View:
    return build_view(raw, PODS, NOW)


@pytest.mark.parametrize(
    ("command", "raw"),
    [
        ("promote", on_trial()),
        ("promote-full", on_trial()),
        ("abort", on_trial()),
        ("pause", deployment()),
        ("resume", on_trial(userPaused=True, conditions=PAUSED)),
        ("resume", deployment(userPaused=True, spec={"paused": True})),
        ("retry", deployment(blockedVersions=BLOCKED)),
        ("approve", deployment(pendingVersion=4)),
    ],
)
def test_a_command_that_has_an_effect_is_given(command: str, raw: Raw) -> None:
    commands.check(command, look(raw))


@pytest.mark.parametrize(
    ("command", "raw", "told"),
    [
        ("promote", deployment(), "no version is on trial"),
        ("abort", deployment(), "no version is on trial"),
        ("promote", deployment(stable=None, candidate=revision(1)), "the first one"),
        ("resume", deployment(), "not paused"),
        ("resume", on_trial(spec={"paused": True}, conditions=PAUSED), "spec.paused"),
        ("resume", on_trial(conditions=PAUSED), "shoal promote towns"),
        ("retry", deployment(), "no version is blocked"),
        ("approve", deployment(), "no version waits"),
    ],
)
def test_a_command_without_effect_is_refused_with_the_reason(command: str, raw: Raw, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        commands.check(command, look(raw))


def test_the_same_command_twice_is_two_commands_to_the_operator() -> None:
    first = commands.build_command("promote", commands.unique_value(NOW))
    recorded = read_commands(first, ()).handled
    assert "promote" not in read_commands(first, recorded)
    second = commands.build_command("promote", commands.unique_value(NOW.replace(microsecond=1000)))
    assert "promote" in read_commands(second, recorded)


def test_only_the_version_that_waits_is_approved() -> None:
    view = look(deployment(pendingVersion=4))
    assert (commands.check_approval(view, None), commands.check_approval(view, 4)) == (4, 4)
    with pytest.raises(UsageError, match="version 4 does"):
        commands.check_approval(view, 5)


VERSIONS = [objects.version(1), objects.version(2, verdict="fail"), objects.version(3), objects.version(4)]
STANDING_BY = {"retiring": [{**revision(1), "until": ago(-20)}], "previous": [revision(1)]}


def way_back(raw: Raw, value: str) -> rules.WayBack | str:
    spec = rules.read_spec(raw)
    assert spec is not None
    return rules.find_way_back(raw, spec, VERSIONS, value)


@pytest.mark.parametrize(
    ("raw", "value", "told"),
    [
        (deployment(), "yes", "from version 3 to version 1, by the strategy's steps"),
        (deployment(**STANDING_BY), "yes", "from version 3 to version 1, without steps"),
        (deployment(stable=revision(4)), "yes", "from version 4 to version 3"),
        (deployment(stable=revision(4)), "1", "from version 4 to version 1"),
        (
            deployment(stable=revision(4), blockedVersions=[{**revision(3), "reason": "x", "since": ago(1)}]),
            "yes",
            "to version 1",
        ),
        (on_trial(), "yes", "take version 4 back; version 3 serves"),
        (on_trial(), "1", "from version 3 to version 1"),
    ],
)
def test_a_rollback_tells_what_the_operator_will_do(raw: Raw, value: str, told: str) -> None:
    way = way_back(raw, value)
    assert isinstance(way, rules.WayBack)
    assert told in commands.describe_way_back(look(raw), way)


@pytest.mark.parametrize(
    ("raw", "value", "told"),
    [
        (deployment(stable=revision(1)), "yes", "no version that served before"),
        (deployment(stable=None), "yes", "nothing serves yet"),
        (deployment(), "2", "did not serve before; versions to go back to: 1"),
        (deployment(), "3", "serves already"),
        (deployment(blockedVersions=[{**revision(1), "reason": "x", "since": ago(1)}]), "1", "shoal.dev/retry"),
    ],
)
def test_a_rollback_that_leads_nowhere_says_why(raw: Raw, value: str, told: str) -> None:
    assert told in str(way_back(raw, value))


def test_a_version_is_named_by_its_number() -> None:
    assert [commands.read_version(to) for to in ("3", "v4", None)] == ["3", "4", "yes"]
    with pytest.raises(UsageError, match="no version"):
        commands.read_version("latest")


def test_the_line_for_git_pins_the_version() -> None:
    assert commands.build_line(look(deployment()), 3) == 'spec: {modelRef: {name: cities, version: "3"}}'


@pytest.mark.parametrize(
    ("metadata", "keeper"),
    [
        ({}, ""),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux"),
        ({"annotations": {"meta.helm.sh/release-name": "towns"}}, "Helm"),
        ({"managedFields": [{"manager": "kubectl"}, {"manager": "argocd-controller"}]}, "Argo CD"),
    ],
)
def test_who_keeps_the_manifest_is_told(metadata: Raw, keeper: str) -> None:
    assert commands.keeper_of({"metadata": metadata}) == keeper


@pytest.mark.parametrize("text", ["", "soon", "5d", "-3s", "1m2h"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1h30m"):
        read_seconds(text, "--timeout")
