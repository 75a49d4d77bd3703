"""A run is complete or absent, part by part, whoever dies or runs twice; what is read back is what was written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal_worker.errors import ObjectMissing, ResultInvalid, SettingsInvalid, WorkerError
from shoal_worker.results.run import ResultRun
from shoal_worker.results.schema import FILE_ROW, result_schema
from shoal_worker.store.objects import Location
from tests.unit.models.conftest import Place
from tests.unit.results.conftest import SCHEMA, fill, key, plan_of, rows, write


def folder(place: Place) -> Path:
    return place.folder / "demo" / "nightly" / "r1"


def test_a_run_from_plan_to_manifest(run: ResultRun, place: Place) -> None:
    fill(run)
    assert run.manifest() is None
    manifest = run.finish()
    assert run.manifest() == manifest
    assert (manifest.rows, manifest.noise, manifest.counts) == (20, 4, {7: 8, 100: 4, 101: 4})
    assert manifest.metrics.n_clusters == 3
    assert manifest.metrics.noise_ratio == 0.2
    assert manifest.metrics.data_size == 20
    assert manifest.metrics.processing_time > 0
    assert (manifest.ranges["row"].min, manifest.ranges["row"].max) == (0, 9)
    assert (manifest.ranges["height"].min, manifest.ranges["height"].max) == (-4, 5)
    assert (manifest.ranges["distance"].min, manifest.ranges["distance"].max) == (0, 4.5)
    assert sorted(each.name for each in folder(place).iterdir()) == sorted(
        ["plan.json", "part-00000.json", "part-00001.json", "manifest.json", *(each.file for each in manifest.parts)]
    )


def test_rows_come_back_with_their_types(run: ResultRun, place: Place) -> None:
    fill(run)
    manifest = run.finish()
    table = pq.read_table(folder(place) / manifest.parts[1].file, page_checksum_verification=True)
    assert table.schema.equals(SCHEMA)
    assert table.equals(pa.Table.from_batches([rows(1)]))
    content = b"".join(run.read_rows(run.part(1)))  # type: ignore[arg-type]  # it is there
    assert hashlib.sha256(content).hexdigest() == manifest.parts[1].sha256
    assert json.loads((folder(place) / "manifest.json").read_text())["columns"][3] == {
        "name": "cluster_id",
        "type": "int64",
    }


def test_how_rows_arrive_does_not_matter(run: ResultRun) -> None:
    batch = rows(count=1000)
    with run.write_part(0, SCHEMA) as part:
        part.write(batch)
        whole = part.finish()
    with run.write_part(1, SCHEMA) as part:
        for start in range(0, 1000, 77):
            part.write(batch.slice(start, 77))
        assert part.finish().sha256 == whole.sha256


def test_a_part_without_rows(run: ResultRun) -> None:
    run.begin(plan_of(run.key, parts=1))
    with run.write_part(0, SCHEMA) as part:
        part.finish()
    manifest = run.finish()
    assert (manifest.rows, manifest.metrics.noise_ratio, manifest.counts) == (0, 0.0, {})


def test_a_part_that_was_not_finished_is_absent_and_leaves_nothing(
    run: ResultRun, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))  # Others' parts lie in the machine's.
    run.begin(plan_of(run.key))
    with contextlib.suppress(RuntimeError), run.write_part(0, SCHEMA) as part:
        part.write(rows())
        assert list(scratch.iterdir())
        raise RuntimeError
    assert run.part(0) is None
    assert [each.name for each in folder(place).iterdir()] == ["plan.json"]
    assert not list(scratch.iterdir())


def test_a_part_is_written_once(run: ResultRun, place: Place) -> None:
    """A second attempt, with other rows even, gets the record of the first and changes nothing."""
    fill(run)
    before = {each.name: each.read_bytes() for each in folder(place).iterdir()}
    write(run, 0, salt=1)
    assert {each.name: each.read_bytes() for each in folder(place).iterdir()} == before


def test_attempts_at_once_leave_one_part(place: Place, run: ResultRun) -> None:
    run.begin(plan_of(run.key, parts=1))

    def attempt(number: int) -> str:
        mine = ResultRun(*place.open(), key())
        with mine.write_part(0, SCHEMA) as part:
            part.write(rows(salt=number))
            return part.finish().sha256

    with ThreadPoolExecutor(8) as attempts:
        told = set(attempts.map(attempt, range(8)))
    assert len(told) == 1
    manifest = run.finish()
    assert [each.name for each in folder(place).glob("*.parquet")] == [manifest.parts[0].file]
    assert {manifest.parts[0].sha256} == told


def test_rows_of_a_cut_attempt_are_gone_when_the_run_is_complete(run: ResultRun, place: Place) -> None:
    fill(run)
    stray = folder(place) / f"part-00000-{'0' * 16}.parquet"
    stray.write_bytes(b"cut")
    other = folder(place) / "notes.txt"
    other.write_bytes(b"not ours")
    run.finish()
    assert not stray.exists()
    assert other.exists()


def test_the_first_plan_and_the_first_manifest_stay(run: ResultRun) -> None:
    first = run.begin(plan_of(run.key, work={"shards": [1, 2]}))
    assert run.begin(plan_of(run.key, parts=5)) == first
    assert run.plan() == first
    for number in (0, 1):
        write(run, number)
    assert run.finish() == run.finish()


def test_a_run_with_missing_parts_is_not_finished(run: ResultRun) -> None:
    run.begin(plan_of(run.key, parts=30))
    write(run, 3)
    with pytest.raises(
        ResultInvalid, match=r"29 of 30 parts are missing: 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, \.\.\."
    ) as told:
        run.finish()
    assert (told.value.reason, told.value.transient) == ("PartsMissing", True)
    assert run.manifest() is None


def test_a_run_without_a_plan(run: ResultRun) -> None:
    with pytest.raises(ObjectMissing):
        run.finish()


@pytest.mark.parametrize("damage", ["shorter", "gone"])
def test_a_damaged_part_is_not_finished(run: ResultRun, place: Place, damage: str) -> None:
    fill(run)
    (rows_file, *_) = sorted(folder(place).glob("*.parquet"))
    if damage == "gone":
        rows_file.unlink()
    else:
        rows_file.write_bytes(rows_file.read_bytes()[:-1])
    with pytest.raises(ResultInvalid, match="gone" if damage == "gone" else "bytes, and"):
        run.finish()


def test_a_flipped_bit_is_told_when_the_rows_are_read(run: ResultRun, place: Place) -> None:
    fill(run)
    record = run.part(0)
    assert record is not None
    content = bytearray((folder(place) / record.file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder(place) / record.file).write_bytes(content)
    with pytest.raises(ResultInvalid, match="has not the sha256"):
        list(run.read_rows(record))


HOSTILE = {
    "no JSON": "{",
    "another file": {"file": "../../../etc/passwd"},
    "counts that do not add up": {"noise": 3},
    "a negative count": {"counts": {"7": -4, "100": 12}},
    "a cluster that is no number": {"counts": {"x": 8}},
    "an infinite range": '{"ranges": {"row": {"min": -Infinity, "max": 1}}}',
    "of another part": {"part": 1},
    "of a later format": {"format": 2},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_record_is_refused(run: ResultRun, place: Place, change: str | dict[str, object]) -> None:
    fill(run)
    path = folder(place) / "part-00000.json"
    path.write_text(change if isinstance(change, str) else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ResultInvalid) as told:
        run.part(0)
    assert "part-00000.json" in str(told.value)
    with pytest.raises(ResultInvalid):
        run.finish()


@pytest.mark.parametrize("name", ["plan.json", "manifest.json"])
def test_files_of_another_run_are_refused(run: ResultRun, place: Place, name: str) -> None:
    fill(run)
    run.finish()
    other = ResultRun(*place.open(), key("r2"))
    moved = place.folder / "demo" / "nightly" / "r2"
    moved.mkdir()
    (moved / name).write_bytes((folder(place) / name).read_bytes())
    with pytest.raises(ResultInvalid, match="not one of this run"):
        other.plan() if name == "plan.json" else other.manifest()


def test_other_columns_than_the_schema_s_are_a_mistake(run: ResultRun) -> None:
    with pytest.raises(ValueError, match="the part has"), run.write_part(0, SCHEMA) as part:
        part.write(rows().select(["file", "row", "label", "cluster_id"]))


@pytest.mark.parametrize(("row_id", "carried"), [(FILE_ROW, ["label"]), (FILE_ROW, ["row"]), ([], ["a", "a"])])
def test_a_name_means_one_thing(row_id: list[pa.Field[object]], carried: list[str]) -> None:
    with pytest.raises(SettingsInvalid, match="this name") as told:
        result_schema(row_id=row_id, carried=[pa.field(name, pa.int8()) for name in carried])
    assert told.value.field == "spec.output.columns"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a..b", "A", "x" * 129, "a\n", "-a"])
def test_a_run_s_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(WorkerError):
        key(name)


def test_a_full_disk_is_told(run: ResultRun) -> None:
    with run.write_part(0, SCHEMA) as part:
        part._file._file.close()
        part._file._file = open("/dev/full", "wb")  # noqa: PTH123, SIM115 - it stands for a disk without space
        part.write(rows())
        with pytest.raises(WorkerError, match="No space left on device") as told:
            part.finish()
    assert told.value.transient
    assert "ephemeral storage" in told.value.remedy


def test_location_of_a_run() -> None:
    run = ResultRun(None, Location("s3", "out", "x"), key())  # type: ignore[arg-type]  # nothing is read
    assert run.uri == "s3://out/x/demo/nightly/r1"
