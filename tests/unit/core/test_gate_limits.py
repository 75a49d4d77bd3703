"""What follows from verdicts: limits, delays, dry runs, and the record that is kept of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.analysis import Gate
from shoal_operator.api.deployment import GateRecord, Verdict
from shoal_operator.core.gates import count_verdicts, find_consequence
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import bad_calls, good_calls, served, trying

WORDS = ("pass", "fail", "inconclusive", "error")


def said(*words: str, gate: str = "g", window: str = "w") -> tuple[GateRecord, ...]:
    records: tuple[GateRecord, ...] = ()
    for number, word in enumerate(words):
        records = count_verdicts(records, [verdict(word, gate)], window, f"t{number}")
    return records


def verdict(word: str, gate: str = "g", **more: Any) -> Verdict:
    return Verdict.model_validate({"gate": gate, "verdict": word, **more})


@pytest.mark.parametrize(
    ("settings", "words", "expected"),
    [
        ({}, ["fail"], "fail"),
        ({"failureLimit": 1}, ["fail"], "none"),
        ({"failureLimit": 1}, ["fail", "pass", "fail"], "fail"),
        ({}, ["pass"], "none"),
        ({}, ["inconclusive"] * 500, "wait"),
        ({"inconclusiveLimit": 1}, ["inconclusive"], "wait"),
        ({"inconclusiveLimit": 1}, ["inconclusive", "pass", "inconclusive"], "hold"),
        ({}, ["error"] * 4, "wait"),
        ({}, ["error"] * 5, "hold"),
        ({}, ["error"] * 4 + ["pass"] + ["error"], "wait"),
        ({"consecutiveErrorLimit": 0}, ["error"], "hold"),
    ],
)
def test_consequences(settings: dict[str, int], words: list[str], expected: str) -> None:
    gates = {"g": Gate.model_validate(settings)}
    assert find_consequence(verdict(words[-1]), gates, said(*words)) == expected


@pytest.mark.parametrize("word", WORDS)
def test_a_dry_run_has_no_consequence(word: str) -> None:
    assert find_consequence(verdict(word, dry_run=True), {"g": Gate(dry_run=True)}, said(*[word] * 9)) == "none"


@given(st.lists(st.sampled_from(WORDS), max_size=40), st.integers(1, 5))
def test_a_look_counts_once_and_the_history_is_bounded(words: list[str], times: int) -> None:
    records: tuple[GateRecord, ...] = ()
    for number, word in enumerate(words):
        for _ in range(times):
            records = count_verdicts(records, [verdict(word)], "w", f"t{number}")
    if not words:
        assert records == ()
        return
    [record] = records
    assert (record.failed, record.inconclusive) == (words.count("fail"), words.count("inconclusive"))
    assert [past.verdict for past in record.history] == words[-10:]


def test_a_new_window_begins_to_count_anew_and_keeps_the_history() -> None:
    [record] = count_verdicts(said("fail", "fail"), [verdict("pass")], "next", "t9")
    assert (record.failed, record.window, len(record.history)) == (0, "next", 3)


def bad_look(cluster: FakeCluster) -> None:
    bad_calls(cluster)
    cluster.reconcile()


class TestRollout:
    def test_tolerates_as_many_failed_looks_as_told(self) -> None:
        cluster = trying(analysis={"errorRate": {"failureLimit": 2}})
        bad_look(cluster)
        cluster.settle()
        bad_look(cluster)
        cluster.settle()
        assert "blockedVersions" not in cluster.status or not cluster.status["blockedVersions"]
        assert next(item for item in cluster.status["gates"] if item["gate"] == "errorRate")["failed"] == 2
        bad_look(cluster)
        assert cluster.status["blockedVersions"][0]["reason"] == "GateFailed"

    def test_tells_a_dry_run_and_goes_on(self) -> None:
        cluster = trying(analysis={"errorRate": {"dryRun": True}})
        bad_calls(cluster)
        cluster.settle()
        [found] = [item for item in cluster.status["verdicts"] if item["gate"] == "errorRate"]
        assert (found["verdict"], found["dryRun"]) == ("fail", True)
        cluster.wait(61)
        cluster.settle()
        assert (cluster.status["step"], cluster.status["blockedVersions"]) == (3, [])

    def test_does_not_ask_a_gate_before_its_delay(self) -> None:
        cluster = trying(analysis={"errorRate": {"initialDelaySeconds": 30}})
        bad_calls(cluster)
        cluster.wait(29)
        cluster.settle()
        assert cluster.status["blockedVersions"] == []
        assert "errorRate" not in {item["gate"] for item in cluster.status["gates"]}
        cluster.wait(2)
        bad_look(cluster)
        assert cluster.status["blockedVersions"][0]["reason"] == "GateFailed"

    def test_counts_of_the_step_before_hold_nothing(self) -> None:
        steps = [{"setWeight": 25}, {"pause": {"durationSeconds": 120}}]
        steps += [{"setWeight": 50}, {"pause": {"durationSeconds": 60}}]
        limits = {"inconclusiveLimit": 0, "initialDelaySeconds": 100}
        cluster = trying(
            strategy={"canary": {"steps": steps}}, analysis={"onInconclusive": "Proceed", "errorRate": limits}
        )
        new = cluster.revision("candidate")
        cluster.wait(121)
        for role in ("stable", "candidate"):
            cluster.figure(cluster.revision(role) or "", calls=3)
        cluster.settle()
        assert cluster.condition("Paused")["reason"] == "GateInconclusive"
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["step"] == 3
        cluster.wait(61)
        cluster.settle()
        assert cluster.revision("stable") == new

    def test_a_record_fails_without_a_single_look(self) -> None:
        cluster = served(analysis={"clusterCount": {}, "onInconclusive": "Proceed"})
        worse = objects.version(2)
        worse["spec"]["metrics"]["clusters"] = 50
        cluster.versions.append(worse)
        cluster.settle()
        assert "clusterCount" in cluster.status["blockedVersions"][0]["message"]

    def test_holds_for_a_person_beyond_the_inconclusive_limit(self) -> None:
        cluster = trying(analysis={"onInconclusive": "Proceed", "errorRate": {"inconclusiveLimit": 0}})
        for role in ("stable", "candidate"):
            cluster.figure(cluster.revision(role) or "", calls=3)
        cluster.wait(100)
        cluster.settle()
        assert cluster.status["step"] == 1
        assert cluster.condition("Paused")["reason"] == "GateInconclusive"
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["step"] == 3

    def test_errors_of_a_gate_hold_while_they_last_and_move_no_traffic(self) -> None:
        cluster = trying(analysis={"onInconclusive": "Proceed", "errorRate": {"consecutiveErrorLimit": 1}})
        new = cluster.revision("candidate") or ""
        for _ in range(3):
            cluster.figure(cluster.revision("stable") or "", calls=500)
            cluster.figure(new, calls=500, errors=600)
            cluster.reconcile()
        cluster.wait(100)
        cluster.settle()
        assert (cluster.status["step"], cluster.status["actualWeight"]) == (1, 25)
        assert cluster.condition("Paused")["reason"] == "GateError"
        good_calls(cluster)
        cluster.settle()
        assert cluster.status["step"] == 3

    def test_keeps_the_record_until_the_next_rollout(self) -> None:
        cluster = trying()
        bad_calls(cluster)
        cluster.settle()
        assert cluster.status["blockedVersions"]
        [found] = [item for item in cluster.status["gates"] if item["gate"] == "errorRate"]
        assert found["history"][-1] == {
            "at": found["history"][-1]["at"],
            "verdict": "fail",
            "stable": 0.0,
            "candidate": 0.5,
        }
        cluster.command("retry")
        cluster.windows.clear()
        cluster.settle()
        assert cluster.status["gates"] == []
