"""All traffic on the candidate, judged before it becomes stable; and a complete pool to look at before it starts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shoal_operator.core import names
from shoal_operator.core.snapshot import Answer
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.test_rollback import routed, told
from tests.unit.core.trials import GATEWAY, bad_calls, good_calls, trying

ALLOWED = replace(objects.DEFAULTS, analysis_allowed_hosts=("judge", "prom"))
WEBHOOK = {"webhooks": [{"name": "sales", "url": "http://judge/"}]}
BLUE_GREEN = {"blueGreen": {"steps": 1, "postPromotion": {"durationSeconds": 60}}}
PREVIEWED = {"blueGreen": {"steps": 2, "intervalSeconds": 60, "autoPromotionSeconds": 90}}
CANARY = {
    "canary": {
        "steps": [{"setWeight": 50}, {"pause": {"durationSeconds": 10}}],
        "postPromotion": {"durationSeconds": 60},
    }
}


def holding(**spec: Any) -> FakeCluster:
    """Return a cluster in which version 2 has all calls, and is judged before it becomes stable."""
    cluster = trying(**{"strategy": BLUE_GREEN, "analysis": WEBHOOK, **spec})
    cluster.defaults = ALLOWED
    if "canary" in cluster.deployment["spec"]["strategy"]:
        answer(cluster, "pass")
        good_calls(cluster)
        cluster.wait(11)
        cluster.settle()
        cluster.answers.clear()
        cluster.windows.clear()
    assert (cluster.status["weight"], cluster.status["actualWeight"]) == (100, 100)
    assert cluster.status["stable"]["version"] == 1
    return cluster


def answer(cluster: FakeCluster, verdict: str) -> None:
    cluster.looked += 1
    body = json.dumps({"verdict": verdict, "message": "asked"})
    cluster.answers["webhook/sales"] = Answer(at=f"2026-01-01T00:{cluster.looked:02}:00Z", status=200, body=body)


def recorded(cluster: FakeCluster) -> int:
    record: dict[str, Any] = json.loads(cluster.deployment["metadata"]["annotations"][names.STABLE_RECORD])
    number: int = record["version"]
    return number


@pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
@pytest.mark.parametrize("strategy", [BLUE_GREEN, CANARY], ids=["blueGreen", "canary"])
class TestHold:
    def test_becomes_stable_only_after_it_passed(self, strategy: dict[str, Any], router: dict[str, Any]) -> None:
        cluster = holding(strategy=strategy, traffic=router)
        old, new = cluster.revision("stable"), cluster.revision("candidate")
        assert routed(cluster) == {new}
        assert sum(pod.ready for pod in cluster.pool(old)) == 4, "the old pool stays complete"
        assert recorded(cluster) == 1
        cluster.wait(61)
        cluster.settle()
        assert cluster.condition("Paused")["reason"] == "GateInconclusive", "nobody has answered yet"
        answer(cluster, "pass")
        cluster.settle()
        assert cluster.revision("stable") == new
        assert recorded(cluster) == 2
        assert cluster.status["phase"] == "Healthy"

    def test_a_failure_switches_back_in_the_same_pass(self, strategy: dict[str, Any], router: dict[str, Any]) -> None:
        cluster = holding(strategy=strategy, traffic=router)
        old = cluster.revision("stable")
        cluster.wait(20)
        answer(cluster, "fail")
        cluster.reconcile()
        assert routed(cluster) == {old}
        cluster.settle()
        assert recorded(cluster) == 1
        assert cluster.status["blockedVersions"][0]["reason"] == "GateFailed"
        assert "webhook/sales" in cluster.status["blockedVersions"][0]["message"]

    def test_abort_switches_back_in_the_same_pass(self, strategy: dict[str, Any], router: dict[str, Any]) -> None:
        cluster = holding(strategy=strategy, traffic=router)
        cluster.command("abort")
        cluster.reconcile()
        assert routed(cluster) == {cluster.revision("stable")}

    def test_promote_ends_it(self, strategy: dict[str, Any], router: dict[str, Any]) -> None:
        cluster = holding(strategy=strategy, traffic=router)
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2


class TestGates:
    def test_calls_are_not_compared_with_a_pool_that_gets_none(self) -> None:
        cluster = holding(analysis={})
        bad_calls(cluster)
        cluster.settle()
        assert [item["gate"] for item in cluster.status["verdicts"]] == ["readiness"]
        cluster.wait(61)
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2

    def test_a_crashing_pod_switches_back(self) -> None:
        cluster = holding(analysis={})
        old = cluster.revision("stable")
        victim = cluster.pool(cluster.revision("candidate"))[0]
        cluster.pods[victim.name] = replace(victim, ready=False, status=objects.crash_loop(3))
        cluster.reconcile()
        assert routed(cluster) == {old}

    @pytest.mark.parametrize(
        ("limits", "number", "stays"),
        [
            ({"max": 5}, "9", False),
            ({"max": 5}, "1", True),
            ({"maxRatio": 2}, "9", True),
            ({"max": 5, "maxRatio": 2}, "9", False),
        ],
    )
    def test_a_query_is_held_to_its_own_limits(self, limits: dict[str, Any], number: str, stays: bool) -> None:
        gate = {"name": "queue", "address": "http://prom", "query": "up", **limits}
        cluster = holding(analysis={"prometheus": [gate]})
        cluster.figure(cluster.revision("candidate") or "", calls=500)
        for side, value in (("candidate", number), ("stable", "1")):
            data = {"resultType": "scalar", "result": [objects.NOW.timestamp() + 60, value]}
            body = json.dumps({"status": "success", "data": data})
            cluster.answers[f"prometheus/queue/{side}"] = Answer(at="2026-01-01T00:01:00Z", status=200, body=body)
        cluster.wait(61)
        cluster.settle()
        assert (cluster.status["stable"]["version"] == 2) is stays
        assert bool(cluster.status["blockedVersions"]) is not stays

    def test_answers_of_the_step_before_decide_nothing(self) -> None:
        cluster = trying(strategy=CANARY, analysis=WEBHOOK, traffic=GATEWAY)
        cluster.defaults = ALLOWED
        answer(cluster, "pass")
        good_calls(cluster)
        cluster.accepts_routes = False
        cluster.wait(11)
        cluster.settle()
        assert (cluster.status["weight"], cluster.status["step"]) == (100, 2)
        answer(cluster, "fail")
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2, "the gateway has not given it all calls yet"


class TestPreview:
    def test_the_complete_pool_stands_at_weight_zero_before_the_first_step(self) -> None:
        cluster = trying(strategy=PREVIEWED)
        assert len(cluster.pool(cluster.revision("candidate"))) == 4
        assert cluster.status["weight"] == 0
        assert cluster.status["phase"] == "Progressing"
        assert "to be looked at until 2026-01-01T00:01:30" in cluster.status["message"]
        cluster.wait(89)
        cluster.settle()
        assert cluster.status["weight"] == 0
        cluster.wait(1)
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_its_time_begins_once_all_pods_are_ready(self) -> None:
        cluster = trying(strategy=PREVIEWED)
        cluster.versions.append(objects.version(3))
        cluster.reconcile()
        cluster.broken.add(cluster.revision("candidate") or "")
        cluster.settle()
        cluster.wait(300)
        cluster.settle()
        cluster.broken.clear()
        cluster.settle()
        assert cluster.status["weight"] == 0
        cluster.wait(90)
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_promote_ends_it_and_pause_holds_it(self) -> None:
        cluster = trying(strategy=PREVIEWED)
        cluster.command("pause")
        cluster.wait(1000)
        cluster.settle()
        assert cluster.status["weight"] == 0
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_beside_approval_it_is_refused(self) -> None:
        cluster = trying(strategy=PREVIEWED)
        cluster.change(strategy={"blueGreen": {"autoPromotion": False, "autoPromotionSeconds": 9}})
        cluster.settle()
        assert "has no effect with autoPromotion false" in cluster.condition("Degraded")["message"]
        assert told(cluster, "InvalidSpec")
