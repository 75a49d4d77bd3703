"""The simulated judges judge as their documentation says, and the operator's own keeps its promises on small runs."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from shoal_operator.core.snapshot import Look
from shoal_worker.agreement.figures import Compared, measure_figures
from tests.bench_decisions import pictures
from tests.bench_decisions.judges import Argo, Flagger, Judge, Kayenta
from tests.bench_decisions.labels import JUDGES as LABEL_JUDGES
from tests.bench_decisions.labels import ROWS, LabelScenario, Reservoir, compare
from tests.bench_decisions.labels import Look as LabelLook
from tests.bench_decisions.labels import run as run_labels
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


@pytest.mark.parametrize("rows", [40, 2000])
def test_label_figures_are_those_of_a_worker(rows: int) -> None:
    look = Reservoir(LabelScenario("x", good=False, wrong=0.1, rate=rows / 300 / ROWS), 3).look(0)
    chosen = slice(rows)
    found = compare(LabelLook(look.requests[chosen], look.stable[chosen], look.candidate[chosen]))
    stable, candidate = look.stable[chosen], look.candidate[chosen]
    points = np.zeros((len(stable), 1))
    told = measure_figures(Compared(look.requests[chosen], stable, candidate, points, "euclidean"), lambda: None)
    assert found.ari is not None
    assert (found.ari.value, found.ari.variance) == pytest.approx((told.ari.value, told.ari.variance))


@pytest.mark.parametrize(
    ("scenario", "judge", "end"),
    [
        (LabelScenario("anew", good=True, wrong=0.01), "Shoal, agreement.min 0.95", "promoted"),
        (LabelScenario("anew", good=True, wrong=0.01), "Shoal, learnt from 10 promotions", "promoted"),
        (LabelScenario("anew", good=True, wrong=0.01), "same numbers on 95 %", "failed"),
        (LabelScenario("few rows", good=True, wrong=0.01, rate=0.1), "Shoal, agreement.min 0.95", "held"),
        (LabelScenario("wrong", good=False, wrong=0.05), "Shoal, agreement.min 0.95", "failed"),
        (LabelScenario("wrong", good=False, wrong=0.05), "Shoal, learnt from 10 promotions", "failed"),
        (LabelScenario("melted", good=False, wrong=0.01, melts=True), "Shoal, learnt from 10 promotions", "failed"),
    ],
)
def test_the_agreement_gate_decides_rightly(scenario: LabelScenario, judge: str, end: str) -> None:
    outcomes = [run_labels(Reservoir(scenario, seed), LABEL_JUDGES[judge]()) for seed in range(2)]
    assert {item.end for item in outcomes} == {end}
    assert all(item.step == 0 for item in outcomes if item.end != "promoted")


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
    labels = [
        {**row, "scenario": name, "judge": judge}
        for name, row in (("trained anew", rows[0]), ("wrong labels on 5 % of the rows", rows[-1]))
        for judge in LABEL_JUDGES
    ]
    write_page(rows, labels, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| x1.5 latency, 200 calls/s, stopped within the first step | ≥ 95 % | 99.0% | met |" in page
    assert "99% / 100%, held 0%, 25 s" in page
    told = "wrong labels on 5 % of the rows, Shoal, learnt from 10 promotions, stopped in shadow"
    assert f"| {told} | ≥ 95 % | 99.0% | met |" in page
    assert "{" not in page


@pytest.mark.parametrize(
    ("draw", "verdicts"),
    [
        (pictures.draw_errors, {"pass", "inconclusive", "fail"}),
        (pictures.draw_latency, {"pass", "inconclusive", "fail"}),
        (pictures.draw_noise, {"pass", "inconclusive", "fail"}),
        (pictures.draw_agreement, {"pass", "fail"}),
        (pictures.draw_silhouette, {"pass", "fail"}),
        (pictures.draw_readiness, {"pass", "inconclusive", "fail"}),
    ],
)
def test_a_picture_shows_the_verdicts_of_its_gate(draw: Callable[[], str], verdicts: set[str]) -> None:
    drawing = ElementTree.fromstring(draw())
    dots = [item.get("class") for item in drawing.iter("{http://www.w3.org/2000/svg}circle")][:-3]
    assert set(dots) == verdicts
    assert dots.count("fail") >= 1
