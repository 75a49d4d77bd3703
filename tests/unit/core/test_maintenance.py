"""The store follows what the versions are to become, by one Job at a time, and nothing is lost when that fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core import names
from shoal_operator.core.manifests.maintenance_job import build_maintenance_job
from shoal_operator.core.plan import Create, Delete, Label, Plan
from shoal_operator.core.snapshot import ModelSnapshot
from shoal_operator.core.training import hash_training, plan_model
from tests.unit.core import objects

Raw = dict[str, Any]
SUCCEEDED = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


@dataclass
class Store:
    """A model with trained versions, its Jobs, and what they did to the store."""

    model: Raw
    versions: list[Raw]
    deployments: list[Raw] = field(default_factory=list)
    jobs: list[Raw] = field(default_factory=list)
    pods: list[Raw] = field(default_factory=list)
    missing: frozenset[str] = frozenset()
    now: datetime = objects.NOW

    def reconcile(self) -> Plan:
        snapshot = ModelSnapshot(
            self.model,
            jobs=tuple(self.jobs),
            job_pods=tuple(self.pods),
            versions=tuple(self.versions),
            deployments=tuple(self.deployments),
            missing_secrets=self.missing,
            defaults=objects.DEFAULTS,
        )
        plan = plan_model(snapshot, self.now)
        for action in (*plan.actions, *plan.clean_up):
            match action:
                case Create(manifest):
                    manifest["metadata"]["uid"] = "uid-job"
                    self.jobs.append(manifest)
                case Label(key, _, _, annotations):
                    raw = next(raw for raw in self.versions if raw["metadata"]["name"] == key.name)
                    raw["metadata"]["annotations"] |= annotations
                case Delete(key, _) if key.kind == "Job":
                    self.jobs = [job for job in self.jobs if job["metadata"]["name"] != key.name]
                    self.pods = []
                case Delete(key, _):
                    self.versions = [raw for raw in self.versions if raw["metadata"]["name"] != key.name]
        assert plan.status is not None
        self.model["status"] = plan.status.status
        return plan

    def told(self) -> list[Raw]:
        """Return the changes that the only Job is told to make."""
        [job] = self.jobs
        [container] = job["spec"]["template"]["spec"]["containers"]
        variables = {item["name"]: item["value"] for item in container["env"]}
        changes: list[Raw] = json.loads(variables["SHOAL_MAINTENANCE_SPEC"])["changes"]
        return changes

    def end(self, status: Raw, message: str, phase: str = "Succeeded") -> None:
        """Let the only Job end with a report."""
        [job] = self.jobs
        job["status"] = status
        pod = objects.terminated(message) | {"phase": phase}
        owner = [{"name": job["metadata"]["name"], "uid": "uid-job"}]
        self.pods = [{"metadata": objects.metadata("pod", ownerReferences=owner), "status": pod}]

    def succeed(self) -> None:
        changes = [{"version": change["version"], "to": change["to"]} for change in self.told()]
        self.end(SUCCEEDED, json.dumps({"outcome": "Succeeded", "changes": changes}))

    def record(self, number: int) -> Raw:
        raw = next(raw for raw in self.versions if raw["spec"]["version"] == number)
        text = raw["metadata"]["annotations"].get(names.LIFECYCLE)
        return json.loads(text) if text else {}

    def degraded(self) -> Raw:
        return next(item for item in self.model["status"]["conditions"] if item["type"] == "Degraded")


@pytest.fixture
def store() -> Store:
    """Three versions of which one is kept; the newest is that of the spec."""
    model = objects.model({"retention": {"keep": 1, "deleteAfterDays": 2}})
    present = hash_training(model, ClusteringModelSpec.model_validate(model["spec"]))
    versions = [objects.version(1), objects.version(2), objects.version(3, training_hash=present)]
    return Store(model, versions)


def test_one_job_makes_all_changes_and_the_records_follow_its_report(store: Store) -> None:
    store.reconcile()
    assert [(change["version"], change["to"]) for change in store.told()] == [(1, "Archived"), (2, "Archived")]
    assert store.record(1)["wanted"] == "Archived"
    assert "stored" not in store.record(1), "not before the store has done it"
    assert store.reconcile().actions == (), "one Job at a time"
    store.succeed()
    store.reconcile()
    assert (store.record(1)["stored"], store.record(2)["stored"], store.record(3)) == ("Archived", "Archived", {})
    assert store.jobs == []
    quiet = store.reconcile()
    assert (quiet.actions, quiet.clean_up) == ((), ())
    assert quiet.requeue_after == pytest.approx(2 * 86_400), "the day of their deletion"


def test_the_job_is_restricted_and_told_no_credentials(store: Store) -> None:
    job = build_maintenance_job(
        store.model, [{"version": 1, "digest": "sha256:0", "to": "Archived"}], (), objects.DEFAULTS
    )
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["args"] == ["maintain"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert job["metadata"]["labels"][names.MODEL] == "cities"
    assert job["metadata"]["name"].startswith("cities-maintain-")


def test_a_version_goes_only_after_the_store_has_deleted_it(store: Store) -> None:
    store.reconcile()
    store.succeed()
    store.reconcile()
    store.now += timedelta(days=2)
    store.reconcile()
    assert [(change["version"], change["to"]) for change in store.told()] == [(1, "Deleted"), (2, "Deleted")]
    assert len(store.versions) == 3
    changes = [{"version": 1, "to": "Deleted"}]
    store.end(SUCCEEDED, json.dumps({"outcome": "Succeeded", "changes": changes}))
    store.reconcile()
    assert [raw["spec"]["version"] for raw in store.versions] == [2, 3], "only what was reported"


def test_a_failure_is_told_and_tried_again_after_pauses_that_double(store: Store) -> None:
    store.reconcile()
    report = objects.failure_report(reason="StoreUnavailable", field="", value="", message="no answer", transient=True)
    store.end(FAILED, report, "Failed")
    waits = []
    for _ in range(3):
        plan = store.reconcile()
        assert store.degraded()["reason"] == "MaintenanceFailed"
        assert "no answer" in store.degraded()["message"]
        assert store.model["status"]["phase"] == "Ready", "the model serves on"
        waits.append(plan.requeue_after)
        store.now += timedelta(seconds=plan.requeue_after or 0)
        store.reconcile()
        assert store.jobs == []
        store.reconcile()
        moment = store.now.isoformat()
        ended = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": moment}]}
        store.end(ended, report, "Failed")
    assert waits == [15, 30, 60]
    store.succeed()
    store.reconcile()
    assert store.model["status"]["maintenanceFailures"] == 0
    assert store.degraded()["status"] == "False"


def test_a_failed_job_of_changes_that_nobody_wants_any_more_goes_at_once(store: Store) -> None:
    store.reconcile()
    store.end(FAILED, "", "Failed")
    store.model["spec"]["retention"] = {"keep": 1, "archiveRetired": False}
    store.reconcile()
    store.reconcile()
    assert [(change["version"], change["to"]) for change in store.told()] == [(1, "Retired"), (2, "Retired")]


@pytest.mark.parametrize(
    "message", ["", "gibberish", '{"outcome": "Succeeded", "changes": [{"version": 1, "to": "Gone"}]}']
)
def test_a_lost_report_does_not_spin(store: Store, message: str) -> None:
    store.reconcile()
    store.end(SUCCEEDED, message)
    plan = store.reconcile()
    assert plan.clean_up[:1] == () or not isinstance(plan.clean_up[0], Delete)
    assert plan.requeue_after == 15
    assert store.record(1).get("stored") is None


def test_a_report_can_only_speak_of_versions_there_are(store: Store) -> None:
    store.reconcile()
    store.end(SUCCEEDED, json.dumps({"outcome": "Succeeded", "changes": [{"version": 77, "to": "Deleted"}]}))
    store.reconcile()
    assert len(store.versions) == 3


def test_a_report_deletes_nothing_that_is_not_to_be_deleted(store: Store) -> None:
    store.reconcile()
    store.end(SUCCEEDED, json.dumps({"outcome": "Succeeded", "changes": [{"version": 3, "to": "Deleted"}]}))
    store.reconcile()
    assert len(store.versions) == 3
    assert store.record(3) == {}


def test_what_a_deployment_uses_is_not_touched(store: Store) -> None:
    store.deployments = [objects.deployment({"modelRef": {"name": "cities", "version": "1"}})]
    store.reconcile()
    assert [change["version"] for change in store.told()] == [2]


def test_without_the_stores_secret_no_job_starts(store: Store) -> None:
    store.missing = frozenset({"store"})
    store.reconcile()
    assert store.jobs == []
    assert store.degraded()["reason"] == "SecretMissing"


def test_a_training_replaces_no_maintenance_and_the_other_way_round(store: Store) -> None:
    store.reconcile()
    store.model["spec"]["algorithm"] = {"dbscan": {"eps": 0.7}}
    store.reconcile()
    verbs = [job["spec"]["template"]["spec"]["containers"][0]["args"][0] for job in store.jobs]
    assert verbs == ["maintain", "train"]
