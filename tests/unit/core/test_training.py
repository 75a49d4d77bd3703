"""What a ClusteringModel needs next, one row for each line of training's table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core import names
from shoal_operator.core.plan import Create, Delete, Emit, Plan
from shoal_operator.core.snapshot import Defaults, ModelSnapshot
from shoal_operator.core.training import hash_training, plan_model, required_secrets
from tests.unit.core import objects
from tests.unit.core.objects import DEFAULTS, NOW, Raw

KILLED = objects.terminated(reason="OOMKilled", code=137)
FOREIGN = objects.terminated(objects.failure_report(reason="<script>"))


def identity(model: Raw) -> str:
    return hash_training(model, ClusteringModelSpec.model_validate(model["spec"]))


def job(model: Raw, *, condition: str = "", reason: str = "", training_hash: str = "", **status: Any) -> Raw:
    tag = training_hash or identity(model)
    conditions = [{"type": condition, "status": "True", "reason": reason, "message": "told"}] if condition else []
    return {
        "metadata": objects.metadata(f"cities-train-{tag}", labels={names.TRAINING_HASH: tag}),
        "spec": {"backoffLimit": 2},
        "status": {"conditions": conditions, **status},
    }


def job_pod(of: Raw, status: Raw, *, name: str = "p", created: str = "2026-01-01T00:00:00Z") -> Raw:
    owner = [{"kind": "Job", "name": of["metadata"]["name"]}]
    return {"metadata": objects.metadata(name, ownerReferences=owner, creationTimestamp=created), "status": status}


def snapshot(model: Raw, **more: Any) -> ModelSnapshot:
    return replace(ModelSnapshot(model=model, defaults=DEFAULTS), **more)


def plan_for(model: Raw, **more: Any) -> Plan:
    return plan_model(snapshot(model, **more), NOW)


def status_of(plan: Plan) -> Raw:
    assert plan.status is not None
    return plan.status.status


def condition(plan: Plan, kind: str) -> Raw:
    return next(item for item in status_of(plan)["conditions"] if item["type"] == kind)


def created(plan: Plan) -> list[Raw]:
    return [action.manifest for action in plan.actions if isinstance(action, Create)]


class TestStart:
    def test_creates_one_job_for_the_identity(self) -> None:
        model = objects.model()
        plan = plan_for(model)
        [manifest] = created(plan)
        assert (manifest["kind"], manifest["metadata"]["name"]) == ("Job", f"cities-train-{identity(model)}")
        assert condition(plan, "Progressing")["reason"] == "Training"
        assert status_of(plan)["phase"] == "Training"

    def test_how_the_job_runs_is_no_part_of_the_identity(self) -> None:
        other = objects.model({"training": {"retries": 7, "plan": {"threads": 3, "index": "tree"}}})
        assert identity(other) == identity(objects.model())

    @pytest.mark.parametrize(
        "other",
        [
            objects.model({"algorithm": {"dbscan": {"eps": 0.6}}}),
            objects.model({"algorithm": {"adaptiveDbscan": {}}}),
            objects.model({"source": {"uri": "s3://data/other.parquet"}}),
            objects.model({"validation": {"minClusters": 3}}),
            objects.model(annotations={names.RETRAIN: "again"}),
        ],
        ids=["parameters", "algorithm", "source", "validation", "retrain"],
    )
    def test_what_shapes_the_version_is(self, other: Raw) -> None:
        assert identity(other) != identity(objects.model())

    def test_a_default_written_out_is_the_same_identity(self) -> None:
        assert identity(objects.model({"algorithm": {"dbscan": {"eps": 0.5, "minSamples": 5}}})) == identity(
            objects.model()
        )

    def test_a_missing_secret_is_told_and_looked_for_again(self) -> None:
        model = objects.model({"source": {"uri": "s3://x/y.csv", "secretRef": {"name": "mine"}}})
        plan = plan_for(model, missing_secrets=frozenset({"mine"}))
        assert plan.actions == ()
        assert plan.requeue_after is not None
        degraded = condition(plan, "Degraded")
        assert degraded["reason"] == "SecretMissing"
        assert "Secret mine of spec.source.secretRef does not exist in namespace fish" in degraded["message"]

    def test_a_missing_store_is_told(self) -> None:
        plan = plan_for(objects.model(), defaults=Defaults("image", ""))
        assert plan.actions == ()
        assert condition(plan, "Ready")["reason"] == "StoreNotConfigured"

    def test_required_secrets(self) -> None:
        model = objects.model({"source": {"uri": "s3://x/y.csv", "secretRef": {"name": "mine"}}})
        assert required_secrets(model, DEFAULTS) == {"mine", "store"}
        assert required_secrets({"spec": {"source": 3}}, DEFAULTS) == {"store"}

    @pytest.mark.parametrize(
        ("spec", "told"),
        [
            (
                {"algorithm": {"dbscan": {"eps": 0}}},
                "spec.algorithm.dbscan.eps: Input should be greater than 0 (it is 0)",
            ),
            ({"algorithm": {}}, "spec.algorithm: exactly one of dbscan and adaptiveDbscan must be set, not none"),
            (
                {"algorithm": {"dbscan": {"eps": 0.5}, "adaptiveDbscan": {}}},
                "exactly one of dbscan and adaptiveDbscan must be set, not dbscan and adaptiveDbscan",
            ),
            (
                {"algorithm": {"adaptiveDbscan": {"minClusterSize": 1}}},
                "spec.algorithm.adaptiveDbscan.minClusterSize: Input should be greater than or equal to 2 (it is 1)",
            ),
            ({"algorithm": {"adaptiveDbscan": {"eps": 1}}}, "spec.algorithm.adaptiveDbscan.eps"),
            (
                {
                    "source": {"uri": "s3://x/y.csv", "columns": ["a", "b", "c"]},
                    "algorithm": {"adaptiveDbscan": {"metric": "haversine"}},
                },
                "metric haversine needs exactly two source.columns",
            ),
            (
                {"algorithm": {"adaptiveDbscan": {}}, "training": {"plan": {"index": "tree"}}},
                "training.plan.index has no effect with adaptiveDbscan",
            ),
            ({"source": {"uri": "ftp://x"}}, "spec.source.uri"),
            ({"source": {"uri": "s3://x/y"}}, "set source.format"),
            ({"source": {"uri": "s3://x/y/", "sample": {"seed": 1}}}, "either rows or fraction"),
            ({"source": {"uri": "s3://x/y.csv", "sql": {"query": "SELECT 1"}}}, "source.sql goes with"),
            ({"source": {"uri": "postgresql://h/d", "format": "csv"}}, "source.sql goes with"),
            ({"source": {"uri": "postgresql://u:p@h/d", "sql": {"query": "SELECT 1"}}}, "PGPASSWORD"),
            (
                {"source": {"uri": "postgresql://h/d", "sql": {"query": "SELECT 1"}, "format": "csv"}},
                "source.format has no effect",
            ),
            ({"validation": {"minClusters": 3, "maxClusters": 2}}, "minClusters"),
            ({"algorithm": {"dbscan": {}}}, "give it, or let dbscan.search find it"),
            ({"algorithm": {"dbscan": {"eps": 1, "search": {"eps": {"min": 1, "max": 2}}}}}, "given and searched for"),
            ({"algorithm": {"dbscan": {"eps": 1, "search": {}}}}, "nothing to search for"),
            ({"algorithm": {"dbscan": {"search": {"eps": {"min": 3, "max": 2}}}}}, "min is above max"),
            (
                {"algorithm": {"dbscan": {"metric": "cosine", "search": {"eps": {"min": 1, "max": 3}}}}},
                "beyond the metric's largest distance",
            ),
            (
                {"algorithm": {"adaptiveDbscan": {"minSamples": 5, "search": {"minSamples": {"min": 3, "max": 9}}}}},
                "minSamples is given and searched for",
            ),
            ({"algorithm": {"adaptiveDbscan": {"search": {}}}}, "the search has no bounds"),
            ({"algorithm": {"dbscan": {"search": {"trials": 500}}}}, "spec.algorithm.dbscan.search.trials"),
            ({"validation": {"tests": {"performance": {"maxMillisPerSample": 0}}}}, "maxMillisPerSample"),
            ({"nonsense": 1}, "spec.nonsense"),
        ],
    )
    def test_a_spec_that_cannot_be_read_is_told_by_field_value_and_remedy(self, spec: Raw, told: str) -> None:
        plan = plan_for(objects.model(spec))
        assert plan.actions == ()
        assert condition(plan, "Degraded")["reason"] == "InvalidSpec"
        assert told in condition(plan, "Degraded")["message"]


class TestEnd:
    def test_a_report_becomes_the_next_version(self) -> None:
        model = objects.model()
        done = job(model, condition="Complete")
        pod = job_pod(done, objects.terminated(objects.success_report(version=5), reason="Completed", code=0))
        plan = plan_for(model, jobs=(done,), job_pods=(pod,), versions=(objects.version(4), objects.version(2)))
        [manifest] = created(plan)
        assert manifest["metadata"]["name"] == "cities-v5"
        assert manifest["spec"]["trainingHash"] == identity(model)
        assert manifest["spec"]["version"] == 5
        assert manifest["spec"]["plan"] == objects.PLAN
        assert manifest["metadata"]["ownerReferences"][0]["name"] == "cities"

    def test_a_number_of_another_version_is_refused(self) -> None:
        model = objects.model()
        done = job(model, condition="Complete")
        pod = job_pod(done, objects.terminated(objects.success_report(version=2), code=0))
        plan = plan_for(model, jobs=(done,), job_pods=(pod,), versions=(objects.version(4), objects.version(2)))
        assert created(plan) == []
        degraded = condition(plan, "Degraded")
        assert degraded["reason"] == "VersionConflict"
        assert "the number 2, which cities-v2 has with another artifact" in degraded["message"]
        assert "Check that store.uri is the store of the earlier versions" in degraded["message"]

    def test_the_store_is_told_what_a_version_needs_to_be_numbered(self) -> None:
        model = objects.model({"labels": {"team": "maps"}})
        [manifest] = created(plan_for(model, versions=(objects.version(4), objects.version(2))))
        environment = manifest["spec"]["template"]["spec"]["containers"][0]["env"]
        told = json.loads(next(each["value"] for each in environment if each["name"] == "SHOAL_TRAINING_SPEC"))
        assert told["after"] == 4
        assert told["trainingHash"] == identity(model)
        assert told["modelUid"] == model["metadata"]["uid"]
        assert told["labels"] == {"team": "maps"}

    def test_a_trained_identity_needs_nothing(self) -> None:
        model = objects.model()
        plan = plan_for(model, versions=(objects.version(1, training_hash=identity(model)),))
        assert plan.actions == ()
        assert status_of(plan)["phase"] == "Ready"
        assert status_of(plan)["latestVersion"] == 1
        assert plan.requeue_after is None

    def test_going_back_to_an_older_identity_trains_again(self) -> None:
        model = objects.model()
        older = objects.version(1, training_hash=identity(model))
        plan = plan_for(model, versions=(older, objects.version(2)))
        assert [manifest["kind"] for manifest in created(plan)] == ["Job"]

    def test_a_rejected_version_is_never_the_latest(self) -> None:
        model = objects.model()
        rejected = objects.version(2, verdict="fail", training_hash=identity(model))
        plan = plan_for(model, versions=(objects.version(1), rejected))
        assert status_of(plan)["phase"] == "Rejected"
        assert status_of(plan)["latestVersion"] == 1
        assert condition(plan, "Ready")["status"] == "True"
        assert "1 cluster, least 2" in condition(plan, "Degraded")["message"]

    @pytest.mark.parametrize(
        "message",
        [
            "",
            "not json",
            objects.success_report(uri="s3://elsewhere/artifacts/sha256-a"),
            objects.success_report(metrics={"rows": -1}),
            objects.success_report(plan={**objects.PLAN, "threads": "many"}),
            objects.success_report(padding="x" * 5000),
        ],
        ids=["empty", "garbage", "foreign store", "impossible metrics", "impossible plan", "too long"],
    )
    def test_a_report_that_cannot_be_trusted_makes_no_version(self, message: str) -> None:
        model = objects.model()
        done = job(model, condition="Complete")
        plan = plan_for(model, jobs=(done,), job_pods=(job_pod(done, objects.terminated(message, code=0)),))
        assert created(plan) == []
        assert status_of(plan)["reruns"] == 1
        assert [type(action) for action in plan.clean_up if not isinstance(action, Emit)] == [Delete]

    def test_a_lost_report_is_trained_again_at_most_thrice(self) -> None:
        model = objects.model()
        model["status"] = {"trainingHash": identity(model), "reruns": 3}
        plan = plan_for(model, jobs=(job(model, condition="Complete"),))
        assert not any(isinstance(action, Delete) for action in (*plan.actions, *plan.clean_up))
        assert status_of(plan)["phase"] == "Failed"
        assert names.RETRAIN in condition(plan, "Degraded")["message"]

    def test_a_report_on_its_way_is_waited_for(self) -> None:
        model = objects.model()
        done = job(model, condition="Complete")
        plan = plan_for(model, jobs=(done,), job_pods=(job_pod(done, {"phase": "Running"}),))
        assert status_of(plan)["phase"] == "Training"
        assert not any(isinstance(action, Delete) for action in plan.clean_up)

    def test_a_superseded_job_is_deleted(self) -> None:
        model = objects.model()
        plan = plan_for(model, jobs=(job(model, training_hash="0ld0ld00"),))
        assert [action.key.name for action in plan.actions if isinstance(action, Delete)] == ["cities-train-0ld0ld00"]
        assert len(created(plan)) == 1


class TestFailure:
    def test_tells_what_the_report_tells(self) -> None:
        model = objects.model()
        failed = job(model, condition="Failed", reason="PodFailurePolicy")
        pod = job_pod(failed, objects.terminated(objects.failure_report()))
        plan = plan_for(model, jobs=(failed,), job_pods=(pod,), versions=(objects.version(1),))
        degraded = condition(plan, "Degraded")
        assert degraded["reason"] == "ColumnMissing"
        assert (
            "spec.source.columns: the data has no such column (it is 'lon'). Choose among lat, lng"
            in degraded["message"]
        )
        assert names.RETRAIN in degraded["message"]
        assert condition(plan, "Ready")["status"] == "True", "the version before is still served"
        assert status_of(plan)["phase"] == "Failed"

    def test_keeps_the_cause_when_the_pod_is_gone(self) -> None:
        model = objects.model()
        failed = job(model, condition="Failed")
        pod = job_pod(failed, objects.terminated(objects.failure_report()))
        model["status"] = status_of(plan_for(model, jobs=(failed,), job_pods=(pod,)))
        plan = plan_for(model, jobs=(failed,))
        assert plan.status is not None
        assert plan.status.status == model["status"]

    @pytest.mark.parametrize(
        ("condition_reason", "pod_status", "reason", "told"),
        [
            ("DeadlineExceeded", {}, "TrainingFailed", "activeDeadlineSeconds (3600 s)"),
            ("BackoffLimitExceeded", KILLED, "OutOfMemory", "spec.training.resources.limits.memory"),
            ("BackoffLimitExceeded", objects.terminated(code=2), "TrainingFailed", "exit code 2"),
            ("BackoffLimitExceeded", {}, "TrainingFailed", "told"),
            ("PodFailurePolicy", FOREIGN, "TrainingFailed", "lon"),
        ],
    )
    def test_without_a_report_it_is_diagnosed(
        self, condition_reason: str, pod_status: Raw, reason: str, told: str
    ) -> None:
        model = objects.model()
        failed = job(model, condition="Failed", reason=condition_reason)
        pods = (job_pod(failed, pod_status),) if pod_status else ()
        degraded = condition(plan_for(model, jobs=(failed,), job_pods=pods), "Degraded")
        assert degraded["reason"] == reason
        assert told in degraded["message"]

    def test_a_failure_that_is_retried_is_shown_at_once(self) -> None:
        model = objects.model()
        running = job(model, active=1, failed=1)
        report = objects.failure_report(reason="StoreUnavailable", message="no answer", transient=True)
        pods = (
            job_pod(running, {"phase": "Running"}, name="second", created="2026-01-01T00:00:09Z"),
            job_pod(running, objects.terminated(report, code=2), name="first"),
        )
        plan = plan_for(model, jobs=(running,), job_pods=pods)
        assert status_of(plan)["phase"] == "Training"
        degraded = condition(plan, "Degraded")
        assert degraded["reason"] == "StoreUnavailable"
        assert "try 2 of 3" in degraded["message"]

    def test_a_pod_that_finds_no_node_is_told(self) -> None:
        model = objects.model()
        running = job(model, active=1)
        status = {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes."}]}
        degraded = condition(plan_for(model, jobs=(running,), job_pods=(job_pod(running, status),)), "Degraded")
        assert degraded["reason"] == "Unschedulable"


def test_a_pass_that_changes_nothing_plans_the_same_status() -> None:
    model = objects.model()
    first = plan_for(model, jobs=(job(model),))
    model["status"] = status_of(first)
    again = plan_for(model, jobs=(job(model),))
    assert again.status == first.status
    assert again.clean_up == ()


def test_any_stored_object_gives_a_plan() -> None:
    for spec in (None, 3, [], {"source": None}, {"source": {"uri": 3}}):
        model = {"metadata": objects.metadata("cities"), "spec": spec, "status": {"conditions": "x"}}
        assert plan_for(model).status is not None


def test_an_object_on_its_way_out_is_left_alone() -> None:
    model = objects.model()
    model["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert plan_for(model) == Plan()
