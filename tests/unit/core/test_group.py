"""Deployments of one model that take a version over one after the other, or all at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal_operator.api.group import Group
from tests.unit.core import objects
from tests.unit.core.fleet import Fleet
from tests.unit.core.trials import bad_calls

HELD: dict[str, Any] = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}


def after(*names: str, **spec: Any) -> dict[str, Any]:
    return {"group": {"name": "eu", "promoteAfter": list(names)}, **spec}


def together(**spec: Any) -> dict[str, Any]:
    return {"group": {"name": "eu", "together": True}, **spec}


def message(fleet: Fleet, name: str) -> str:
    return str(fleet[name].status["message"])


class TestInOrder:
    def test_each_begins_once_those_before_it_serve_the_version(self) -> None:
        fleet = Fleet(berlin=after(strategy=HELD), paris=after("berlin", strategy=HELD), rome=after("berlin", "paris"))
        fleet.release(2)
        fleet.settle()
        paris = fleet["paris"]
        assert fleet["berlin"].status["weight"] == 50
        assert paris.condition("Paused")["reason"] == "AwaitingGroup"
        assert "berlin is at step 2 of 2" in message(fleet, "paris")
        assert "berlin is at step 2 of 2; paris has not begun it" in message(fleet, "rome").replace(
            "paris is at step 1 of 2", "paris has not begun it"
        )
        assert (paris.status["step"], paris.status["weight"], paris.pool(paris.revision("candidate"))) == (0, 0, [])
        fleet["berlin"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 1, "rome": 1}
        assert paris.status["weight"] == 50
        assert fleet["rome"].status["weight"] == 0
        paris.command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 2}

    def test_a_wait_of_hours_is_no_lack_of_progress(self) -> None:
        fleet = Fleet(berlin=after(strategy=HELD), paris=after("berlin"))
        fleet.release(2)
        fleet.settle()
        fleet.wait(10_000)
        fleet.settle()
        fleet["berlin"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2}

    def test_what_was_rolled_back_there_does_not_begin_here_and_says_why(self) -> None:
        fleet = Fleet(berlin=after(strategy=HELD), paris=after("berlin"))
        fleet.release(2)
        fleet.settle()
        fleet["berlin"].command("abort")
        fleet.settle()
        assert "berlin rolled it back (Aborted); set shoal.dev/retry on it" in message(fleet, "paris")
        assert fleet.stable() == {"berlin": 1, "paris": 1}
        fleet.release(3)
        fleet.settle()
        fleet["berlin"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 3, "paris": 3}

    def test_promote_begins_at_once(self) -> None:
        fleet = Fleet(berlin=after(strategy=HELD), paris=after("berlin", strategy=HELD))
        fleet.release(2)
        fleet.settle()
        fleet["paris"].command("promote")
        fleet.settle()
        assert fleet["paris"].status["weight"] == 50

    def test_the_first_deployment_does_not_wait(self) -> None:
        fleet = Fleet(paris=after("berlin"))
        assert fleet.stable() == {"paris": 1}
        assert fleet["paris"].condition("Degraded")["reason"] == "GroupInvalid"

    def test_pods_that_change_alone_do_not_wait(self) -> None:
        fleet = Fleet(berlin=after(), paris=after("berlin"))
        fleet["paris"].change(worker={"replicas": 2, "image": "other:1"})
        fleet.settle()
        assert fleet["paris"].status["stable"]["image"] == "other:1"

    @pytest.mark.parametrize(
        ("specs", "told"),
        [
            ({"paris": after("paris")}, "paris is this deployment itself"),
            ({"paris": after("oslo")}, "ClusteringDeployment oslo does not exist. Create it"),
            ({"paris": after("bonn"), "bonn": {"modelRef": {"name": "rivers"}}}, "bonn serves model rivers"),
            ({"paris": after("bonn"), "bonn": {}}, "bonn is not in group eu. Set its spec.group.name"),
            (
                {"paris": after("bonn"), "bonn": after("rome"), "rome": after("paris")},
                "these wait for each other: paris after bonn after rome after paris",
            ),
            # A circle elsewhere is told where it is.
            ({"paris": after(), "bonn": after("rome"), "rome": after("bonn")}, ""),
        ],
    )
    def test_whom_one_cannot_wait_for_is_a_condition(self, specs: dict[str, Any], told: str) -> None:
        fleet = Fleet(**specs)
        degraded = fleet["paris"].condition("Degraded")
        assert degraded["reason"] == ("GroupInvalid" if told else "Idle")
        assert told in degraded["message"]
        if not told:
            return
        assert "spec.group.promoteAfter: " in degraded["message"]
        fleet.release(2)
        fleet.settle()
        assert fleet["paris"].condition("Paused")["reason"] == "GroupInvalid"
        fleet["paris"].change(group=None)
        fleet.settle()
        assert fleet["paris"].status["stable"]["version"] == 2


@given(
    edges=st.sets(st.sampled_from([(late, early) for late in range(4) for early in range(late)])),
    order=st.permutations(range(4)),
)
@settings(max_examples=10, deadline=None)
def test_any_order_without_a_circle_comes_to_its_end_and_is_kept(edges: set[tuple[int, int]], order: list[int]) -> None:
    names = ("berlin", "paris", "rome", "oslo")
    before = {name: [names[early] for late, early in sorted(edges) if names[late] == name] for name in names}
    fleet = Fleet(**{name: after(*before[name], worker={"replicas": 1}) for name in names})
    fleet.release(2)
    for _ in range(60):
        for index in order:
            name = names[index]
            fleet.reconcile(name)
            moved = fleet[name].status["weight"] > 0 or fleet.stable()[name] == 2
            assert not moved or all(fleet.stable()[early] == 2 for early in before[name])
        fleet.run_pods()
        if set(fleet.stable().values()) == {2}:
            break
    assert set(fleet.stable().values()) == {2}


class TestTogether:
    def held(self) -> Fleet:
        """Return a fleet of which two members have passed their steps and the third has not."""
        fleet = Fleet(berlin=together(), paris=together(), rome=together(strategy=HELD))
        fleet.release(2)
        fleet.settle()
        assert fleet.stable() == {"berlin": 1, "paris": 1, "rome": 1}
        return fleet

    def test_the_last_one_to_pass_promotes_all(self) -> None:
        fleet = self.held()
        berlin = fleet["berlin"]
        assert berlin.condition("Paused")["reason"] == "AwaitingGroup"
        assert "waits for its group: rome is at step 2 of 2" in message(fleet, "berlin")
        assert (berlin.status["stage"], berlin.status["weight"]) == ("Passed", 50)
        assert len(berlin.pool(berlin.revision("candidate"))) == 2, "ready for all of the traffic"
        fleet["rome"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 2}

    @pytest.mark.parametrize("fails", ["berlin", "rome"])
    def test_when_one_is_rolled_back_all_are(self, fails: str) -> None:
        fleet = self.held()
        bad_calls(fleet[fails])
        fleet.settle()
        assert fleet.stable() == {"berlin": 1, "paris": 1, "rome": 1}
        for name in ("berlin", "paris", "rome"):
            assert fleet[name].status["weight"] == 0
            assert fleet.blocked(name) == (["GateFailed"] if name == fails else ["GroupFailed"])
        told = message(fleet, "paris")
        assert f"Deployment {fails} of its group rolled it back (GateFailed)." in told
        assert "set the annotation shoal.dev/retry on that deployment" in told

    def test_abort_says_what_becomes_of_the_others(self) -> None:
        fleet = self.held()
        fleet["rome"].command("abort")
        fleet.settle()
        assert "Aborted by the abort command; berlin, paris of its group go back with it." in message(fleet, "rome")
        assert fleet.stable() == {"berlin": 1, "paris": 1, "rome": 1}

    def test_retry_on_the_one_that_failed_tries_all_again(self) -> None:
        fleet = self.held()
        fleet["rome"].command("abort")
        fleet.settle()
        fleet["berlin"].command("retry")
        fleet.settle()
        assert fleet.blocked("berlin") == ["GroupFailed"], "it was not at fault"
        fleet["rome"].command("retry")
        fleet.settle()
        assert [fleet.blocked(name) for name in fleet.members] == [[], [], []]
        fleet["rome"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 2}

    def test_one_that_is_paused_is_named(self) -> None:
        fleet = self.held()
        fleet["rome"].command("pause")
        fleet.settle()
        assert "waits for its group: rome is paused" in message(fleet, "berlin")

    def test_one_that_asks_for_another_version_is_named(self) -> None:
        fleet = Fleet(berlin=together(), rome=together(modelRef={"name": "cities", "version": "1"}))
        fleet.release(2)
        fleet.settle()
        assert "rome is pinned to 1" in message(fleet, "berlin")
        fleet = Fleet(berlin=together(), rome=together(modelRef={"name": "cities", "policy": "Manual"}))
        fleet.release(2)
        fleet.settle()
        assert "rome waits for approval of it" in message(fleet, "berlin")

    def test_promote_lets_one_go_alone(self) -> None:
        fleet = self.held()
        fleet["berlin"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 1, "rome": 1}
        bad_calls(fleet["rome"])
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 1, "rome": 1}
        assert fleet.blocked("paris") == ["GroupFailed"]

    def test_once_one_is_promoted_none_goes_back(self) -> None:
        fleet = self.held()
        fleet["rome"].command("promote")
        for _ in range(40):
            if fleet.stable()["berlin"] == 2:
                break
            for name in ("rome", "paris", "berlin") if fleet["paris"].status["stage"] != "Decided" else ("berlin",):
                fleet.reconcile(name)
            fleet.run_pods()
        assert fleet.stable() == {"berlin": 2, "paris": 1, "rome": 1}
        fleet["paris"].command("abort")
        fleet["rome"].command("rollback", "yes")
        bad_calls(fleet["rome"])
        fleet.wait(10_000)
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 2}
        assert [event.reason for event in fleet["rome"].events].count("RollbackRefused") == 1
        told = [event.message for event in fleet["paris"].events if event.reason == "Aborted"]
        assert told == [
            "shoal.dev/abort has no effect: berlin of the group is promoted by the group's decision already. To go "
            "back, set shoal.dev/rollback."
        ]

    def test_a_failure_holds_nobody_any_more_once_one_is_promoted(self) -> None:
        fleet = Fleet(
            berlin=together(onFailure="Pause", progressDeadlineSeconds=100),
            paris=together(),
            rome=together(strategy=HELD),
        )
        fleet.release(2)
        fleet.settle()
        berlin = fleet["berlin"]
        fleet["rome"].command("promote")
        for _ in range(20):
            for name in fleet.members:
                fleet.reconcile(name)
            if all(member.status["stage"] == "Decided" for member in fleet.members.values()):
                break
            fleet.run_pods()
        fleet.wait(150)
        fleet.reconcile("berlin")
        assert "ProgressDeadlineExceeded" in berlin.status["failurePaused"]
        assert fleet.stable() == {"berlin": 1, "paris": 1, "rome": 1}
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 2}
        assert any(event.message.startswith("The pause for the failure is over") for event in berlin.events)

    def test_a_decision_of_long_ago_binds_nobody(self) -> None:
        fleet = self.held()
        fleet["rome"].command("promote")
        fleet.settle()
        rome = fleet["rome"]
        rome.change(modelRef={"name": "cities", "version": "1"})
        fleet.settle()
        rome.command("promote-full")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 1}
        rome.change(modelRef={"name": "cities", "version": "latest"})
        fleet.settle()
        assert rome.status["weight"] == 50
        bad_calls(rome)
        fleet.settle()
        assert fleet.blocked("rome") == ["GateFailed"]

    def test_one_that_serves_nothing_yet_does_not_count(self) -> None:
        fleet = self.held()
        del fleet.members["rome"]
        late = objects.deployment(together(worker={"replicas": 1}), name="oslo")
        fleet["paris"].peers.append(late)
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2}

    def test_those_that_follow_begin_after_all_of_them(self) -> None:
        fleet = Fleet(berlin=together(), paris=together(strategy=HELD), rome=after("berlin", "paris"))
        fleet.release(2)
        fleet.settle()
        assert "berlin is at step 1 of 1; paris is at step 2 of 2" in message(fleet, "rome")
        fleet["paris"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 2}

    def test_another_strategy_sends_nobody_back_who_has_passed(self) -> None:
        fleet = self.held()
        fleet["berlin"].change(strategy=HELD)
        fleet.settle()
        assert fleet["berlin"].status["stage"] == "Passed"
        fleet["rome"].command("promote")
        fleet.settle()
        assert fleet.stable() == {"berlin": 2, "paris": 2, "rome": 2}


def test_together_and_in_order_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        Group.model_validate({"name": "eu", "together": True, "promoteAfter": ["x"]})
