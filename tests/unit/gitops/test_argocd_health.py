"""Argo CD's health of every kind, by the chart's Lua: what each state is, and that nothing is ever Unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hack.crdgen.definition import KINDS
from shoal_operator.api.meta import Reason
from tests.unit.gitops.judge import CUSTOMIZATIONS, Judge, Raw
from tests.unit.gitops.scenarios import SCENARIOS, Scenario, as_stored

CASES = sorted(CUSTOMIZATIONS.glob("*/health_test.yaml"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_state_has_its_health(judge: Judge, scenario: Scenario) -> None:
    thing = as_stored(scenario.build())
    health = judge.health(thing)
    assert health["status"] == scenario.argocd, thing.get("status")
    if scenario.argocd in ("Suspended", "Degraded"):
        assert health["message"], "whoever must act is told why"


def test_every_kind_of_the_group_has_a_health() -> None:
    assert {kind.kind for kind in KINDS} <= {file.parent.name for file in CUSTOMIZATIONS.glob("*/health.lua")}


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS if kind.status])
@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": 1}, {"observedGeneration": 1, "phase": "New"}])
def test_what_no_script_knows_is_progressing(judge: Judge, kind: str, status: Raw | None) -> None:
    thing: Raw = {"kind": kind, "metadata": {"name": "a", "generation": 1}}
    assert judge.health({**thing, **({} if status is None else {"status": status})})["status"] == "Progressing"


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("kind", ["Degraded", "Paused", "Pending", "Progressing"])
def test_every_reason_of_every_condition_has_a_health(judge: Judge, kind: str, reason: Reason) -> None:
    conditions = [{"type": "Ready", "status": "True"}, {"type": kind, "status": "True", "reason": reason}]
    status = {"observedGeneration": 1, "stable": {"version": 1}, "conditions": conditions}
    found = judge.health({"kind": "ClusteringDeployment", "metadata": {"name": "a", "generation": 1}, "status": status})
    allowed = {
        "Degraded": {"Degraded", "Progressing"},
        "Paused": {"Suspended"},
        "Pending": {"Suspended"},
        "Progressing": {"Progressing"},
    }
    assert found["status"] in allowed[kind]


def test_a_decision_is_healthy_by_being_there(judge: Judge) -> None:
    assert judge.health({"kind": "ClusteringDecision", "metadata": {"name": "a"}})["status"] == "Healthy"


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.parent.name)
def test_the_cases_in_argo_cds_own_form_hold(judge: Judge, file: Path) -> None:
    tests = yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
    assert tests
    for test in tests:
        thing = yaml.safe_load((file.parent / test["inputPath"]).read_text(encoding="utf-8"))
        assert judge.health(thing) == test["healthStatus"], test["inputPath"]
