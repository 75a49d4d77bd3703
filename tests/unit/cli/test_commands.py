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


KNOWN = rules.known_versions(
    [objects.version(1), objects.version(2, verdict="fail"), objects.version(3), objects.version(4)]
)


@pytest.mark.parametrize(
    ("raw", "to", "version"),
    [
        (deployment(), None, "1"),
        (deployment(stable=revision(4)), None, "3"),
        (deployment(stable=revision(4), blockedVersions=[{**revision(3), "reason": "x", "since": ago(1)}]), None, "1"),
        (deployment(), "v4", "4"),
        (deployment(), "latest", "latest"),
        (on_trial(), "1", "1"),
    ],
)
def test_a_rollback_leads_to_the_newest_version_before_stable_that_can_be_served(
    raw: Raw, to: str | None, version: str
) -> None:
    assert commands.choose_rollback(look(raw), KNOWN, to) == version


@pytest.mark.parametrize(
    ("raw", "to", "told"),
    [
        (on_trial(), None, "shoal abort towns -n demo"),
        (deployment(stable=revision(1)), None, "no earlier version"),
        (deployment(), "2", "no such version can be served"),
        (deployment(), "seven", "Choose among 1, 3, 4 and latest"),
        (deployment(), "3", "serves already"),
        (deployment(blockedVersions=[{**revision(4), "reason": "x", "since": ago(1)}]), "4", "shoal retry"),
    ],
)
def test_a_rollback_that_leads_nowhere_is_refused(raw: Raw, to: str | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        commands.choose_rollback(look(raw), KNOWN, to)


def test_a_pinned_version_goes_with_no_policy_and_latest_keeps_it() -> None:
    assert commands.build_rollback("3")["spec"]["modelRef"] == {"version": "3", "policy": None}
    assert commands.build_rollback("latest")["spec"]["modelRef"] == {"version": "latest"}


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
