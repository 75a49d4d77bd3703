"""A batch's speed and memory: `shoal-worker batch` beside the bare engine in one process, reading and writing the same.

`measure()` returns the figures; alone: `python -m tests.bench_lifecycle.batch`. The bare contestant reads with pyarrow,
asks the engine for label and distance, and writes the columns that a batch writes; neither its start nor that of the
batch's process counts, but the batch's plan, verification, hashing, upload and manifest do.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoal_engine import DBSCAN
from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.artifact.manifest import MANIFEST_NAME, MODEL_NAME
from shoal_worker.model import Model, build_model
from shoal_worker.models import export
from shoal_worker.resources import this_machine

ROWS = 10_000_000
FILES = 5
_BATCH_ROWS = 65_536
_GROUP_ROWS = 500_000
_LOOK_SECONDS = 0.05


def measure() -> dict[str, Any]:
    """Measure both, one after the other, on the same files."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        files = _write_data(root / "data")
        model = _write_model(root / "model")
        bare = _label_bare(files, model, root / "bare.parquet")
        batch = _label_batch(root, model)
    return {
        "rows": ROWS,
        "bareSeconds": round(bare, 2),
        "batchSeconds": round(batch["seconds"], 2),
        "batchShareOfBare": round(bare / batch["seconds"], 2),
        "batchRowsPerSecond": round(ROWS / batch["seconds"]),
        "batchPeakMegabytes": round(batch["peak"] / 1e6),
    }


def _write_data(folder: Path) -> list[Path]:
    folder.mkdir()
    random, rows, found = np.random.default_rng(0), ROWS // FILES, []
    for number in range(FILES):
        points = np.where(random.random((rows, 1)) < 0.5, 0.0, 10.0) + random.normal(0, 1.2, (rows, 2))
        ids = np.arange(rows) + number * rows
        found.append(folder / f"{number}.parquet")
        pq.write_table(
            pa.table({"id": ids, "x": points[:, 0], "y": points[:, 1]}), found[-1], row_group_size=_GROUP_ROWS
        )
    return found


def _write_model(folder: Path) -> Model:
    random = np.random.default_rng(1)
    rows = np.concatenate([random.normal(centre, 1.0, (20_000, 2)) for centre in (0.0, 10.0)])
    export(DBSCAN(0.2, min_samples=5).fit(rows), rows, folder, columns=["x", "y"])
    files = ArtifactFiles((folder / MANIFEST_NAME).read_bytes(), (folder / MODEL_NAME).read_bytes())
    digest = f"sha256:{hashlib.sha256(files.manifest).hexdigest()}"
    return build_model(verify_artifact(files, digest), name="bench", version="1", machine=this_machine())


def _label_bare(files: list[Path], model: Model, target: Path) -> float:
    started = time.perf_counter()
    writer: pq.ParquetWriter | None = None
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS):
            labels, distances, _ = model.predictor.nearest(np.column_stack([batch["x"], batch["y"]]))
            made = {
                "file": pa.repeat(str(file), len(labels)),
                "row": np.arange(len(labels)),
                "label": labels,
                "cluster_id": model.public_ids(labels),
                "distance": pa.array(distances.astype(np.float32), mask=labels < 0),
                "id": batch["id"],
            }
            table = pa.table(made)
            writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd", compression_level=1)
            writer.write_table(table)
    if writer is not None:
        writer.close()
    return time.perf_counter() - started


def _label_batch(root: Path, model: Model) -> dict[str, float]:
    """Run the verb; its own log tells when it was planned, and the report when it ended."""
    spec = {
        "name": "bench",
        "namespace": "bench",
        "model": {"name": "bench", "version": 1, "digest": model.digest, "uri": f"file://{root}/model"},
        "source": {"uri": f"file://{root}/data/"},
        "output": {"uri": f"file://{root}/results", "columns": ["id"]},
        "shards": 1,
        "batchRows": _BATCH_ROWS,
    }
    environment = {
        **os.environ,
        "SHOAL_BATCH_SPEC": json.dumps(spec),
        "SHOAL_FILE_ROOT": str(root),
        "SHOAL_CACHE_DIR": str(root / "cache"),
        "SHOAL_REPORT_PATH": str(root / "report.json"),
        "SHOAL_METRICS_PORT": "0",
    }
    command = [sys.executable, "-m", "shoal_worker", "batch"]
    peak = 0
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _anonymous_bytes(process.pid))
            time.sleep(_LOOK_SECONDS)
    report = json.loads((root / "report.json").read_text())
    if process.returncode or report["result"]["rows"] != ROWS:
        raise RuntimeError(str(report))
    return {"seconds": report["result"]["processingSeconds"], "peak": peak}


def _anonymous_bytes(pid: int) -> int:
    """Memory that only the process itself holds; what is mapped from files can be dropped at any time."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
