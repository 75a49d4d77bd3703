"""A batch from its plan to its manifest: the labels of the model, once for every row, whatever fails in between."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.errors import StoreUnavailable
from shoal_worker.model import Model, build_model
from shoal_worker.results.run import ResultRun
from tests.unit.worker.batch.conftest import Step, make_rows
from tests.unit.worker.harness import MACHINE, make_spec, make_varied_table, train_table


@pytest.fixture
def model(files: ArtifactFiles) -> Model:
    return build_model(verify_artifact(files, files.digest), name="blobs", version="3", machine=MACHINE)


def read_results(result: dict[str, Any]) -> pa.Table:
    """All rows of a run, read as anybody would."""
    folder = Path(result["uri"].removeprefix("file://"))
    table = pq.read_table([str(file) for file in sorted(folder.glob("part-*.parquet"))])
    return table.sort_by([("file", "ascending"), ("row", "ascending")])


def do_all(step: Step, **spec: Any) -> dict[str, Any]:
    """Plan, all shards, finish; returns the result."""
    plan = step("plan", **spec)
    if "result" in plan:
        found: dict[str, Any] = plan["result"]
        return found
    for shard in range(plan["shards"]):
        step("shard", run=plan["run"], shard=shard, **spec)
    result: dict[str, Any] = step("finish", run=plan["run"], **spec)["result"]
    return result


def test_every_row_gets_the_label_that_predict_gives(step: Step, data: Path, model: Model) -> None:
    result = do_all(step)
    table = read_results(result)
    source = pa.concat_tables([pq.read_table(data / f"day={day}" / "rows.parquet") for day in range(3)])
    points = np.column_stack([source["x"], source["y"]])
    labels = model.predict(points, lambda: False)
    assert table["id"].to_pylist() == source["id"].to_pylist()
    np.testing.assert_array_equal(table["label"], labels)
    np.testing.assert_array_equal(table["cluster_id"], model.public_ids(labels))
    assert table["row"].to_pylist() == [*range(300)] * 3
    assert table["file"].to_pylist()[300] == f"file://{data}/day=1/rows.parquet"
    assert table["name"].to_pylist() == source["name"].to_pylist()
    assert table["day"].to_pylist() == [day for day in range(3) for _ in range(300)]
    distances = np.array([np.nan if each is None else each for each in table["distance"].to_pylist()])
    np.testing.assert_array_equal(np.isnan(distances), labels == -1)
    assert np.nanmax(distances) <= np.float32(0.8)
    assert (result["rows"], result["clusters"]) == (900, 2)
    assert result["noiseRatio"] == pytest.approx(np.mean(labels == -1))


def test_the_digest_is_that_of_the_manifest(step: Step) -> None:
    result = do_all(step)
    manifest = (Path(result["uri"].removeprefix("file://")) / "manifest.json").read_bytes()
    assert result["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    told = json.loads(manifest)
    assert set(told["metrics"]) >= {"processingTime", "dataSize", "nClusters", "noiseRatio"}
    assert sum(told["counts"].values()) + told["noise"] == 900


def test_again_is_the_same_run_and_does_nothing(step: Step, tmp_path: Path) -> None:
    result = do_all(step)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "results").rglob("*") if file.is_file()}
    plan = step("plan")
    assert plan["result"] == result
    assert step("shard", run=plan["run"], shard=1)["resumed"] is True
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "results").rglob("*") if file.is_file()} == before


def test_the_way_of_reading_does_not_make_another_run(step: Step) -> None:
    assert step("plan")["run"] == step("plan", batchRows=7)["run"]
    assert step("plan")["run"] != step("plan", rowsPerShard=300)["run"]


def test_a_shard_that_was_cut_off_is_done_again_and_nothing_is_doubled(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = step("plan")
    create = ResultRun._record

    def cut_off(self: ResultRun, *arguments: Any) -> Any:
        create(self, *arguments)
        raise StoreUnavailable("the pod was killed", field="test")

    with monkeypatch.context() as patch:
        # Everything was written, but nobody was told.
        patch.setattr(ResultRun, "_record", cut_off)
        assert step("shard", run=plan["run"], shard=0, code=2)["transient"] is True
    missing = step("finish", run=plan["run"], code=2)
    assert "parts are missing" in missing["message"]
    for shard in range(plan["shards"]):
        assert step("shard", run=plan["run"], shard=shard)["resumed"] is (shard == 0)
    table = read_results(step("finish", run=plan["run"])["result"])
    assert len(set(zip(table["file"].to_pylist(), table["row"].to_pylist(), strict=True))) == table.num_rows == 900


def test_a_small_source_is_done_by_the_plan_alone(step: Step) -> None:
    plan = step("plan", rowsPerShard=1_000_000)
    assert (plan["shards"], plan["result"]["rows"]) == (1, 900)


def test_a_source_that_changed_is_refused_and_not_mixed(step: Step, data: Path) -> None:
    plan = step("plan")
    step("shard", run=plan["run"], shard=0)
    pq.write_table(make_rows(300, 9), data / "day=2" / "rows.parquet", row_group_size=100)
    report = step("shard", run=plan["run"], shard=plan["shards"] - 1, code=1)
    assert (report["reason"], report["transient"]) == ("SourceChanged", False)
    assert "day=2" in json.dumps(report)
    assert step("plan")["run"] != plan["run"], "the changed source is another run"


def test_a_bad_row_is_named_by_file_row_group_and_column(step: Step, data: Path) -> None:
    rows = make_rows(300, 1)
    values = rows["x"].to_pylist()
    values[217] = None
    pq.write_table(
        rows.set_column(2, "x", pa.array(values, pa.float64())), data / "day=1" / "rows.parquet", row_group_size=100
    )
    plan = step("plan", shards=3)
    report = step("shard", run=plan["run"], shard=1, shards=3, code=1)
    for words in ("day=1/rows.parquet, row group 2", "row 217", "'x'"):
        assert words in report["message"]
    assert report["field"] == "x"
    step("shard", run=plan["run"], shard=0, shards=3)
    step("shard", run=plan["run"], shard=2, shards=3)


def test_a_damaged_page_is_named_by_file_and_row_group(step: Step, data: Path) -> None:
    file = data / "day=1" / "rows.parquet"
    pq.write_table(make_rows(300, 1), file, row_group_size=100, write_page_checksum=True)
    metadata = pq.read_metadata(file)
    column = next(
        metadata.row_group(1).column(at) for at in range(4) if metadata.row_group(1).column(at).path_in_schema == "y"
    )
    content = bytearray(file.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    file.write_bytes(bytes(content))
    plan = step("plan", shards=3)
    report = step("shard", run=plan["run"], shard=1, shards=3, code=1)
    assert "day=1/rows.parquet, row group 1" in report["message"]


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"output": {"columns": ["colour"]}}, "ColumnMissing", ["spec.output.columns", "colour", "id, y, x, name"]),
        ({"output": {"columns": ["id", "id"]}}, "ParametersInvalid", ["spec.output.columns"]),
        ({"source": {"uri": "file://{tmp}/nothing/"}}, "DataInvalid", ["no data files"]),
        ({"source": {"uri": "file://{tmp}/gone.parquet"}}, "SourceUnreadable", ["gone.parquet"]),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_told(
    step: Step, tmp_path: Path, spec: dict[str, Any], reason: str, words: list[str]
) -> None:
    if "output" in spec:
        spec["output"]["uri"] = f"file://{tmp_path}/results"
    else:
        spec["source"]["uri"] = spec["source"]["uri"].replace("{tmp}", str(tmp_path))
    report = step("plan", code=1, **spec)
    assert report["reason"] == reason
    for word in words:
        assert word in json.dumps(report)


def test_a_column_that_the_model_needs_is_missed_before_any_work(step: Step, data: Path) -> None:
    pq.write_table(make_rows(300, 1).drop_columns(["x"]), data / "day=1" / "rows.parquet")
    report = step("plan", code=1)
    assert (report["reason"], report["value"]) == ("ColumnMissing", "x")
    assert "day=1" in json.dumps(report)


def test_a_truncated_file_is_named(step: Step, data: Path) -> None:
    file = data / "day=2" / "rows.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    report = step("plan", code=1)
    assert report["reason"] == "SourceFormatInvalid"
    assert "day=2" in report["value"]


def test_csv_files_are_numbered_from_their_beginning(step: Step, tmp_path: Path, model: Model) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    tables = [make_rows(500, seed) for seed in range(2)]
    for number, table in enumerate(tables):
        pa.csv.write_csv(table.set_column(3, "name", table["name"].cast(pa.string())), folder / f"{number}.csv")
    result = do_all(
        step,
        source={"uri": f"file://{folder}/"},
        output={"uri": f"file://{tmp_path}/results", "columns": ["id"]},
        shards=5,
    )
    found = read_results(result)
    assert found["row"].to_pylist() == [*range(500)] * 2
    source = pa.concat_tables(tables)
    labels = model.predict(np.column_stack([source["x"], source["y"]]), lambda: False)
    np.testing.assert_array_equal(found["label"], labels)


def test_an_adaptive_model_tells_strengths(step: Step, tmp_path: Path) -> None:
    table = make_varied_table()
    trained = train_table(table, make_spec(algorithm={"adaptiveDbscan": {"minSamples": 5, "minClusterSize": 50}}))
    folder = tmp_path / "adaptive"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(trained.files.manifest)
    (folder / "model.safetensors").write_bytes(trained.files.model)
    model = build_model(verify_artifact(trained.files, trained.files.digest), name="m", version="1", machine=MACHINE)
    told = {"name": "m", "version": 1, "digest": trained.files.digest, "uri": f"file://{folder}"}
    found = read_results(do_all(step, model=told))
    source = [pq.read_table(tmp_path / "data" / f"day={day}" / "rows.parquet") for day in range(3)]
    points = np.concatenate([np.column_stack([each["x"], each["y"]]) for each in source])
    labels, strengths = model.predict_with_strengths(points, lambda: False)
    np.testing.assert_array_equal(found["label"], labels)
    np.testing.assert_allclose(found["strength"], strengths, rtol=1e-6)
