"""A run that grows: sealed once, by whomever; nothing is appended behind the seal, and a double counts once."""

from __future__ import annotations

import json
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from shoal_cli.__main__ import main
from shoal_worker.errors import ResultInvalid
from shoal_worker.results.growing import GrowingRun, find_abandoned, seal
from shoal_worker.results.layout import RunKey, batch_key
from shoal_worker.results.record import STREAM_FORMAT, RunInput, RunModel
from shoal_worker.results.schema import STREAM_SCHEMA
from shoal_worker.results.store import ResultStore
from shoal_worker.results.writer import remove_left_files
from shoal_worker.spec.output import Retention
from tests.unit.models.conftest import Place
from tests.unit.results.conftest import DIGEST

KEY = batch_key("demo", "readings")
SOURCE = RunInput(uri="nats://nats:4222/readings", format=STREAM_FORMAT)


def rows_of(*sequences: int, version: int = 3, minute: int = 0) -> pa.RecordBatch:
    """One row for each message."""
    count = len(sequences)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([f"id.{sequence}" for sequence in sequences], pa.string()),
            pa.nulls(count, pa.string()),
            pa.array(sequences, pa.int64()),
            pa.array([0] * count, pa.int64()),
            pa.array([version] * count, pa.int32()),
            pa.array([40 + version] * count, pa.int64()),
            pa.array([0.5] * count, pa.float32()),
            pa.nulls(count, pa.float32()),
            pa.array([version] * count, pa.int64()),
            pa.array([DIGEST] * count).dictionary_encode(),
            pa.array([datetime(2026, 5, 1, 12, minute, tzinfo=UTC)] * count, pa.timestamp("ms", tz="UTC")),
        ],
        schema=STREAM_SCHEMA,
    )


@pytest.fixture
def results(place: Place) -> ResultStore:
    return ResultStore(*place.open())


def begin(results: ResultStore, version: int = 3) -> GrowingRun:
    return GrowingRun(results, KEY, RunModel(name="readings", version=version, digest=DIGEST), SOURCE)


def test_it_is_read_while_it_grows_and_complete_when_sealed(results: ResultStore) -> None:
    run = begin(results)
    assert results.runs(KEY) == ()
    assert run.append([rows_of(1, 2), rows_of(3)]) is not None
    assert run.append([rows_of(4)]) is not None
    (summary,) = results.runs(KEY)
    assert (summary.state, summary.is_stream, summary.parts, summary.parts_done) == ("Running", True, None, 2)
    assert results.verify(run.key) > 0
    opened = results.stream_rows([summary])
    assert opened is not None
    assert opened.dataset.count_rows() == 4
    manifest = run.seal()
    assert manifest is not None
    assert (manifest.rows, manifest.counts, manifest.ranges["sequence"].max) == (4, {43: 4}, 4)
    assert [summary.state for summary in results.runs(KEY)] == ["Complete"]


def test_nothing_is_written_before_the_first_rows(results: ResultStore) -> None:
    assert begin(results).seal() is None
    assert results.run_names(KEY) == []
    assert results.stream_rows(results.runs(KEY)) is None


def test_nothing_is_appended_to_a_run_that_another_has_sealed(results: ResultStore) -> None:
    run = begin(results)
    run.append([rows_of(1)])
    sealed = seal(results.run(run.key))
    assert run.append([rows_of(2)]) is None
    assert run.append([rows_of(2)]) is None
    assert seal(results.run(run.key)) == sealed == run.seal()
    assert [part.rows for part in sealed.parts] == [1, 0]
    assert results.verify(run.key) > 0


def test_rows_whose_record_was_written_unheard_are_appended_once(results: ResultStore) -> None:
    run = begin(results)
    other = begin(results)
    other.key = run.key
    run.append([rows_of(1)])
    run.parts = 0
    # The answer was lost: the same rows again find their own record.
    assert run.append([rows_of(1)]) is not None
    assert run.parts == 1
    assert [part.rows for part in results.run(run.key).parts()] == [1]


def test_runs_of_writers_that_are_gone_are_found_by_their_age(results: ResultStore) -> None:
    run, done = begin(results), begin(results)
    for each in (run, done):
        each.append([rows_of(1)])
    done.seal()
    now = datetime.now(UTC)
    assert find_abandoned(results, KEY, now, timedelta(hours=2)) == []
    later = now + timedelta(hours=3)
    assert [found.key for found in find_abandoned(results, KEY, later, timedelta(hours=2))] == [run.key]


def test_what_a_dead_writer_left_is_no_remains(place: Place) -> None:
    late = datetime.now(UTC) + timedelta(days=40)
    results = ResultStore(*place.open(), clock=lambda: late)
    run = begin(results)
    run.append([rows_of(1)])
    assert results.prune(KEY, Retention(), dry_run=True) == ()
    assert [each.key for each in results.prune(KEY, Retention(max_age_days=30))] == [run.key]
    assert results.runs(KEY) == ()


def test_a_batch_that_is_not_complete_has_no_parts_to_read(results: ResultStore) -> None:
    with pytest.raises(ResultInvalid, match="not complete"):
        results.verify(RunKey(KEY, "none"))


def test_the_command_line_counts_a_message_once(
    results: ResultStore, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = begin(results, 3), begin(results, 4)
    first.append([rows_of(1, 2, 3)])
    second.append([rows_of(3, 4, version=4, minute=1)])
    second.seal()
    where = ["--store", place.uri, "--credentials-dir", str(place.secret_dir)]

    def ask(statement: str) -> list[dict[str, object]]:
        capsys.readouterr()
        assert main(["results", "sql", "demo/readings", statement, "-o", "json", *where]) == 0
        return list(json.loads(capsys.readouterr().out))

    assert ask("SELECT sequence AS s, version AS v FROM results ORDER BY 1") == [
        {"s": 1, "v": 3},
        {"s": 2, "v": 3},
        {"s": 3, "v": 3},
        {"s": 4, "v": 4},
    ]
    assert ask("SELECT count(*) AS n FROM deliveries") == [{"n": 5}]
    assert ask(f'SELECT count(*) AS n FROM "{second.key.run}"') == [{"n": 2}]
    assert main(["results", "verify", "demo/readings", *where]) == 0
    assert "2 sound" in capsys.readouterr().out
    assert main(["results", "ls", "demo/readings", *where]) == 0


def test_local_files_of_killed_writers_are_removed_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, age in (("shoal-part-old.parquet", 7200), ("shoal-part-new.parquet", 60), ("theirs.parquet", 7200)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    remove_left_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shoal-part-new.parquet", "theirs.parquet"]
