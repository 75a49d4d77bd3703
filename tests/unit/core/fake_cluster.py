"""A cluster in memory for one ClusteringDeployment: it applies plans, runs pods, and can fail in every way it likes.

Used by the core's tests. It behaves as the API server, the Deployment controller and a gateway would, as far as the
core can tell: optimistic locking of status, pods that appear unready, routes that are accepted a while later.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shoal_operator.core import names
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.facts import timestamp
from shoal_operator.core.observed_route import Rule, read_rules, weights_of
from shoal_operator.core.plan import Action, Apply, Create, Delete, Emit, Finalize, Label, Plan, Record
from shoal_operator.core.rollout import plan_deployment
from shoal_operator.core.snapshot import Answer, Defaults, DeploymentSnapshot, Load, PodFacts, WindowFigures
from tests.unit.core import objects
from tests.unit.core.objects import DEFAULTS

Raw = dict[str, Any]


@dataclass
class FakeCluster:
    """The state of the cluster, and what befell it."""

    deployment: Raw
    versions: list[Raw] = field(default_factory=list)
    now: datetime = objects.NOW
    objects: dict[tuple[str, str], Raw] = field(default_factory=dict)
    pods: dict[str, PodFacts] = field(default_factory=dict)
    windows: dict[str, WindowFigures] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    comparison: Comparison | None = None
    load: Load | None = None
    hook_answers: dict[str, Answer] = field(default_factory=dict)
    cron_jobs: dict[str, Raw | None] = field(default_factory=dict)
    task_pods: list[Raw] = field(default_factory=list)
    peers: list[Raw] = field(default_factory=list)
    """The other deployments of its group."""
    defaults: Defaults = DEFAULTS
    broken: set[str] = field(default_factory=set)
    """Revisions whose pods never become ready."""
    costly: set[str] = field(default_factory=set)
    """Pods that a shrinking pool gives up last."""
    events: list[Emit] = field(default_factory=list)
    accepts_routes: bool = True
    takes_records: bool = True
    born: int = 0
    writes: int = 0
    looked: int = 0

    # What the operator sees and does

    def snapshot(self) -> DeploymentSnapshot:
        """Return a copy of what there is."""
        kinds = {kind: tuple(copy.deepcopy(self._of_kind(kind))) for kind in ("Deployment", "Service", "GRPCRoute")}
        gateway = {"metadata": objects.metadata("gateway"), "status": {}}
        return DeploymentSnapshot(
            deployment=copy.deepcopy(self.deployment),
            model=objects.model(),
            versions=tuple(copy.deepcopy(self.versions)),
            workloads=kinds["Deployment"],
            services=kinds["Service"],
            routes=kinds["GRPCRoute"],
            budgets=tuple(copy.deepcopy(self._of_kind("PodDisruptionBudget"))),
            decisions=tuple({"metadata": item["metadata"]} for item in self.decisions()),
            pods=tuple(self.pods.values()),
            gateway=gateway,
            windows=dict(self.windows),
            answers=dict(self.answers),
            comparison=self.comparison,
            load=self.load,
            hook_answers=dict(self.hook_answers),
            tasks=tuple(copy.deepcopy(self._of_kind("Job"))),
            task_pods=tuple(copy.deepcopy(self.task_pods)),
            farewell=copy.deepcopy(self.objects.get(("Job", self._farewell()))),
            cron_jobs=dict(self.cron_jobs),
            peers=tuple(copy.deepcopy(self.peers)),
            defaults=self.defaults,
        )

    def reconcile(self) -> Plan:
        """Run one whole pass, and let its objects come about."""
        plan = plan_deployment(self.snapshot(), self.now)
        self.execute(plan, self.version)
        return plan

    def execute(self, plan: Plan, observed_version: str, *, clean_up: bool = True) -> bool:
        """Execute a plan, or all but its clean-up; return whether its status was taken."""
        for action in plan.actions:
            self.act(action)
        if plan.status is not None and plan.status.status != self.status:
            if observed_version != self.version:
                return False
            self.deployment["status"] = copy.deepcopy(plan.status.status)
            self._touch()
        for action in plan.clean_up if clean_up else ():
            self.act(action)
        return True

    def act(self, action: Action) -> None:
        """Execute one action."""
        match action:
            case Apply(manifest) | Create(manifest):
                self._apply(manifest)
            case Record(manifest):
                known = self.objects.get((manifest["kind"], manifest["metadata"]["name"]))
                assert known is None or known["spec"] == manifest["spec"], "a name stands for one decision"
                if self.takes_records:
                    self._apply(manifest)
            case Delete(key, uid):
                found = self.objects.get((key.kind, key.name))
                if found is not None and found["metadata"]["uid"] == uid:
                    del self.objects[key.kind, key.name]
                    self.writes += 1
            case Label(key, uid, labels, annotations):
                self._label(key.kind, key.name, uid, dict(labels), dict(annotations))
            case Finalize():
                self.deployment["metadata"]["finalizers"] = list(action.finalizers)
                self._touch()
            case Emit():
                self.events.append(action)

    # What the cluster does by itself

    def run_controllers(self) -> None:
        """Make pods as many as wanted; new ones are not ready."""
        wanted = {}
        for workload in self._of_kind("Deployment"):
            revision = workload["spec"]["selector"]["matchLabels"][names.REVISION]
            wanted[revision] = workload["spec"]["replicas"]
        for revision in {pod.revision or "" for pod in self.pods.values()} | set(wanted):
            mine = sorted(
                (pod for pod in self.pods.values() if pod.revision == revision),
                key=lambda pod: (not pod.ready, pod.name not in self.costly),
            )
            for pod in mine[wanted.get(revision, 0) :]:
                del self.pods[pod.name]
            for _ in range(wanted.get(revision, 0) - len(mine)):
                self.born += 1
                name = f"pod-{self.born}"
                self.pods[name] = objects.pod(name, revision, ready=False)
        for job in self._of_kind("Job"):
            job["metadata"].setdefault("creationTimestamp", timestamp(self.now))
        for route in self._of_kind("GRPCRoute"):
            if self.accepts_routes:
                generation = route["metadata"]["generation"]
                holds = [
                    {"type": kind, "status": "True", "observedGeneration": generation}
                    for kind in ("Accepted", "ResolvedRefs")
                ]
                route["status"] = {"parents": [{"conditions": holds}]}

    def make_ready(self) -> None:
        """Make every pod ready that can be."""
        for pod in tuple(self.pods.values()):
            if pod.revision not in self.broken:
                self.pods[pod.name] = replace(pod, ready=True)

    def settle(self, passes: int = 60) -> None:
        """Reconcile until nothing changes any more, without letting time pass."""
        for _ in range(passes):
            before = copy.deepcopy((self.deployment, self.objects, self.pods))
            self.reconcile()
            self.run_controllers()
            self.make_ready()
            if (self.deployment, self.objects, self.pods) == before:
                return
        raise AssertionError("does not settle")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def end_job(self, name: str, kind: str = "Complete", reason: str = "", message: str = "") -> None:
        """Let a Job complete, or fail."""
        ended = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            # To the second, as Kubernetes writes it.
            "lastTransitionTime": f"{self.now:%Y-%m-%dT%H:%M:%SZ}",
        }
        completed = {"completionTime": ended["lastTransitionTime"]}
        self.objects["Job", name]["status"] = {"conditions": [ended], **completed}

    # What people do

    def command(self, command: str, value: str = "true") -> None:
        """Set a command's annotation."""
        self.deployment["metadata"].setdefault("annotations", {})[names.command_annotation(command)] = value
        self._touch()

    def change(self, **spec: Any) -> None:
        """Change the deployment's spec."""
        self.deployment["spec"].update(copy.deepcopy(spec))
        self.deployment["metadata"]["generation"] += 1
        self._touch()

    def figure(self, revision: str, calls: int, errors: int = 0, mean: float = 0.01) -> None:
        """Feed what a revision's pods counted in the window, evenly over some looks."""
        self.looked += 1
        at = timestamp(objects.NOW + timedelta(seconds=self.looked))
        self.windows[revision] = replace(objects.window(calls, errors, mean), looked_at=at)

    # What tests ask

    @property
    def status(self) -> Raw:
        """The deployment's status."""
        found: Raw = self.deployment["status"]
        return found

    @property
    def version(self) -> str:
        """The deployment's resourceVersion."""
        return str(self.deployment["metadata"]["resourceVersion"])

    def condition(self, kind: str) -> Raw:
        """Return a condition of the deployment."""
        return next(item for item in self.status["conditions"] if item["type"] == kind)

    def revision(self, role: str) -> str | None:
        """Return the hash of the stable or candidate revision."""
        found = self.status.get(role)
        return found["revision"] if found else None

    def pool(self, revision: str | None) -> list[PodFacts]:
        """Return a revision's pods."""
        return [pod for pod in self.pods.values() if pod.revision == revision]

    def endpoints(self) -> list[PodFacts]:
        """Return the pods that the router Service selects."""
        service = self.objects.get(("Service", self.deployment["metadata"]["name"]))
        if service is None:
            return []
        selector = service["spec"]["selector"]
        return [
            pod
            for pod in self.pods.values()
            if (names.ROUTED not in selector or pod.routed)
            and (names.REVISION not in selector or pod.revision == selector[names.REVISION])
        ]

    def backends(self) -> dict[str, int]:
        """Return the weights of the route."""
        return weights_of(self.rules())

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules of the route; none where there is no route."""
        return read_rules(self.objects.get(("GRPCRoute", self.deployment["metadata"]["name"])))

    def decisions(self) -> list[Raw]:
        """Return the records of decisions, oldest first."""
        return sorted(self._of_kind("ClusteringDecision"), key=lambda item: str(item["metadata"]["name"]))

    def jobs(self) -> list[str]:
        """Return the names of the Jobs, oldest first."""
        return [item["metadata"]["name"] for item in self._of_kind("Job")]

    def _farewell(self) -> str:
        metadata = self.deployment["metadata"]
        return names.farewell_job(metadata["name"], metadata["uid"])

    def _of_kind(self, kind: str) -> list[Raw]:
        return [item for (found, _), item in self.objects.items() if found == kind]

    def _apply(self, manifest: Raw) -> None:
        key = (manifest["kind"], manifest["metadata"]["name"])
        known = self.objects.get(key)
        if known is not None and known["spec"] == manifest["spec"]:
            return
        self.writes += 1
        self.born += 1
        fresh = copy.deepcopy(manifest)
        fresh["metadata"]["uid"] = known["metadata"]["uid"] if known else f"uid-{self.born}"
        fresh["metadata"]["generation"] = known["metadata"]["generation"] + 1 if known else 1
        fresh["status"] = known["status"] if known else {}
        self.objects[key] = fresh

    def _label(self, kind: str, name: str, uid: str, labels: Raw, annotations: Raw) -> None:
        if kind == "Pod":
            pod = self.pods.get(name)
            if pod is not None and pod.uid == uid and names.SHARE in annotations:
                self.pods[name] = replace(pod, share=annotations[names.SHARE])
                self.writes += pod.share != annotations[names.SHARE]
                return
            if pod is not None and pod.uid == uid:
                (self.costly.add if annotations.get(names.DELETION_COST) else self.costly.discard)(name)
            if pod is not None and pod.uid == uid and pod.routed != (labels[names.ROUTED] == "true"):
                self.pods[name] = replace(pod, routed=labels[names.ROUTED] == "true")
                self.writes += 1
            return
        present = self.deployment["metadata"].setdefault("annotations", {})
        after = {key: value for key, value in {**present, **annotations}.items() if value is not None}
        if after != present:
            self.deployment["metadata"]["annotations"] = after
            self._touch()

    def _touch(self) -> None:
        self.writes += 1
        self.deployment["metadata"]["resourceVersion"] = str(int(self.version) + 1)
