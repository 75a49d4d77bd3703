"""The page of the lifecycle's figures: goals judged, a suite's figures replaced, the others kept."""

from pathlib import Path
from typing import Any

from tests.bench_lifecycle.page import goals, write

MACHINE = {"cpu": "EPYC", "cores": 2, "memory_bytes": 24e9, "system": "Linux", "python": "3.11"}


def suite(**figures: Any) -> dict[str, Any]:
    return {"date": "2026-11-29 10:00 UTC", "commit": "abc", "machine": MACHINE, "figures": figures}


def test_goals_of_suites_that_ran_are_judged() -> None:
    known = {
        "training": suite(overheadSeconds=3.5),
        "store": suite(s3={"listSeconds": 0.1}),
        "batch": suite(batchShareOfBare=0.7),
    }
    assert [(row[0], row[3]) for row in goals(known).rows] == [
        ("training, from apply to the stored artifact, without the fit", "not met"),
        ("list of 10,000 versions, S3", "met"),
        ("batch, rows a second against the bare engine with Parquet", "met"),
    ]


def test_a_run_of_one_suite_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    write({"training": suite(overheadSeconds=2.0)}, tmp_path)
    write({"store": suite(file={"listSeconds": 0.25})}, tmp_path)
    text = (tmp_path / "benchmarks-lifecycle.md").read_text()
    assert "| training | overheadSeconds | 2 |" in text
    assert "| store | file.listSeconds | 0.25 |" in text
