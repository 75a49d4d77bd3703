"""Verdicts of the bench: what counts as equal labels, how ratios and goals come about, how tables read."""

import io

import numpy as np
import pytest
from rich.console import Console

from tests.bench import judge, suite_adaptive, suite_fit, suite_predict
from tests.bench.tables import Table, count, ratio, seconds, size

REFERENCE = np.array([0, 0, 0, 1, 1, 1, -1, 1])
CORES = np.array([0, 1, 3, 4])


@pytest.mark.parametrize(
    ("labels", "cores", "verdict"),
    [
        ([0, 0, 0, 1, 1, 1, -1, 1], CORES, "equal"),
        ([0, 0, 0, 1, 1, 1, -1, 1], None, "equal"),
        ([5, 5, 5, 2, 2, 2, -1, 2], CORES, "renumbered"),
        ([0, 0, 1, 1, 1, 1, -1, 1], CORES, "borders differ: 1"),
        ([1, 1, 0, 0, 0, 0, -1, 0], None, "borders differ: 1"),
        ([0, 0, 0, 1, 1, 1, 1, 1], CORES, "wrong: 1"),  # noise that joined a cluster
        ([0, 0, -1, 1, 1, 1, -1, 1], CORES, "wrong: 1"),  # a border that became noise
        ([0, 0, 0, 1, 1, 1, -1, 1], CORES[:3], "wrong: 1"),  # a core that is none
        ([0, 0, 0, 0, 0, 0, -1, 0], CORES, "wrong: 2"),  # two clusters in one
        ([0, 0, 0, 1, 2, 1, -1, 1], CORES, "wrong: 1"),  # one cluster in two
    ],
)
def test_compare(labels: list[int], cores: np.ndarray | None, verdict: str) -> None:
    assert judge.compare(np.array(labels), cores, REFERENCE, CORES) == verdict


def test_compare_where_all_is_noise() -> None:
    noise = np.full(4, -1)
    none = np.array([], dtype=np.int64)
    assert judge.compare(noise, none, noise, none) == "equal"
    assert judge.compare(np.array([0, -1, -1, -1]), none, noise, none) == "wrong: 1"


def test_ari_with_and_without_noise() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    assert judge.ari(truth, truth) == (1.0, 1.0)
    joined = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    with_noise, without = judge.ari(truth, joined)
    assert without == 1.0
    assert with_noise < 1.0


def test_goals_are_met_at_the_limit_and_open_without_a_figure() -> None:
    assert judge.at_least("speed", 10, 10.0).met is True
    assert judge.at_least("speed", 10, 9.99).met is False
    assert judge.at_most("memory", 60, 60.0).met is True
    assert judge.at_most("memory", 60, 60.1).met is False
    assert judge.at_most("memory", 60, None) == judge.Goal("memory", "≤ 60x", "not measured", None)
    assert judge.lowest([]) is None
    assert judge.highest([1.0, 3.0]) == 3.0


def fit_row(name: str, seconds_: float, extra: int, *, n: int = 100_000, d: int = 2, **others: object) -> dict:
    place = {"data": "blobs", "n": n, "d": d, "kind": "typ", "name": name, "status": "ok", "detail": ""}
    return {**place, "seconds": seconds_, "extra_bytes": extra, "fits": 3, "verdict": "equal", **others}


def test_versus_takes_the_fastest_peer_of_the_same_case() -> None:
    rows = [
        fit_row("shoal", 0.1, 4_000_000, against="scikit-learn"),
        fit_row("scikit-learn", 3.0, 90_000_000, verdict="reference"),
        fit_row("dbscan (Wang)", 1.1, 40_000_000),
        {**fit_row("mlpack", 0.01, 1), "status": "time limit"},
        fit_row("dbscan (Wang)", 0.2, 1, d=3),
    ]
    [pair] = suite_fit.versus(rows)
    assert pair["peer"]["name"] == "dbscan (Wang)"
    assert pair["speed"] == pytest.approx(11)
    assert pair["memory"] == pytest.approx(0.1)
    goals = {goal.what: goal for goal in suite_fit.goals(rows)}
    assert goals["fit, d = 2, lowest ratio to the fastest peer"].met is True
    assert goals["fit, d = 3, lowest ratio to the fastest peer"].met is None
    assert goals["extra memory, d ≤ 3, n ≥ 100,000"].measured == "40 bytes a row"
    assert goals["fit, sets with a wrong label"].met is True


