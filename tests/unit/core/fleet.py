"""Several deployments of one model in one fake cluster: each sees the others as they are when its pass begins."""

from __future__ import annotations

import copy
from typing import Any

from shoal_operator.core.plan import Plan
from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster

QUICK: dict[str, Any] = {"canary": {"steps": [{"setWeight": 50}], "scaleDownDelaySeconds": 30}}


class Fleet:
    """Members by name; each is a FakeCluster with one deployment."""

    def __init__(self, **specs: dict[str, Any]) -> None:
        """Each keyword is a member with its spec; version 1 serves in all."""
        self.members = {
            name: FakeCluster(
                objects.deployment({"strategy": QUICK, "worker": {"replicas": 2}, **spec}, name=name),
                [objects.version(1)],
            )
            for name, spec in specs.items()
        }
        self.settle()

    def __getitem__(self, name: str) -> FakeCluster:
        return self.members[name]

    def plan(self, name: str) -> Plan:
        """Plan a member's pass over what there is now."""
        self._show(name)
        member = self.members[name]
        return plan_deployment(member.snapshot(), member.now)

    def reconcile(self, name: str) -> None:
        """Run one whole pass of a member."""
        self._show(name)
        self.members[name].reconcile()

    def run_pods(self) -> None:
        """Make the pods of all as many as wanted, and ready."""
        for member in self.members.values():
            member.run_controllers()
            member.make_ready()

    def settle(self, passes: int = 60) -> None:
        """Reconcile all in turn until nothing changes any more, without letting time pass."""
        for _ in range(passes):
            before = copy.deepcopy([(item.deployment, item.objects, item.pods) for item in self.members.values()])
            for name in self.members:
                self.reconcile(name)
            self.run_pods()
            if [(item.deployment, item.objects, item.pods) for item in self.members.values()] == before:
                return
        raise AssertionError("does not settle")

    def release(self, number: int) -> None:
        """Let there be a newer version."""
        for member in self.members.values():
            member.versions.append(objects.version(number))

    def wait(self, seconds: float) -> None:
        """Let time pass for all."""
        for member in self.members.values():
            member.wait(seconds)

    def stable(self) -> dict[str, int]:
        """Return member -> the version that it serves."""
        return {name: member.status["stable"]["version"] for name, member in self.members.items()}

    def blocked(self, name: str) -> list[str]:
        """Return the reasons for which a member blocks versions."""
        return [item["reason"] for item in self.members[name].status["blockedVersions"]]

    def _show(self, name: str) -> None:
        others = [member.deployment for other, member in self.members.items() if other != name]
        self.members[name].peers = others
