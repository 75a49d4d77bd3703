"""What Flux and Helm make of every kind: by kstatus alone, and by the healthCheckExprs of the guide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.gitops.judge import Judge, Raw
from tests.unit.gitops.scenarios import SCENARIOS, Scenario, as_stored

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "gitops.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def guided() -> dict[str, Raw]:
    """Return the guide's healthCheckExprs by kind."""
    documents = (yaml.safe_load(block) for block in BLOCK.findall(GUIDE.read_text(encoding="utf-8")))
    (kustomization,) = (document for document in documents if document["kind"] == "Kustomization")
    return {entry["kind"]: entry for entry in kustomization["spec"]["healthCheckExprs"]}


EXPRESSIONS = guided()
WAITED_FOR = [each for each in SCENARIOS if each.build()["kind"] in EXPRESSIONS]


@pytest.mark.parametrize("scenario", WAITED_FOR, ids=lambda scenario: scenario.name)
def test_without_expressions_ready_is_what_counts(judge: Judge, scenario: Scenario) -> None:
    assert judge.kstatus(as_stored(scenario.build())) == scenario.kstatus


@pytest.mark.parametrize("scenario", WAITED_FOR, ids=lambda scenario: scenario.name)
def test_by_the_guides_expressions_a_rollout_is_awaited(judge: Judge, scenario: Scenario) -> None:
    thing = as_stored(scenario.build())
    assert judge.flux(EXPRESSIONS[thing["kind"]], thing) == scenario.flux


def test_an_object_that_nobody_has_seen_yet_is_not_done(judge: Judge) -> None:
    thing: Raw = {"kind": "ClusteringModel", "metadata": {"name": "a", "generation": 1}}
    assert judge.kstatus(thing) == "Current", "why the CRDs give status its default"
    assert judge.kstatus(as_stored(thing)) == "InProgress"
