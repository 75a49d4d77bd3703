"""The page of the rollouts' figures: goals judged, replays beside their simulation, a cut run's page whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bench_rollouts.page import goals, summary, write

MACHINE = {"cpu": "EPYC", "cores": 2, "memory_bytes": 24e9, "system": "Linux", "python": "3.11"}
SIMULATED = [
    {"scenario": "bad", "judge": "Shoal", "rollouts": 100, "failed": 99, "medianSecondsToFail": 15.0},
    {"scenario": "bad", "judge": "Flagger", "rollouts": 100, "failed": 0, "medianSecondsToFail": None},
]
REPLAYS = {
    "as good": {
        "good": True,
        "simulated": "",
        "outcomes": [{"end": "promoted", "seconds": 61.0, "message": ""}],
        "otherFailedCalls": 0,
    },
    "worse": {
        "good": False,
        "simulated": "bad",
        "outcomes": [
            {"end": "failed", "seconds": 20.0, "message": "errorRate"},
            {"end": "promoted", "seconds": 61.0, "message": ""},
        ],
        "otherFailedCalls": 0,
    },
}


def suite(figures: dict[str, Any]) -> dict[str, Any]:
    return {"date": "2026-11-29 10:00 UTC", "commit": "abc", "machine": MACHINE, "figures": figures}


def test_goals_are_judged_by_router_and_weight() -> None:
    figures = {
        "promotions": {"Service": {"promotions": 50, "failedCalls": 1, "medianSecondsBesidePodStart": 2.0}},
        "rollbacks": {"Gateway": {"mostSecondsFromAbortToLastAnswer": 1.2, "mostSecondsFromVerdictToLastAnswer": 5.5}},
        "shares": {"weight20": {"calls": 10_000, "share": 0.2, "sigmas": 3.1}},
        "replays": REPLAYS,
    }
    assert [(row[2], row[3]) for row in goals(figures).rows] == [
        ("1", "not met"),
        ("2 s", "met"),
        ("1.2 s", "met"),
        ("5.5 s", "not met"),
        ("3.1 sigma", "not met"),
        ("1", "not met"),
    ]


def test_a_page_of_one_suite_stands_alone_and_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "decisions.json").write_text(json.dumps({"rows": SIMULATED}))
    write({"replays": suite(REPLAYS)}, tmp_path)
    write({"shares": suite({"weight20": {"calls": 10_000, "share": 0.2, "sigmas": 0.4}})}, tmp_path)
    page = (tmp_path / "benchmarks-rollouts.md").read_text()
    ends = "failed after 20 s; promoted after 61 s"
    assert f"| worse | {ends} | 99.0% failed, 15 s in the median | 0 |" in page
    assert "| Gateway: share of 10,000 calls at 20 %, off by | ≤ 3 sigma | 0.4 sigma | met |" in page
    assert "$" not in page


def test_progress_is_the_newest_figure() -> None:
    assert summary("replays", REPLAYS) == "worse: promoted after 61 s"
    assert summary("shares", {"a": {"calls": 1}, "b": {"calls": 2}}) == "b: calls 2"
