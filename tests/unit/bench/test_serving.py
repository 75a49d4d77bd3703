"""The judgement of the serving benchmark: ratios within a round, recovery, agreement; and its page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal_proto import inference_pb2 as pb
from tests.bench_serving.figures import contended, overload_goals, race_goals, ratio, start_goals, typical_overloads
from tests.bench_serving.model import count_differing, encode_request
from tests.bench_serving.overload import recovery
from tests.bench_serving.page import goals, write

MACHINE = {"cpu": "EPYC", "cores": 2, "memory_bytes": 24e9, "system": "Linux", "python": "3.11"}


def run(name: str, turn: int, calls: float, *, batch: int = 1, kind: str = "closed", **changes: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "batch": batch,
        "round": turn,
        "name": name,
        "callsPerSecond": calls,
        "p50": 0.001,
        "p99": 0.002,
        "failed": 0,
        "serverBusy": 0.97,
        "clientBusy": 0.3,
        "serverSecondsPerCall": 0.0002,
        **changes,
    }


def suite(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "date": "2026-11-29 10:00 UTC",
        "commit": "abc",
        "machine": MACHINE,
        "versions": {"grpcio": "1"},
        "rows": rows,
    }


def test_a_ratio_is_taken_within_rounds_so_that_a_slow_round_does_not_count_against_one() -> None:
    rows = [run("Shoal", 0, 4000), run("echo", 0, 5000), run("Shoal", 1, 400), run("echo", 1, 500)]
    assert ratio(rows, "closed", 1, "callsPerSecond", "echo") == pytest.approx(0.8)


def test_a_round_without_the_other_s_figure_is_left_out() -> None:
    rows = [run("Shoal", 0, 4000), run("echo", 0, 0), run("Shoal", 1, 400), run("echo", 1, 500)]
    assert ratio(rows, "closed", 1, "callsPerSecond", "echo") == pytest.approx(0.8)
    assert ratio(rows[:1], "closed", 1, "callsPerSecond", "echo") is None


def test_a_round_that_others_starved_is_left_out() -> None:
    rows = [run("Shoal", 0, 4000), run("echo", 0, 5000), run("Shoal", 1, 40), run("echo", 1, 5, serverBusy=0.2)]
    assert ratio(rows, "closed", 1, "callsPerSecond", "echo") == pytest.approx(0.8)


def test_the_race_is_judged_by_throughput_and_tail() -> None:
    rows = [run("Shoal", 0, 3500), run("echo", 0, 5000), run("MLServer", 0, 1000, p99=0.001), run("KServe", 0, 1500)]
    judged = {goal.what: goal.met for goal in race_goals(rows)}
    assert judged["calls/s, share of the bare echo's, 1 row"] is True
    assert judged["calls/s, share of the bare echo's, 1,000 rows"] is None
    assert judged["calls/s against MLServer, 1 row"] is True
    assert judged["p99 against MLServer, 1 row, closed loop"] is False
    assert judged["calls/s against KServe, 1 row"] is False


def test_memory_is_what_the_worker_holds_beside_the_model() -> None:
    row = {"cached": True, "modelBytes": 100 << 20, "readySeconds": 1.2, "residentBytes": 200 << 20}
    met = {goal.what: goal.met for goal in start_goals([row, {**row, "loadedResidentBytes": 221 << 20}])}
    assert met == {"start to ready, 100 MB in the cache": True, "memory beside the model, at most": False}


def overload_round(**changes: Any) -> dict[str, Any]:
    row = {"batch": 1, "hard": False, "goodput": 0.95, "refusedP99": 0.004, "recovery": 0.1, "calls": {"OK": 9}}
    return {**row, **changes}


def test_an_overload_without_refusals_has_no_verdict_on_their_latency() -> None:
    row = overload_round(refusedP99=None, recovery=2.5)
    assert [goal.met for goal in overload_goals([row])] == [True, None, False]


def test_an_overload_is_judged_by_the_medians_of_its_rounds() -> None:
    rounds = [
        overload_round(goodput=share, calls=calls)
        for share, calls in ((0.2, {"OK": 1}), (0.95, {"OK": 5, "Canceled": 3}), (0.96, {"OK": 4}))
    ]
    assert [goal.met for goal in overload_goals(rounds)] == [True, True, True]
    assert [row["calls"] for row in typical_overloads(rounds)] == [{"OK": 4, "Canceled": 0}]


def test_an_overload_by_hard_rows_has_goals_of_its_own() -> None:
    row = overload_round(batch=64, goodput=0.5)
    short, hard = overload_goals([row, {**row, "hard": True}])[::3]
    assert (short.what, hard.what) == tuple(
        f"overload x5, 64 {rows}: goodput, share of the peak" for rows in ("rows", "hard rows")
    )
    assert [goal.met for goal in overload_goals([row])] == [False, True, True]


def test_recovery_ends_with_the_last_tenth_that_is_not_as_before() -> None:
    good, failing = {"calls": 9, "right": 9, "p50": 0.001}, {"calls": 9, "right": 8, "p50": 0.001}
    slow = {"calls": 9, "right": 9, "p50": 0.006}
    assert recovery([good, good], 0.001) == 0
    assert recovery([failing, good, slow, good], 0.001) == pytest.approx(0.3)


def test_rounds_in_which_no_core_was_busy_tell_of_other_work_on_the_machine() -> None:
    quiet, full = run("Shoal", 0, 1), run("echo", 0, 1, serverBusy=0.5, clientBusy=0.95)
    starved = run("KServe", 0, 1, serverBusy=0.4)
    assert contended([quiet, full, starved, {**starved, "kind": "open"}]) == (1, 3)


@pytest.mark.parametrize("raw", [True, False])
def test_labels_are_compared_whatever_form_a_server_gives_them(raw: bool) -> None:
    response = pb.ModelInferResponse()
    output = response.outputs.add(name="labels", datatype="INT64" if raw else "INT32", shape=[3])
    if raw:
        response.raw_output_contents.append(np.array([1, -1, 2], dtype="<i8").tobytes())
    else:
        output.contents.int_contents.extend([1, -1, 2])
    answer = response.SerializeToString()
    assert count_differing([answer], [np.array([1, -1, 2])]) == 0
    assert count_differing([answer], [np.array([1, 0, 2])]) == 1
    assert count_differing([answer], [np.array([1, -1])]) == 2


def test_a_request_holds_its_rows() -> None:
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    request = pb.ModelInferRequest.FromString(encode_request(rows))
    assert list(request.inputs[0].shape) == [2, 2]
    assert np.array_equal(np.frombuffer(request.raw_input_contents[0]).reshape(2, 2), rows)


def test_a_run_of_one_suite_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    race = [run(name, 0, 3500) for name in ("Shoal", "echo", "MLServer", "KServe")]
    server = {"kind": "server", "name": "Shoal", "batch": 0, "readySeconds": 1.0}
    write({"race": suite([*race, {**server, "residentBytes": 1e8, "loadedResidentBytes": 1.1e8}])}, tmp_path)
    row = {"cached": True, "modelBytes": 1e8, "cpuSeconds": 1.0, "readySeconds": 1.2, "residentBytes": 2e8}
    write({"start": suite([{**row, "loadedResidentBytes": 2.1e8}])}, tmp_path)
    text = (tmp_path / "benchmarks-serving.md").read_text()
    assert "| 1 | echo | 3,500 | 1.00x |" in text
    assert "| in the cache | 1.2 s |" in text
    assert "| start to ready, 100 MB in the cache | ≤ 1.5 s | 1.2 s | met |" in text


def test_goals_of_suites_that_did_not_run_are_not_told() -> None:
    assert [line[3] for line in goals({"overload": suite([overload_round()])}).rows] == ["met"] * 3
