"""The records of decisions as `shoal history` shows them, and commands in the user's name."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml
from rich.console import Console

from shoal_cli.__main__ import main
from shoal_cli.deployments import commands
from shoal_cli.deployments.decisions import (
    find_decision,
    of_version,
    print_decision,
    print_decisions,
    read_decisions,
)
from shoal_cli.errors import UsageError
from shoal_operator.api.decision import ClusteringDecisionSpec
from shoal_operator.core.commands import asked_by, read_commands
from tests.unit.cli.sights import NOW, ago, deployment, on_trial
from tests.unit.cli.test_records import ROOT, records
from tests.unit.cli.test_verbs import PODS_OF_TOWNS, TOWNS, shoal

__all__ = ["records", "shoal"]

Raw = dict[str, Any]
DECISIONS = f"{ROOT}/demo/clusteringdecisions?labelSelector=shoal.dev/deployment%3Dtowns"
EVENTS = "/api/v1/namespaces/demo/events?fieldSelector=involvedObject.uid%3Duid-towns"
GATE = {
    "gate": "latency",
    "verdict": "fail",
    "message": "mean 40.0 ms over 500 calls: too slow.",
    "stable": 20.0,
    "candidate": 40.0,
    "stableSamples": 400,
    "candidateSamples": 500,
    "low": 1.5,
    "limit": 1.2,
}


def decision(number: int, kind: str, *, actor: Raw | None = None, uid: str = "uid-towns", **more: Any) -> Raw:
    spec = {
        "deployment": "towns",
        "number": number,
        "at": ago(1000 - number),
        "decision": kind,
        "reason": "RollingOut",
        "message": f"{kind} it is.",
        "actor": actor or {"kind": "Schedule"},
        "stable": {"version": 3, "revision": "00000003", "digest": "sha256:3"},
        "candidate": {"version": 4, "revision": "00000004", "digest": "sha256:4"},
        "weight": {"before": 0, "after": 0, "actual": 0},
        "step": 1,
        "stepCount": 4,
        **more,
    }
    ClusteringDecisionSpec.model_validate(spec)
    return {"metadata": {"name": f"towns-1a2b-{number:05d}", "ownerReferences": [{"uid": uid}]}, "spec": spec}


ALICE = {"kind": "Command", "command": "promote", "name": "alice", "manager": "shoal-cli"}
BY_GATE = {"kind": "Gates", "gate": "latency"}
STORY = [
    decision(11, "WeightSet", weight={"before": 25, "after": 50, "actual": 26}),
    decision(9, "Started", actor={"kind": "Version"}),
    decision(10, "Advanced", actor=ALICE),
    decision(12, "RolledBack", actor=BY_GATE, gates=[GATE], weight={"before": 50, "after": 0, "actual": 48}),
    decision(3, "Started", uid="uid-of-a-deleted-namesake"),
]


def printed(show: Any, *shown: Any) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    show(console, *shown)
    return console.export_text()


def test_decisions_are_told_in_order_with_who_and_why() -> None:
    text = printed(print_decisions, read_decisions(STORY, "uid-towns"))
    lines = [line.split() for line in text.splitlines() if line.strip()][2:]
    assert [line[0] for line in lines] == ["9", "10", "11", "12"]
    for line, parts in zip(
        text.splitlines()[3:],
        (
            ("Started", "v3 → v4", "newer version"),
            ("Advanced", "alice: promote by shoal-cli"),
            ("WeightSet", "25 → 50 %", "schedule"),
            ("RolledBack", "v4 → v3", "50 → 0 %", "gate latency", "RolledBack it is."),
        ),
        strict=False,
    ):
        for part in parts:
            assert part in line


def test_one_decision_is_told_with_everything_that_it_rests_on() -> None:
    text = printed(print_decision, read_decisions(STORY, "uid-towns")[-1])
    for part in (
        "RolledBack  towns-1a2b-00012",
        "50 → 0 %, 48 % by the router then",
        "v4  00000004  sha256:4",
        "2 of 4",
        "✖ fail",
        "40.0 ms",
        "500 / 400",
        "1.5 … ∞",
        "1.2",
        "too slow",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    "spec",
    [{}, {"decision": "SomethingNew", "actor": {"kind": "Moon"}, "weight": 7, "gates": [1, {}], "candidate": "x"}],
)
def test_a_record_of_another_release_is_shown_as_far_as_it_can_be_read(spec: Raw) -> None:
    strange = {"metadata": {"name": "towns-1a2b-00001", "ownerReferences": [{"uid": "u"}]}, "spec": spec}
    (view,) = read_decisions([strange], "u")
    assert spec.get("decision", "0 %") in printed(print_decisions, [view])
    assert "towns-1a2b-00001" in printed(print_decision, view)


def test_a_decision_is_found_by_number_or_name_and_by_version() -> None:
    found = read_decisions(STORY, "uid-towns")
    assert find_decision(found, "12") == find_decision(found, "towns-1a2b-00012") == found[-1]
    assert len(of_version(found, 4)) == 4
    assert of_version(found, 7) == ()
    with pytest.raises(UsageError, match="Numbers 9 to 12 are kept"):
        find_decision(found, "1")
    with pytest.raises(UsageError, match="There is none"):
        find_decision((), "1")


def test_history_prints_for_people_and_programs(records: Raw, shoal: Any) -> None:
    records[TOWNS], records[DECISIONS] = deployment(), {"items": STORY}
    records[EVENTS], records[f"{ROOT}/demo/clusteringmodelversions"] = {"items": []}, {"items": []}
    code, out, err = shoal("history", "towns", "-n", "demo")
    assert (code, err) == (0, "")
    assert "alice: promote" in out
    told = json.loads(shoal("history", "demo/towns", "-o", "json")[1])
    assert [each["number"] for each in told["decisions"]] == [9, 10, 11, 12]
    assert told["decisions"][0]["name"] == "towns-1a2b-00009"
    assert yaml.safe_load(shoal("history", "demo/towns", "-o", "yaml")[1]) == told
    assert "too slow" in shoal("history", "demo/towns", "-o", "wide")[1]
    assert json.loads(shoal("history", "demo/towns", "-d", "12", "-o", "json")[1])["gates"][0]["limit"] == 1.2
    assert json.loads(shoal("history", "demo/towns", "--version", "7", "-o", "json")[1])["decisions"] == []
    assert shoal("history", "demo/towns", "-d", "99")[0] == 2


def test_what_may_not_be_listed_is_told_and_the_rest_is_shown(records: Raw, shoal: Any) -> None:
    records[TOWNS], records[DECISIONS] = deployment(), 403
    records[EVENTS], records[f"{ROOT}/demo/clusteringmodelversions"] = {"items": []}, 403
    code, out, err = shoal("history", "towns", "-n", "demo")
    assert code == 0
    assert "v3" in out
    assert "you may not list clusteringdecisions.shoal.dev in namespace demo" in err


def test_a_command_carries_the_name_of_who_gives_it() -> None:
    given = commands.build_command("approve", "4", "alice")
    assert read_commands(given, ()).value("approve") == "4"
    assert asked_by(given, "approve") == "alice"
    assert asked_by(commands.build_command("promote", commands.unique_value(NOW)), "promote") == ""


def test_a_command_is_given_in_the_name_that_the_api_server_knows(
    records: Raw, shoal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to ask, which everybody has, it is given without a name."""
    sent: list[Raw] = []

    def patch(self: Any, resource: Any, name: str, namespace: str, change: Raw) -> Raw:
        sent.append(change)
        return on_trial()

    monkeypatch.setattr("shoal_cli.kube.Kube.patch", patch)
    records[TOWNS], records[PODS_OF_TOWNS] = on_trial(), {"items": []}
    code, out, _ = shoal("promote", "towns", "-n", "demo", "-o", "json")
    assert code == 0
    assert json.loads(out) == {"namespace": "demo", "name": "towns", "command": "promote", "by": "", "done": False}
    assert ";by=" not in sent[-1]["metadata"]["annotations"]["shoal.dev/promote"]
    records["POST /apis/authentication.k8s.io/v1/selfsubjectreviews"] = {"status": {"userInfo": {"username": "bob"}}}
    assert main(["promote", "towns", "-n", "demo"]) == 0
    assert sent[-1]["metadata"]["annotations"]["shoal.dev/promote"].endswith(";by=bob")
