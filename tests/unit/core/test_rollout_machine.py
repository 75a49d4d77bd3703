"""Whatever happens in whatever order, the rollout keeps its promises and comes to rest.

A hypothesis state machine over the fake cluster: users change their minds, pods come and go, the operator is cut off
in the middle of a plan or sees an old picture, gates get any figures.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.core import names
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.facts import timestamp
from shoal_operator.core.plan import Plan
from shoal_operator.core.progress import read_record
from shoal_operator.core.retiring import MOST_STANDING_BY
from shoal_operator.core.rollout import build_schedule, plan_deployment
from shoal_operator.core.versions import known_versions
from tests.unit.core import capacity, objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.stories import replay

GATEWAY = {"router": "Gateway", "gateway": {"name": "gateway"}}
STRATEGIES: list[dict[str, Any]] = [
    {"canary": {"steps": [{"setWeight": 10}, {"pause": {"durationSeconds": 20}}, {"setWeight": 60}, {"pause": {}}]}},
    {"canary": {"steps": [{"setWeight": 100}], "scaleDownDelaySeconds": 0}},
    {"blueGreen": {"steps": 3, "intervalSeconds": 10}},
    {"canary": {"steps": [{"shadow": {"durationSeconds": 20}}, {"setWeight": 50}, {"pause": {"durationSeconds": 20}}]}},
    {"blueGreen": {"steps": 2, "intervalSeconds": 10, "prePromotion": {"durationSeconds": 20}}},
    {"blueGreen": {"steps": 1, "intervalSeconds": 0, "autoPromotion": False}},
    {
        "canary": {
            "steps": [
                {"setScale": {"percent": 80}},
                {"setWeight": 20},
                {"analysis": {"maxSeconds": 30}},
                {"setScale": {"matchWeight": True}},
                {"pause": {"durationSeconds": 5}},
            ]
        }
    },
    {"blueGreen": {"steps": 2, "intervalSeconds": 0, "autoPromotionSeconds": 5, "standby": {"revisions": 1}}},
    {"blueGreen": {"steps": 1, "postPromotion": {"durationSeconds": 5}, "standby": {"revisions": 2, "replicas": 1}}},
    {"canary": {"steps": [{"setWeight": 40}], "scaleDownDelaySeconds": 5, "rollbackWindow": {"revisions": 2}}},
]
BY_GATEWAY_ONLY: dict[str, Any] = {
    "canary": {
        "steps": [
            {"mirror": {"percent": 70, "durationSeconds": 10}},
            {"setHeader": {"name": "x-tester", "value": "yes"}},
            {"pause": {"durationSeconds": 5}},
            {"setWeight": 40},
            {"pause": {"durationSeconds": 5}},
        ],
        "scaleDownDelaySeconds": 0,
    }
}
PLANS = [
    *({"strategy": strategy, "traffic": traffic} for strategy in STRATEGIES for traffic in ({}, GATEWAY)),
    {"strategy": BY_GATEWAY_ONLY, "traffic": GATEWAY},
]
ANALYSIS: dict[str, Any] = {"agreement": {"min": 0.9}}


class Rollout(RuleBasedStateMachine):
    """One deployment's life."""

    @initialize(plan=st.sampled_from(PLANS), replicas=st.integers(1, 5))
    def begin(self, plan: dict[str, Any], replicas: int) -> None:
        spec = {**plan, "worker": {"replicas": replicas}, "analysis": ANALYSIS, "decisionsLimit": 1000}
        self.cluster = FakeCluster(objects.deployment(spec), [objects.version(1)])
        self.old_view: Any = None
        self.cluster.settle()

    # The operator

    @rule()
    def reconcile(self) -> None:
        before = copy.deepcopy(self.cluster.status)
        self._run(plan_deployment(self.cluster.snapshot(), self.cluster.now), self.cluster.version)
        self._promises_after_a_whole_pass()
        self._promises_of_what_stands_by()
        self._promises_of_a_new_candidate(before)

    @rule(cut=st.integers(0, 12))
    def reconcile_cut_off(self, cut: int) -> None:
        plan = plan_deployment(self.cluster.snapshot(), self.cluster.now)
        self._run(plan, self.cluster.version, min(cut, len(plan.actions)))

    @rule()
    def reconcile_without_clean_up(self) -> None:
        plan = plan_deployment(self.cluster.snapshot(), self.cluster.now)
        self._run(replace(plan, clean_up=()), self.cluster.version)

    @rule()
    def look(self) -> None:
        self.old_view = (self.cluster.snapshot(), self.cluster.version)

    @precondition(lambda self: self.old_view is not None)
    @rule()
    def reconcile_from_an_old_view(self) -> None:
        # The operator always sees its own writes, so a view is only as old as what others did since.
        snapshot, version = self.old_view
        self._run(plan_deployment(snapshot, self.cluster.now), version, fresh=False)

    @rule(seconds=st.sampled_from([0, 5, 25]), good=st.booleans())
    def run_a_while(self, seconds: int, good: bool) -> None:
        for _ in range(5):
            self.cluster.run_controllers()
            self.cluster.make_ready()
            if good:
                self.serve_calls(calls=500, errors=0.0, mean=0.01)
                self.compare(ari=0.99)
            self.reconcile()
            self.cluster.wait(seconds)

    @rule(patient=st.booleans())
    def roll_the_newest_out(self, patient: bool) -> None:
        cluster = self.cluster
        cluster.change(modelRef={"name": "cities", "version": "latest"}, paused=False)
        cluster.command("retry")
        cluster.command("resume")
        if len(cluster.versions) < 6:
            cluster.versions.append(objects.version(len(cluster.versions) + 1))
        for _ in range(3):
            self.run_a_while(25, good=True)
            if patient and cluster.revision("candidate"):
                cluster.command("promote")

    # The cluster

    @rule()
    def run_controllers(self) -> None:
        cluster = self.cluster
        kept = {item["spec"]["selector"]["matchLabels"][names.REVISION] for item in cluster._of_kind("Deployment")}
        before = sum(pod.ready for pod in cluster.endpoints())
        orphans = {pod.revision for pod in cluster.pods.values()} - kept
        cluster.run_controllers()
        if not orphans and cluster.revision("stable"):
            least = min(before, cluster.deployment["spec"]["worker"]["replicas"])
            left = sum(pod.ready for pod in cluster.endpoints())
            assert left >= least, "a pool that shrinks takes routed pods with it"

    @rule()
    def make_ready(self) -> None:
        self.cluster.make_ready()

    @rule(index=st.integers(0, 30))
    def lose_a_pod(self, index: int) -> None:
        pods = sorted(self.cluster.pods)
        if pods:
            del self.cluster.pods[pods[index % len(pods)]]

    @rule(index=st.integers(0, 30), restarts=st.integers(0, 4))
    def break_a_pod(self, index: int, restarts: int) -> None:
        pods = sorted(self.cluster.pods)
        if pods:
            name = pods[index % len(pods)]
            status = objects.crash_loop(restarts)
            self.cluster.pods[name] = replace(self.cluster.pods[name], ready=False, status=status)

    @rule(seconds=st.sampled_from([1, 10, 21, 31, 700]))
    def wait(self, seconds: int) -> None:
        self.cluster.wait(seconds)

    @rule(accepts=st.booleans())
    def gateway(self, accepts: bool) -> None:
        self.cluster.accepts_routes = accepts

    @rule(
        calls=st.sampled_from([0, 3, 500]), errors=st.sampled_from([0.0, 0.02, 0.9]), mean=st.sampled_from([0.01, 1.0])
    )
    def serve_calls(self, calls: int, errors: float, mean: float) -> None:
        stable, candidate = self.cluster.revision("stable"), self.cluster.revision("candidate")
        if stable and candidate:
            self.cluster.figure(stable, calls=500)
            self.cluster.figure(candidate, calls=calls, errors=int(calls * errors), mean=mean)

    @rule(ari=st.sampled_from([None, 0.99, 0.895, 0.1]))
    def compare(self, ari: float | None) -> None:
        at = timestamp(self.cluster.now)
        found = Comparison(at, problem="NoAnswer") if ari is None else objects.compared(ari, 1e-5, asked_at=at)
        self.cluster.comparison = found

    # The user

    @rule(command=st.sampled_from(names.COMMANDS), value=st.sampled_from(["true", "again"]))
    def command(self, command: str, value: str) -> None:
        self.cluster.command(command, value)

    @rule(value=st.sampled_from(["yes", "1", "2", "3", "7"]))
    def go_back(self, value: str) -> None:
        self.cluster.command("rollback", value)

    @rule(cuts=st.lists(st.integers(0, 12), max_size=6), by=st.sampled_from(["rollback", "spec"]))
    def go_forth_and_back(self, cuts: list[int], by: str) -> None:
        cluster = self.cluster
        cluster.change(modelRef={"name": "cities", "version": "latest"}, paused=False)
        cluster.command("retry")
        if len(cluster.versions) < 6:
            cluster.versions.append(objects.version(len(cluster.versions) + 1))
        self.run_a_while(0, good=True)
        cluster.command("promote-full")
        self.run_a_while(0, good=True)
        previous = cluster.status.get("previous") or []
        if by == "rollback":
            cluster.command("rollback", "yes")
        elif previous:
            cluster.change(modelRef={"name": "cities", "version": str(previous[-1]["version"])})
        for cut in cuts:
            self.reconcile_cut_off(cut)
            cluster.run_controllers()
            cluster.make_ready()
        self.run_a_while(0, good=True)

    @rule(passes=st.integers(1, 6))
    def go_back_and_see(self, passes: int) -> None:
        before = self.cluster.status.get("previous") or []
        self.cluster.command("rollback", "yes")
        for _ in range(passes):
            self.reconcile()
            self.cluster.run_controllers()
            self.cluster.make_ready()
        after = self.cluster.status.get("previous") or []
        assert after == before[: len(after)] or len(after) > len(before), "going back only shortens what is before"

    @precondition(lambda self: len(self.cluster.versions) < 4)
    @rule(verdict=st.sampled_from(["pass", "pass", "fail"]))
    def train(self, verdict: str) -> None:
        self.cluster.versions.append(objects.version(len(self.cluster.versions) + 1, verdict=verdict))

    @rule(version=st.sampled_from(["latest", "1", "2", "7"]))
    def ask_for(self, version: str) -> None:
        self.cluster.change(modelRef={"name": "cities", "version": version})

    @rule(policy=st.sampled_from(["Automatic", "Manual"]))
    def follow_the_newest(self, policy: str) -> None:
        self.cluster.change(modelRef={"name": "cities", "version": "latest", "policy": policy})

    @rule(index=st.integers(0, 5), state=st.sampled_from(["Active", "Retired", "Archived"]))
    def retire_a_version(self, index: int, state: str) -> None:
        old = self.cluster.versions[index % len(self.cluster.versions)]
        verdict = old["spec"]["validation"]["verdict"]
        used = [self.cluster.status.get(role) or {} for role in ("stable", "candidate")]
        if state == "Archived" and any(item.get("version") == old["spec"]["version"] for item in used):
            state = "Retired"
        self.cluster.versions[index % len(self.cluster.versions)] = objects.version(
            old["spec"]["version"], verdict=verdict, state=None if state == "Active" else state
        )

    @rule(replicas=st.integers(0, 5), image=st.sampled_from([None, "other:1"]))
    def change_worker(self, replicas: int, image: str | None) -> None:
        self.cluster.change(worker={"replicas": replicas, **({"image": image} if image else {})})

    @rule(plan=st.sampled_from(PLANS))
    def change_plan(self, plan: dict[str, Any]) -> None:
        self.cluster.change(**plan)

    @rule(index=st.integers(0, 5))
    def delete_an_object(self, index: int) -> None:
        """Somebody deletes a route, a Service or a Deployment."""
        known = sorted(key for key in self.cluster.objects if key[0] != "ClusteringDecision")
        if known:
            del self.cluster.objects[known[index % len(known)]]

    @rule(paused=st.booleans(), on_failure=st.sampled_from(["Rollback", "Pause"]))
    def change_policy(self, paused: bool, on_failure: str) -> None:
        self.cluster.change(paused=paused, onFailure=on_failure)

    @precondition(lambda self: self.cluster.deployment["metadata"]["generation"] % 4 == 0)
    @rule(spec=st.sampled_from([{"worker": 3}, {"strategy": {}}, {"progressDeadlineSeconds": "soon"}]))
    def break_the_spec(self, spec: dict[str, Any]) -> None:
        good = {name: self.cluster.deployment["spec"].get(name) for name in spec}
        self.cluster.change(**spec)
        self.reconcile()
        self.cluster.change(**{name: value for name, value in good.items() if value is not None})
        for name, value in good.items():
            if value is None:
                del self.cluster.deployment["spec"][name]

    # The promises

    @invariant()
    def weights_are_percents(self) -> None:
        status = self.cluster.status
        assert 0 <= status.get("weight", 0) <= 100
        assert status.get("candidate") or status.get("weight", 0) == 0
        for backend in self._backends().values():
            assert 0 <= backend <= 100
        assert not status.get("rollback") or status.get("candidate"), "whoever goes back has somewhere to go"
        assert not self._backends() or sum(self._backends().values()) == 100

    @invariant()
    def records_tell_the_whole_story(self) -> None:
        status = self.cluster.status
        written = [item["spec"] for item in self.cluster.decisions()]
        numbers = {item["number"] for item in written}
        waiting = [item for item in status.get("unrecorded", []) if item["number"] not in numbers]
        story = [{"spec": item} for item in (*written, *waiting)]
        told = (self.cluster.revision("stable"), self.cluster.revision("candidate"), status.get("weight", 0))
        assert replay(story) == told

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        self.cluster.accepts_routes = True
        for name, pod in self.cluster.pods.items():
            self.cluster.pods[name] = replace(pod, status={})
        for _ in range(4):
            self.cluster.settle()
            self.cluster.wait(40)
        self.cluster.settle()
        before = self.cluster.writes
        self.cluster.reconcile()
        assert self.cluster.writes == before, "comes to rest and stays there"
        assert self.cluster.status["unrecorded"] == [], "every decision has its record"

    def _run(self, plan: Plan, version: str, cut: int | None = None, *, fresh: bool = True) -> None:
        cluster = self.cluster
        self.old_view = None
        old_stable, old_candidate = cluster.revision("stable"), cluster.revision("candidate")
        bearing = self._bears_all(old_candidate)
        record = read_record(cluster.deployment)
        ready_before = {pod.name for pod in cluster.pool(old_candidate) if pod.ready}
        for number, action in enumerate(plan.actions):
            if cut is not None and number >= cut:
                break
            selecting, load = bool(cluster.endpoints()), capacity.measure(cluster)
            cluster.act(action)
            if fresh:
                capacity.check(cluster, load, capacity.measure(cluster), action)
            stable_ready = [pod for pod in cluster.pool(old_stable) if pod.ready]
            if selecting and stable_ready and ("Service", "cities") in cluster.objects:
                assert cluster.endpoints(), f"{action} leaves the Service without pods"
        rest = replace(plan, actions=()) if cut is None else Plan()
        cluster.execute(rest, version)
        if cluster.revision("stable") != old_stable:
            assert cluster.revision("stable") == old_candidate, "stable changes by promotion only"
            assert record is not None
            assert record.revision == cluster.revision("stable"), "the durable record comes before the status"
            assert old_stable is None or bearing, "it had all the traffic before"
            assert ready_before or (old_stable is None and not cluster.deployment["spec"]["worker"]["replicas"])

    def _promises_after_a_whole_pass(self) -> None:
        cluster = self.cluster
        stable = cluster.revision("stable")
        blocked = {item["revision"] for item in cluster.status.get("blockedVersions", [])} - {stable}
        if stable is None or cluster.condition("Degraded")["reason"] == "InvalidSpec":
            return
        step = build_schedule(ClusteringDeploymentSpec.model_validate(cluster.deployment["spec"])).step_at(
            cluster.status.get("step")
        )
        if "step" in cluster.status and step.shadow:
            assert cluster.status["weight"] == 0, "nobody is sent to a candidate in shadow"
        weights = self._backends()
        if ("Service", "cities") in cluster.objects and not weights:
            selected = cluster.endpoints()
            if any(pod.ready for pod in cluster.pool(stable)):
                assert selected
            able = [
                pod
                for pod in cluster.pods.values()
                if pod.ready and pod.revision in (stable, cluster.revision("candidate"))
            ]
            if len({pod.revision for pod in selected}) > 1:
                least = min(cluster.deployment["spec"]["worker"]["replicas"], len(able))
                assert sum(pod.ready for pod in selected) >= least, "capacity is kept"
            assert not {pod.revision for pod in selected} & blocked, "a blocked revision is never served"
        for revision in blocked:
            assert weights.get(f"cities-{revision}", 0) == 0
        candidate = cluster.revision("candidate")
        if weights.get(f"cities-{candidate}", 0) > 0:
            assert any(pod.ready for pod in cluster.pool(candidate)), "weight needs ready pods"

    def _promises_of_what_stands_by(self) -> None:
        cluster = self.cluster
        retiring = {item["revision"] for item in cluster.status.get("retiring", [])}
        weights = {name.removeprefix("cities-") for name, weight in self._backends().items() if weight}
        routed = weights | {pod.revision for pod in cluster.endpoints()}
        assert len(retiring - routed) <= MOST_STANDING_BY + 3, "few pools stand by, however often a spec changes"
        previous = [item["revision"] for item in cluster.status.get("previous", [])]
        assert len(previous) == len(set(previous)) <= 10
        assert cluster.revision("stable") not in previous, "what serves is not what was before"

    def _promises_of_a_new_candidate(self, before: dict[str, Any]) -> None:
        cluster, after = self.cluster, self.cluster.status
        known = [item["version"] for item in (before.get("stable"), before.get("candidate")) if item]
        candidate = (after.get("candidate") or {}).get("version")
        if candidate is None or candidate in known:
            return
        states = {version.number: version.state for version in known_versions(cluster.versions)}
        back = after.get("rollback")
        standing = [item["version"] for item in before.get("retiring", [])] if back else []
        assert states[candidate] == "Active" or candidate in standing, "only an Active version gets new pods"
        if back is not None:
            assert back["by"] == "Command" or back["atOnce"]
            return
        manual = cluster.deployment["spec"]["modelRef"].get("policy") == "Manual"
        if manual and before.get("stable") and cluster.condition("Degraded")["reason"] != "InvalidSpec":
            assert after["approvedVersion"] == candidate, "with policy Manual nothing new begins without approval"

    def _bears_all(self, revision: str | None) -> bool:
        if self._backends():
            return self._backends().get(f"cities-{revision}") == 100
        selected = {pod.revision for pod in self.cluster.endpoints()}
        return selected <= {revision}

    def _backends(self) -> dict[str, int]:
        return self.cluster.backends() if ("GRPCRoute", "cities") in self.cluster.objects else {}


TestRollout = Rollout.TestCase
TestRollout.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
