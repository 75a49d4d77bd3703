"""A schedule trains once for each of its times, once for all that were missed, and never twice at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal_operator.api.lifecycle import Retrain
from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core import names
from shoal_operator.core.plan import Create, Delete, Label, Plan
from shoal_operator.core.schedule import ScheduleError, last_time, next_time
from shoal_operator.core.snapshot import ModelSnapshot
from shoal_operator.core.training import hash_training, plan_model
from tests.unit.core import objects

Raw = dict[str, Any]
COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}


class World:
    """One model over time: its trainings end when told to."""

    def __init__(self, **retrain: Any) -> None:
        self.model = objects.model({"retrain": {"schedule": "0 * * * *", **retrain}})
        self.versions: list[Raw] = []
        self.jobs: list[Raw] = []
        self.pods: list[Raw] = []
        self.events: list[str] = []
        self.trainings = 0
        self.now = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)

    def step(self) -> Plan:
        snapshot = ModelSnapshot(
            self.model, tuple(self.jobs), tuple(self.pods), tuple(self.versions), defaults=objects.DEFAULTS
        )
        plan = plan_model(snapshot, self.now)
        for action in (*plan.actions, *plan.clean_up):
            match action:
                case Create(manifest) if manifest["kind"] == "Job":
                    self.trainings += 1
                    manifest["metadata"]["uid"] = f"uid-{self.trainings}"
                    self.jobs.append(manifest)
                case Create(manifest):
                    manifest["status"] = {}
                    self.versions.append(manifest)
                case Delete(key, _):
                    self.jobs = [job for job in self.jobs if job["metadata"]["name"] != key.name]
                case Label(_, _, _, annotations):
                    self.model["metadata"]["annotations"] |= annotations
                case _:
                    self.events.append(getattr(action, "reason", ""))
        assert plan.status is not None
        self.model["status"] = plan.status.status
        return plan

    def settle(self) -> Plan:
        for _ in range(12):
            before = (repr(self.model), len(self.jobs), len(self.versions))
            plan = self.step()
            if before == (repr(self.model), len(self.jobs), len(self.versions)):
                return plan
        raise AssertionError("does not settle")

    def finish(self, **report: Any) -> None:
        """Let the only Job succeed; with a digest of its own for each training unless told otherwise."""
        [job] = self.jobs
        digest = f"{self.trainings:064x}"
        artifact = {"uri": f"{objects.STORE}/artifacts/sha256-{digest}", "digest": f"sha256:{digest}", "bytes": 1}
        told = {"artifact": artifact, "version": len(self.versions) + 1, **report}
        job["status"] = COMPLETE
        owner = [{"name": job["metadata"]["name"]}]
        status = objects.terminated(objects.success_report(**told)) | {"phase": "Succeeded"}
        self.pods = [{"metadata": objects.metadata("pod", ownerReferences=owner), "status": status}]
        self.settle()

    def at(self, hour: int, minute: int = 0) -> None:
        self.now = datetime(2026, 1, 1, hour, minute, tzinfo=UTC)
        self.settle()

    @property
    def retrain(self) -> Raw:
        found: Raw = self.model["status"]["retrain"]
        return found


@pytest.fixture
def world() -> World:
    """A model whose first version is trained at half past twelve, scheduled for each full hour."""
    world = World()
    world.settle()
    world.finish()
    assert len(world.versions) == 1
    return world


def test_it_says_when_it_comes_and_looks_again_then(world: World) -> None:
    plan = world.step()
    assert world.retrain == {"nextScheduled": "2026-01-01T01:00:00.000Z"}
    assert plan.requeue_after == 1800
    assert world.trainings == 1, "not for a time before the schedule was there"


def test_each_time_trains_once(world: World) -> None:
    for hour in (1, 2, 3):
        world.at(hour)
        world.finish()
        world.settle()
    assert (world.trainings, len(world.versions)) == (4, 4)
    assert world.retrain == {
        "lastScheduled": "2026-01-01T03:00:00.000Z",
        "nextScheduled": "2026-01-01T04:00:00.000Z",
    }


def test_missed_times_train_once(world: World) -> None:
    world.at(5, 20)
    world.finish()
    world.settle()
    assert world.trainings == 2
    assert world.retrain["lastScheduled"] == "2026-01-01T05:00:00.000Z"


def test_a_time_that_comes_while_a_training_runs_is_skipped_and_told(world: World) -> None:
    world.at(1)
    running = world.jobs[0]["metadata"]["name"]
    world.at(2)
    assert [job["metadata"]["name"] for job in world.jobs] == [running]
    assert world.events.count("TrainingSkipped") == 1
    assert world.retrain["nextScheduled"] == "2026-01-01T03:00:00.000Z"
    world.finish()
    assert len(world.versions) == 2


def test_a_training_that_failed_is_tried_again_at_the_next_time(world: World) -> None:
    world.at(1)
    world.jobs[0]["status"] = FAILED
    world.settle()
    assert world.model["status"]["phase"] == "Failed"
    world.at(2)
    world.finish()
    assert world.model["status"]["phase"] == "Ready"


def test_data_that_did_not_change_gives_no_version_and_is_told_once(world: World) -> None:
    world.at(1)
    first = world.versions[0]["spec"]
    world.finish(artifact=first["artifact"], version=1)
    assert len(world.versions) == 1
    assert world.events.count("Unchanged") == 1
    progressing = next(item for item in world.model["status"]["conditions"] if item["type"] == "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "Unchanged")
    world.jobs, world.pods = [], []
    world.settle()
    assert (world.trainings, world.events.count("Unchanged")) == (2, 1), "known without its Job too"
    world.at(2)
    assert world.trainings == 3


def test_a_spec_changed_while_training_replaces_the_training(world: World) -> None:
    world.at(1)
    old = world.jobs[0]["metadata"]["name"]
    world.model["spec"]["algorithm"] = {"dbscan": {"eps": 0.7}}
    world.model["metadata"]["generation"] = 2
    world.settle()
    assert [job["metadata"]["name"] == old for job in world.jobs] == [False]
    world.finish()
    assert world.versions[-1]["spec"]["version"] == 2


def test_a_lost_status_trains_nothing_anew_but_catches_up(world: World) -> None:
    world.at(1)
    world.finish()
    world.jobs, world.pods, world.model["status"] = [], [], {}
    world.at(1, 30)
    assert world.trainings == 2
    world.model["status"] = {}
    world.at(4, 30)
    assert world.trainings == 3


def test_suspended_it_rests_and_its_times_are_gone(world: World) -> None:
    world.model["spec"]["retrain"]["suspend"] = True
    world.model["metadata"]["generation"] = 2
    world.at(3)
    assert "nextScheduled" not in world.retrain
    world.model["spec"]["retrain"]["suspend"] = False
    world.model["metadata"]["generation"] = 3
    world.at(3, 30)
    assert world.trainings == 1
    assert world.retrain["nextScheduled"] == "2026-01-01T04:00:00.000Z"


def test_taking_the_schedule_away_trains_nothing(world: World) -> None:
    world.at(1)
    world.finish()
    del world.model["spec"]["retrain"]
    world.model["metadata"]["generation"] = 2
    world.at(9)
    assert world.trainings == 2
    assert "retrain" not in world.model["status"]


@pytest.mark.parametrize(
    ("retrain", "field"),
    [
        ({"schedule": "61 * * * *"}, "spec.retrain.schedule"),
        ({"schedule": "0 0 31 2 *"}, "spec.retrain.schedule"),
        ({"timeZone": "Mars/Olympus"}, "spec.retrain.timeZone"),
        ({"timeZone": "Europe"}, "spec.retrain.timeZone"),
    ],
)
def test_a_schedule_without_a_time_is_told_while_the_rest_goes_on(retrain: Raw, field: str) -> None:
    world = World(**retrain)
    world.settle()
    assert world.trainings == 1
    degraded = next(item for item in world.model["status"]["conditions"] if item["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "InvalidSpec")
    assert degraded["message"].startswith(field)


@pytest.mark.parametrize("schedule", ["", "* * * *", "* * * * * *", "@never", "0 0 * * *\n", "a b c d e; rm"])
def test_what_is_no_cron_expression_is_refused(schedule: str) -> None:
    with pytest.raises(ValidationError):
        Retrain(schedule=schedule)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("0 3 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
        ("0 3 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        ("@monthly", "UTC", "2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z"),
        ("0 12 * * MON-FRI", "UTC", "2026-01-03T00:00:00Z", "2026-01-05T12:00:00Z"),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
    ],
)
def test_times_across_zones_and_months(schedule: str, zone: str, after: str, expected: str) -> None:
    found = next_time(Retrain(schedule=schedule, time_zone=zone), datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(expected)


@given(
    st.sampled_from(["* * * * *", "*/7 3 * * *", "0 0 1 * *", "15,45 6-9 * * 1-5", "@hourly", "0 0 29 2 *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
)
def test_now_lies_between_the_last_and_the_next_time(schedule: str, zone: str, naive: datetime) -> None:
    retrain, now = Retrain(schedule=schedule, time_zone=zone), naive.replace(tzinfo=UTC)
    assert last_time(retrain, now) <= now < next_time(retrain, now)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_schedule_or_refused(schedule: str, zone: str) -> None:
    try:
        retrain = Retrain(schedule=schedule, time_zone=zone)
        assert next_time(retrain, objects.NOW) > objects.NOW - timedelta(seconds=1)
    except (ValidationError, ScheduleError):
        pass


def test_the_scheduled_time_is_part_of_the_identity() -> None:
    plain, ticked = objects.model(), objects.model(annotations={names.SCHEDULED: "2026-01-01T00:00:00.000Z"})
    spec = ClusteringModelSpec.model_validate(plain["spec"])
    assert hash_training(plain, spec) != hash_training(ticked, spec)
