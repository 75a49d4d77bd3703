"""A stored model, a folder of Parquet files to label, and the steps of a batch as Jobs would do them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from shoal_worker.batch.job import run_step
from shoal_worker.settings import BatchSettings

Step = Callable[..., dict[str, Any]]


def make_rows(rows: int, seed: int, **replaced: Any) -> pa.Table:
    """Rows around the two clusters of the model, some of them noise, with a number and a name."""
    random = np.random.default_rng(seed)
    points = np.where(random.random((rows, 1)) < 0.5, 0.0, 10.0) + random.normal(0, 0.5, (rows, 2))
    points[random.random(rows) < 0.1] += 25.0
    numbers = np.arange(rows, dtype=np.int32) + 1000 * seed
    names = pa.array([f"name {number % 7}" for number in numbers.tolist()]).dictionary_encode()
    columns: dict[str, Any] = {"id": numbers, "y": points[:, 1], "x": points[:, 0], "name": names}
    return pa.table({**columns, **replaced})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three files of 300 rows in row groups of 100, below folders that name a day."""
    folder = tmp_path / "data"
    for number in range(3):
        (folder / f"day={number}").mkdir(parents=True)
        pq.write_table(make_rows(300, number), folder / f"day={number}" / "rows.parquet", row_group_size=100)
    return folder


@pytest.fixture
def step(stored: Path, files: ArtifactFiles, data: Path, tmp_path: Path) -> Step:
    """Do one step; returns the report. Keywords are fields of the spec; `code` is the expected exit code.

    secret: directory with the credentials of source and results.
    """

    def run(
        name: str = "plan", *, run: str = "", shard: int = 0, code: int = 0, secret: Path | None = None, **spec: Any
    ) -> dict[str, Any]:
        told = {
            "name": "nightly",
            "namespace": "demo",
            "step": name,
            "run": run,
            "model": {
                "name": "blobs",
                "version": 3,
                "digest": files.digest,
                "uri": f"file://{tmp_path}/artifacts/{directory_name(files.digest)}",
            },
            "source": {"uri": f"file://{data}/"},
            "output": {"uri": f"file://{tmp_path}/results", "columns": ["id", "name", "day"]},
            "rowsPerShard": 200,
            "batchRows": 64,
            **spec,
        }
        settings = BatchSettings(
            batch_spec=json.dumps(told),
            SHOAL_SHARD=shard,
            file_root=tmp_path,
            metrics_port=0,
            cache_dir=tmp_path / "cache",
            store_secret_dir=tmp_path / "none",
            source_secret_dir=secret or tmp_path / "none",
            output_secret_dir=secret or tmp_path / "none",
            sink_secret_dir=tmp_path / "sink",
            report_path=tmp_path / "report.json",
        )
        assert run_step(settings) == code, (tmp_path / "report.json").read_text()
        report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
        return report

    return run
