import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.plan import Apply, Create, Delete, Emit, Finalize, Label, Plan, Record, StatusWrite
from shoal_operator.core.snapshot import Defaults
from shoal_operator.errors import ApiError, Conflict, LeaseLost, NamespaceGoing, Unreachable
from shoal_operator.runtime.controller import Controller
from shoal_operator.runtime.metrics import Metrics
from shoal_operator.runtime.observer import Observer
from shoal_operator.runtime.queue import WorkQueue
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store
from tests.unit.runtime.fakes import FakeGateway, ManualClock, decisions, raw

KEY = ObjectKey("ClusteringDeployment", "ns", "one")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class NoProgress:
    def rows(self, batch: Any) -> dict[str, int]:
        return {}


class NoFigures:
    def windows(self, deployment: Any) -> dict[str, Any]:
        return {}


class Bench:
    """A controller over fakes, with one ClusteringDeployment in the store."""

    def __init__(self, plan: Plan | Exception, **parts: Any) -> None:
        self.clock = ManualClock()
        self.queue: WorkQueue[ObjectKey] = WorkQueue(self.clock, lambda: 0.0)
        self.store = Store()
        self.gateway = FakeGateway()
        self.metrics = Metrics()
        decide = decisions(plan)
        observer = Observer(
            self.store,
            self.gateway,
            NoFigures(),
            lambda _: {},
            lambda _: None,
            lambda _: {},
            lambda _: None,
            NoProgress(),
            decide,
            Defaults("image", "s3://b"),
        )
        self.controller = Controller(self.queue, self.store, observer, self.gateway, decide, self.metrics, lambda: NOW)
        self.put(raw("ClusteringDeployment", **parts))

    def put(self, item: dict[str, Any]) -> None:
        self.store.put(item, BY_KIND[item["kind"]])

    def outcome(self, name: str) -> float | None:
        labels = {"kind": KEY.kind, "outcome": name}
        return self.metrics.registry.get_sample_value("shoal_operator_reconciles_total", labels)

    def due_in(self) -> float | None:
        for step in range(7000):
            if self.queue.depth():
                return step / 100
            self.clock.seconds += 0.01
        return None


def service(namespace: str = "ns") -> dict[str, Any]:
    return raw("Service", "child", namespace)


async def test_a_pass_executes_the_plan_in_its_order_and_the_status_before_the_clean_up() -> None:
    other = ObjectKey("Pod", "ns", "pod")
    plan = Plan(
        actions=(
            Create(service()),
            Apply(service()),
            Label(other, "u", {"a": "b"}),
            Delete(other, "u"),
            Emit("Normal", "Promoted", "done"),
        ),
        status=StatusWrite(KEY, {"phase": "Healthy"}),
        clean_up=(Label(KEY, "uid-ClusteringDeployment-one", annotations={"shoal.dev/abort": None}),),
        requeue_after=5,
    )
    bench = Bench(plan)
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == [
        ("create", "child"),
        ("apply", "child"),
        ("label", "pod", None),
        ("delete", "pod", "u"),
        ("emit", "Promoted"),
        ("status", {"phase": "Healthy"}, "1"),
        ("label", "one", "written"),
    ]
    assert bench.due_in() == pytest.approx(5, abs=0.02)
    assert bench.outcome("ok") == 1


async def test_a_record_that_cannot_be_written_holds_nothing_up() -> None:
    plan = Plan(clean_up=(Record(service()), Emit("Normal", "Promoted", "done")), requeue_after=5)
    bench = Bench(plan)
    bench.gateway.failures.append(ApiError(403, "Forbidden", "exceeded quota"))
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == [("emit", "Promoted")]
    assert bench.due_in() == pytest.approx(5, abs=0.02)
    assert bench.outcome("ok") == 1


async def test_a_label_on_the_object_itself_moves_the_precondition_of_the_status() -> None:
    label = Label(KEY, "uid-ClusteringDeployment-one", annotations={"shoal.dev/stable": "{}"})
    bench = Bench(Plan(actions=(label,), status=StatusWrite(KEY, {"phase": "x"})))
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == [("label", "one", "1"), ("status", {"phase": "x"}, "labelled")]


async def test_a_status_that_is_there_already_is_not_written() -> None:
    bench = Bench(Plan(status=StatusWrite(KEY, {"phase": "x"})), status={"phase": "x"})
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == []


async def test_a_conflict_comes_again_at_once_and_stops_the_pass() -> None:
    bench = Bench(Plan(actions=(Apply(service()), Emit("Normal", "Promoted", "x"))))
    bench.gateway.failures.append(Conflict(409, "Conflict", "stale"))
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == []
    assert bench.due_in() == pytest.approx(0.05, abs=0.02)
    assert bench.queue.failures(KEY) == 0


async def test_conflicts_without_end_back_off() -> None:
    bench = Bench(Plan(actions=(Apply(service()),)))
    bench.gateway.failures.extend(Conflict(409, "Conflict", "stale") for _ in range(9))
    for _ in range(9):
        await bench.controller.reconcile(KEY)
    assert bench.queue.failures(KEY) == 4


