"""`shoal explain`: the engine's own plan for whatever tells the work, or a sentence that says what to change."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from shoal_cli.__main__ import main
from shoal_cli.quantities import read_bytes, read_cpus, show_bytes
from shoal_engine import plan

SIZE = ("--rows", "1000000", "--columns", "2")


def model(**spec: Any) -> dict[str, Any]:
    base = {"source": {"uri": "s3://data/points.parquet"}, "algorithm": {"dbscan": {"eps": 0.5}}}
    return {"apiVersion": "shoal.dev/v1alpha1", "kind": "ClusteringModel", "metadata": {"name": "towns"}} | {
        "spec": {**base, **spec}
    }


@pytest.fixture
def shoal(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `shoal explain`; return exit code, output and error output."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["explain", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def explained(shoal: Any) -> Any:
    """Run it with JSON output and return what it printed."""

    def run(*arguments: str) -> dict[str, Any]:
        code, out, err = shoal(*arguments, "-o", "json")
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found

    return run


@pytest.fixture
def manifest(tmp_path: Path) -> Any:
    """Write a model's manifest and return its path."""

    def write(**spec: Any) -> str:
        path = tmp_path / "model.yaml"
        path.write_text(yaml.safe_dump(model(**spec)))
        return str(path)

    return write


@pytest.fixture
def points(tmp_path: Path) -> str:
    """A Parquet file of 1,000 rows: two numeric columns of 32 bits, a name, a count."""
    table = pa.table(
        {
            "x": pa.array(np.zeros(1000), pa.float32()),
            "y": pa.array(np.zeros(1000), pa.float32()),
            "name": ["a"] * 1000,
            "count": range(1000),
        }
    )
    pq.write_table(table, tmp_path / "points.parquet")
    return str(tmp_path / "points.parquet")


def test_a_size_gets_the_plan_of_the_engine(explained: Any) -> None:
    told = explained(*SIZE, "--metric", "manhattan", "--memory", "2Gi", "--cpus", "1500m")["training"]["plan"]
    expected = plan(1_000_000, 2, metric="manhattan", memory_limit=2 << 30, cores=2)
    assert (told["index"], told["threads"], told["batchRows"]) == (expected.index, 2, expected.batch_rows)
    assert (told["fitBytes"], told["indexBytes"]) == (expected.fit_bytes, expected.index_bytes)
    assert told["reasons"]["batchRows"] == expected.reasons["batch_rows"]


@pytest.mark.parametrize(("workload", "title"), [("fit", "Training"), ("predict", "Serving"), ("batch", "Batch")])
def test_the_table_shows_every_choice_with_its_reason(shoal: Any, workload: str, title: str) -> None:
    code, out, _ = shoal(*SIZE, "--cpus", "2", "--workload", workload)
    assert code == 0
    assert f"{title}: 1,000,000 rows × 2 columns of float64, euclidean, on 2 CPUs" in out
    text = " ".join(out.split())
    for reason in plan(1_000_000, 2, cores=2, workload=workload).reasons.values():
        assert set(reason.split()) <= set(text.split())


def test_work_that_does_not_fit_is_told(shoal: Any) -> None:
    code, out, _ = shoal(*SIZE, "--memory", "20Mi")
    assert code == 0
    assert "It does not fit" in out


def test_a_file_tells_rows_columns_and_type_by_its_metadata(explained: Any, points: str) -> None:
    told = explained(points, "--cpus", "1")["training"]
    assert told["about"].startswith("1,000 rows × 3 columns of float64, euclidean, on 1 CPUs")


def test_the_models_columns_are_chosen_from_the_file(explained: Any, manifest: Any, points: str) -> None:
    path = manifest(source={"uri": "s3://d/p.parquet", "columns": ["x", "y"]})
    assert explained("-f", path, points)["training"]["about"].startswith("1,000 rows × 2 columns of float32")


def test_a_manifest_tells_columns_metric_and_resources(explained: Any, manifest: Any) -> None:
    path = manifest(
        source={"uri": "s3://d/p.parquet", "columns": ["lat", "lon"]},
        algorithm={"adaptiveDbscan": {"metric": "haversine"}},
        training={"resources": {"limits": {"cpu": "4", "memory": "512Mi"}}},
    )
    told = explained("-f", path, "--rows", "5000")["training"]
    about = told["about"]
    assert told["plan"]["index"] == "tree"
    assert about == "5,000 rows × 2 columns of float64, haversine, on 4 CPUs, 512.0 MiB"


@pytest.mark.parametrize(
    ("steps", "columns"),
    [
        ([{"select": {"columns": ["x"]}}, {"scale": {}}], 1),
        ([{"oneHot": {"columns": ["name"]}}, {"pca": {"components": 7}}], 7),
        ([{"oneHot": {"columns": ["name"]}}, {"select": {"columns": ["x", "name=a", "name=b"]}}], 3),
    ],
    ids=str,
)
def test_preprocessing_tells_how_many_columns_are_clustered(
    explained: Any, manifest: Any, points: str, steps: list[dict[str, Any]], columns: int
) -> None:
    path = manifest(source={"uri": "s3://d/p.parquet", "columns": ["x", "y", "name"]}, preprocessing=steps)
    about = explained("-f", path, points)["training"]["about"]
    assert about.startswith(f"1,000 rows × {columns} columns of float64")


