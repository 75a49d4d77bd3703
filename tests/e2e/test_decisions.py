"""Records of decisions on the real cluster: a promotion and a rollback told whole, for good, and once."""

from __future__ import annotations

from typing import Any

import yaml

from hack.lab.kube import Object, wait_for
from tests.e2e.scene import ANALYSIS, HELD_CANARY, NAME, Scene
from tests.e2e.test_cli import Shoal

# One cluster where there were four is stopped as soon as it has weight, with or without calls.
JUDGED = {**ANALYSIS, "clusterCount": {}}


def decisions(scene: Scene) -> list[Object]:
    """Return the records, oldest first."""
    found = scene.kube.find("clusteringdecisions", scene.namespace, f"shoal.dev/deployment={NAME}")
    return sorted(found, key=lambda item: int(item["spec"]["number"]))


def told(scene: Scene, since: int = 0) -> list[str]:
    """Return what was decided after a number."""
    return [item["spec"]["decision"] for item in decisions(scene) if item["spec"]["number"] > since]


def await_decision(scene: Scene, decision: str, since: int = 0) -> Object:
    """Wait for a decision after a number; returns its record."""

    def look() -> Object | None:
        mine = [item for item in decisions(scene) if item["spec"]["number"] > since]
        return next((item for item in mine if item["spec"]["decision"] == decision), None)

    return wait_for(f"the record of {decision}", look, 90)


def await_seen(scene: Scene) -> Any:
    """Wait until the operator has seen the newest spec; returns the status."""
    wanted = (scene.kube.get("clusteringdeployments", scene.namespace, NAME) or {})["metadata"]["generation"]
    return scene.await_status("the newest spec seen", lambda status: status.get("observedGeneration") == wanted)


def test_a_promotion_and_a_rollback_are_told_whole_and_for_good(scene: Scene) -> None:
    shoal = Shoal(scene)
    scene.serve(HELD_CANARY, analysis=JUDGED)
    scene.apply_model(eps=0.6)
    held = await_decision(scene, "Held")
    assert (held["spec"]["reason"], held["spec"]["candidate"]["version"]) == ("PausedByStep", 2)
    given = shoal.json("promote", NAME, "--wait")
    assert (given["command"], given["done"], given["deployment"]["name"]) == ("promote", True, NAME)
    scene.await_stable(2)
    assert told(scene) == [
        "Started",
        "Promoted",
        "Started",
        "WeightSet",
        "Held",
        "Advanced",
        "WeightSet",
        "Promoted",
    ]
    advanced = decisions(scene)[5]["spec"]["actor"]
    assert (advanced["kind"], advanced["command"], advanced["manager"]) == ("Command", "promote", "shoal-cli")
    assert advanced["name"] == given["by"] != ""
    promoted = decisions(scene)[-1]
    spec = promoted["spec"]
    assert (spec["stable"]["version"], spec["candidate"]["version"], spec["weight"]["after"]) == (1, 2, 100)
    assert spec["candidate"]["digest"].startswith("sha256:")
    assert {gate["gate"] for gate in spec["gates"]} >= {"readiness", "clusterCount"}

    scene.apply_model(eps=9.0)
    record = await_decision(scene, "RolledBack")
    spec = record["spec"]
    assert (spec["reason"], spec["actor"]["kind"], spec["actor"]["gate"]) == ("GateFailed", "Gates", "clusterCount")
    assert (spec["stable"]["version"], spec["candidate"]["version"]) == (2, 3)
    assert (spec["weight"]["before"], spec["weight"]["after"]) == (50, 0)
    failed = next(gate for gate in spec["gates"] if gate["gate"] == "clusterCount")
    assert (failed["verdict"], failed["stable"], failed["candidate"]) == ("fail", 4, 1)
    assert "too few" in failed["message"]
    owner = record["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("ClusteringDeployment", NAME)
    events = scene.kube.find("events", scene.namespace, "")
    assert record["metadata"]["name"] in {(event.get("related") or {}).get("name") for event in events}

    name = record["metadata"]["name"]
    where = ("--namespace", scene.namespace)
    change = '{"spec":{"reason":"Promoted"}}'
    refused = scene.kube.kubectl("patch", "cdec", name, "--type=merge", "-p", change, *where, check=False)
    assert "is a record and never changes" in refused
    listed = scene.kube.kubectl("get", "cdec", *where).splitlines()
    assert listed[0].split() == ["NAME", "DEPLOYMENT", "DECISION", "VERSION", "WEIGHT", "REASON", "AGE"]
    assert listed[-1].split()[:6] == [name, NAME, "RolledBack", "3", "0", "GateFailed"]

    table = shoal.run("history", NAME)
    assert "v3 → v2" in table
    assert "gate clusterCount" in table
    assert "promote by shoal-cli" in table
    whole = shoal.run("history", NAME, "--decision", str(spec["number"]))
    assert "1 clusters, stable 4" in whole
    assert yaml.safe_load(shoal.run("history", NAME, "--decision", name, "-o", "yaml"))["number"] == spec["number"]
    assert [item["decision"] for item in shoal.json("history", NAME, "--version", "3")["decisions"]] == [
        "Started",
        "WeightSet",
        "Held",
        "RolledBack",
    ]
    assert "Numbers 1 to" in shoal.run("history", NAME, "--decision", "99", code=2)


def test_what_is_blocked_stays_so_until_retry_whatever_is_applied_again(scene: Scene) -> None:
    shoal = Shoal(scene)
    scene.serve(HELD_CANARY, analysis=JUDGED)
    scene.apply_model(eps=9.0)
    last = await_decision(scene, "RolledBack")["spec"]["number"]
    where = ("--namespace", scene.namespace, "--overwrite")
    for applied in range(2):
        scene.apply_deployment(HELD_CANARY, analysis=JUDGED, decisionsLimit=40 + applied)
        scene.kube.kubectl("label", "cdep", NAME, f"team=team-{applied}", *where)
        scene.kube.kubectl("annotate", "cdep", NAME, f"example.com/sync={applied}", *where)
        status = await_seen(scene)
        assert [item["version"] for item in status["blockedVersions"]] == [2]
        assert "candidate" not in status
    scene.apply_deployment(HELD_CANARY, version="2", analysis=JUDGED)
    assert [item["version"] for item in await_seen(scene)["blockedVersions"]] == [2]
    assert told(scene, since=last) == [], "nothing was decided"

    shoal.run("retry", NAME, "--wait")
    again = await_decision(scene, "RolledBack", since=last)
    assert told(scene, since=last)[:2] == ["Retried", "Started"]
    assert again["spec"]["candidate"]["version"] == 2

    scene.apply_deployment(HELD_CANARY, version="2", analysis=JUDGED, decisionsLimit=3)
    wait_for("three records", lambda: len(decisions(scene)) == 3, 30)
    assert decisions(scene)[-1]["spec"]["number"] == again["spec"]["number"]
