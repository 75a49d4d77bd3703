"""The gate that runs a Job: what Job is made of a CronJob, when, and what its end means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal_operator.api.analysis import Analysis
from shoal_operator.core import names
from shoal_operator.core.hooks import wanted_cron_jobs
from shoal_operator.core.manifests.task_job import Task, build_task_job
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import good_calls, served, trying

GATE = {"name": "quality", "cronJob": "judge"}


def judged(cron_job: Any = "there", **gate: Any) -> FakeCluster:
    """Return a cluster whose candidate is at its first weight, with its Job if the CronJob is there."""
    cluster = served(analysis={"onInconclusive": "Proceed", "jobs": [{**GATE, **gate}]})
    cluster.cron_jobs = {"judge": objects.cron_job() if cron_job == "there" else cron_job}
    cluster.versions.append(objects.version(2))
    cluster.settle()
    assert cluster.status["weight"] == 25
    good_calls(cluster)
    return cluster


def verdict(cluster: FakeCluster) -> Any:
    cluster.settle()
    return next(item for item in cluster.status["verdicts"] if item["gate"] == "job/quality")


class TestJob:
    def test_is_what_the_cron_job_says_and_knows_the_facts(self) -> None:
        cluster = judged()
        (name,) = cluster.jobs()
        job = cluster.objects["Job", name]
        assert job["spec"]["backoffLimit"] == 0
        assert job["spec"]["activeDeadlineSeconds"] == 300
        assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-cities"
        assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"]
        assert job["metadata"]["labels"] == {names.MANAGED_BY: "shoal", names.TASK_OF: "cities"}
        (container,) = job["spec"]["template"]["spec"]["containers"]
        told = {item["name"]: item["value"] for item in container["env"]}
        assert told == {
            "TEAM": "fish",
            "SHOAL_NAMESPACE": "fish",
            "SHOAL_DEPLOYMENT": "cities",
            "SHOAL_MODEL": "cities",
            "SHOAL_PREVIEW_SERVICE": "cities-preview",
            "SHOAL_GATE": "quality",
            "SHOAL_STABLE_VERSION": "1",
            "SHOAL_STABLE_REVISION": cluster.revision("stable"),
            "SHOAL_CANDIDATE_VERSION": "2",
            "SHOAL_CANDIDATE_REVISION": cluster.revision("candidate"),
            "SHOAL_WEIGHT": "25",
            "SHOAL_STEP": "2",
        }

    def test_takes_over_nothing_that_would_keep_it_from_running_once(self) -> None:
        spec = {"suspend": True, "ttlSecondsAfterFinished": 1, "manualSelector": True, "selector": {"matchLabels": {}}}
        cron_job = objects.cron_job(spec={**spec, "activeDeadlineSeconds": 20})
        job = build_task_job(objects.deployment(), cron_job, Task("t", "judge", "spec.x.cronJob", 60))
        assert job["spec"].keys() == {"backoffLimit", "template", "activeDeadlineSeconds"}
        assert job["spec"]["activeDeadlineSeconds"] == 20, "the shorter of both"

    def test_cannot_pass_for_a_serving_pod_or_forge_the_facts(self) -> None:
        labels = {names.DEPLOYMENT: "cities", names.ROUTED: "true", "app": "judge", names.MANAGED_BY: "me"}
        container = {"name": "a", "image": "b", "env": [{"name": "SHOAL_GATE", "value": "forged"}]}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "initContainers": [container]}}
        task = Task("t", "judge", "spec.x.cronJob", 60, {"SHOAL_GATE": "quality"})
        job = build_task_job(objects.deployment(), objects.cron_job(pod=template), task)
        pod = job["spec"]["template"]
        assert pod["metadata"]["labels"] == {"app": "judge", names.MANAGED_BY: "shoal", names.TASK_OF: "cities"}
        for kind in ("containers", "initContainers"):
            assert pod["spec"][kind][0]["env"] == [{"name": "SHOAL_GATE", "value": "quality"}]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8
        )
    )
    def test_any_cron_job_gives_a_job(self, template: Any) -> None:
        job = build_task_job(
            objects.deployment(),
            {"spec": {"jobTemplate": {"metadata": template, "spec": {"template": template}}}},
            Task("t", "judge", "spec.x.cronJob", 60),
        )
        assert job["metadata"]["name"] == "t"


class TestVerdict:
    def test_runs_then_passes(self) -> None:
        cluster = judged()
        assert (verdict(cluster)["verdict"], len(cluster.jobs())) == ("inconclusive", 1)
        cluster.end_job(cluster.jobs()[0])
        assert verdict(cluster)["verdict"] == "pass"

    def test_a_failed_job_rolls_back(self) -> None:
        cluster = judged()
        cluster.end_job(cluster.jobs()[0], "Failed", "BackoffLimitExceeded", "has reached the backoff limit")
        cluster.settle()
        blocked = cluster.status["blockedVersions"][0]
        assert (blocked["reason"], blocked["version"]) == ("GateFailed", 2)
        assert "job/quality: Job cities-task-" in blocked["message"]
        assert "backoff limit" in blocked["message"]
        assert cluster.status["weight"] == 0

    def test_a_failure_counts_once_however_often_it_is_seen(self) -> None:
        cluster = judged(failureLimit=1)
        cluster.end_job(cluster.jobs()[0], "Failed")
        for _ in range(5):
            cluster.wait(6)
            cluster.settle()
        assert cluster.status["weight"] == 25
        record = next(item for item in cluster.status["gates"] if item["gate"] == "job/quality")
        assert record["failed"] == 1

    @pytest.mark.parametrize(
        ("cron_job", "told"),
        [
            (None, "does not exist in namespace fish. Create it, or correct the name."),
            (objects.cron_job(startable=False), "kubectl annotate cronjob judge shoal.dev/startable=true"),
        ],
    )
    def test_a_cron_job_that_cannot_be_started_is_an_error_with_its_remedy(self, cron_job: Any, told: str) -> None:
        cluster = judged(cron_job)
        found = verdict(cluster)
        assert found["verdict"] == "error"
        assert found["message"].startswith("spec.analysis.jobs[quality].cronJob: CronJob judge")
        assert told in found["message"]
        assert cluster.jobs() == []

    def test_errors_in_a_row_hold_the_rollout_and_move_nothing_until_they_are_mended(self) -> None:
        cluster = judged(None)
        for _ in range(12):
            cluster.wait(6)
            good_calls(cluster)
            cluster.settle()
        assert cluster.condition("Paused")["reason"] == "GateError"
        assert cluster.status["actualWeight"] == 25
        cluster.cron_jobs["judge"] = objects.cron_job()
        cluster.settle()
        cluster.end_job(cluster.jobs()[0])
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_one_that_is_too_slow_is_an_error(self) -> None:
        cluster = judged(timeoutSeconds=40)
        cluster.end_job(cluster.jobs()[0], "Failed", "DeadlineExceeded")
        found = verdict(cluster)
        assert found["verdict"] == "error"
        assert "did not end within 40 s. Raise spec.analysis.jobs[quality].timeoutSeconds" in found["message"]

    def test_one_that_kubernetes_never_ends_is_an_error(self) -> None:
        cluster = judged(timeoutSeconds=30)
        cluster.wait(50)
        assert "did not end within 30 s" in verdict(cluster)["message"]

    def test_one_that_is_never_created_is_an_error(self) -> None:
        cluster = judged({}, initialDelaySeconds=0)
        cluster.cron_jobs = {}
        assert verdict(cluster)["verdict"] == "inconclusive"
        cluster.wait(31)
        assert verdict(cluster)["verdict"] == "error"

    def test_what_the_pod_said_last_is_told_and_what_keeps_it_from_running(self) -> None:
        cluster = judged()
        (name,) = cluster.jobs()
        owner = {"ownerReferences": [{"kind": "Job", "name": name, "uid": "x"}]}
        stuck = {"containerStatuses": [{"image": "judge:1", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
        cluster.task_pods = [{"metadata": owner, "status": stuck}]
        found = verdict(cluster)
        assert (found["verdict"], "image judge:1 cannot be pulled" in found["message"]) == ("error", True)
        cluster.task_pods = [{"metadata": owner, "status": objects.terminated("4 of 9 towns moved")}]
        cluster.end_job(name, "Failed", "BackoffLimitExceeded")
        cluster.settle()
        assert "4 of 9 towns moved" in cluster.status["blockedVersions"][0]["message"]

    def test_dry_run(self) -> None:
        cluster = judged(dryRun=True)
        cluster.end_job(cluster.jobs()[0], "Failed")
        assert verdict(cluster)["verdict"] == "fail"
        assert cluster.status["weight"] == 25


class TestLife:
    def test_each_step_has_its_own_and_the_last_few_stay(self) -> None:
        steps = [item for weight in (10, 20, 30, 40, 50, 60) for item in ({"setWeight": weight}, {"pause": {}})]
        cluster = served(strategy={"canary": {"steps": steps}}, analysis={"jobs": [GATE]})
        cluster.cron_jobs = {"judge": objects.cron_job()}
        cluster.versions.append(objects.version(2))
        seen: list[str] = []
        for _ in range(6):
            cluster.settle()
            fresh = [name for name in cluster.jobs() if name not in seen]
            assert len(fresh) == 1
            seen += fresh
            cluster.end_job(fresh[0])
            cluster.wait(5)
            cluster.command("promote")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert cluster.jobs() == seen[-4:]

    def test_one_that_runs_for_a_step_that_is_over_goes(self) -> None:
        cluster = judged()
        (name,) = cluster.jobs()
        cluster.command("abort")
        cluster.settle()
        assert name not in cluster.jobs()

    def test_one_that_is_bound_to_fail_is_judged_at_once_and_stays(self) -> None:
        cluster = judged()
        (name,) = cluster.jobs()
        cluster.end_job(name, "FailureTarget", "BackoffLimitExceeded")
        cluster.settle()
        assert cluster.status["blockedVersions"][0]["version"] == 2
        assert cluster.jobs() == [name]

    def test_judges_in_shadow_before_any_call(self) -> None:
        shadow = {"canary": {"steps": [{"shadow": {"durationSeconds": 60}}, {"setWeight": 50}, {"pause": {}}]}}
        cluster = served(strategy=shadow, analysis={"onInconclusive": "Proceed", "jobs": [GATE]})
        cluster.cron_jobs = {"judge": objects.cron_job()}
        cluster.versions.append(objects.version(2))
        cluster.settle()
        assert (cluster.status["weight"], len(cluster.jobs())) == (0, 1)
        cluster.end_job(cluster.jobs()[0], "Failed")
        cluster.settle()
        assert "job/quality" in cluster.status["blockedVersions"][0]["message"]

    def test_begins_after_its_delay(self) -> None:
        cluster = judged(initialDelaySeconds=20)
        assert cluster.jobs() == []
        cluster.wait(21)
        cluster.settle()
        assert len(cluster.jobs()) == 1

    def test_cron_jobs_are_looked_up_only_while_a_window_is_open(self) -> None:
        assert wanted_cron_jobs(served(analysis={"jobs": [GATE]}).deployment) == ()
        assert wanted_cron_jobs(judged().deployment) == ("judge",)

    def test_without_the_gate_nothing_is_started(self) -> None:
        assert trying().jobs() == []


@pytest.mark.parametrize(
    ("jobs", "told"),
    [
        ([GATE, GATE], "the same name"),
        ([{**GATE, "cronJob": "../secrets"}], "pattern"),
        ([{**GATE, "timeoutSeconds": 0}], "greater than or equal to 1"),
        ([{"name": "x"}], "Field required"),
    ],
)
def test_bad_specs_are_refused(jobs: list[Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Analysis.model_validate({"jobs": jobs})