def test_columns_that_only_the_data_tells_are_asked_for(shoal: Any, manifest: Any, points: str) -> None:
    path = manifest(preprocessing=[{"oneHot": {"columns": ["name"]}}])
    code, _, err = shoal("-f", path, points)
    assert code == 2
    assert "after one-hot coding" in err
    assert shoal("-f", path, points, "--columns", "9")[0] == 0


def test_an_option_wins_over_the_manifest(explained: Any, manifest: Any) -> None:
    path = manifest(training={"plan": {"threads": 3}})
    about = explained("-f", path, *SIZE, "--metric", "chebyshev")["training"]["about"]
    assert about == "1,000,000 rows × 2 columns of float64, chebyshev, on 3 CPUs"
    assert "on 8 CPUs" in explained("-f", path, *SIZE, "--cpus", "8")["training"]["about"]


def test_a_manifest_may_come_by_standard_input(explained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(model())))
    assert explained("-f", "-", *SIZE)["training"]["plan"]["index"] == "grid"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), ("--rows", "Add --rows, or name the data's Parquet file")),
        (("--rows", "5"), ("--columns", "Add --columns")),
        (("--rows", "0", "--columns", "2"), ("--rows", "1")),
        (("--rows", "many"), ("--rows", "many")),
        ((*SIZE, "--metric", "cityblock"), ("--metric", "cityblock", "manhattan")),
        ((*SIZE, "--memory", "lots"), ("--memory", "lots", "Write 2Gi or 500M")),
        ((*SIZE, "--memory", "-1Gi"), ("--memory", "-1Gi")),
        ((*SIZE, "--cpus", "0"), ("--cpus", "Write 2 or 500m")),
        (("--rows", "9", "--columns", "3", "--metric", "haversine"), ("--columns", "3", "latitude")),
        (("version",), ("WHAT", "version NAME")),
        (("a.parquet", "b.parquet"), ("WHAT", "a.parquet b.parquet")),
        (("version/a", "--rows", "3"), ("WHAT", "version a", "Leave the other options out")),
        (("--colour", "red"), ("--colour",)),
    ],
)
def test_a_wrong_question_is_answered_by_field_value_and_remedy(
    shoal: Any, arguments: tuple[str, ...], told: tuple[str, ...]
) -> None:
    code, out, err = shoal(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("shoal: ")
    for part in told:
        assert part in err


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"algorithm": {"dbscan": {"eps": 0}}}, ("spec.algorithm.dbscan.eps", "it is 0", "kubectl explain")),
        ({"algorithm": {}}, ("spec.algorithm", "exactly one of dbscan and adaptiveDbscan")),
        ({"training": {"resources": {"limits": {"memory": "1 GiB"}}}}, ("limits.memory", "1 GiB")),
    ],
)
def test_a_wrong_manifest_is_refused_as_the_cluster_would(
    shoal: Any, manifest: Any, spec: dict[str, Any], told: tuple[str, ...]
) -> None:
    code, _, err = shoal("-f", manifest(**spec), *SIZE)
    assert code == 2
    for part in told:
        assert part in err


def test_files_that_hold_something_else_are_told(shoal: Any, tmp_path: Path, points: str, manifest: Any) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("kind: ConfigMap\n---\nkind: Service\n")
    assert "ConfigMap, Service" in shoal("-f", str(other), *SIZE)[2]
    other.write_text("a: [")
    assert "not YAML" in shoal("-f", str(other), *SIZE)[2]
    assert shoal("-f", str(tmp_path / "none"), *SIZE)[0] == 1
    assert "no such file" in shoal("none.parquet")[2]
    code, _, err = shoal(str(other))
    assert code == 1
    assert "cannot be read as Parquet" in err
    path = manifest(source={"uri": "s3://d/p.parquet", "columns": ["x", "z"]})
    code, _, err = shoal("-f", path, points)
    assert code == 2
    assert "it has x, y, name, count (it is z)" in err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--help"]) == 0
    out = capsys.readouterr().out
    assert "$ shoal explain version towns-v3 -n demo" in out
    assert main(["--version"]) == 0
    assert main([]) == 2


@pytest.mark.parametrize(
    ("text", "count"),
    [("2Gi", 2 << 30), ("500M", 500_000_000), ("1.5Ki", 1536), ("1e3", 1000), ("12", 12), (".5k", 500), ("1E", 10**18)],
)
def test_quantities_are_those_of_kubernetes(text: str, count: int) -> None:
    assert read_bytes(text, "--memory") == count


def test_cpus_are_rounded_up_and_bytes_are_readable() -> None:
    assert [read_cpus(text, "--cpus") for text in ("1", "500m", "1500m", "2.0")] == [1, 1, 2, 2]
    assert [show_bytes(count) for count in (0, 1023, 1024, 5 << 30)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]
