"""Batches on the cluster: whole data sets labelled in shards, whatever fails in between, and never twice."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hack.lab.install import DATA_BUCKET, build_cities, open_bucket, port_forward, upload
from hack.lab.kube import REPOSITORY, Kube, Object, condition, wait_for
from hack.lab.objects import build_batch, build_deployment
from shoal_cli.__main__ import main
from tests.e2e.scene import BLUE_GREEN, NAME, Scene, infer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

BATCH = "nightly"
CENTRES = np.array([(-5.0, -5.0), (5.0, 5.0), (-5.0, 5.0), (5.0, -5.0)])
DAYS = ("day=1", "day=2", "day=3")
ROWS, GROUP_ROWS = 1500, 500


def build_rows(rows: int, seed: int, *, hole: int | None = None) -> pa.Table:
    """Rows around the blobs of the model, some of them noise; `hole` is a row without an x."""
    random = np.random.default_rng(seed)
    points = CENTRES[random.integers(0, 4, rows)] + random.normal(0, 0.8, (rows, 2))
    x = pa.array(points[:, 0], mask=np.arange(rows) == hole)
    ids = np.arange(rows) + seed * 1_000_000
    return pa.table({"id": ids, "y": points[:, 1], "x": x, "name": [f"n{row % 9}" for row in range(rows)]})


def encode(table: pa.Table, group_rows: int = GROUP_ROWS) -> bytes:
    """Write Parquet with row groups of so many rows."""
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=group_rows)
    return sink.getvalue()


class Batches:
    """Batches in a scene, and their results in the store."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.folder = f"e2e/batch-{scene.namespace}"
        self.source = f"s3://{DATA_BUCKET}/{self.folder}/"
        self.output = f"s3://{DATA_BUCKET}/results"

    def upload(self, files: dict[str, bytes]) -> None:
        """Put files into the source's folder."""
        upload(self.scene.kube, {f"{self.folder}/{path}": content for path, content in files.items()})

    def apply(self, name: str = BATCH, **spec: Any) -> None:
        """Apply a batch over the folder."""
        reference = {} if "deploymentRef" in spec else {"modelRef": {"name": NAME}}
        manifest = build_batch(name, source=self.source, output=self.output, **{**reference, **spec})
        self.scene.kube.apply(self.scene.namespace, manifest)

    def get(self, name: str = BATCH) -> Object | None:
        """Return the batch."""
        return self.scene.kube.get("clusteringbatches", self.scene.namespace, name, missing_ok=True)

    def status(self, name: str = BATCH) -> Object:
        """Return its status."""
        return (self.get(name) or {}).get("status") or {}

    def wait(self, what: str, holds: Callable[[Object], Any], seconds: float = 120, *, name: str = BATCH) -> Object:
        """Wait until its status tells of what was applied last and is as wanted; returns it."""

        def look() -> Object | None:
            found = self.get(name) or {}
            status: Object = found.get("status") or {}
            told = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
            return status if status and told and holds(status) else None

        return wait_for(what, look, seconds, every=0.2)

    def complete(self, seconds: float = 120, *, name: str = BATCH) -> Object:
        """Wait until it is complete; returns the status."""
        status = self.wait("the end", lambda found: found.get("phase") in ("Complete", "Failed"), seconds, name=name)
        assert status["phase"] == "Complete", status
        return status

    def jobs(self, step: str | None = None) -> list[Object]:
        """Return its Jobs."""
        selector = f"shoal.dev/batch={BATCH}" + (f",shoal.dev/batch-step={step}" if step else "")
        return self.scene.kube.find("jobs", self.scene.namespace, selector)

    def pods(self, step: str) -> list[Object]:
        """Return the pods of one of its steps."""
        return self.scene.kube.find("pods", self.scene.namespace, f"shoal.dev/batch-step={step}")

    def files(self, uri: str) -> dict[str, bytes]:
        """Return the files of a run by name."""
        path = uri.removeprefix(f"s3://{DATA_BUCKET}/")
        with open_bucket(self.scene.kube, DATA_BUCKET) as store:
            listed = [item["path"] for page in obstore.list(store, prefix=f"{path}/") for item in page]
            return {each.rpartition("/")[2]: obstore.get(store, each).bytes().to_bytes() for each in listed}

    def rows(self, uri: str) -> pa.Table:
        """Return the rows of a run, by file and number."""
        parts = [pq.read_table(io.BytesIO(data)) for name, data in self.files(uri).items() if name.endswith(".parquet")]
        return pa.concat_tables(parts).sort_by([("file", "ascending"), ("row", "ascending")])


