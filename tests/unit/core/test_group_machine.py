"""Whatever befalls a group that is promoted together, it ends as one: every member promoted, or every one rolled back.

A hypothesis state machine over three members: gates fail, pods are lost, people pause, abort and go on, the operator is
cut off in the middle of a plan. Passes of members come in any order, one at a time, as the controller runs them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.core.fleet import Fleet
from tests.unit.core.trials import bad_calls, good_calls

NAMES = ("berlin", "paris", "rome")
STRATEGIES: list[dict[str, Any]] = [
    {"canary": {"steps": [{"setWeight": 50}], "scaleDownDelaySeconds": 5}},
    {"canary": {"steps": [{"setWeight": 20}, {"pause": {"durationSeconds": 30}}], "scaleDownDelaySeconds": 5}},
    {"blueGreen": {"steps": 2, "intervalSeconds": 20, "scaleDownDelaySeconds": 5}},
    {"blueGreen": {"steps": 1, "intervalSeconds": 0, "scaleDownDelaySeconds": 5}},
]
member = st.sampled_from(NAMES)


class TogetherMachine(RuleBasedStateMachine):
    """A version is tried by three members at once."""

    @initialize(
        strategies=st.lists(st.sampled_from(STRATEGIES), min_size=3, max_size=3),
        failure=st.lists(st.sampled_from(["Rollback", "Pause"]), min_size=3, max_size=3),
        passes=st.integers(0, 45),
    )
    def begin(self, strategies: list[dict[str, Any]], failure: list[str], passes: int) -> None:
        specs = {
            name: {
                "strategy": strategy,
                "onFailure": reaction,
                "group": {"name": "eu", "together": True},
                "progressDeadlineSeconds": 100,
                "analysis": {"onInconclusive": "Proceed"},
            }
            for name, strategy, reaction in zip(NAMES, strategies, failure, strict=True)
        }
        self.fleet = Fleet(**specs)
        self.fleet.release(2)
        # Most of what can go wrong does so around the decision, some way into an undisturbed rollout.
        for number in range(passes):
            self.fleet.reconcile(NAMES[number % 3])
            self.fleet.run_pods()
            self.fleet.wait(11)

    @rule(name=member)
    def reconcile(self, name: str) -> None:
        self.fleet.reconcile(name)

    @rule(name=member, cut=st.integers(0, 8))
    def reconcile_cut_off(self, name: str, cut: int) -> None:
        plan, cluster = self.fleet.plan(name), self.fleet[name]
        for action in plan.actions[:cut]:
            cluster.act(action)

    @rule(name=member)
    def reconcile_without_clean_up(self, name: str) -> None:
        plan, cluster = self.fleet.plan(name), self.fleet[name]
        cluster.execute(plan, cluster.version, clean_up=False)

    @rule()
    def pods(self) -> None:
        self.fleet.run_pods()

    @rule()
    def whole_round(self) -> None:
        for name in NAMES:
            self.fleet.reconcile(name)
        self.fleet.run_pods()

    @rule(seconds=st.sampled_from([1, 31, 150]))
    def time_passes(self, seconds: int) -> None:
        self.fleet.wait(seconds)

    @rule(name=member)
    def calls_fail(self, name: str) -> None:
        if self.fleet[name].revision("candidate"):
            bad_calls(self.fleet[name])

    @rule(name=member)
    def calls_go_well(self, name: str) -> None:
        if self.fleet[name].revision("candidate"):
            good_calls(self.fleet[name])

    @rule(name=member)
    def pods_are_lost(self, name: str) -> None:
        cluster = self.fleet[name]
        for pod in cluster.pool(cluster.revision("candidate")):
            del cluster.pods[pod.name]

    @rule(name=member, word=st.sampled_from(["pause", "resume", "abort"]))
    def command(self, name: str, word: str) -> None:
        self.fleet[name].command(word)

    @invariant()
    def nobody_goes_back_once_one_is_promoted(self) -> None:
        if not hasattr(self, "fleet"):
            return
        promoted = [name for name in NAMES if self.fleet.stable()[name] == 2]
        refused = [name for name in NAMES if self.fleet.blocked(name)]
        assert not (promoted and refused), f"{promoted} promoted, {refused} rolled back"

    def teardown(self) -> None:
        """Let people see to what is held: the group comes to one end."""
        if not hasattr(self, "fleet"):
            return
        for _ in range(12):
            for name in NAMES:
                cluster = self.fleet[name]
                if cluster.status.get("userPaused"):
                    cluster.command("resume")
                if cluster.status.get("failurePaused"):
                    cluster.command("abort")
                if cluster.revision("candidate"):
                    good_calls(cluster)
            self.fleet.settle()
            self.fleet.wait(31)
        self.nobody_goes_back_once_one_is_promoted()
        ends = set(self.fleet.stable().values())
        assert len(ends) == 1, self.fleet.stable()
        assert all(self.fleet[name].revision("candidate") is None for name in NAMES)
        if ends == {1}:
            assert all(self.fleet.blocked(name) for name in NAMES)


TestTogether = TogetherMachine.TestCase
TestTogether.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