async def test_a_refusal_that_stays_shows_on_the_object_at_once() -> None:
    bench = Bench(
        Plan(actions=(Apply(service()),)),
        metadata={"generation": 3},
        status={"phase": "Healthy", "conditions": [{"type": "Ready", "status": "True"}]},
    )
    bench.gateway.failures.append(ApiError(422, "Invalid", "spec.x: too large"))
    await bench.controller.reconcile(KEY)
    ((verb, status, version),) = bench.gateway.calls
    assert (verb, version, status["phase"]) == ("status", "1", "Healthy")
    ready, degraded = status["conditions"]
    assert ready == {"type": "Ready", "status": "True"}
    assert degraded["reason"] == "ReconcileFailed"
    assert degraded["observedGeneration"] == 3
    assert "spec.x: too large" in degraded["message"]
    bench.put(raw("ClusteringDeployment", metadata={"generation": 3, "resourceVersion": "2"}, status=status))
    bench.gateway.failures.append(ApiError(422, "Invalid", "spec.x: too large"))
    await bench.controller.reconcile(KEY)
    assert len(bench.gateway.calls) == 1, "the same failure again writes nothing"


async def test_a_passing_failure_shows_only_when_it_persists() -> None:
    bench = Bench(Plan(actions=(Apply(service()),)))
    for _ in range(3):
        bench.gateway.failures.append(Unreachable("no answer"))
        await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == []
    bench.gateway.failures.append(Unreachable("no answer"))
    await bench.controller.reconcile(KEY)
    assert [call[0] for call in bench.gateway.calls] == ["status"]


async def test_an_event_that_is_refused_does_not_stop_the_pass() -> None:
    plan = Plan(actions=(Emit("Normal", "Promoted", "x"), Apply(service())), status=StatusWrite(KEY, {"phase": "x"}))
    bench = Bench(plan)
    bench.gateway.failures.append(ApiError(403, "Forbidden", "no permission"))
    await bench.controller.reconcile(KEY)
    assert [call[0] for call in bench.gateway.calls] == ["apply", "status"]
    assert bench.outcome("ok") == 1


async def test_an_optional_object_that_is_refused_is_told_and_does_not_stop_the_pass() -> None:
    bench = Bench(Plan(actions=(Create(service(), optional=True),), status=StatusWrite(KEY, {"phase": "x"})))
    bench.gateway.failures.append(ApiError(403, "Forbidden", "exceeded quota: jobs"))
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == [("emit", "JobRefused"), ("status", {"phase": "x"}, "1")]
    bench.gateway.calls.clear()
    bench.gateway.failures.append(NamespaceGoing(403, "Forbidden", "being terminated"))
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == []


async def test_members_of_a_group_never_have_a_pass_at_once_and_hold_no_worker_up() -> None:
    spec = {"modelRef": {"name": "cities"}, "group": {"name": "eu"}}
    bench = Bench(Plan(actions=(Apply(service()),)), spec=spec)
    bench.put(raw("ClusteringDeployment", "two", spec=spec))
    bench.put(raw("ClusteringDeployment", "other", spec={**spec, "group": {"name": "us"}}))
    going, entered = asyncio.Event(), asyncio.Event()

    async def apply(owner: ObjectKey, manifest: Any) -> None:
        entered.set()
        await going.wait()
        bench.gateway.calls.append(("applied", owner.name))

    bench.gateway.apply = apply  # type: ignore[method-assign]
    first = asyncio.create_task(bench.controller.reconcile(KEY))
    await entered.wait()
    await bench.controller.reconcile(KEY._replace(name="two"))
    assert bench.outcome("deferred") == 1
    third = asyncio.create_task(bench.controller.reconcile(KEY._replace(name="other")))
    going.set()
    await asyncio.gather(first, third)
    assert sorted(bench.gateway.calls) == [("applied", "one"), ("applied", "other")]
    assert bench.due_in() == pytest.approx(0.05, abs=0.02), "the other member comes again"
    await bench.controller.reconcile(KEY._replace(name="two"))
    assert bench.gateway.calls[-1] == ("applied", "two")


async def test_a_clean_up_that_is_refused_waits_its_turn_and_leaves_the_status_alone() -> None:
    clean_up = Label(KEY, "uid-ClusteringDeployment-one", annotations={"shoal.dev/abort": None})
    bench = Bench(Plan(clean_up=(clean_up,)))
    for _ in range(5):
        bench.gateway.failures.append(ApiError(403, "Forbidden", "no"))
        await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == [], "a status write would be an event, and so the next pass at once"
    assert bench.queue.failures(KEY) == 5
    assert bench.outcome("error") == 5


