"""The simulated judges judge as their documentation says, and the operator's own keeps its promises on small runs."""

from __future__ import annotations

import pytest

from shoal_operator.core.snapshot import Look
from tests.bench_decisions.judges import Argo, Flagger, Judge, Kayenta
from tests.bench_decisions.page import write_page
from tests.bench_decisions.rollout import JUDGES, run
from tests.bench_decisions.traffic import Scenario, Traffic

IDLE = Look(durations={0.02: 0.0, 0.5: 0.0})


def served(calls: int, errors: int = 0, mean: float = 0.01) -> Look:
    return Look(calls, errors, calls * mean, 1.1 * calls * mean * mean, {0.02: calls, 0.5: 0})


def steps(judge: Judge, pair: tuple[Look, Look], count: int) -> list[str]:
    judge.begin()
    return [judge.judge([pair] * number, over=number == count) for number in range(1, count + 1)]


def test_no_data_is_a_failed_measurement_to_argo() -> None:
    assert steps(Argo(0), (IDLE, IDLE), 4) == ["wait", "wait", "wait", "fail"]
    assert steps(Argo(3), (IDLE, IDLE), 12)[-1] == "go"


def test_argo_compares_by_a_bare_threshold() -> None:
    assert steps(Argo(0), (served(1000, 10), served(1000, 10)), 4)[-1] == "go"
    assert steps(Argo(0), (served(1000, 10), served(1000, 11)), 4)[-1] == "fail"


def test_flagger_rolls_back_after_five_failed_checks_and_halts_before() -> None:
    found = steps(Flagger(), (served(100), served(100, errors=2)), 20)
    assert found.count("fail") == 1
    assert found[-1] == "fail"
    assert "go" not in found


def test_kayenta_judges_at_the_end_of_the_step() -> None:
    pairs = [
        (served(100, mean=0.01 + number / 10_000), served(100, mean=0.02 + number / 10_000)) for number in range(9)
    ]
    assert Kayenta().judge(pairs, over=False) == "wait"
    assert Kayenta().judge(pairs, over=True) == "fail"
    assert Kayenta().judge([(stable, stable) for stable, _ in pairs], over=True) == "go"


def test_the_same_seed_is_the_same_traffic() -> None:
    scenario = Scenario("x", good=True)
    assert Traffic(scenario, 7, 5).draw(0.2) == Traffic(scenario, 7, 5).draw(0.2)
    assert Traffic(scenario, 7, 5).draw(0.2) != Traffic(scenario, 8, 5).draw(0.2)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Scenario("good", good=True), {"promoted"}),
        (Scenario("idle", good=True, rate=0), {"held"}),
        (Scenario("errors", good=False, more_errors=0.02), {"failed"}),
        (Scenario("slow", good=False, slower=1.5), {"failed"}),
        (Scenario("noisy", good=False, more_noise=0.2), {"failed"}),
    ],
)
def test_the_operator_s_gates_decide_rightly(scenario: Scenario, expected: set[str]) -> None:
    outcomes = [run(scenario, JUDGES["Shoal"](), seed) for seed in range(5)]
    assert {item.end for item in outcomes} == expected
    assert all(item.step == 0 for item in outcomes if item.end == "failed")


def test_the_page_states_what_was_counted(tmp_path) -> None:
    scenarios = {
        "as good, no traffic": True,
        **{
            f"{what}{rate}": False for what in ("+2 points of errors", "x1.5 latency") for rate in ("", ", 200 calls/s")
        },
    }
    rows = [
        {
            "scenario": name,
            "good": good,
            "judge": judge,
            "rollouts": 200,
            "failed": 0 if good else 199,
            "failedInFirstStep": 0 if good else 198,
            "held": 1,
            "medianSecondsToFail": None if good else 25.0,
        }
        for name, good in scenarios.items()
        for judge in JUDGES
    ]
    write_page(rows, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| x1.5 latency, 200 calls/s, stopped within the first step | ≥ 95 % | 99.0% | met |" in page
    assert "99% / 100%, held 0%, 25 s" in page
    assert "{" not in page
