"""The page of the streams' figures: goals judged, figures and machine told."""

from pathlib import Path
from typing import Any

from tests.bench_streams.page import figures, write

FOUND: dict[str, Any] = {
    "rate": {
        "smallMessagesPerSecond": 8123,
        "cpuMicrosecondsPerSmallMessage": 90.5,
        "rowsPerSecondInMessagesOf1000": 900_000,
    },
    "latency": {"p50Ms": 4.2, "p99Ms": 60.0},
    "kill": {"messages": 25_000, "redelivered": 2048.0, "lost": 0, "doubled": 1},
    "share": {"toldPercent": 10, "takenPercent": 9.7},
    "store": {
        "messagesPerSecond": 6000,
        "cpuMicrosecondsPerMessage": 30.5,
        "messagesInAFile": 10_000,
        "messages": 25_000,
        "lost": 0,
        "doubles": 800,
    },
}


def test_goals_are_judged() -> None:
    assert [row[3] for row in figures(FOUND).rows if row[3]] == [
        "met",
        "not met",
        "met",
        "not met",
        "met",
        "met",
        "met",
    ]


def test_figures_and_machine_are_told(tmp_path: Path) -> None:
    machine = {"cpu": "EPYC", "cores": 2, "memory_bytes": 24e9, "system": "Linux", "python": "3.11"}
    write({"date": "2026-11-30", "commit": "abc", "machine": machine, "figures": FOUND}, tmp_path)
    text = (tmp_path / "benchmarks-streams.md").read_text()
    assert "| messages of one row, a second | 8,123 | ≥ 5,000 | met |" in text
    assert "EPYC, 2 cores" in text
