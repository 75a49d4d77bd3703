from typing import Any

from shoal_operator.core import names
from shoal_operator.core.plan import Plan
from shoal_operator.core.snapshot import Defaults
from shoal_operator.runtime.observer import Decisions, Observer
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store
from tests.unit.runtime.fakes import FakeGateway, owned, raw

DEFAULTS = Defaults("image", "s3://bucket")
MODEL = raw("ClusteringModel", "cities", uid="model-2")
SERVING = raw(
    "ClusteringDeployment",
    "serve",
    uid="serve-2",
    metadata={"creationTimestamp": "2026-03-01T00:00:00Z"},
    spec={"modelRef": {"name": "cities"}, "traffic": {"gateway": {"name": "public"}}},
)


class NoFigures:
    def windows(self, deployment: Any) -> dict[str, Any]:
        return {}


class NoProgress:
    def rows(self, batch: Any) -> dict[str, int]:
        return {}


def observer(*objects: dict[str, Any]) -> Observer:
    store = Store()
    for item in objects:
        store.put(item, BY_KIND[item["kind"]])
    gateway = FakeGateway(secrets={"there"}, cron_jobs={"there": {"kind": "CronJob"}, "missing": None})

    def secrets(*_: Any) -> frozenset[str]:
        return frozenset({"there", "missing"})

    def plan(*_: Any) -> Plan:
        return Plan()

    decide = Decisions(plan, secrets, plan, plan, secrets, plan, secrets)
    fed = (NoFigures(), lambda _: {}, lambda _: None, lambda _: {}, lambda _: None, NoProgress())
    return Observer(store, gateway, *fed, decide, DEFAULTS)


def namesake(item: dict[str, Any]) -> dict[str, Any]:
    item["metadata"]["ownerReferences"] = [{"kind": "x", "name": "x", "uid": "deleted"}]
    return item


def version(number: int, **metadata: Any) -> dict[str, Any]:
    return raw("ClusteringModelVersion", f"cities-v{number}", metadata=metadata, spec={"modelRef": {"name": "cities"}})


async def test_a_model_s_facts_leave_out_what_a_deleted_namesake_left() -> None:
    job = owned("Job", "train", MODEL, uid="job-1")
    pod = owned("Pod", "train-pod", MODEL, metadata={"ownerReferences": [{"kind": "Job", "uid": "job-1"}]})
    stray = owned("Pod", "old-pod", MODEL, metadata={"ownerReferences": [{"kind": "Job", "uid": "job-0"}]})
    ours = version(2, ownerReferences=[{"kind": "ClusteringModel", "uid": "model-2"}])
    restored = version(1)
    left = version(3, ownerReferences=[{"kind": "ClusteringModel", "uid": "model-1"}])
    facts = await observer(MODEL, job, namesake(owned("Job", "old", MODEL)), pod, stray, ours, restored, left).model(
        MODEL
    )
    assert [item["metadata"]["name"] for item in facts.jobs] == ["train"]
    assert [item["metadata"]["name"] for item in facts.job_pods] == ["train-pod"]
    assert [item["metadata"]["name"] for item in facts.versions] == ["cities-v1", "cities-v2"]
    assert facts.missing_secrets == {"missing"}
    assert facts.defaults is DEFAULTS


async def test_a_model_knows_the_deployments_that_refer_to_it() -> None:
    elsewhere = raw("ClusteringDeployment", "serve", "other", spec={"modelRef": {"name": "cities"}})
    another = raw("ClusteringDeployment", "towns", spec={"modelRef": {"name": "towns"}})
    pinned = raw("ClusteringDeployment", "pinned", spec={"modelRef": {"name": "cities", "version": "1"}})
    facts = await observer(MODEL, SERVING, elsewhere, another, pinned).model(MODEL)
    assert [item["metadata"]["name"] for item in facts.deployments] == ["pinned", "serve"]
    assert {item["metadata"]["namespace"] for item in facts.deployments} == {MODEL["metadata"]["namespace"]}