def test_the_fit_table_shows_limits_marks_and_who_is_slower() -> None:
    rows = [
        fit_row("shoal", 0.5, 4_000_000, against="scikit-learn"),
        fit_row("scikit-learn", 0.25, 90_000_000, verdict="reference"),
        fit_row("dbscan (Wang)", 1.0, 4_000, verdict="wrong: 12"),
        fit_row("open3d", 1.0, 4_000, verdict="borders differ: 3"),
        {**fit_row("mlpack", 0, 0), "status": "time limit"},
    ]
    [table] = suite_fit.tables(rows)
    [line] = table.rows
    cells = dict(zip(table.columns, line, strict=True))
    assert cells["shoal"] == "500 ms, 4 MB ="
    assert cells["scikit-learn"] == "250 ms, 90 MB"
    assert cells["dbscan (Wang)"].endswith("≠ 12")
    assert cells["open3d"].endswith("≈ 3")
    assert cells["mlpack"] == "> 8 s"
    assert cells["shoal against the fastest peer"] == "0.50x, slower"


def test_predict_goals_take_the_better_of_two_ways_to_call_the_tree() -> None:
    place = {"data": "spreader", "n": 1_000_000, "d": 2, "status": "ok", "what": "predict", "rows": 64, "differ": 0}
    rows = [
        {**place, "name": "shoal", "seconds": 1e-5},
        {**place, "name": "scipy cKDTree", "seconds": 9e-5},
        {**place, "name": "scipy cKDTree, all cores", "seconds": 7e-5},
    ]
    goals = {goal.what: goal for goal in suite_predict.goals(rows)}
    assert goals["predict 64 rows, d = 2"].measured == "7x"
    assert goals["predict 64 rows, d = 2"].met is False
    assert goals["predict 1 row, d = 2"].met is None
    [table] = suite_predict.tables(rows)
    assert any("90 µs (9.0x)" in line for line in table.rows)


def adaptive_row(name: str, ari: float, seconds_: float, n: int = 100_000, status: str = "ok") -> dict:
    place = {"data": "varied spreader", "n": n, "d": 2, "name": name, "status": status, "detail": ""}
    return {**place, "ari": ari, "ari_without_noise": ari, "seconds": seconds_, "extra_bytes": 1, "clusters": 3}


def test_adaptive_goals_compare_a_peer_on_the_sets_that_it_finished() -> None:
    rows = [
        adaptive_row("shoal", 0.90, 0.1),
        adaptive_row("hdbscan", 0.91, 2.0),
        adaptive_row("hdbscan-rs", 0.80, 0.15),
        adaptive_row("shoal", 0.70, 0.01, n=10_000),
        adaptive_row("hdbscan", 0.60, 0.2, n=10_000),
        adaptive_row("hdbscan-rs", 0.0, 0.0, n=10_000, status="time limit"),
    ]
    goals = {goal.what: goal for goal in suite_adaptive.goals(rows)}
    assert goals["adaptive, mean ARI above hdbscan's (2 sets)"].measured == "0.045"
    assert goals["adaptive, mean ARI above hdbscan-rs's (1 sets)"].met is True
    assert goals["adaptive, ARI below the best peer's, worst set"].measured == "0.01"
    assert goals["adaptive, time against hdbscan, 100,000 rows"].met is True
    assert goals["adaptive, time against hdbscan-rs, 100,000 rows"].met is False
    quality, times = suite_adaptive.tables(rows)
    assert quality.rows[0][3:] == ["0.900 (0.900)", "0.910 (0.910)", "0.800 (0.800)"]
    assert times.rows[1][3:] == ["10 ms", "200 ms", "> 40 s"]


def test_figures_read_well() -> None:
    assert [seconds(1.234), seconds(0.0123), seconds(4.2e-6)] == ["1.23 s", "12.3 ms", "4.2 µs"]
    assert [size(512), size(36e6), size(2.5e9)] == ["512 B", "36 MB", "2.5 GB"]
    assert [ratio(3.456), ratio(1234)] == ["3.5x", "1,234x"]
    assert [count(10_000), count(1_000_000), count(234_908), count(1_797)] == ["10k", "1M", "235k", "1,797"]


def test_a_table_is_the_same_in_markdown_and_in_a_terminal() -> None:
    table = Table("Title", ["name", "value"], [["a [b]", "1"]], notes=["A note."])
    assert table.markdown() == "| name | value |\n| --- | ---: |\n| a [b] | 1 |\n\nA note."
    console = Console(file=io.StringIO(), width=80)
    console.print(table.rich())
    assert "a [b]" in console.file.getvalue()
