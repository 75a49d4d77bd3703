"""Argo CD's actions, by the chart's Lua: enabled where the command has an effect, and nothing but its annotation."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from shoal_operator.api.meta import API_VERSION
from shoal_operator.core import names
from shoal_operator.core.plan import Plan
from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.gitops.judge import CUSTOMIZATIONS, Judge, Raw
from tests.unit.gitops.scenarios import DEPLOYMENTS, Scenario, awaiting_approval, commanded, trying

CASES = sorted(CUSTOMIZATIONS.glob("*/actions/action_test.yaml"))
REMEMBERED = ("stable", "candidate", "weight", "step", "userPaused", "failurePaused", "blockedVersions")
HEARD = [
    each for each in DEPLOYMENTS if not each.name.endswith(("just applied", "an unseen change", "an unreadable spec"))
]
"""Under a spec that is not read yet, or cannot be, no command is heard."""
ELSEWHERE = {"rollback"}
"""Whether it has an effect depends on versions, not on the deployment's status alone."""


def scripts(kind: str) -> set[str]:
    return {file.parent.name for file in CUSTOMIZATIONS.glob(f"{kind}/actions/*/action.lua")}


def wish(judge: Judge, thing: Raw, action: str) -> Raw:
    """Return what an action changes of an object, by path."""
    return patch({"apiVersion": API_VERSION, **thing}, judge.act(thing, action))


def patch(before: Raw, after: Raw) -> Raw:
    """Return the changes by path."""
    changes: Raw = {}
    for key in {*before, *after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changes |= {f"{key}/{name}": value for name, value in patch(old, new).items()}
        elif blurred(old) != blurred(new):
            changes[key] = new
    return changes


def blurred(value: Any) -> Any:
    """Return a value without the difference between empty lists and mappings, which Lua loses and Argo CD mends."""
    if isinstance(value, dict):
        return {key: blurred(item) for key, item in value.items()} or None
    return ([blurred(item) for item in value] or None) if isinstance(value, list) else value


@pytest.mark.parametrize(
    "kind", ["ClusteringDeployment", "ClusteringModel", "ClusteringModelVersion", "ClusteringBatch"]
)
def test_every_action_that_is_offered_has_its_script(judge: Judge, kind: str) -> None:
    assert set(judge.actions({"kind": kind, "metadata": {"name": "a"}})) == scripts(kind)


def test_every_command_of_a_rollout_is_an_action() -> None:
    assert scripts("ClusteringDeployment") == {*names.COMMANDS, *ELSEWHERE}


@pytest.mark.parametrize("action", sorted({*names.COMMANDS, *ELSEWHERE} - {"approve"}))
def test_a_rollouts_action_sets_its_annotation_and_nothing_else(judge: Judge, action: str) -> None:
    deployment = trying().deployment
    command = names.command_annotation(action)
    assert wish(judge, deployment, action) == {f"metadata/annotations/{command}": "yes"}
    del deployment["metadata"]["annotations"]
    assert wish(judge, deployment, action) == {"metadata/annotations": {command: "yes"}}


def test_what_is_approved_is_the_version_that_was_seen_waiting(judge: Judge) -> None:
    cluster = awaiting_approval()
    assert wish(judge, cluster.deployment, "approve") == {"metadata/annotations/shoal.dev/approve": "2"}
    cluster.versions.append(objects.version(3))
    commanded(cluster, "approve", "2")
    assert "candidate" not in cluster.status, "the version that waits now is another one"


@pytest.mark.parametrize("scenario", HEARD, ids=lambda scenario: scenario.name)
def test_an_action_is_enabled_where_the_command_has_an_effect(judge: Judge, scenario: Scenario) -> None:
    assert scenario.cluster is not None
    cluster = scenario.cluster()
    offered = judge.actions(cluster.deployment)

    def outcome() -> str:
        plan: Plan = plan_deployment(cluster.snapshot(), cluster.now)
        written = plan.status.status if plan.status else {}
        return json.dumps({key: written.get(key) for key in (*REMEMBERED, "approvedVersion")}, sort_keys=True)

    asleep, annotations = outcome(), copy.deepcopy(cluster.deployment["metadata"].get("annotations", {}))
    for action in sorted(set(offered) - ELSEWHERE):
        value = str(cluster.deployment["status"].get("pendingVersion", "yes")) if action == "approve" else "yes"
        command = {names.command_annotation(action): value}
        cluster.deployment["metadata"]["annotations"] = {**annotations, **command}
        assert offered[action] == (outcome() != asleep), action


@pytest.mark.parametrize(
    ("kind", "action", "annotation"),
    [
        ("ClusteringModel", "retrain", names.RETRAIN),
        ("ClusteringBatch", "rerun", names.RERUN),
    ],
)
def test_an_action_that_asks_for_more_work_asks_anew_each_time(
    judge: Judge, kind: str, action: str, annotation: str
) -> None:
    wanted = judge.act({"kind": kind, "metadata": {"name": "a"}}, action)["metadata"]["annotations"]
    assert list(wanted) == [annotation]
    assert wanted[annotation].endswith("Z")


@pytest.mark.parametrize(("action", "state"), [("activate", "Active"), ("retire", "Retired"), ("archive", "Archived")])
def test_a_versions_action_sets_the_state_that_is_wished_for(judge: Judge, action: str, state: str) -> None:
    assert wish(judge, objects.version(1), action) == {f"metadata/annotations/{names.STATE}": state}


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.parents[1].name)
def test_the_cases_in_argo_cds_own_form_hold(judge: Judge, file: Path) -> None:
    cases = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert cases["discoveryTests"]
    for case in cases["discoveryTests"]:
        thing = yaml.safe_load((file.parent / case["inputPath"]).read_text(encoding="utf-8"))
        assert judge.offers(thing) == {item.pop("name"): item for item in case["result"]}
    for case in cases["actionTests"]:
        before = yaml.safe_load((file.parent / case["inputPath"]).read_text(encoding="utf-8"))
        after = yaml.safe_load((file.parent / case["expectedOutputPath"]).read_text(encoding="utf-8"))
        assert judge.act(before, case["action"]) == after
