"""Runs are listed as what they are, verified by their digests, and deleted when they may go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_worker.errors import ResultInvalid
from shoal_worker.results.layout import MANIFEST_NAME, PLAN_NAME, BatchKey, RunKey
from shoal_worker.results.listing import CUT_AFTER, RunSummary
from shoal_worker.results.record import RunModel, told
from shoal_worker.results.retention import choose_expired
from shoal_worker.results.run import ResultRun
from shoal_worker.results.store import ResultStore
from shoal_worker.spec.output import Retention
from tests.unit.models.conftest import Place
from tests.unit.results.conftest import DIGEST, START, fill, key, plan_of, write

BATCH = BatchKey("demo", "nightly")


def store_at(place: Place, *, later: timedelta = timedelta()) -> ResultStore:
    """The store as somebody sees it who looks later."""
    return ResultStore(*place.open(), clock=lambda: datetime.now(UTC) + later)


def make(place: Place, run: str = "r1", *, parts: int = 2, finish: bool = True, **more: object) -> ResultRun:
    made = ResultRun(*place.open(), key(run, **{name: str(more.pop(name)) for name in ("batch",) if name in more}))
    fill(made, parts, **more)
    if finish:
        made.finish()
    return made


def folder(place: Place, run: str = "r1") -> Path:
    return place.folder / "demo" / "nightly" / run


def test_an_empty_store(place: Place) -> None:
    store = store_at(place)
    assert store.batches() == ()
    assert store.runs(BATCH) == ()
    with pytest.raises(ResultInvalid, match="no complete run"):
        store.latest(BATCH)
    with pytest.raises(ResultInvalid, match="no such run"):
        store.find(key())


def test_a_listing_tells_what_the_manifest_does(place: Place) -> None:
    manifest = make(place).finish()
    store = store_at(place)
    (found,) = store.runs(BATCH)
    assert found == store.find(key()) == store.latest(BATCH)
    assert (found.state, found.parts, found.parts_done, found.rows, found.clusters) == ("Complete", 2, 2, 20, 3)
    assert (found.noise_ratio, found.created, found.finished) == (0.2, manifest.created, manifest.finished)
    assert found.bytes == sum(each.stat().st_size for each in folder(place).iterdir())
    assert (found.model, found.input_uri) == (manifest.model, "s3://data/in/")


def test_runs_are_chosen_by_what_is_known_of_them(place: Place) -> None:
    make(place, "r1")
    make(place, "r2", created=told(START + timedelta(hours=1)), model=RunModel(name="towns", version=4, digest=DIGEST))
    make(place, "r3", created=told(START + timedelta(hours=2)), finish=False)
    make(place, "x1", batch="other")
    (place.folder / "demo" / "nightly" / "notes").mkdir()
    (place.folder / "demo" / "nightly" / "notes" / "readme.txt").write_text("not a run")
    (place.folder / "UPPER").mkdir()
    store = store_at(place)
    assert store.batches() == (BATCH, BatchKey("demo", "other"))
    assert store.batches("demo") == store.batches()
    assert store.batches("fish") == ()

    def names(**chosen: object) -> list[str]:
        return [run.key.run for run in store.runs(BATCH, **chosen)]  # type: ignore[arg-type]

    assert names() == ["r3", "r2", "r1"]
    assert names(states=("Complete",)) == ["r2", "r1"]
    assert names(states=("Running",)) == ["r3"]
    assert names(version=4) == ["r2"]
    assert names(model="others") == []
    assert names(since=START + timedelta(minutes=1), until=START + timedelta(hours=2)) == ["r2"]
    assert store.latest(BATCH).key.run == "r2"


def test_a_run_that_nobody_writes_is_broken_after_a_day(place: Place) -> None:
    run = ResultRun(*place.open(), key())
    run.begin(plan_of(run.key, parts=4))
    write(run, 2)
    (found,) = store_at(place).runs(BATCH)
    assert (found.state, found.parts_done, found.parts) == ("Running", 1, 4)
    (found,) = store_at(place, later=CUT_AFTER + timedelta(hours=2)).runs(BATCH)
    assert (found.state, found.message) == ("Broken", "cut off: nothing was written for 26 hours")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("rows gone", "is gone"),
        ("rows shorter", "has another size"),
        ("manifest spoilt", "manifest: run: the file is not as it was written"),
        ("plan spoilt", "plan: run: the file is not as it was written"),
        ("plan gone", "there is no plan"),
    ],
)
def test_damage_is_told(place: Place, damage: str, message: str) -> None:
    what, how = damage.split()
    make(place, finish=what != "plan")
    file = next(folder(place).glob("*.parquet")) if what == "rows" else folder(place) / f"{what}.json"
    match how:
        case "gone":
            file.unlink()
        case "shorter":
            file.write_bytes(file.read_bytes()[:-1])
        case "spoilt":
            file.write_bytes(b"{")
    (found,) = store_at(place).runs(BATCH)
    assert found.state == "Broken"
    assert message in found.message


def test_verify(place: Place) -> None:
    make(place)
    rows = next(folder(place).glob("*.parquet"))
    store = store_at(place)
    assert store.verify(key()) == sum(each.stat().st_size for each in folder(place).glob("*.parquet"))
    content = bytearray(rows.read_bytes())
    content[20] ^= 1
    rows.write_bytes(content)
    assert store.find(key()).state == "Complete"
    with pytest.raises(ResultInvalid, match="sha256"):
        store.verify(key())
    make(place, "r2", finish=False)
    with pytest.raises(ResultInvalid, match="not complete"):
        store.verify(key("r2"))


def test_prune_keeps_the_newest_and_what_is_protected(place: Place) -> None:
    for name in ("r1", "r2", "r3", "r4"):
        make(place, name)
    (folder(place, "r1") / "notes.txt").write_text("mine")
    store = store_at(place)
    retention = Retention(keep_runs=1)
    expired = store.prune(BATCH, retention, protected={"r2"}, dry_run=True)
    assert sorted(run.key.run for run in expired) == ["r1", "r3"]
    assert len(store.runs(BATCH)) == 4
    assert {run.key.run for run in store.prune(BATCH, retention, protected={"r2"})} == {"r1", "r3"}
    assert [run.key.run for run in store.runs(BATCH)] == ["r4", "r2"]
    assert [each.name for each in folder(place, "r1").iterdir()] == ["notes.txt"]
    assert not folder(place, "r3").exists()
    assert store.prune(BATCH, retention, protected={"r2"}) == ()


def test_prune_by_age_keeps_the_newest_complete_run_and_removes_remains(place: Place) -> None:
    make(place, "r1")
    make(place, "r2")
    make(place, "r3", finish=False)
    store = store_at(place, later=timedelta(days=8))
    assert {run.key.run for run in store.prune(BATCH, Retention(max_age_days=7))} == {"r1", "r3"}
    assert [run.key.run for run in store.runs(BATCH)] == ["r2"]


def test_a_deletion_that_was_cut_leaves_remains_that_go(place: Place) -> None:
    make(place, "r1")
    make(place, "r2")
    (folder(place, "r1") / "manifest.json").unlink()
    (folder(place, "r1") / "part-00000.json").unlink()
    assert [run.state for run in store_at(place).runs(BATCH)] == ["Complete", "Running"]
    late = store_at(place, later=CUT_AFTER + timedelta(hours=1))
    assert [run.key.run for run in late.prune(BATCH, Retention())] == ["r1"]


def test_files_of_another_program_stay(place: Place) -> None:
    foreign = folder(place, "theirs")
    foreign.mkdir(parents=True)
    (foreign / "manifest.json").write_text('{"their": "own"}')
    store = store_at(place, later=timedelta(days=800))
    assert [run.state for run in store.runs(BATCH)] == ["Broken"]
    assert store.prune(BATCH, Retention(keep_runs=1, max_age_days=1)) == ()
    assert (foreign / "manifest.json").exists()


NOW = datetime(2026, 6, 1, tzinfo=UTC)
RUNS = st.lists(
    st.builds(
        lambda state, hours, ended: RunSummary(
            key=key(),
            state=state,
            files=(MANIFEST_NAME, PLAN_NAME) if ended or state == "Complete" else (PLAN_NAME,),
            bytes=1,
            written=NOW - timedelta(hours=hours),
            parts_done=0,
        ),
        st.sampled_from(("Complete", "Running", "Broken")),
        st.integers(0, 24 * 30),
        st.booleans(),
    ),
    max_size=12,
).map(lambda runs: [replace(run, key=RunKey(BATCH, f"r{place}")) for place, run in enumerate(runs)])
RETENTION = st.builds(Retention, keep_runs=st.none() | st.integers(1, 5), max_age_days=st.none() | st.integers(1, 40))


@given(RUNS, RETENTION, st.sets(st.sampled_from([f"r{place}" for place in range(12)])))
def test_what_may_go(runs: list[RunSummary], retention: Retention, protected: set[str]) -> None:
    gone = choose_expired(runs, retention, NOW, protected)
    names = {run.key.run for run in gone}
    assert len(names) == len(gone)
    assert not names & protected
    complete = [run for run in runs if run.state == "Complete"]
    if complete:
        assert max(complete, key=lambda run: (run.ended, run.key.run)).key.run not in names
    for run in gone:
        ended = MANIFEST_NAME in run.files
        newer = [each for each in runs if MANIFEST_NAME in each.files and each.written >= run.written]
        old = retention.max_age_days is not None and NOW - run.written > timedelta(days=retention.max_age_days)
        many = retention.keep_runs is not None and len(newer) > retention.keep_runs
        assert (old or many) if ended else NOW - run.written > CUT_AFTER
    left = [run for run in runs if run.key.run not in names]
    assert choose_expired(left, retention, NOW, protected) == ()
    assert choose_expired(runs, Retention(), NOW) == tuple(
        sorted(
            (run for run in runs if MANIFEST_NAME not in run.files and NOW - run.written > CUT_AFTER),
            key=lambda run: (run.ended, run.key.run),
            reverse=True,
        )
    )
