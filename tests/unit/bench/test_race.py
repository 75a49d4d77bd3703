"""How the bench runs its children: limits hold, failures say why, and what cannot finish is not started."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from tests.bench import race
from tests.bench.contestants import EXACT
from tests.bench.race import Race, Settings
from tests.bench.runner import Outcome, run_child, supervise

PLENTY = 2**40


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_command_that_ends_well() -> None:
    assert supervise(python("print('ready', flush=True)"), 60, PLENTY) == ("ok", "")


def test_a_command_that_fails_says_why() -> None:
    code = "import sys; sys.exit('ImportError: no such library')"
    assert supervise(python(code), 60, PLENTY) == ("failed", "ImportError: no such library")


def test_a_command_that_hangs_is_ended() -> None:
    hanging = python("import signal; print('ready', flush=True); signal.pause()")
    assert supervise(hanging, -5, PLENTY)[0] == "time limit"


def test_a_command_that_takes_too_much_memory_is_ended() -> None:
    waiting = python("import signal; print('ready', flush=True); signal.pause()")
    assert supervise(waiting, 60, 1)[0] == "memory limit"


def test_a_child_brings_back_labels_time_and_memory(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(700, 2))
    np.save(tmp_path / "points.npy", points)
    arguments = {"eps": 0.1, "min_samples": 5, "metric": "euclidean"}
    job = {"role": "exact", "contestant": "shoal", "points": str(tmp_path / "points.npy"), "arguments": arguments}
    outcome = run_child({**job, "repeats": 3}, 60)
    assert outcome.status == "ok", outcome.detail
    expected = DBSCAN(eps=0.1, min_samples=5).fit(points)
    np.testing.assert_array_equal(outcome.labels, expected.labels_)
    np.testing.assert_array_equal(outcome.cores, expected.core_sample_indices_)
    assert outcome.seconds > 0
    assert outcome.fits == 3
    assert outcome.extra_bytes >= 0


def test_a_contestant_that_would_pass_its_limit_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, str]] = []

    def run(job: dict, seconds: float) -> Outcome:
        started.append((job["contestant"], job["points"]))
        return Outcome("ok", seconds=25.0) if job["contestant"] == "scikit-learn" else Outcome("ok", seconds=0.1)

    monkeypatch.setattr(race, "run_child", run)
    runs = Race("exact", ("shoal", "scikit-learn", "open3d"))
    found = []
    for n, d in ((1_000, 5), (2_000, 5), (3_000, 6)):
        steps = runs.on(("blobs", str(d)), Path(f"{n}.npy"), (n, d), "euclidean", {})
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found.append({name: outcome.status for name, outcome in end.value.items()})
                break
    # scikit-learn's limit is 30 s; open3d takes three columns at most.
    assert found == [
        {"shoal": "ok", "scikit-learn": "ok"},
        {"shoal": "ok", "scikit-learn": "not run"},
        {"shoal": "ok", "scikit-learn": "ok"},
    ]
    assert ("scikit-learn", "2000.npy") not in started


def test_who_takes_part_and_whether_figures_may_be_published(tmp_path: Path) -> None:
    def settings(quick: bool = False, only: str = "", peers: tuple[str, ...] | None = None) -> Settings:
        return Settings(quick, only, peers, tmp_path, tmp_path)

    assert settings().contestants("exact", ("shoal",)) == tuple(EXACT)
    assert settings(quick=True).contestants("exact", ("shoal", "mlpack")) == ("shoal", "mlpack")
    assert settings(peers=("mlpack",)).contestants("exact", ("shoal",)) == ("shoal", "mlpack")
    assert not settings().partial
    assert settings(quick=True).partial
    assert settings(only="blobs").partial
    assert settings(peers=()).partial


def test_words_for_runs_without_figures() -> None:
    assert race.limit_words("time limit", 12.0) == "> 12 s"
    assert race.limit_words("not run", 12.0) == "(> 12 s)"
    assert race.limit_words("failed", 12.0) == "failed"
