"""The same on a real S3 server: files told by their ETags, a process killed in the middle of a shard."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow.parquet as pq
import pytest
from obstore.store import S3Store

from shoal_worker.artifact.files import ArtifactFiles
from tests.s3 import BUCKET, S3Server, s3_server
from tests.unit.worker.batch.conftest import Step, make_rows

__all__ = ["s3_server"]


@pytest.fixture
def place(s3_server: S3Server, data: Path, tmp_path: Path) -> dict[str, Any]:
    """Fields of a spec whose source and output lie in S3, and the credentials."""
    folder = tmp_path.name
    for file in sorted(data.rglob("*.parquet")):
        put(s3_server, f"{folder}/data/{file.relative_to(data)}", file.read_bytes())
    return {
        "source": {"uri": f"s3://{BUCKET}/{folder}/data/"},
        "output": {"uri": f"s3://{BUCKET}/{folder}/results", "columns": ["id"]},
        "secret": s3_server.write_secret(tmp_path / "secret"),
    }


def test_a_folder_in_s3_is_labelled(step: Step, place: dict[str, Any], s3_server: S3Server) -> None:
    plan = step("plan", **place)
    reports = [step("shard", run=plan["run"], shard=shard, **place) for shard in range(plan["shards"])]
    result = step("finish", run=plan["run"], **place)["result"]
    assert sum(report["rows"] for report in reports) == result["rows"] == 900
    folder = s3_server.folder / result["uri"].removeprefix(f"s3://{BUCKET}/")
    names = {file.name for file in folder.iterdir()}
    assert {"plan.json", "manifest.json", "part-00000.json"} <= names
    assert sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet")) == 900


def test_a_file_replaced_by_one_of_the_same_size_is_refused(
    step: Step, place: dict[str, Any], s3_server: S3Server
) -> None:
    plan = step("plan", **place)
    path = f"{place['source']['uri'].removeprefix(f's3://{BUCKET}/')}day=2/rows.parquet"
    content = bytearray((s3_server.folder / path).read_bytes())
    content[200] ^= 1
    put(s3_server, path, bytes(content))
    report = step("shard", run=plan["run"], shard=plan["shards"] - 1, code=1, **place)
    assert report["reason"] == "SourceChanged"


def put(server: S3Server, path: str, content: bytes) -> None:
    """Write an object through the server, which gives it an ETag."""
    held = server.credentials
    store = S3Store(
        BUCKET,
        endpoint=server.endpoint,
        region=held["AWS_REGION"],
        access_key_id=held["AWS_ACCESS_KEY_ID"],
        secret_access_key=held["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )
    obstore.put(store, path, content)


def test_a_process_that_is_killed_leaves_nothing_and_is_done_again(
    place: dict[str, Any], s3_server: S3Server, files: ArtifactFiles, stored: Path, tmp_path: Path
) -> None:
    folder = s3_server.folder / tmp_path.name / "data"
    shutil.rmtree(folder)
    folder.mkdir()
    rows = 150_000
    pq.write_table(make_rows(rows, 1), folder / "0.parquet")
    pq.write_table(make_rows(100, 2), folder / "1.parquet")
    told = {
        "name": "nightly",
        "namespace": "demo",
        "model": {"name": "blobs", "version": 3, "digest": files.digest, "uri": f"file://{stored}"},
        "source": place["source"],
        "output": place["output"],
        "shards": 2,
        "batchRows": 16,
    }
    environment = {
        **os.environ,
        # What a killed process leaves behind must not lie in everybody's folder.
        "TMPDIR": str(tmp_path),
        "SHOAL_FILE_ROOT": str(tmp_path),
        "SHOAL_CACHE_DIR": str(tmp_path / "cache"),
        "SHOAL_REPORT_PATH": str(tmp_path / "report.json"),
        "SHOAL_SOURCE_SECRET_DIR": str(place["secret"]),
        "SHOAL_OUTPUT_SECRET_DIR": str(place["secret"]),
    }

    def start(port: int = 0, **spec: Any) -> subprocess.Popen[bytes]:
        asked = {"SHOAL_BATCH_SPEC": json.dumps({**told, **spec}), "SHOAL_METRICS_PORT": str(port)}
        return subprocess.Popen(
            [sys.executable, "-m", "shoal_worker", "batch"], env={**environment, **asked}, stderr=subprocess.DEVNULL
        )

    def finish(process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.wait(60) == 0, (tmp_path / "report.json").read_text()
        found: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
        return found

    plan = finish(start(step="plan"))
    assert plan["shards"] == 2
    port = free_port()
    victim = start(port, step="shard", run=plan["run"], batchRows=16)
    done = await_rows(port)
    victim.kill()
    victim.wait()
    assert 0 < done < rows
    assert finish(start(step="shard", run=plan["run"], batchRows=65_536)) == {
        "outcome": "Succeeded",
        "shard": 0,
        "rows": rows,
        "resumed": False,
    }
    environment["SHOAL_SHARD"] = "1"
    finish(start(step="shard", run=plan["run"]))
    result = finish(start(step="finish", run=plan["run"]))["result"]
    results = s3_server.folder / result["uri"].removeprefix(f"s3://{BUCKET}/")
    (large, small) = sorted(results.glob("*.parquet"))
    np.testing.assert_array_equal(pq.read_table(large, columns=["row"])["row"], np.arange(rows))
    assert pq.read_metadata(small).num_rows == 100


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_rows(port: int) -> int:
    """Ask as the operator does until some rows are labelled."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as answer:
                lines = answer.read().decode().splitlines()
            rows = next(float(line.split()[1]) for line in lines if line.startswith("shoal_batch_rows_total"))
            if rows > 1000:
                return int(rows)
        except (urllib.error.URLError, OSError):
            pass
        assert time.monotonic() < deadline, "no rows were told"
        time.sleep(0.02)
