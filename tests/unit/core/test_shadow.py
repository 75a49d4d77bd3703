"""Shadow steps: the candidate is judged at weight 0, and no caller reaches it before it has passed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.core import names
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.facts import timestamp
from shoal_operator.core.gates import analysis_window, comparison_window, wanted_requests
from shoal_operator.core.rollout import build_schedule
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.objects import compared
from tests.unit.core.trials import GATEWAY, good_calls, served, trying

SHADOW: dict[str, Any] = {
    "canary": {
        "steps": [{"shadow": {"durationSeconds": 60}}, {"setWeight": 25}, {"pause": {"durationSeconds": 60}}],
        "scaleDownDelaySeconds": 30,
    }
}
EARLY: dict[str, Any] = {"blueGreen": {"steps": 2, "intervalSeconds": 60, "prePromotion": {"durationSeconds": 60}}}
AGREE: dict[str, Any] = {"agreement": {"min": 0.9}}
GOOD, BAD, NEAR = compared(0.99, 1e-5), compared(0.3, 1e-5), compared(0.899, 1e-4)


def shadowed(**spec: Any) -> FakeCluster:
    return trying(**{"strategy": SHADOW, "analysis": AGREE, **spec})


def compare(cluster: FakeCluster, comparison: Comparison) -> None:
    cluster.looked += 1
    at = timestamp(objects.NOW + timedelta(seconds=cluster.looked))
    cluster.comparison = replace(comparison, asked_at=at)
    cluster.settle()


def endpoints(cluster: FakeCluster) -> set[str | None]:
    if ("GRPCRoute", "cities") in cluster.objects:
        return {name.removeprefix("cities-") for name, weight in cluster.backends().items() if weight}
    return {pod.revision for pod in cluster.endpoints()}


@pytest.mark.parametrize("router", [{}, GATEWAY])
@pytest.mark.parametrize(("strategy", "pods"), [(SHADOW, 1), (EARLY, 4)])
class TestEveryStrategyAndRouter:
    def test_a_worse_candidate_is_rolled_back_before_any_caller_reaches_it(
        self, strategy: dict[str, Any], pods: int, router: dict[str, Any]
    ) -> None:
        cluster = shadowed(strategy=strategy, traffic=router)
        stable, candidate = cluster.revision("stable"), cluster.revision("candidate")
        assert (cluster.status["step"], cluster.status["weight"], cluster.status["actualWeight"]) == (0, 0, 0)
        assert len(cluster.pool(candidate)) == pods
        assert endpoints(cluster) == {stable}
        assert "is in shadow, at step 1 of" in cluster.condition("Progressing")["message"]
        compare(cluster, BAD)
        [blocked] = cluster.status["blockedVersions"]
        assert (blocked["revision"], blocked["reason"]) == (candidate, "GateFailed")
        assert blocked["message"].startswith("gate agreement: ARI 0.300")
        assert endpoints(cluster) == {stable}
        assert cluster.status["agreement"]["ari"] == 0.3
        assert cluster.status["agreementHistory"] == []

    def test_an_equivalent_candidate_goes_on_after_the_time(
        self, strategy: dict[str, Any], pods: int, router: dict[str, Any]
    ) -> None:
        cluster = shadowed(strategy=strategy, traffic=router)
        stable, new = cluster.revision("stable"), cluster.revision("candidate")
        compare(cluster, GOOD)
        cluster.wait(59)
        cluster.settle()
        assert (cluster.status["step"], endpoints(cluster)) == (0, {stable})
        cluster.wait(2)
        cluster.settle()
        assert cluster.status["weight"] > 0
        good_calls(cluster)
        compare(cluster, GOOD)
        cluster.wait(61)
        cluster.settle()
        assert cluster.revision("stable") == new
        assert len(cluster.pool(new)) >= pods
        [remembered] = cluster.status["agreementHistory"]
        assert (remembered["version"], remembered["against"], remembered["ari"]) == (2, 1, 0.99)


def test_the_events_tell_of_the_shadow() -> None:
    messages = [event.message for event in shadowed().events]
    assert "Version 2 is in shadow (step 1 of 3): no call reaches it." in messages


def test_calls_are_no_matter_in_shadow_but_each_step_opens_a_window() -> None:
    cluster = shadowed()
    assert [item["gate"] for item in cluster.status["verdicts"]] == ["readiness", "agreement"]
    first = analysis_window(cluster.deployment)
    assert first is not None
    found = comparison_window(cluster.deployment)
    assert found is not None
    assert (found.identity, found.stable.version, found.candidate.version) == (first.identity, 1, 2)
    compare(cluster, GOOD)
    cluster.wait(61)
    cluster.settle()
    second = analysis_window(cluster.deployment)
    assert second is not None
    assert second.identity != first.identity
    assert {item["gate"] for item in cluster.status["verdicts"]} >= {"agreement", "errorRate", "latency"}


def test_labels_are_compared_only_where_a_gate_needs_them() -> None:
    assert comparison_window(trying().deployment) is None
    assert comparison_window(trying(analysis={"silhouette": {}}).deployment) is None
    assert comparison_window(trying(analysis={"silhouette": {"source": "Live"}}).deployment) is not None
    assert comparison_window(served(analysis=AGREE).deployment) is None


@pytest.mark.parametrize(
    ("comparison", "told"),
    [
        (None, "no rows have been compared"),
        (Comparison("t", 0, lack="there are 3 requests to compare"), "there are 3 requests to compare"),
        (Comparison("t", 0, problem="CandidateUnreachable"), "no comparison: CandidateUnreachable"),
        (NEAR, "may yet be chance"),
    ],
)
def test_without_a_verdict_it_holds_at_weight_0_and_says_what_lacks(comparison: Comparison | None, told: str) -> None:
    cluster = shadowed()
    if comparison is not None:
        compare(cluster, comparison)
    cluster.wait(500)
    cluster.settle()
    paused = cluster.condition("Paused")
    assert paused["reason"] == "GateInconclusive"
    assert paused["message"].startswith("In shadow (step 1 of 3), no verdict yet: agreement: ")
    assert told in paused["message"]
    assert (cluster.status["weight"], endpoints(cluster)) == (0, {cluster.revision("stable")})
    compare(cluster, GOOD)
    assert cluster.status["weight"] == 25


def test_errors_in_a_row_hold_and_move_nothing() -> None:
    cluster = shadowed(analysis={**AGREE, "onInconclusive": "Proceed"})
    for _ in range(5):
        compare(cluster, Comparison("t", 0, problem="NoAnswer: pod s1: none within 5 s"))
    cluster.wait(61)
    cluster.settle()
    assert cluster.condition("Paused")["reason"] == "GateError"
    assert cluster.status["weight"] == 0


def test_the_promote_command_skips_the_shadow_and_abort_ends_it() -> None:
    cluster = shadowed()
    cluster.command("promote")
    cluster.settle()
    assert cluster.status["weight"] == 25
    cluster = shadowed()
    cluster.command("abort")
    cluster.settle()
    assert cluster.status["blockedVersions"][0]["reason"] == "Aborted"


def test_a_failure_pauses_where_told_so_and_promote_goes_on_all_the_same() -> None:
    cluster = shadowed(onFailure="Pause")
    compare(cluster, BAD)
    assert cluster.condition("Paused")["reason"] == "PausedByFailure"
    assert endpoints(cluster) == {cluster.revision("stable")}
    cluster.comparison = None  # the next step's window has none yet
    cluster.command("promote")
    cluster.settle()
    assert cluster.status["weight"] == 25
    assert "failurePaused" not in cluster.status


def test_pods_that_never_get_ready_meet_the_deadline_in_shadow_too() -> None:
    cluster = served(strategy=SHADOW, analysis=AGREE, progressDeadlineSeconds=30)
    cluster.versions.append(objects.version(2))
    cluster.reconcile()
    cluster.broken.add(cluster.revision("candidate") or "")
    cluster.settle()
    assert comparison_window(cluster.deployment) is None
    cluster.wait(31)
    cluster.settle()
    assert cluster.status["blockedVersions"][0]["reason"] == "ProgressDeadlineExceeded"


def test_before_the_promote_command_comes_the_verdict() -> None:
    strategy = {"blueGreen": {**EARLY["blueGreen"], "autoPromotion": False}}
    cluster = shadowed(strategy=strategy)
    compare(cluster, GOOD)
    cluster.wait(61)
    cluster.settle()
    assert cluster.condition("Paused")["reason"] == "AwaitingPromotion"
    assert (cluster.status["step"], cluster.status["weight"]) == (1, 0)
    cluster.command("promote")
    cluster.settle()
    assert cluster.status["weight"] == 50


def test_a_record_alone_judges_in_shadow_without_figures() -> None:
    cluster = served(strategy=SHADOW, analysis={"clusterCount": {}})
    worse = objects.version(2)
    worse["spec"]["metrics"]["clusters"] = 50
    cluster.versions.append(worse)
    cluster.settle()
    assert cluster.status["blockedVersions"][0]["message"].startswith("gate clusterCount")


def test_outside_gates_that_need_calls_are_asked_once_there_are_any() -> None:
    hooks = [
        {"name": "early", "url": "http://hooks:80/"},
        {"name": "late", "url": "http://hooks:80/", "minSamples": 10},
    ]
    cluster = shadowed(analysis={"webhooks": hooks})
    asked = {request.key for request in wanted_requests(cluster.deployment, ("hooks:80",), cluster.now)}
    assert asked == {"webhook/early"}
    assert [item["gate"] for item in cluster.status["verdicts"]] == ["readiness", "webhook/early"]
    cluster.command("promote")
    cluster.settle()
    asked = {request.key for request in wanted_requests(cluster.deployment, ("hooks:80",), cluster.now)}
    assert asked == {"webhook/early", "webhook/late"}


def test_other_settings_of_the_same_artifact_teach_nothing() -> None:
    cluster = served(strategy=SHADOW, analysis=AGREE)
    cluster.change(worker={"replicas": 4, "maxInFlight": 7})
    cluster.settle()
    compare(cluster, compared(1.0, 0.0))
    cluster.command("promote-full")
    cluster.settle()
    assert cluster.status["stable"]["settings"]["maxInFlight"] == 7
    assert cluster.status["agreementHistory"] == []


def test_the_history_is_bounded_and_the_limit_is_learnt_from_it() -> None:
    cluster = served(strategy=SHADOW, analysis={"agreement": {}})
    for number in range(2, 14):
        cluster.versions.append(objects.version(number))
        cluster.settle()
        compare(cluster, compared(0.97, 1e-6))
        cluster.command("promote-full")
        cluster.settle()
        cluster.comparison = None
        assert cluster.status["stable"]["version"] == number
    assert [item["version"] for item in cluster.status["agreementHistory"]] == list(range(4, 14))
    cluster.versions.append(objects.version(14))
    cluster.settle()
    compare(cluster, compared(0.93, 1e-6))
    assert "limit 0.94 (learnt from 10 promoted versions)" in cluster.status["blockedVersions"][0]["message"]


class TestPreview:
    def test_selects_the_candidates_pods_while_there_is_one(self) -> None:
        cluster = served(strategy=SHADOW, analysis=AGREE)
        assert ("Service", "cities-preview") not in cluster.objects
        cluster.versions.append(objects.version(2))
        cluster.settle()
        service = cluster.objects["Service", "cities-preview"]
        assert service["spec"]["selector"] == {
            names.DEPLOYMENT: "cities",
            names.REVISION: cluster.revision("candidate"),
        }
        assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [
            ("grpc", 8001),
            ("internal", 8003),
        ]
        cluster.versions.append(objects.version(3))
        cluster.settle()
        selector = cluster.objects["Service", "cities-preview"]["spec"]["selector"]
        assert selector[names.REVISION] == cluster.revision("candidate")
        cluster.command("abort")
        cluster.settle()
        assert ("Service", "cities-preview") not in cluster.objects

    @pytest.mark.parametrize("router", [{}, GATEWAY])
    def test_is_gone_after_the_promotion(self, router: dict[str, Any]) -> None:
        cluster = shadowed(traffic=router)
        assert ("Service", "cities-preview") in cluster.objects
        cluster.command("promote-full")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert ("Service", "cities-preview") not in cluster.objects

    def test_a_long_name_is_cut_like_the_others(self) -> None:
        assert len(names.preview("x" * 63)) == 63
        assert names.preview("x" * 63) != names.preview("x" * 62 + "y")


def refuses(**spec: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        ClusteringDeploymentSpec.model_validate({"modelRef": {"name": "cities"}, **spec})
    return str(caught.value)


STEP, WEIGHT, PAUSE = {"shadow": {"durationSeconds": 60}}, {"setWeight": 10}, {"pause": {"durationSeconds": 60}}


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([PAUSE, STEP], "canary.steps[0] is a pause at weight 0"),
        ([WEIGHT, STEP], "cannot follow a setHeader or a setWeight above 0"),
        ([{"setWeight": 20}, WEIGHT], "must never fall"),
        ([{**STEP, **WEIGHT}], "exactly one of setWeight and pause and"),
        ([{"shadow": {}}], "durationSeconds"),
    ],
)
def test_steps_that_cannot_be_are_refused(steps: list[dict[str, Any]], told: str) -> None:
    assert told in refuses(strategy={"canary": {"steps": steps}}, analysis=AGREE)


@pytest.mark.parametrize("steps", [[STEP], [STEP, PAUSE, WEIGHT], [STEP, STEP, WEIGHT], [{"setWeight": 0}, STEP]])
def test_steps_that_may_be(steps: list[dict[str, Any]]) -> None:
    spec = ClusteringDeploymentSpec.model_validate(
        {"modelRef": {"name": "cities"}, "strategy": {"canary": {"steps": steps}}, "analysis": AGREE}
    )
    assert len(build_schedule(spec).steps) == len(steps)


URL = {"name": "judge", "url": "http://judge:80/"}
QUERY = {"name": "queue", "address": "http://judge:80", "query": "up", "max": 1}


@pytest.mark.parametrize("strategy", [SHADOW, EARLY])
@pytest.mark.parametrize(
    ("analysis", "judges"),
    [
        ({}, False),
        ({"noiseRatio": {}, "outOfReach": {}}, False),
        ({"agreement": {"enabled": False}}, False),
        ({"prometheus": [QUERY]}, False),
        ({"webhooks": [{**URL, "minSamples": 5}]}, False),
        ({"webhooks": [{**URL, "enabled": False}]}, False),
        ({"agreement": {}}, True),
        ({"agreement": {"dryRun": True}}, True),
        ({"silhouette": {}}, True),
        ({"clusterCount": {"source": "Live"}}, True),
        ({"prometheus": [{**QUERY, "minSamples": 0}]}, True),
        ({"webhooks": [URL]}, True),
    ],
)
def test_a_shadow_needs_a_gate_that_judges_without_calls(
    strategy: dict[str, Any], analysis: dict[str, Any], judges: bool
) -> None:
    spec = {"modelRef": {"name": "cities"}, "strategy": strategy, "analysis": analysis}
    if judges:
        assert ClusteringDeploymentSpec.model_validate(spec).strategy.shadows
    else:
        told = refuses(strategy=strategy, analysis=analysis)
        assert "no gate would judge; set analysis.agreement: {}" in told


def test_samples_of_a_record_are_refused_as_they_have_no_effect() -> None:
    assert "minSamples has no effect with source Record" in refuses(analysis={"silhouette": {"minSamples": 100}})