@pytest.fixture
def batches(scene: Scene) -> Batches:
    """A trained model, and a folder of three days with three row groups each."""
    made = Batches(scene)
    made.upload({f"{day}/rows.parquet": encode(build_rows(ROWS, seed)) for seed, day in enumerate(DAYS)})
    scene.apply_model()
    scene.await_version(1)
    return made


def test_a_partitioned_folder_is_labelled_as_the_deployment_labels_it(batches: Batches) -> None:
    """Several shards at once; labels as served; applied again it does nothing, anew it finds the same run."""
    scene = batches.scene
    scene.apply_deployment(BLUE_GREEN)
    scene.await_stable(1)
    spec: Object = {
        "deploymentRef": {"name": NAME},
        "columns": ["id", "name", "day"],
        "rowsPerShard": 1000,
        "parallelism": 3,
        "batchRows": 256,
    }
    batches.apply(**spec)
    status = batches.complete()
    assert status["pinned"]["version"] == 1
    assert status["shards"] == {"total": 5, "done": 5, "failed": 0, "active": 0}
    assert (status["rows"], status["rowsTotal"], status["result"]["rows"]) == (4500, 4500, 4500)
    (job,) = batches.jobs("shard")
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (5, 3)

    source = pa.concat_tables([build_rows(ROWS, seed) for seed in range(3)])
    found = batches.rows(status["result"]["uri"])
    assert found["id"].to_pylist() == source["id"].to_pylist()
    assert found["day"].to_pylist() == [day for day in (1, 2, 3) for _ in range(ROWS)]
    with scene.client() as client:
        points = np.column_stack([source["x"], source["y"]])
        labels = np.concatenate([infer(client, points[start : start + 500]) for start in range(0, len(points), 500)])
    np.testing.assert_array_equal(found["label"], labels)
    np.testing.assert_array_equal(found["cluster_id"], labels)
    assert 0 < status["result"]["noiseRatio"] < 1
    assert status["result"]["noiseRatio"] == pytest.approx(np.mean(labels == -1))
    manifest = json.loads(batches.files(status["result"]["uri"])["manifest.json"])
    assert manifest["metrics"]["nClusters"] == status["result"]["clusters"] == 4
    assert sum(manifest["counts"].values()) + manifest["noise"] == 4500

    uids = {each["metadata"]["uid"] for each in batches.jobs()}
    batches.apply(**spec)
    batches.apply(**{**spec, "parallelism": 1})
    batches.wait("the new spec seen", lambda seen: seen["observedGeneration"] == 2, 20)
    assert {each["metadata"]["uid"] for each in batches.jobs()} == uids
    assert batches.status()["completedAt"] == status["completedAt"]

    scene.kube.kubectl("delete", "cbatch", BATCH, "--namespace", scene.namespace)
    wait_for("its Jobs gone", lambda: not batches.jobs(), 30)
    before = batches.files(status["result"]["uri"])
    batches.apply(**spec)
    again = batches.complete()
    assert again["result"] == status["result"]
    assert batches.jobs("shard") == []
    assert batches.files(status["result"]["uri"]) == before