@pytest.mark.parametrize(
    "plan",
    [
        Plan(actions=(Apply(service()), Apply(service()))),
        Plan(actions=(Create(service(), optional=True), Apply(service()))),
        Plan(actions=(Emit("Normal", "Promoted", "x"), Emit("Warning", "RolledBack", "y"), Apply(service()))),
        Plan(clean_up=(Record(service()), Emit("Normal", "Promoted", "x"))),
        Plan(clean_up=(Emit("Normal", "Promoted", "x"), Emit("Warning", "RolledBack", "y"))),
    ],
    ids=["apply", "optional create", "events", "record", "events after the status"],
)
async def test_a_namespace_that_is_being_deleted_ends_the_pass_and_nothing_is_said(plan: Plan) -> None:
    bench = Bench(plan)
    for _ in range(16):
        bench.gateway.failures.append(NamespaceGoing(403, "Forbidden", "being terminated"))
        with structlog.testing.capture_logs() as logs:
            await bench.controller.reconcile(KEY)
        assert {line["log_level"] for line in logs} <= {"debug", "info"}
    assert [call for call in bench.gateway.calls if call[0] != "status"] == [], "the first refusal ends the pass"
    assert (bench.outcome("deleting"), bench.outcome("error")) == (16, None)
    assert bench.queue.failures(KEY) == 0
    assert bench.due_in() is None, "the watch brings the end"


async def test_the_server_s_retry_after_is_honoured() -> None:
    bench = Bench(Plan(actions=(Apply(service()),)))
    bench.gateway.failures.append(ApiError(429, "TooManyRequests", "busy", retry_after=12))
    await bench.controller.reconcile(KEY)
    assert bench.due_in() == pytest.approx(12, abs=0.02)


async def test_an_object_that_the_core_cannot_read_is_reported_and_spoils_nothing() -> None:
    bench = Bench(KeyError("spec"))
    await bench.controller.reconcile(KEY)
    ((_, status, _),) = bench.gateway.calls
    assert "KeyError" in status["conditions"][0]["message"]
    assert bench.outcome("error") == 1


async def test_a_lost_lease_ends_the_worker_at_once() -> None:
    bench = Bench(Plan(actions=(Apply(service()),)))
    bench.gateway.failures.append(LeaseLost("gone"))
    bench.queue.add(KEY)
    with pytest.raises(LeaseLost):
        await bench.controller.work()


@pytest.mark.parametrize(
    "action",
    [
        Apply(service("other")),
        Create(service("other")),
        Delete(ObjectKey("Service", "other", "x"), "u"),
        Label(ObjectKey("Pod", "other", "x"), "u", {"a": "b"}),
        Delete(ObjectKey("ConfigMap", "ns", "x"), "u"),
    ],
    ids=["apply", "create", "delete", "label", "foreign kind"],
)
async def test_a_plan_that_reaches_out_of_its_namespace_is_refused(action: Any) -> None:
    bench = Bench(Plan(actions=(action,)))
    await bench.controller.reconcile(KEY)
    assert [call[0] for call in bench.gateway.calls] == ["status"]


async def test_an_object_that_goes_with_a_consumer_to_delete_is_planned_for() -> None:
    metadata = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names.CONSUMER_FINALIZER]}
    bench = Bench(Plan(actions=(Finalize(KEY, "uid-one", ("theirs",)),)), metadata=metadata)
    await bench.controller.reconcile(KEY)
    assert [call[:2] for call in bench.gateway.calls] == [("finalize", "one")]
    assert bench.outcome("deleting") == 1
    elsewhere = Finalize(KEY._replace(namespace="other"), "uid", ())
    bench = Bench(Plan(actions=(elsewhere,)))
    await bench.controller.reconcile(KEY)
    assert bench.outcome("error") == 1


async def test_a_namespace_that_goes_is_not_held_up_by_a_consumer() -> None:
    metadata = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["theirs", names.CONSUMER_FINALIZER]}
    job = raw("Job", "farewell")
    bench = Bench(Plan(actions=(Create(job),)), metadata=metadata)
    bench.gateway.failures.append(NamespaceGoing(403, "Forbidden", "being terminated"))
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls[-1][:2] == ("finalize", "one")
    assert bench.gateway.calls[-1][2][0] == ("theirs",)


async def test_an_object_that_is_gone_is_forgotten_and_one_that_goes_is_left_alone() -> None:
    bench = Bench(Plan(actions=(Apply(service()),)), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == []
    await bench.controller.reconcile(KEY._replace(name="gone"))
    assert bench.gateway.calls == [("forget", "gone")]


async def test_a_resync_forgets_what_was_applied_until_a_pass_succeeds() -> None:
    bench = Bench(Plan(actions=(Apply(service()),)))
    bench.controller.apply_anew(KEY)
    bench.gateway.failures.append(Unreachable("no answer"))
    await bench.controller.reconcile(KEY)
    await bench.controller.reconcile(KEY)
    await bench.controller.reconcile(KEY)
    assert bench.gateway.calls == [("forget", "one"), ("forget", "one"), ("apply", "child"), ("apply", "child")]
