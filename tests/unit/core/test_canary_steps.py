"""The steps of a canary beyond weights and pauses: scale, analysis, mirror, header."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shoal_operator.api.canary import Canary
from shoal_operator.core.canary import build_canary
from shoal_operator.core.gates import analysis_window
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import GATEWAY, bad_calls, good_calls, trying

TESTERS = {"name": "x-tester", "value": "yes"}


def canary(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"canary": {"steps": list(steps), "scaleDownDelaySeconds": 0}}


def mirroring(**spec: Any) -> FakeCluster:
    """Return a cluster in which half of the calls are copied to version 2."""
    steps = canary({"mirror": {"percent": 50, "durationSeconds": 60}}, {"setWeight": 25}, {"pause": {}})
    return trying(strategy=steps, traffic=GATEWAY, **spec)


def pools(cluster: FakeCluster) -> tuple[str, str]:
    """Return the names of the Services of stable and candidate."""
    return f"cities-{cluster.revision('stable')}", f"cities-{cluster.revision('candidate')}"


def candidate_pods(cluster: FakeCluster) -> int:
    return len(cluster.pool(cluster.revision("candidate")))


def test_each_of_the_users_steps_is_one_and_what_lasts_is_carried_on() -> None:
    schedule = build_canary(
        Canary.model_validate(
            {
                "steps": [
                    {"setScale": {"percent": 50}},
                    {"setHeader": TESTERS},
                    {"mirror": {"percent": 30, "durationSeconds": 5}},
                    {"setWeight": 10},
                    {"analysis": {"minSeconds": 2, "maxSeconds": 9}},
                    {"setScale": {"matchWeight": True}},
                    {"pause": {}},
                ]
            }
        )
    )
    told = [
        (step.weight, step.hold_seconds, step.patience_seconds, step.mirror, step.header is not None)
        for step in schedule.steps
    ]
    assert told == [
        (0, 0.0, None, 0, False),
        (0, 0.0, None, 0, True),
        (0, 5.0, None, 30, True),
        (10, 0.0, None, 0, True),
        (10, 2.0, 9.0, 0, True),
        (10, 0.0, None, 0, True),
        (10, None, None, 0, True),
    ]
    assert [schedule.pods_for(step, 10) for step in schedule.steps] == [5, 5, 5, 5, 5, 1, 1]
    assert [step.judged for step in schedule.steps] == [False, False, True, False, True, False, False]


class TestSetScale:
    @pytest.mark.parametrize(
        ("scale", "weight", "expected"),
        [
            ({"replicas": 3}, 25, 3),
            ({"replicas": 1}, 50, 2),  # never fewer than the weight needs
            ({"percent": 60}, 25, 3),
            ({"percent": 100}, 1, 4),
            ({"replicas": 6}, 25, 6),
        ],
    )
    def test_is_a_floor_under_what_the_weight_needs(self, scale: dict[str, int], weight: int, expected: int) -> None:
        cluster = trying(strategy=canary({"setScale": scale}, {"setWeight": weight}, {"pause": {}}))
        assert cluster.status["weight"] == weight
        assert candidate_pods(cluster) == expected

    def test_match_weight_ends_it_and_the_promotion_too(self) -> None:
        steps = canary(
            {"setScale": {"replicas": 6}}, {"setWeight": 25}, {"pause": {}}, {"setScale": {"matchWeight": True}}
        )
        cluster = trying(strategy={"canary": {**steps["canary"], "steps": [*steps["canary"]["steps"], {"pause": {}}]}})
        assert candidate_pods(cluster) == 6
        cluster.command("promote")
        cluster.settle()
        assert (cluster.status["step"], candidate_pods(cluster)) == (4, 1)
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert len(cluster.pool(cluster.revision("stable"))) == 4

    def test_a_step_waits_for_its_pods_at_weight_zero_too(self) -> None:
        cluster = trying(strategy=canary({"setScale": {"replicas": 3}}, {"pause": {}}))
        assert cluster.condition("Paused")["reason"] == "AwaitingPromotion"
        victim, *_ = cluster.pool(cluster.revision("candidate"))
        del cluster.pods[victim.name]
        cluster.reconcile()
        assert "2 of the 3 pods" in cluster.condition("Progressing")["message"]

    def test_nothing_is_scaled_up_where_no_pods_are_wanted(self) -> None:
        cluster = trying(strategy=canary({"setScale": {"replicas": 3}}, {"pause": {}}))
        cluster.change(worker={"replicas": 0})
        cluster.settle()
        assert cluster.pods == {}


class TestAnalysis:
    def judging(self, **spec: Any) -> FakeCluster:
        steps = canary(
            {"setWeight": 25}, {"analysis": {"minSeconds": 10, "maxSeconds": 100}}, {"setWeight": 50}, {"pause": {}}
        )
        return trying(strategy=steps, **spec)

    def test_goes_on_as_soon_as_every_gate_passes(self) -> None:
        cluster = self.judging()
        cluster.wait(11)
        cluster.settle()
        assert (cluster.status["step"], cluster.condition("Paused")["status"]) == (1, "False")
        good_calls(cluster)
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_holds_its_least_seconds(self) -> None:
        cluster = self.judging()
        good_calls(cluster)
        cluster.wait(9)
        cluster.settle()
        assert cluster.status["step"] == 1
        cluster.wait(1)
        cluster.settle()
        assert cluster.status["step"] == 3

    def test_no_step_is_left_by_the_figures_of_the_one_before(self) -> None:
        steps = canary({"setWeight": 25}, {"analysis": {}}, {"setWeight": 50}, {"analysis": {}})
        cluster = trying(strategy=steps)
        good_calls(cluster)
        cluster.reconcile()
        cluster.windows.clear()
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (3, 50)
        cluster.wait(1000)
        cluster.settle()
        assert cluster.status["step"] == 3, "without a call of its own"

    @pytest.mark.parametrize(("choice", "weight"), [("Hold", 25), ("Proceed", 50)])
    def test_on_inconclusive_decides_once_patience_is_over(self, choice: str, weight: int) -> None:
        cluster = self.judging(analysis={"onInconclusive": choice}, progressDeadlineSeconds=20)
        cluster.wait(99)
        cluster.settle()
        assert cluster.status["weight"] == 25
        cluster.wait(1)
        cluster.settle()
        assert cluster.status["weight"] == weight
        assert cluster.status["blockedVersions"] == []
        reason = cluster.condition("Paused")["reason"]
        assert reason == ("GateInconclusive" if choice == "Hold" else "PausedByStep")

    def test_a_failure_acts_at_once(self) -> None:
        cluster = self.judging()
        bad_calls(cluster)
        cluster.reconcile()
        assert cluster.status["blockedVersions"][0]["reason"] == "GateFailed"

    def test_a_tolerated_failure_does_not_count_as_a_pass(self) -> None:
        cluster = self.judging(analysis={"errorRate": {"failureLimit": 3}, "latency": {"enabled": False}})
        bad_calls(cluster)
        cluster.wait(11)
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (1, 25)

    def test_gates_without_effect_hold_nothing_up(self) -> None:
        dry = {"errorRate": {"dryRun": True}, "latency": {"enabled": False}}
        cluster = self.judging(analysis=dry)
        cluster.wait(11)
        cluster.settle()
        assert cluster.status["weight"] == 50


class TestMirror:
    def test_copies_calls_at_weight_zero_and_ends_with_its_step(self) -> None:
        cluster = mirroring()
        old, new = pools(cluster)
        (rule,) = cluster.rules()
        assert rule.backends == ((old, 100), (new, 0))
        assert rule.copies == ((new, 50),)
        assert (cluster.status["weight"], cluster.status["actualWeight"], cluster.status["mirror"]) == (0, 0, 50)
        assert "copies of 50 %" in cluster.condition("Progressing")["message"]
        good_calls(cluster)
        cluster.wait(60)
        cluster.settle()
        (rule,) = cluster.rules()
        assert (rule.copies, dict(rule.backends)[new]) == ((), 25)

    def test_has_the_pods_for_the_copies_before_they_flow(self) -> None:
        cluster = mirroring()
        assert candidate_pods(cluster) == 2
        for pod in cluster.pool(cluster.revision("candidate"))[1:]:
            cluster.pods[pod.name] = replace(pod, ready=False)
        cluster.reconcile()
        assert cluster.rules()[0].copies == ((pools(cluster)[1], 25),), "what the ready pods can bear"
        for pod in cluster.pool(cluster.revision("candidate")):
            cluster.pods[pod.name] = replace(pod, ready=False)
        cluster.reconcile()
        assert cluster.rules()[0].copies == ()

    def test_is_judged_by_its_own_window_and_fails_as_any_step(self) -> None:
        cluster = mirroring()
        window = analysis_window(cluster.deployment)
        assert window is not None
        bad_calls(cluster)
        cluster.reconcile()
        assert cluster.status["blockedVersions"][0]["reason"] == "GateFailed"
        assert cluster.rules()[0].copies == ()

    def test_without_calls_it_holds_and_never_fails(self) -> None:
        cluster = mirroring()
        cluster.wait(10_000)
        cluster.settle()
        assert cluster.condition("Paused")["reason"] == "GateInconclusive"
        assert cluster.status["weight"] == 0

    @pytest.mark.parametrize("command", ["abort", "promote-full"])
    def test_a_command_ends_it(self, command: str) -> None:
        cluster = mirroring()
        old, new = pools(cluster)
        cluster.command(command)
        cluster.reconcile()
        assert cluster.rules()[0].copies == ()
        cluster.settle()
        assert cluster.backends() == ({old: 100} if command == "abort" else {new: 100})

    def test_a_pool_that_gets_copies_stays_until_the_route_is_without(self) -> None:
        cluster = mirroring()
        new = cluster.revision("candidate")
        cluster.command("abort")
        cluster.reconcile()
        assert ("Service", f"cities-{new}") in cluster.objects
        assert cluster.pool(new)
        cluster.settle()
        assert ("Service", f"cities-{new}") not in cluster.objects

    def test_a_hold_keeps_it_but_starts_none(self) -> None:
        cluster = mirroring()
        cluster.command("pause")
        cluster.settle()
        assert cluster.rules()[0].copies
        waiting = trying(
            strategy=canary({"setWeight": 0}, {"pause": {}}, {"mirror": {"percent": 50, "durationSeconds": 9}}),
            traffic=GATEWAY,
        )
        waiting.change(paused=True)
        waiting.command("promote")
        waiting.settle()
        assert waiting.rules()[0].copies == ()


class TestHeader:
    def chosen(self) -> FakeCluster:
        steps = canary({"setHeader": TESTERS}, {"pause": {}}, {"setWeight": 25}, {"pause": {}})
        return trying(strategy=steps, traffic=GATEWAY)

    def test_calls_with_it_go_to_the_candidate_and_the_rest_by_weight(self) -> None:
        cluster = self.chosen()
        old, new = pools(cluster)
        rest, chosen = cluster.rules()
        assert chosen.backends == ((new, 100),)
        assert "x-tester Exact yes" in chosen.matches[0]
        assert (rest.matches, rest.backends) == ((), ((old, 100), (new, 0)))
        assert cluster.condition("Paused")["reason"] == "PausedByStep"
        assert cluster.status["header"] == TESTERS
        cluster.command("promote")
        cluster.settle()
        assert len(cluster.rules()) == 2
        assert cluster.backends() == {old: 75, new: 25}

    @pytest.mark.parametrize("command", ["abort", "promote-full"])
    def test_it_ends_with_the_rollout(self, command: str) -> None:
        cluster = self.chosen()
        old, new = pools(cluster)
        cluster.command(command)
        cluster.reconcile()
        if command == "abort":
            assert len(cluster.rules()) == 1
        cluster.settle()
        assert [rule.backends for rule in cluster.rules()] == [(((old if command == "abort" else new), 100),)]
        assert "header" not in cluster.status

    @pytest.mark.parametrize("command", ["promote", "promote-full", "abort"])
    def test_the_rule_for_everybody_stays_the_first(self, command: str) -> None:
        """Its place is its name in gateways; were it renamed, calls under way would meet neither name."""
        cluster = self.chosen()
        assert cluster.rules()[0].matches == ()
        cluster.command(command)
        for _ in range(30):
            cluster.reconcile()
            assert cluster.rules()[0].matches == ()

    def test_without_a_ready_pod_its_calls_go_to_stable(self) -> None:
        cluster = self.chosen()
        for pod in cluster.pool(cluster.revision("candidate")):
            cluster.pods[pod.name] = replace(pod, ready=False)
        cluster.reconcile()
        assert len(cluster.rules()) == 1
        cluster.settle()
        assert len(cluster.rules()) == 2

    def test_a_new_header_replaces_the_old_one(self) -> None:
        others = {"name": "x-tester", "value": "others"}
        cluster = trying(
            strategy=canary({"setHeader": TESTERS}, {"pause": {}}, {"setHeader": others}, {"pause": {}}),
            traffic=GATEWAY,
        )
        cluster.command("promote")
        cluster.settle()
        assert "others" in cluster.rules()[1].matches[0]
        assert len(cluster.rules()) == 2


class TestVerified:
    """A step begins only when the route shares calls so in all its rules."""

    @pytest.mark.parametrize("spoilt", ["rule", "header", "percent", "filter", "weight", "copies"])
    def test_any_other_rule_is_not_yet_the_weight(self, spoilt: str) -> None:
        strategy = canary({"setHeader": TESTERS}, {"mirror": {"percent": 50, "durationSeconds": 60}}, {"setWeight": 25})
        cluster = trying(strategy=strategy, traffic=GATEWAY)
        assert cluster.status["step"] == 1
        route = cluster.objects["GRPCRoute", "cities"]
        rest, header = route["spec"]["rules"]
        match spoilt:
            case "rule":
                route["spec"]["rules"].append({"matches": [{"method": {"service": "x"}}], "backendRefs": []})
            case "header":
                header["matches"][0]["headers"][0]["value"] = "no"
            case "percent":
                del rest["filters"][0]["requestMirror"]["percent"]
            case "filter":
                rest["filters"].append({"type": "ResponseHeaderModifier"})
            case "weight":
                rest["backendRefs"][1]["weight"] = 7
            case "copies":
                rest["filters"] = []
        cluster.objects["GRPCRoute", "cities"]["metadata"]["generation"] += 1
        waiting = cluster.reconcile().status
        assert waiting is not None
        progressing = next(item for item in waiting.status["conditions"] if item["type"] == "Progressing")
        assert progressing["reason"] == "WaitingForRoute"
        cluster.settle()
        assert cluster.condition("Progressing")["reason"] == "RollingOut"
        assert len(cluster.rules()) == 2


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"strategy": canary({"pause": {}})}, "begin with a setWeight"),
        ({"strategy": canary({"analysis": {}}, {"setWeight": 5})}, "no calls of both versions"),
        ({"strategy": canary({"setWeight": 100}, {"analysis": {}})}, "no calls of both versions"),
        (
            {"strategy": canary({"setWeight": 5}, {"analysis": {"minSeconds": 9, "maxSeconds": 3}})},
            "minSeconds is above",
        ),
        (
            {"strategy": canary({"setWeight": 5}, {"setScale": {"matchWeight": False}})},
            "matchWeight false says nothing",
        ),
        ({"strategy": canary({"setWeight": 5}, {"setScale": {"replicas": 1, "percent": 5}})}, "exactly one of"),
        ({"strategy": canary({"setWeight": 5, "analysis": {}})}, "exactly one of"),
        ({"strategy": canary({"mirror": {"percent": 5, "durationSeconds": 9}})}, "traffic.router Service cannot do"),
        ({"strategy": canary({"setHeader": TESTERS})}, "traffic.router Service cannot do"),
        (
            {
                "strategy": canary({"setWeight": 5}, {"mirror": {"percent": 5, "durationSeconds": 9}}),
                "traffic": GATEWAY,
            },
            "put it before",
        ),
        ({"strategy": canary({"setHeader": {"name": "te", "value": "x"}}), "traffic": GATEWAY}, "a name of your own"),
        ({"strategy": canary({"setHeader": {"name": "A", "value": "x"}}), "traffic": GATEWAY}, "setHeader.name"),
        ({"strategy": canary({"setHeader": {"name": "a", "value": " x"}}), "traffic": GATEWAY}, "setHeader.value"),
    ],
)
def test_steps_that_cannot_be_walked_are_refused(spec: dict[str, Any], told: str) -> None:
    cluster = FakeCluster(objects.deployment(spec), [objects.version(1)])
    cluster.settle()
    assert cluster.condition("Degraded")["reason"] == "InvalidSpec"
    assert told in cluster.condition("Degraded")["message"]
