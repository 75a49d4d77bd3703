"""Every decision leaves one record, with what it rests on; a pass cut off and repeated leaves no second one."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_operator.api.decision import ClusteringDecisionSpec
from shoal_operator.core import names
from shoal_operator.core.plan import Plan
from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.stories import replay, told
from tests.unit.core.trials import bad_calls, good_calls, served, trying

MANUAL = {"name": "cities", "policy": "Manual"}


def last(cluster: FakeCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.decisions()[-1]["spec"]
    return found


def since(cluster: FakeCluster, count: int) -> list[dict[str, Any]]:
    return [item["spec"] for item in cluster.decisions()[count:]]


def write(cluster: FakeCluster, manager: str, fields: dict[str, Any]) -> None:
    """Let a program write fields, as the API server records it."""
    cluster.deployment["metadata"].setdefault("managedFields", []).append(
        {"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}
    )


def annotated(command: str) -> dict[str, Any]:
    return {"f:metadata": {"f:annotations": {f"f:{names.command_annotation(command)}": {}}}}


class TestOneRecordForEachDecision:
    def test_a_first_deployment_and_a_promoted_rollout(self) -> None:
        cluster = trying()
        good_calls(cluster)
        cluster.wait(61)
        cluster.settle()
        cluster.command("promote")
        cluster.settle()
        assert told(cluster.decisions()) == [
            "Started",
            "Promoted",
            "Started",
            "WeightSet",
            "WeightSet",
            "Held",
            "Advanced",
            "WeightSet",
            "Promoted",
        ]
        assert replay(cluster.decisions()) == (cluster.revision("stable"), None, 0)
        assert cluster.status["lastDecision"]["number"] == 9
        assert cluster.status["unrecorded"] == []

    def test_what_a_record_says(self) -> None:
        cluster = trying()
        old, new = cluster.status["stable"], cluster.status["candidate"]
        count = len(cluster.decisions())
        bad_calls(cluster)
        cluster.settle()
        (record,) = cluster.decisions()[count:]
        assert record["metadata"]["name"] == f"cities-{record['metadata']['name'][7:11]}-{count + 1:05d}"
        assert record["metadata"]["ownerReferences"][0]["uid"] == cluster.deployment["metadata"]["uid"]
        spec = ClusteringDecisionSpec.model_validate(record["spec"])
        assert (spec.decision, spec.reason, spec.actor.kind, spec.actor.gate) == (
            "RolledBack",
            "GateFailed",
            "Gates",
            "errorRate",
        )
        assert spec.stable is not None
        assert spec.candidate is not None
        assert (spec.stable.version, spec.stable.revision, spec.stable.digest) == (1, old["revision"], old["digest"])
        assert (spec.candidate.version, spec.candidate.digest) == (2, new["digest"])
        assert (spec.weight.before, spec.weight.after, spec.weight.actual) == (25, 0, 25)
        assert (spec.step, spec.step_count, spec.deployment) == (1, 4, "cities")
        assert spec.window_started_at is not None
        gates = {gate.gate: gate for gate in spec.gates}
        assert list(gates) == ["readiness", "errorRate", "latency"]
        errors = gates["errorRate"]
        assert (errors.verdict, errors.stable, errors.candidate) == ("fail", 0.0, 0.5)
        assert (errors.stable_samples, errors.candidate_samples, errors.limit) == (500, 500, 1.05)
        assert (gates["latency"].limit, gates["latency"].high) == (1.2, None)
        assert gates["latency"].low is not None
        assert 0 < gates["latency"].low < 1
        assert "250 of 500 calls failed" in errors.message

    def test_a_rising_weight_tells_by_which_figures_the_step_before_was_passed(self) -> None:
        cluster = trying()
        good_calls(cluster)
        cluster.wait(61)
        cluster.settle()
        rise = next(item["spec"] for item in cluster.decisions() if item["spec"]["weight"]["after"] == 50)
        assert (rise["decision"], rise["weight"]["before"], rise["actor"]["kind"]) == ("WeightSet", 25, "Gates")
        assert {gate["gate"]: gate["verdict"] for gate in rise["gates"]}["errorRate"] == "pass"

    def test_a_promotion_tells_what_the_gates_said_last(self) -> None:
        cluster = trying()
        good_calls(cluster)
        cluster.wait(61)
        cluster.settle()
        cluster.command("promote-full")
        cluster.settle()
        record = last(cluster)
        assert (record["decision"], record["weight"]["after"]) == ("Promoted", 100)
        errors = next(gate for gate in record["gates"] if gate["gate"] == "errorRate")
        assert (errors["verdict"], errors["at"][:4]) == ("pass", "2026")

    def test_a_step_is_held_once_however_often_the_gates_change_their_minds(self) -> None:
        cluster = trying()
        cluster.wait(61)
        cluster.settle()
        assert (last(cluster)["decision"], last(cluster)["reason"]) == ("Held", "GateInconclusive")
        count = len(cluster.decisions())
        for errors in (-1, 0, -1):
            cluster.figure(cluster.revision("candidate") or "", calls=10, errors=errors)
            cluster.figure(cluster.revision("stable") or "", calls=10)
            cluster.settle()
        assert len(cluster.decisions()) == count

    def test_a_failure_that_pauses(self) -> None:
        cluster = trying(onFailure="Pause")
        bad_calls(cluster)
        cluster.settle()
        record = last(cluster)
        assert (record["decision"], record["reason"]) == ("FailurePaused", "GateFailed")
        assert record["actor"] == {"kind": "Gates", "gate": "errorRate", "command": "", "name": "", "manager": ""}
        assert record["weight"] == {"before": 25, "after": 25, "actual": 25}

    def test_a_deadline_that_passes(self) -> None:
        cluster = served(progressDeadlineSeconds=60)
        cluster.versions.append(objects.version(2))
        cluster.reconcile()
        cluster.broken.add(cluster.revision("candidate") or "")
        cluster.settle()
        cluster.wait(60)
        cluster.settle()
        assert (last(cluster)["decision"], last(cluster)["actor"]["kind"]) == ("RolledBack", "Deadline")

    def test_a_candidate_that_is_no_longer_asked_for(self) -> None:
        cluster = trying()
        count = len(cluster.decisions())
        cluster.versions.append(objects.version(3))
        cluster.settle()
        taken_back, started, *_ = since(cluster, count)
        assert (taken_back["decision"], taken_back["candidate"]["version"]) == ("Withdrawn", 2)
        assert "version 3 is wanted" in taken_back["message"]
        assert (started["decision"], started["candidate"]["version"], started["actor"]["kind"]) == (
            "Started",
            3,
            "Version",
        )

    def test_spec_paused_is_a_pause_too(self) -> None:
        cluster = trying()
        count = len(cluster.decisions())
        write(cluster, "argocd-controller", {"f:spec": {"f:paused": {}}})
        cluster.change(paused=True)
        cluster.settle()
        cluster.change(paused=False)
        cluster.settle()
        paused, resumed = since(cluster, count)
        assert [paused["decision"], resumed["decision"]] == ["Paused", "Resumed"]
        assert paused["actor"]["kind"] == "Spec"
        assert paused["actor"]["manager"] == "argocd-controller"

    def test_scaling_is_no_decision(self) -> None:
        cluster = served()
        count = len(cluster.decisions())
        cluster.change(worker={"replicas": 7})
        cluster.settle()
        assert len(cluster.decisions()) == count


class TestWhoAsked:
    @pytest.mark.parametrize(
        ("command", "decision"),
        [
            ("pause", "Paused"),
            ("promote", "Advanced"),
            ("promote-full", "Advanced"),
            ("abort", "Aborted"),
        ],
    )
    def test_a_command_names_who_gave_it_and_the_program(self, command: str, decision: str) -> None:
        cluster = trying()
        count = len(cluster.decisions())
        write(cluster, "shoal-cli", annotated(command))
        cluster.command(command, "yes;by=alice@example.com")
        cluster.settle()
        record = since(cluster, count)[0]
        assert record["decision"] == decision
        assert record["actor"] == {
            "kind": "Command",
            "command": command,
            "name": "alice@example.com",
            "manager": "shoal-cli",
            "gate": "",
        }

    def test_a_command_without_a_name_has_none(self) -> None:
        cluster = trying()
        cluster.command("abort", "yes")
        cluster.settle()
        actor = last(cluster)["actor"]
        assert (actor["kind"], actor["name"], actor["manager"]) == ("Command", "", "")

    def test_approve_keeps_its_version_beside_the_name(self) -> None:
        cluster = served(modelRef=MANUAL)
        cluster.versions.append(objects.version(2))
        cluster.settle()
        count = len(cluster.decisions())
        cluster.command("approve", "2;by=bob")
        cluster.settle()
        approved, started, *_ = since(cluster, count)
        assert (approved["decision"], approved["actor"]["name"]) == ("Approved", "bob")
        assert (started["decision"], started["candidate"]["version"]) == ("Started", 2)
        assert started["actor"]["command"] == "approve"

    def test_retry_names_what_may_be_tried_again(self) -> None:
        cluster = trying()
        cluster.command("abort")
        cluster.settle()
        count = len(cluster.decisions())
        cluster.command("retry", "yes;by=carol")
        cluster.settle()
        retried, started, *_ = since(cluster, count)
        assert (retried["decision"], retried["candidate"]["version"]) == ("Retried", 2)
        assert (started["decision"], started["actor"]["name"]) == ("Started", "carol")

    def test_the_writer_of_a_pinned_version_is_told(self) -> None:
        cluster = served()
        cluster.versions.append(objects.version(2))
        write(cluster, "kubectl-client-side-apply", {"f:spec": {"f:modelRef": {"f:version": {}}}})
        cluster.change(modelRef={"name": "cities", "version": "2"})
        cluster.settle()
        started = next(item["spec"] for item in reversed(cluster.decisions()) if item["spec"]["decision"] == "Started")
        assert (started["actor"]["kind"], started["actor"]["manager"]) == ("Spec", "kubectl-client-side-apply")

    def test_a_long_name_is_cut(self) -> None:
        cluster = trying()
        cluster.command("abort", f"yes;by={'x' * 10_000}")
        cluster.settle()
        assert len(last(cluster)["actor"]["name"]) == 256


class TestWrittenOnce:
    def test_the_record_is_remembered_with_the_decision_and_written_after_it(self) -> None:
        cluster = trying()
        count = len(cluster.decisions())
        bad_calls(cluster)
        plan = plan_deployment(cluster.snapshot(), cluster.now)
        for action in plan.actions:
            cluster.act(action)
        assert len(cluster.decisions()) == count, "nothing is told of a decision that has not taken effect"
        cluster.execute(Plan(status=plan.status), cluster.version)
        assert len(cluster.decisions()) == count, "the operator was cut off before it told"
        assert [item["decision"] for item in cluster.status["unrecorded"]] == ["RolledBack"]
        cluster.settle()
        assert told(cluster.decisions()[count:]) == ["RolledBack"]
        assert cluster.status["unrecorded"] == []

    def test_a_decision_that_is_overtaken_leaves_no_record(self) -> None:
        cluster = trying()
        count = len(cluster.decisions())
        bad_calls(cluster)
        plan, seen = plan_deployment(cluster.snapshot(), cluster.now), cluster.version
        cluster.command("abort")
        assert not cluster.execute(plan, seen)
        cluster.settle()
        assert told(cluster.decisions()[count:]) == ["Aborted"]

    def test_records_that_cannot_be_written_delay_no_rollout(self) -> None:
        cluster = served()
        count = len(cluster.decisions())
        cluster.takes_records = False
        cluster.versions.append(objects.version(2))
        cluster.settle()
        cluster.command("promote-full")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert len(cluster.decisions()) == count
        plan = plan_deployment(cluster.snapshot(), cluster.now)
        assert plan.requeue_after is not None
        assert plan.requeue_after <= 10, "it is tried again by itself"
        cluster.takes_records = True
        cluster.settle()
        assert replay(cluster.decisions())[0] == cluster.revision("stable")

    def test_a_lost_status_does_not_use_a_number_twice(self) -> None:
        cluster = trying()
        count = len(cluster.decisions())
        cluster.deployment["status"] = {}
        cluster.settle()
        numbers = [item["spec"]["number"] for item in cluster.decisions()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > count

    def test_a_namesake_s_records_have_other_names(self) -> None:
        assert names.decision("cities", "uid-1", 1) != names.decision("cities", "uid-2", 1)
        assert len(names.decision("c" * 63, "uid-1", 123_456)) <= 63

    @settings(deadline=None)
    @given(cuts=st.lists(st.integers(0, 40), max_size=12))
    def test_however_a_pass_is_cut_off_the_story_is_told_once(self, cuts: list[int]) -> None:
        cluster = FakeCluster(
            objects.deployment(
                {"strategy": {"blueGreen": {"steps": 2, "intervalSeconds": 0}}, "worker": {"replicas": 2}}
            ),
            [objects.version(1)],
        )
        for number, cut in enumerate(cuts):
            plan = plan_deployment(cluster.snapshot(), cluster.now)
            whole = (*plan.actions, None, *plan.clean_up)
            for action in whole[:cut]:
                if action is None:
                    cluster.execute(Plan(status=plan.status), cluster.version)
                else:
                    cluster.act(action)
            cluster.run_controllers()
            cluster.make_ready()
            if number == 5:
                cluster.versions.append(objects.version(2))
        cluster.versions[1:] = [objects.version(2)]
        cluster.settle()
        cluster.wait(1)
        cluster.settle()
        good_calls(cluster)
        cluster.command("promote-full")
        cluster.settle()
        assert replay(cluster.decisions()) == (cluster.revision("stable"), None, 0)
        assert cluster.status["stable"]["version"] == 2


class TestRetention:
    def test_the_oldest_go_and_the_numbers_go_on(self) -> None:
        cluster = served(decisionsLimit=5)
        for number in range(2, 6):
            cluster.versions.append(objects.version(number))
            cluster.settle()
            cluster.command("promote-full")
            cluster.settle()
        numbers = [item["spec"]["number"] for item in cluster.decisions()]
        assert numbers == list(range(numbers[-1] - 4, numbers[-1] + 1))
        assert numbers[-1] == cluster.status["lastDecision"]["number"] > 10

    def test_a_lowered_limit_deletes_a_few_at_a_time(self) -> None:
        cluster = served()
        for count in range(40):
            cluster.command("pause" if count % 2 else "resume", str(count))
            cluster.settle()
        held = len(cluster.decisions())
        assert held > 30
        cluster.change(decisionsLimit=1)
        plan = cluster.reconcile()
        assert len([action for action in plan.clean_up if type(action).__name__ == "Delete"]) == 10
        assert len(cluster.decisions()) == held - 10
        cluster.settle()
        assert len(cluster.decisions()) == 1


class TestEvents:
    def test_an_event_names_the_record_of_its_decision(self) -> None:
        cluster = trying()
        bad_calls(cluster)
        cluster.settle()
        event = next(item for item in cluster.events if item.reason == "RolledBack")
        assert event.record == cluster.decisions()[-1]["metadata"]["name"]

    def test_a_weight_is_told_when_the_router_has_it_and_names_the_record_of_before(self) -> None:
        cluster = trying()
        told = next(item for item in cluster.events if "gets 25 %" in item.message)
        record = next(item for item in cluster.decisions() if item["spec"]["weight"]["after"] == 25)
        assert (record["spec"]["decision"], told.record) == ("WeightSet", record["metadata"]["name"])

    def test_an_abort_names_its_record_too(self) -> None:
        cluster = trying()
        cluster.command("abort")
        cluster.settle()
        event = next(item for item in cluster.events if item.reason == "RolledBack")
        assert event.record == cluster.status["lastDecision"]["name"]


class TestBlocked:
    """What was rolled back stays so until retry, whatever is applied again."""

    @pytest.mark.parametrize(
        "edit",
        [
            lambda cluster: cluster.change(),
            lambda cluster: cluster.change(modelRef={"name": "cities", "version": "2"}),
            lambda cluster: cluster.change(worker={"replicas": 5}),
            lambda cluster: cluster.deployment["metadata"].update(labels={"team": "a"}),
            lambda cluster: cluster.command("resume"),
            lambda cluster: cluster.wait(86_400),
        ],
        ids=["the same again", "the version by its number", "other replicas", "a label", "resume", "a day"],
    )
    def test_nothing_but_retry_tries_it_again(self, edit: Any) -> None:
        cluster = trying()
        bad_calls(cluster)
        cluster.settle()
        cluster.windows.clear()
        blocked = copy.deepcopy(cluster.status["blockedVersions"])
        count = len(cluster.decisions())
        edit(cluster)
        cluster.settle()
        cluster.now += timedelta(seconds=40)
        cluster.settle()
        assert cluster.status["blockedVersions"] == blocked
        assert cluster.revision("candidate") is None
        assert len(cluster.decisions()) == count
        cluster.command("retry")
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2