def test_ten_million_rows_in_small_pods_survive_a_kill(batches: Batches) -> None:
    """512 MiB a pod; progress is told while it runs; a killed shard is done again, the other not, no row is doubled."""
    scene = batches.scene
    random = np.random.default_rng(3)
    rows = 5_000_000
    # Few distinct values make small files; the rows are as many.
    grid = np.round(random.normal(0, 4, 4096), 3)
    for part in range(2):
        table = pa.table({"x": grid[random.integers(0, 4096, rows)], "y": grid[random.integers(0, 4096, rows)]})
        batches.upload({f"big/{part}.parquet": encode(table, 500_000)})
    batches.source = f"{batches.source}big/"
    # A fifth of a processor, so that a shard lasts for some looks of the operator at its progress.
    small = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "200m", "memory": "512Mi"}}
    batches.apply(shards=2, parallelism=1, retries=3, resources=small)
    running = batches.wait(
        "the second shard under way",
        lambda found: found["shards"]["done"] == 1 and rows + 100_000 < found["rows"] < 2 * rows,
        240,
    )
    assert running["etaSeconds"] > 0
    assert running["rowsPerSecond"] > 0
    (victim,) = [pod for pod in batches.pods("shard") if pod["status"]["phase"] == "Running"]
    kill = ("delete", "pod", victim["metadata"]["name"], "--namespace", scene.namespace, "--force", "--grace-period=0")
    scene.kube.kubectl(*kill)
    status = batches.complete(300)
    assert status["rows"] == 2 * rows
    (job,) = batches.jobs("shard")
    assert job["status"]["succeeded"] == 2
    names = {pod["metadata"]["name"] for pod in batches.pods("shard")}
    assert victim["metadata"]["name"] not in names
    assert len(names) == 2
    files = batches.files(status["result"]["uri"])
    parts = [data for name, data in files.items() if name.endswith(".parquet")]
    assert len(parts) == 2
    for data in parts:
        numbers = pq.read_table(io.BytesIO(data), columns=["row"])["row"].to_numpy()
        np.testing.assert_array_equal(numbers, np.arange(rows))
    assert all(
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
        for pod in batches.pods("shard")
    )

    batches.apply("whole", shards=1)
    whole = batches.complete(300, name="whole")
    assert whole["rows"] == 2 * rows, "all in one pod of 512 MiB"


def test_a_bad_row_fails_its_shard_alone_and_is_named(batches: Batches) -> None:
    """File, row group and column are told; the others go on; once mended, it runs again on request."""
    scene = batches.scene
    batches.upload({"day=2/rows.parquet": encode(build_rows(ROWS, 1, hole=1234))})
    batches.apply(shards=3, parallelism=3)
    status = batches.wait("the failure", lambda found: found.get("phase") == "Failed")
    for words in (
        "1 of 3 shards",
        "shard 1",
        "day=2/rows.parquet",
        "row group 2",
        "row 1234",
        "'x'",
        "shoal.dev/rerun",
    ):
        assert words in status["message"]
    assert (status["shards"]["done"], status["shards"]["failed"]) == (2, 1)
    assert condition(batches.get(), "Degraded")["reason"] == "DataInvalid"
    events = scene.kube.find("events", scene.namespace)
    assert any(
        event["reason"] == "DataInvalid" and event["involvedObject"]["kind"] == "ClusteringBatch" for event in events
    )

    batches.upload({"day=2/rows.parquet": encode(build_rows(ROWS, 1))})
    scene.kube.kubectl("annotate", "cbatch", BATCH, "shoal.dev/rerun=1", "--namespace", scene.namespace)
    batches.wait("the new run", lambda found: found.get("phase") not in ("Failed", "Complete"), 30)
    assert batches.complete()["rows"] == 4500


def test_a_truncated_file_is_named_before_any_row_is_labelled(batches: Batches) -> None:
    """The plan looks at every file's footer."""
    batches.upload({"day=3/rows.parquet": encode(build_rows(ROWS, 2))[:-100]})
    batches.apply(shards=3)
    status = batches.wait("the failure", lambda found: found.get("phase") == "Failed")
    assert "day=3/rows.parquet" in status["message"]
    assert condition(batches.get(), "Degraded")["reason"] == "SourceFormatInvalid"
    assert batches.jobs("shard") == []


def test_it_goes_some_time_after_its_end_and_the_results_stay(batches: Batches) -> None:
    """A small source is done by one pod; the batch and its Jobs go by themselves."""
    batches.apply(ttlSecondsAfterFinished=8)
    status = batches.complete()
    assert [job["metadata"]["labels"]["shoal.dev/batch-step"] for job in batches.jobs()] == ["plan"]
    wait_for("the batch gone", lambda: batches.get() is None, 30)
    wait_for("its Jobs gone", lambda: not batches.jobs(), 30)
    assert batches.rows(status["result"]["uri"]).num_rows == 4500