async def test_a_deployment_s_facts_are_its_own() -> None:
    labels = {names.REVISION: "abc", names.ROUTED: "true"}
    status = {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    pod = owned(
        "Pod",
        "serve-pod",
        SERVING,
        metadata={"labels": labels, "creationTimestamp": "2026-03-01T00:00:01Z"},
        status=status,
    )
    older = owned("Pod", "old-pod", SERVING, metadata={"creationTimestamp": "2026-02-01T00:00:00Z"})
    facts = await observer(
        MODEL,
        SERVING,
        version(1),
        owned("Deployment", "serve-abc", SERVING),
        namesake(owned("Deployment", "serve-old", SERVING)),
        owned("Service", "serve", SERVING),
        owned("GRPCRoute", "serve", SERVING),
        owned("PodDisruptionBudget", "serve-abc", SERVING),
        owned("ClusteringDecision", "serve-1a2b-00001", SERVING),
        namesake(owned("ClusteringDecision", "serve-9f9f-00001", SERVING)),
        raw("Gateway", "public"),
        pod,
        older,
    ).deployment(SERVING)
    assert facts.model is not None
    assert [item["metadata"]["name"] for item in facts.versions] == ["cities-v1"]
    assert [item["metadata"]["name"] for item in facts.workloads] == ["serve-abc"]
    assert len(facts.services) == len(facts.routes) == len(facts.budgets) == 1
    assert [item["metadata"]["name"] for item in facts.decisions] == ["serve-1a2b-00001"]
    assert facts.gateway is not None
    (only,) = facts.pods
    assert (only.name, only.revision, only.ready, only.routed, only.ip) == ("serve-pod", "abc", True, True, "10.0.0.1")


async def test_a_deployment_s_jobs_are_those_of_its_gates_and_hooks() -> None:
    labels = {"labels": {names.TASK_OF: "serve"}}
    owner = {"ownerReferences": [{"kind": "ClusteringDeployment", "uid": "serve-2"}]}
    job = raw("Job", "task", uid="job-1", metadata={**labels, **owner})
    pod = raw("Pod", "task-x", metadata={**labels, "ownerReferences": [{"kind": "Job", "uid": "job-1"}]})
    left = raw("Job", "old", metadata={**labels, "ownerReferences": [{"kind": "ClusteringDeployment", "uid": "gone"}]})
    facts = await observer(MODEL, SERVING, job, pod, left).deployment(SERVING)
    assert [item["metadata"]["name"] for item in facts.tasks] == ["task"]
    assert [item["metadata"]["name"] for item in facts.task_pods] == ["task-x"]
    assert facts.pods == (), "it serves nothing"


async def test_the_cron_jobs_that_a_window_needs_are_asked_for_and_one_that_cannot_be_read_is_left_out() -> None:
    gates = [{"name": name, "cronJob": name} for name in ("there", "missing", "forbidden")]
    spec = {**SERVING["spec"], "analysis": {"jobs": gates}}
    waiting = {**SERVING, "spec": spec}
    assert (await observer(MODEL, waiting).deployment(waiting)).cron_jobs == {}
    judged = {**waiting, "status": {"windowStartedAt": "2026-03-01T00:00:00Z"}}
    facts = await observer(MODEL, judged).deployment(judged)
    assert facts.cron_jobs == {"there": {"kind": "CronJob"}, "missing": None}


async def test_a_deployment_knows_its_group_and_whom_it_waits_for() -> None:
    member = {**SERVING, "spec": {**SERVING["spec"], "group": {"name": "eu", "promoteAfter": ["rivers", "gone"]}}}
    paris = raw("ClusteringDeployment", "paris", spec={"group": {"name": "eu"}})
    rivers = raw("ClusteringDeployment", "rivers", spec={"modelRef": {"name": "rivers"}})
    other = raw("ClusteringDeployment", "other", spec={"modelRef": {"name": "cities"}})
    elsewhere = raw("ClusteringDeployment", "paris", "elsewhere", spec={"group": {"name": "eu"}})
    world = observer(MODEL, member, paris, rivers, other, elsewhere)
    facts = await world.deployment(member)
    assert [item["metadata"]["name"] for item in facts.peers] == ["paris", "rivers"]
    assert (await world.deployment(other)).peers == ()


async def test_a_missing_model_and_gateway_are_none() -> None:
    facts = await observer(SERVING).deployment(SERVING)
    assert facts.model is None
    assert facts.gateway is None
    assert facts.versions == ()
