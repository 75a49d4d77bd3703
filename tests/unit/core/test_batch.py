"""A batch from its reference to its result, played by a cluster in memory: what runs next, and what is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.batch import ClusteringBatchSpec
from shoal_operator.core import names
from shoal_operator.core.batch import hash_batch, plan_batch, required_secrets
from shoal_operator.core.batch_progress import count_indexes, has_index
from shoal_operator.core.plan import Adjust, Create, Delete, Emit, Plan
from shoal_operator.core.snapshot import BatchSnapshot
from tests.unit.core.objects import DEFAULTS, NAMESPACE, NOW, Raw, deployment, failure_report, metadata, model, version

OUTPUT = "s3://results/all"
POSTGRES = {"uri": "postgresql://db:5432/labels", "table": "towns", "secretRef": {"name": "loader"}}
RESULT = {
    "uri": f"{OUTPUT}/{NAMESPACE}/nightly/run1",
    "digest": f"sha256:{'c' * 64}",
    "rows": 900,
    "bytes": 5000,
    "clusters": 3,
    "noiseRatio": 0.25,
    "processingSeconds": 4.5,
}


def batch(spec: Raw | None = None, annotations: Raw | None = None) -> Raw:
    base: Raw = {
        "modelRef": {"name": "cities"},
        "source": {"uri": "s3://data/all.parquet", "secretRef": {"name": "reader"}},
        "output": {"uri": OUTPUT, "secretRef": {"name": "writer"}, "columns": ["id"]},
    }
    merged = {name: value for name, value in {**base, **(spec or {})}.items() if value is not None}
    return {
        "kind": "ClusteringBatch",
        "metadata": metadata("nightly", annotations=annotations or {}),
        "spec": merged,
        "status": {},
    }


class Cluster:
    """Executes plans as the controller does, and ends Jobs as a test says."""

    def __init__(self, raw: Raw, **facts: Any) -> None:
        self.batch = raw
        self.facts: dict[str, Any] = {"model": model(), "versions": (version(1), version(2)), **facts}
        self.jobs: dict[str, Raw] = {}
        self.pods: list[Raw] = []
        self.events: list[Emit] = []
        self.gone = False
        self.now = NOW

    def snapshot(self) -> BatchSnapshot:
        facts = {"defaults": DEFAULTS, **self.facts}
        return BatchSnapshot(
            batch=copy.deepcopy(self.batch),
            jobs=tuple(copy.deepcopy(list(self.jobs.values()))),
            job_pods=tuple(copy.deepcopy(self.pods)),
            **facts,
        )

    def step(self) -> Plan:
        plan = plan_batch(self.snapshot(), self.now)
        for action in (*plan.actions, *plan.clean_up):
            match action:
                case Create(manifest):
                    self.jobs.setdefault(manifest["metadata"]["name"], {**copy.deepcopy(manifest), "status": {}})
                    self.jobs[manifest["metadata"]["name"]]["metadata"]["uid"] = f"uid-{manifest['metadata']['name']}"
                case Delete(key, _):
                    self.jobs.pop(key.name, None)
                    self.gone = self.gone or key.kind == "ClusteringBatch"
                case Adjust(key, _, spec):
                    self.jobs[key.name]["spec"] |= dict(spec)
                case Emit():
                    self.events.append(action)
        if plan.status is not None:
            self.batch["status"] = plan.status.status
        return plan

    def settle(self) -> Raw:
        """Step until nothing changes."""
        for _ in range(12):
            before = (copy.deepcopy(self.batch), copy.deepcopy(self.jobs))
            self.step()
            if before == (self.batch, self.jobs):
                return self.status
        raise AssertionError("it does not come to rest")

    def end(self, step: str, message: str | None = None, *, condition: str = "Complete", **status: Any) -> None:
        job = self.job(step)
        job["status"] = {"conditions": [{"type": condition, "status": "True"}], **status}
        if message is not None:
            self.add_pod(step, message, phase="Succeeded" if condition == "Complete" else "Failed")

    def add_pod(self, step: str, message: str = "", *, phase: str, index: int | None = None, uid: str = "") -> None:
        code = 0 if phase == "Succeeded" else 1
        containers = [{"state": {"terminated": {"exitCode": code, "reason": "Error", "message": message}}}]
        labels = {} if index is None else {"batch.kubernetes.io/job-completion-index": str(index)}
        name = f"{step}-{len(self.pods)}"
        self.pods.append(
            {
                "metadata": metadata(
                    name,
                    uid=uid or f"uid-{name}",
                    labels=labels,
                    creationTimestamp=f"2026-01-01T00:00:{len(self.pods):02}Z",
                    ownerReferences=[{"name": self.job(step)["metadata"]["name"]}],
                ),
                "status": {"phase": phase, "containerStatuses": containers if message else []},
            }
        )

    def job(self, step: str) -> Raw:
        return next(job for job in self.jobs.values() if job["metadata"]["labels"][names.BATCH_STEP] == step)

    def told(self, step: str) -> Raw:
        (container,) = self.job(step)["spec"]["template"]["spec"]["containers"]
        spec: Raw = json.loads(next(item["value"] for item in container["env"] if item["name"] == "SHOAL_BATCH_SPEC"))
        return spec

    @property
    def status(self) -> Raw:
        found: Raw = self.batch["status"]
        return found

    def condition(self, kind: str) -> Raw:
        found: Raw = next(item for item in self.status["conditions"] if item["type"] == kind)
        return found


def plan_report(shards: int = 3, **more: Any) -> str:
    return json.dumps({"outcome": "Succeeded", "run": "run1", "shards": shards, "rows": 900, **more})


def shard_report(shard: int, rows: int = 300, **more: Any) -> str:
    return json.dumps({"outcome": "Succeeded", "shard": shard, "rows": rows, **more})


def running(spec: Raw | None = None) -> Cluster:
    cluster = Cluster(batch(spec))
    cluster.settle()
    cluster.end("plan", plan_report())
    cluster.settle()
    return cluster


def test_it_goes_from_the_reference_to_the_result() -> None:
    cluster = Cluster(batch({"parallelism": 2, "retries": 4}))
    first = cluster.step()
    assert first.actions == (), "no pod starts before the pin is recorded"
    assert cluster.status["pinned"]["version"] == 2
    assert cluster.settle()["phase"] == "Planning"
    assert cluster.told("plan")["model"]["digest"] == version(2)["spec"]["artifact"]["digest"]
    assert "secretRef" not in cluster.told("plan")["source"]

    cluster.end("plan", plan_report(3))
    status = cluster.settle()
    assert (status["phase"], status["run"], status["rowsTotal"]) == ("Running", "run1", 900)
    assert cluster.told("shard")["run"] == "run1"
    job = cluster.job("shard")["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 3, 2)
    assert (job["backoffLimitPerIndex"], "maxFailedIndexes" in job) == (4, False)
    assert job["podFailurePolicy"]["rules"][1]["action"] == "FailIndex"

    cluster.end("shard", completedIndexes="0-2", startTime="2026-01-01T00:00:00Z")
    for index in range(3):
        cluster.add_pod("shard", shard_report(index), phase="Succeeded", index=index)
    cluster.now += timedelta(seconds=10)
    assert cluster.settle()["phase"] == "Finishing"
    assert cluster.status["rows"] == 900

    cluster.end("finish", json.dumps({"outcome": "Succeeded", "result": RESULT}))
    status = cluster.settle()
    assert (status["phase"], status["result"], status["shards"]["done"]) == ("Complete", RESULT, 3)
    assert status["rowsPerSecond"] == 90
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("Degraded")["status"] == "False"
    assert [event.reason for event in cluster.events] == ["Pinned", "Planning", "Labelling", "Finishing", "Completed"]


def test_a_newer_version_changes_nothing_once_it_began() -> None:
    cluster = Cluster(batch())
    cluster.settle()
    cluster.facts["versions"] = (version(1), version(2), version(3))
    cluster.end("plan", plan_report())
    cluster.settle()
    assert cluster.told("shard")["model"]["version"] == 2


def test_a_plan_that_finds_all_done_ends_the_batch() -> None:
    cluster = Cluster(batch())
    cluster.settle()
    cluster.end("plan", plan_report(1, result=RESULT))
    assert cluster.settle()["phase"] == "Complete"
    assert len(cluster.jobs) == 1


def test_a_result_elsewhere_than_in_the_output_is_not_believed() -> None:
    cluster = running()
    cluster.end("shard", completedIndexes="0-2")
    cluster.settle()
    cluster.end("finish", json.dumps({"outcome": "Succeeded", "result": {**RESULT, "uri": "s3://other/x"}}))
    cluster.step()
    assert cluster.status["phase"] == "Finishing"
    assert cluster.status["reruns"] == 1


@pytest.mark.parametrize(
    ("spec", "facts", "reason", "words"),
    [
        ({}, {"model": None, "versions": ()}, "ModelNotFound", "spec.modelRef.name"),
        ({}, {"versions": ()}, "VersionNotReady", "no version yet"),
        ({"modelRef": {"name": "cities", "version": "7"}}, {}, "VersionNotFound", "no version 7"),
        ({"modelRef": {"name": "cities", "version": "2"}}, {"versions": (version(2, verdict="fail"),)},
         "VersionRejected", "minClusters"),
        ({"modelRef": None, "deploymentRef": {"name": "live"}}, {}, "DeploymentNotFound", "live"),
        ({"modelRef": None, "deploymentRef": {"name": "cities"}}, {"deployment": deployment()}, "VersionNotReady",
         "no stable version yet"),
        ({}, {"missing_secrets": frozenset({"writer"})}, "SecretMissing", "spec.output.secretRef"),
        ({"output": {"uri": OUTPUT, "postgres": POSTGRES}}, {"missing_secrets": frozenset({"loader"})}, "SecretMissing",
         "spec.output.postgres.secretRef"),
        ({"output": {"uri": OUTPUT, "postgres": {**POSTGRES, "uri": "postgresql://me:secret@db/labels"}}}, {},
         "InvalidSpec", "uri"),
        ({"output": {"uri": OUTPUT, "postgres": {**POSTGRES, "table": "a; DROP"}}}, {}, "InvalidSpec", "table"),
        ({"output": {"uri": OUTPUT, "retention": {"keepRuns": 0}}}, {}, "InvalidSpec", "keepRuns"),
        ({"shards": 3, "rowsPerShard": 5000}, {}, "InvalidSpec", "keep one of them"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_beginning_is_told(spec: Raw, facts: Raw, reason: str, words: str) -> None:
    cluster = Cluster(batch(spec), **facts)
    cluster.settle()
    assert cluster.jobs == {}
    assert cluster.condition("Degraded")["reason"] == reason
    assert words in cluster.condition("Degraded")["message"]


def test_a_deployments_stable_version_is_taken() -> None:
    bundle = {
        "revision": "aaaaaaaa",
        "version": 1,
        "digest": f"sha256:{1:064x}",
        "uri": "s3://b/a",
        "image": "i",
        "settings": {},
    }
    live = deployment(status={"stable": bundle, "candidate": {**bundle, "version": 2, "revision": "bbbbbbbb"}})
    cluster = Cluster(batch({"modelRef": None, "deploymentRef": {"name": "cities"}}), deployment=live)
    cluster.settle()
    assert cluster.status["pinned"] == {
        "model": "cities",
        "version": 1,
        "digest": f"sha256:{1:064x}",
        "uri": "s3://b/a",
    }


def test_rows_come_from_reports_and_from_pods_that_still_work() -> None:
    cluster = running()
    cluster.job("shard")["status"] = {"active": 1, "completedIndexes": "0", "startTime": "2026-01-01T00:00:00Z"}
    cluster.add_pod("shard", shard_report(0), phase="Succeeded", index=0)
    cluster.add_pod("shard", phase="Running", index=1, uid="working")
    cluster.facts["rows"] = {"working": 100}
    cluster.now += timedelta(seconds=4)
    status = cluster.settle()
    assert (status["rows"], status["rowsPerSecond"], status["etaSeconds"]) == (400, 100, 5)
    assert status["shards"] == {"total": 3, "done": 1, "failed": 0, "active": 1}
    cluster.now += timedelta(seconds=60)
    assert cluster.step().status.status == status, "time alone changes no status, or each write would bring the next"  # type: ignore[union-attr]
    cluster.facts["rows"] = {}
    assert cluster.settle()["rows"] == 400, "a pod that is not heard takes nothing back"


def test_what_was_done_before_is_no_speed() -> None:
    cluster = running()
    cluster.job("shard")["status"] = {"completedIndexes": "0-1", "startTime": "2026-01-01T00:00:00Z"}
    cluster.add_pod("shard", shard_report(0, resumed=True), phase="Succeeded", index=0)
    cluster.add_pod("shard", shard_report(1), phase="Succeeded", index=1)
    cluster.now += timedelta(seconds=10)
    status = cluster.settle()
    assert (status["rows"], status["rowsPerSecond"], status["etaSeconds"]) == (600, 30, 10)


def test_a_failed_shard_is_named_and_the_others_go_on() -> None:
    cluster = running()
    cluster.job("shard")["status"] = {"active": 2, "failedIndexes": "1"}
    said = failure_report(message="file b.parquet, row group 2: the value 'x' is not a number")
    cluster.add_pod("shard", said, phase="Failed", index=1)
    status = cluster.settle()
    assert status["phase"] == "Running"
    assert cluster.condition("Degraded")["reason"] == "ColumnMissing"
    for words in ("1 of 3 shards", "shard 1", "b.parquet, row group 2"):
        assert words in cluster.condition("Degraded")["message"]

    cluster.job("shard")["status"] |= {"completedIndexes": "0,2", "conditions": [{"type": "Failed", "status": "True"}]}
    status = cluster.settle()
    assert (status["phase"], status["shards"]["done"], status["shards"]["failed"]) == ("Failed", 2, 1)
    assert "shard 1: spec.source.columns" in status["message"]
    assert "shoal.dev/rerun" in status["message"]
    assert status["completedAt"]
    told = cluster.status["message"]
    cluster.pods.clear()
    assert cluster.settle()["message"] == told, "what the pods said stays told"


def test_stop_ends_the_others() -> None:
    assert running({"onFailure": "Stop"}).job("shard")["spec"]["maxFailedIndexes"] == 0


def test_it_runs_again_on_request_only() -> None:
    cluster = running()
    cluster.end("shard", failure_report(), condition="Failed", failedIndexes="0")
    assert cluster.settle()["phase"] == "Failed"
    failed = set(cluster.jobs)
    cluster.batch["metadata"]["annotations"] = {names.RERUN: "1"}
    assert cluster.settle()["phase"] == "Planning"
    assert set(cluster.jobs).isdisjoint(failed), "the Jobs of the earlier identity are gone"


def test_the_way_pods_run_is_no_part_of_the_identity() -> None:
    cluster = running()
    before = cluster.status["batchHash"]
    cluster.batch["spec"] |= {"parallelism": 1, "retries": 9, "resources": {"limits": {"memory": "512Mi"}}}
    cluster.settle()
    assert cluster.status["batchHash"] == before
    assert cluster.job("shard")["spec"]["parallelism"] == 1


def test_suspended_it_stops_and_goes_on() -> None:
    cluster = running()
    cluster.batch["spec"]["suspend"] = True
    assert cluster.settle()["phase"] == "Suspended"
    assert cluster.job("shard")["spec"]["suspend"] is True
    assert cluster.condition("Paused")["status"] == "True"
    cluster.batch["spec"]["suspend"] = False
    assert cluster.settle()["phase"] == "Running"
    assert cluster.job("shard")["spec"]["suspend"] is False


def test_suspended_from_the_start_it_starts_nothing() -> None:
    cluster = Cluster(batch({"suspend": True}))
    assert cluster.settle()["phase"] == "Suspended"
    assert cluster.jobs == {}


def test_it_goes_some_time_after_its_end() -> None:
    cluster = Cluster(batch({"ttlSecondsAfterFinished": 60}))
    cluster.settle()
    cluster.end("plan", plan_report(1, result=RESULT))
    cluster.settle()
    assert cluster.step().requeue_after == 60
    cluster.now += timedelta(seconds=59)
    cluster.step()
    assert not cluster.gone
    cluster.now += timedelta(seconds=1)
    cluster.step()
    assert cluster.gone


def test_a_lost_report_is_asked_for_again_within_bounds() -> None:
    cluster = Cluster(batch())
    for _ in range(4):
        cluster.settle()
        cluster.end("plan")
        cluster.step()
    assert cluster.status["phase"] == "Failed"
    assert "without leaving a report" in cluster.status["message"]


def test_what_it_needs_of_secrets() -> None:
    assert required_secrets(batch(), DEFAULTS) == {"reader", "writer", "store"}
    with_table = batch({"output": {"uri": OUTPUT, "postgres": POSTGRES}})
    assert required_secrets(with_table, DEFAULTS) == {"reader", "loader", "store"}


def test_a_table_is_told_without_its_secret_which_is_mounted() -> None:
    output = {"uri": OUTPUT, "columns": ["id"], "postgres": POSTGRES, "retention": {"keepRuns": 3}}
    cluster = Cluster(batch({"output": output}))
    cluster.settle()
    assert cluster.told("plan")["output"] == {
        "uri": OUTPUT,
        "columns": ["id"],
        "postgres": {"uri": POSTGRES["uri"], "table": "towns"},
        "retention": {"keepRuns": 3},
    }
    pod = cluster.job("plan")["spec"]["template"]["spec"]
    assert {"name": "SHOAL_SINK_SECRET_DIR", "value": "/var/run/shoal/sink"} in pod["containers"][0]["env"]
    assert [each["secret"]["secretName"] for each in pod["volumes"] if each["name"] == "sink-secret"] == ["loader"]


def test_another_table_makes_another_batch_and_another_retention_does_not() -> None:
    def identity(output: Raw) -> str:
        raw = batch({"output": {"uri": OUTPUT, **output}})
        return hash_batch(raw, ClusteringBatchSpec.model_validate(raw["spec"]))

    plain = identity({})
    assert identity({"retention": {"keepRuns": 3}}) == plain
    assert identity({"postgres": POSTGRES}) != plain
    assert identity({"postgres": POSTGRES}) == identity({"postgres": {**POSTGRES, "secretRef": {"name": "other"}}})
    assert identity({"postgres": POSTGRES}) != identity({"postgres": {**POSTGRES, "table": "other"}})


def test_a_long_name_leaves_room_for_the_index() -> None:
    assert len(names.batch_job("x" * 200, "finish", "12345678") + "-1999") <= 63


@given(st.sets(st.integers(0, 1999), min_size=1))
def test_indexes_are_counted_as_the_job_controller_writes_them(indexes: set[int]) -> None:
    text = write_indexes(sorted(indexes))
    assert count_indexes(text) == len(indexes)
    assert {index for index in range(2000) if has_index(text, index)} == indexes


@given(st.text(alphabet="0123456789,- x"))
def test_any_text_of_indexes_counts(text: str) -> None:
    assert count_indexes(text) >= 0


def write_indexes(indexes: list[int]) -> str:
    """Write as the Job controller does: 1,3-5."""
    spans: list[list[int]] = []
    for index in indexes:
        if spans and spans[-1][1] == index - 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    write: Callable[[int, int], str] = lambda first, last: f"{first}" if first == last else f"{first}-{last}"  # noqa: E731
    return ",".join(write(*span) for span in spans)
