"""Hooks around a rollout: when they begin, what holds for them, what their end leads to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.core.facts import timestamp
from shoal_operator.core.hooks import hook_window, wanted_cron_jobs, wanted_hook_requests
from shoal_operator.core.snapshot import Answer
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import bad_calls, served

HOST = "deploys.shop:8080"
URL = f"http://{HOST}/shoal"
QUICK: dict[str, Any] = {"canary": {"steps": [{"setWeight": 50}], "scaleDownDelaySeconds": 30}}
HELD: dict[str, Any] = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}


def hook(at: str, name: str = "tell", **more: Any) -> dict[str, Any]:
    return {"name": name, "at": at, "url": URL, **({"url": None, "cronJob": "judge"} if "job" in more else {})} | {
        key: value for key, value in more.items() if key != "job"
    }


def rolling(*hooks: dict[str, Any], strategy: dict[str, Any] = QUICK, **spec: Any) -> FakeCluster:
    """Return a cluster in which version 2 is wanted beside version 1."""
    hooks = tuple({key: value for key, value in item.items() if value is not None} for item in hooks)
    cluster = served(hooks=list(hooks), strategy=strategy, **spec)
    cluster.defaults = replace(cluster.defaults, analysis_allowed_hosts=(HOST,))
    cluster.cron_jobs = {"judge": objects.cron_job()}
    cluster.versions.append(objects.version(2))
    cluster.settle()
    return cluster


def answer(cluster: FakeCluster, status: int = 204, body: str = "", error: str = "") -> None:
    """Let the service answer what it is asked now."""
    requests = wanted_hook_requests(cluster.deployment, (HOST,))
    assert requests, "nobody is told anything"
    cluster.hook_answers = {item.key: Answer(timestamp(cluster.now), status, body, error) for item in requests}
    cluster.settle()


def record(cluster: FakeCluster, name: str = "tell") -> Any:
    return next(item for item in cluster.status["hooks"] if item["name"] == name)


class TestBeforeRollout:
    def test_holds_without_pods_until_it_succeeded(self) -> None:
        cluster = rolling(hook("BeforeRollout"))
        assert cluster.condition("Paused")["reason"] == "AwaitingHook"
        assert "tell: the service has not answered yet" in cluster.status["message"]
        assert (cluster.status["step"], cluster.status["weight"]) == (0, 0)
        assert cluster.pool(cluster.revision("candidate")) == []
        answer(cluster)
        assert record(cluster)["state"] == "Succeeded"
        assert cluster.status["stable"]["version"] == 2

    def test_the_service_learns_the_facts_and_a_key_that_stays(self) -> None:
        cluster = rolling(hook("BeforeRollout"))
        (request,) = wanted_hook_requests(cluster.deployment, (HOST,))
        assert (request.url, len(request.idempotency_key)) == (URL, 10)
        assert json.loads(request.body) == {
            "hook": "tell",
            "at": "BeforeRollout",
            "namespace": "fish",
            "deployment": "cities",
            "model": "cities",
            "stable": {"version": 1, "revision": cluster.revision("stable")},
            "candidate": {"version": 2, "revision": cluster.revision("candidate")},
            "startedAt": timestamp(objects.NOW),
        }
        answer(cluster, 503)
        cluster.wait(20)
        cluster.settle()
        assert wanted_hook_requests(cluster.deployment, (HOST,)) == (request,)
        assert hook_window(cluster.deployment) is not None

    @pytest.mark.parametrize("status", [500, 503, 429, 302, 100])
    def test_what_may_pass_is_asked_again_until_the_time_is_over(self, status: int) -> None:
        cluster = rolling(hook("BeforeRollout", timeoutSeconds=60))
        answer(cluster, status, "busy")
        assert record(cluster)["message"] == f"the service answers {status}: busy."
        cluster.wait(59)
        cluster.settle()
        assert record(cluster)["state"] == "Running"
        cluster.wait(2)
        cluster.settle()
        assert record(cluster)["state"] == "Failed"
        assert cluster.status["blockedVersions"][0]["reason"] == "HookFailed"

    def test_a_refusal_fails_at_once_as_on_failure_says(self) -> None:
        cluster = rolling(hook("BeforeRollout"))
        answer(cluster, 403, "freeze until Monday")
        blocked = cluster.status["blockedVersions"][0]
        assert (
            "Hook tell (BeforeRollout) of version 2 failed: the service answers 403: freeze until Monday."
            in (blocked["message"])
        )
        assert [event.reason for event in cluster.events].count("HookFailed") == 1
        cluster = rolling(hook("BeforeRollout"), onFailure="Pause")
        answer(cluster, 403)
        assert cluster.condition("Paused")["reason"] == "PausedByFailure"
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2

    def test_promote_begins_without_it_and_promote_full_skips_all(self) -> None:
        cluster = rolling(hook("BeforeRollout"), strategy=HELD)
        cluster.command("promote")
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (1, 50)
        cluster = rolling(hook("BeforeRollout"), hook("BeforePromotion", "last"), strategy=HELD)
        cluster.command("promote-full")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2

    def test_abort_wins_while_it_runs(self) -> None:
        cluster = rolling(hook("BeforeRollout"))
        cluster.command("abort")
        cluster.settle()
        assert cluster.status["blockedVersions"][0]["reason"] == "Aborted"

    def test_retry_begins_it_anew_with_another_key(self) -> None:
        cluster = rolling(hook("BeforeRollout"))
        (first,) = wanted_hook_requests(cluster.deployment, (HOST,))
        answer(cluster, 400)
        cluster.wait(1)
        cluster.command("retry")
        cluster.settle()
        (second,) = wanted_hook_requests(cluster.deployment, (HOST,))
        assert first.key != second.key
        answer(cluster, 200)
        assert cluster.status["stable"]["version"] == 2

    def test_a_host_that_is_not_allowed_is_told_and_never_asked(self) -> None:
        cluster = rolling(hook("BeforeRollout"))
        cluster.defaults = replace(cluster.defaults, analysis_allowed_hosts=())
        cluster.settle()
        assert wanted_hook_requests(cluster.deployment, ()) == ()
        assert "analysis.allowedHosts" in record(cluster)["message"]
        assert record(cluster)["state"] == "Running"

    def test_the_first_deployment_runs_none(self) -> None:
        cluster = served(hooks=[hook("BeforeRollout"), hook("AfterPromotion", "after")])
        assert cluster.status["hooks"] == []

    def test_a_job(self) -> None:
        cluster = rolling(hook("BeforeRollout", job=True))
        (name,) = cluster.jobs()
        container = cluster.objects["Job", name]["spec"]["template"]["spec"]["containers"][0]
        told = {item["name"]: item["value"] for item in container["env"]}
        assert (told["SHOAL_HOOK"], told["SHOAL_AT"], told["SHOAL_CANDIDATE_VERSION"]) == ("tell", "BeforeRollout", "2")
        assert wanted_cron_jobs(cluster.deployment) == ("judge",)
        cluster.end_job(name)
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert cluster.jobs() == [name]

    def test_a_job_that_fails(self) -> None:
        cluster = rolling(hook("BeforeRollout", job=True))
        cluster.end_job(cluster.jobs()[0], "Failed", "BackoffLimitExceeded", "backoff limit")
        cluster.settle()
        assert cluster.status["blockedVersions"][0]["reason"] == "HookFailed"

    def test_the_operator_that_is_replaced_meanwhile_begins_nothing_twice(self) -> None:
        cluster = rolling(hook("BeforeRollout", job=True), hook("BeforeRollout", "other"))
        jobs, hooks = cluster.jobs(), cluster.status["hooks"]
        for _ in range(3):
            cluster.reconcile()
        assert (cluster.jobs(), cluster.status["hooks"]) == (jobs, hooks)


class TestBeforePromotion:
    def test_holds_at_the_last_weight(self) -> None:
        cluster = rolling(hook("BeforePromotion"))
        assert cluster.status["weight"] == 50
        assert cluster.condition("Paused")["reason"] == "AwaitingHook"
        answer(cluster)
        assert cluster.status["stable"]["version"] == 2

    def test_its_failure_gives_all_traffic_back(self) -> None:
        cluster = rolling(hook("BeforePromotion"))
        answer(cluster, 409, "no")
        assert cluster.status["blockedVersions"][0]["reason"] == "HookFailed"
        assert cluster.status["weight"] == 0

    def test_a_gate_still_stops_the_version_while_it_waits(self) -> None:
        cluster = rolling(hook("BeforePromotion"))
        bad_calls(cluster)
        cluster.settle()
        assert cluster.status["blockedVersions"][0]["reason"] == "GateFailed"

    @pytest.mark.parametrize("reaction", ["Rollback", "Pause"])
    def test_comes_before_any_step_at_all_of_the_traffic(self, reaction: str) -> None:
        steps = [{"setWeight": 50}, {"pause": {"durationSeconds": 10}}, {"setWeight": 100}, {"pause": {}}]
        full: dict[str, Any] = {"canary": {"steps": steps}}
        cluster = rolling(
            hook("BeforePromotion"), strategy=full, onFailure=reaction, analysis={"onInconclusive": "Proceed"}
        )
        assert cluster.status["hooks"] == []
        cluster.wait(11)
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (2, 50)
        assert record(cluster)["state"] == "Running"
        if reaction == "Pause":
            answer(cluster, 403)
            assert cluster.condition("Paused")["reason"] == "PausedByFailure"
        cluster.command("promote")
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (3, 100)
        assert record(cluster)["state"] == "Skipped"
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2


class TestAfter:
    def test_a_promotion_is_told_once(self) -> None:
        cluster = rolling(hook("AfterPromotion"), hook("AfterRollback", "sorry"))
        assert cluster.status["stable"]["version"] == 2
        assert [item["name"] for item in cluster.status["hooks"]] == ["tell"]
        answer(cluster)
        assert record(cluster)["state"] == "Succeeded"
        assert hook_window(cluster.deployment) is None

    def test_its_failure_is_told_and_moves_nothing(self) -> None:
        cluster = rolling(hook("AfterPromotion"))
        answer(cluster, 404)
        assert cluster.status["stable"]["version"] == 2
        assert cluster.status["phase"] == "Healthy"
        assert "Hook tell (AfterPromotion) of version 2 failed: the service answers 404." in cluster.status["message"]
        assert [event.reason for event in cluster.events].count("HookFailed") == 1

    def test_a_rollback_is_told_with_the_version_that_was_on_trial(self) -> None:
        cluster = rolling(hook("AfterRollback"), strategy=HELD)
        bad_calls(cluster)
        cluster.settle()
        (request,) = wanted_hook_requests(cluster.deployment, (HOST,))
        told = json.loads(request.body)
        assert (told["stable"]["version"], told["candidate"]["version"]) == (1, 2)

    def test_the_way_back_waits_for_no_hook_and_is_told_as_a_rollback(self) -> None:
        cluster = rolling(hook("BeforeRollout", "ask"), hook("AfterRollback"))
        answer(cluster)
        assert cluster.status["stable"]["version"] == 2
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        (request,) = wanted_hook_requests(cluster.deployment, (HOST,))
        told = json.loads(request.body)
        assert (told["at"], told["stable"]["version"], told["candidate"]["version"]) == ("AfterRollback", 1, 2)

    def test_what_is_not_told_yet_is_told_beside_the_next_rollout(self) -> None:
        cluster = rolling(hook("AfterPromotion"), hook("BeforeRollout", "ask"))
        answer(cluster)
        cluster.versions.append(objects.version(3))
        cluster.settle()
        told = [json.loads(item.body) for item in wanted_hook_requests(cluster.deployment, (HOST,))]
        assert [(item["at"], item["candidate"]["version"]) for item in told] == [
            ("AfterPromotion", 2),
            ("BeforeRollout", 3),
        ]

    def test_one_that_is_taken_out_of_the_spec_is_over(self) -> None:
        cluster = rolling(hook("AfterPromotion"))
        cluster.change(hooks=[])
        cluster.settle()
        assert record(cluster)["state"] == "Failed"


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)),
    st.sampled_from(["spec", "status"]),
)
def test_any_object_wants_something_or_nothing(value: Any, part: str) -> None:
    deployment = {**objects.deployment(), part: {"hooks": value, "analysis": value}}
    assert isinstance(wanted_hook_requests(deployment, (HOST,)), tuple)
    assert isinstance(wanted_cron_jobs(deployment), tuple)


@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        ([{"name": "x", "at": "BeforeRollout"}], "exactly one of url and cronJob"),
        ([{"name": "x", "at": "BeforeRollout", "url": URL, "cronJob": "y"}], "exactly one of url and cronJob"),
        ([hook("BeforeRollout"), hook("AfterRollback")], "the same name"),
        ([hook("BeforeLunch")], "BeforeRollout"),
        ([hook("BeforeRollout", url="ftp://x")], "pattern"),
    ],
)
def test_bad_specs_are_refused(hooks: list[Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ClusteringDeploymentSpec.model_validate({"modelRef": {"name": "cities"}, "hooks": hooks})