def test_deleted_it_stops_and_suspended_it_rests(batches: Batches) -> None:
    """Suspended, no pod runs; deleted, its Jobs and pods are gone."""
    batches.apply(shards=5, parallelism=1, batchRows=256)
    batches.wait("shards under way", lambda found: found.get("phase") == "Running")
    batches.apply(shards=5, parallelism=1, batchRows=256, suspend=True)
    batches.wait("rest", lambda found: found.get("phase") == "Suspended", 30)

    def resting() -> bool:
        return not [pod for pod in batches.pods("shard") if pod["status"]["phase"] in ("Pending", "Running")]

    wait_for("no pod", resting, 60)
    batches.apply(shards=5, parallelism=1, batchRows=256, suspend=False)
    batches.wait("shards under way again", lambda found: found.get("phase") in ("Running", "Finishing", "Complete"), 30)
    batches.scene.kube.kubectl("delete", "cbatch", BATCH, "--namespace", batches.scene.namespace)
    wait_for("its Jobs gone", lambda: not batches.jobs(), 30)
    wait_for("its pods gone", lambda: not batches.pods("shard"), 60)


def test_the_command_line_creates_watches_and_shows(
    batches: Batches, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`shoal batch` as a person runs it; the figures are on the operator's /metrics."""
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
    namespace = batches.scene.namespace

    def shoal(*words: str, code: int = 0) -> str:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            found = main(["batch", *words, "-n", namespace])
        assert found == code, out.getvalue() + err.getvalue()
        return out.getvalue()

    what = ("--source", batches.source, "--output", batches.output, "--secret", "store-credentials")
    told = shoal("create", BATCH, "--model", f"{NAME}:1", *what, "--shards", "3", "--column", "id", "--watch")
    assert f"{namespace}/{BATCH} created" in told
    assert "4,500 rows are labelled" in told
    shown = shoal("show", BATCH)
    assert "3 of 3 shards" in shown
    assert batches.status()["result"]["uri"] in shown.replace("\n", "")
    (listed,) = json.loads(shoal("list", "-o", "json"))
    assert (listed["name"], listed["phase"], listed["rows"]) == (BATCH, "Complete", 4500)
    shoal("create", BATCH, "--model", NAME, *what, code=1)
    shoal("create", "other", "--model", NAME, *what, "--shards", "2", "--rows-per-shard", "5000", code=2)
    with (
        port_forward(kube, "shoal-system", "deployment/shoal", 8080) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer,
    ):
        metrics = answer.read().decode()
    assert f'shoal_batch_rows{{name="{BATCH}",namespace="{namespace}"}} 4500.0' in metrics
    assert f'shoal_batch_shards{{name="{BATCH}",namespace="{namespace}",state="done"}} 3.0' in metrics


def test_the_page_s_commands_work_as_printed(scene: Scene, tmp_path: Path) -> None:
    """docs/batch.md from its first block to its last, in one shell; the only preparation is what the demo leaves."""
    upload(scene.kube, {"demo/cities.parquet": build_cities()})
    scene.apply_model(
        "cities", path="demo/cities.parquet", columns=("lat", "lon"), preprocessing=[{"toRadians": {}}],
        eps=0.006, metric="haversine",
    )  # fmt: skip
    scene.kube.apply(scene.namespace, build_deployment("cities", "cities", strategy=BLUE_GREEN))
    wait_for("the deployment", lambda: scene.status("cities").get("stable"), 90)
    page = (REPOSITORY / "docs" / "batch.md").read_text()
    (manifest,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "batch.yaml").write_text(manifest)
    config = yaml.safe_load(scene.kube.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = scene.namespace
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    assert "shoal batch watch world" in commands
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env={
            **os.environ,
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
            "PATH": f"{REPOSITORY / '.venv' / 'bin'}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rows are labelled" in done.stdout
    assert "clusteringbatch" in done.stdout
    assert scene.kube.get("clusteringbatches", scene.namespace, "world", missing_ok=True) is None
