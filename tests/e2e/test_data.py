"""Every kind of source trains; what is wrong with one is told, and whatever serves goes on serving."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from hack.cluster.layout import HOST_ADDRESS
from hack.lab.install import DATA_BUCKET, STORE_SECRET, credentials, upload
from hack.lab.kube import Kube, Object, condition, wait_for
from hack.lab.objects import build_model
from tests.e2e.conftest import build_blobs, csv, parquet
from tests.e2e.scene import NAME, Scene, infer
from tests.faulty_proxy import FaultyProxy, fail, run_proxy
from tests.postgres import PostgresServer, run_postgres

BLOBS = build_blobs()
LARGE_ROWS = 10_000_000
_FOLDERS = count()


def arrow(table: pa.Table, *, stream: bool = False, compression: str | None = None) -> bytes:
    """Write a table as Arrow IPC."""
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=300)
    return sink.getvalue()


def npy(values: np.ndarray[Any, Any], *, pickled: bool = False) -> bytes:
    """Write an array as numpy.save does."""
    sink = io.BytesIO()
    np.save(sink, values, allow_pickle=pickled)
    return sink.getvalue()


SOURCES: dict[str, tuple[dict[str, bytes], str]] = {
    "parquet": ({"a.parquet": parquet(BLOBS)}, "a.parquet"),
    "csv": ({"a.csv": csv(BLOBS)}, "a.csv"),
    "arrow": ({"a.arrow": arrow(BLOBS)}, "a.arrow"),
    "feather": ({"a.feather": arrow(BLOBS, compression="zstd")}, "a.feather"),
    "stream": ({"a.arrows": arrow(BLOBS, stream=True)}, "a.arrows"),
    "npy": ({"a.npy": npy(np.column_stack([BLOBS["x"], BLOBS["y"]]))}, "a.npy"),
    "folder": ({f"{part}.csv": csv(BLOBS.slice(part * 500, 500)) for part in range(4)}, ""),
    "hive": (
        {f"half={part}/a.parquet": parquet(BLOBS.slice(part * 1_000, 1_000)) for part in range(2)} | {"_SUCCESS": b""},
        "",
    ),
}


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """PostgreSQL on the node's bridge, which pods reach as they would reach one outside the cluster."""
    with run_postgres(HOST_ADDRESS) as server:
        server.ask("CREATE TABLE blobs (x float8, y float8, name text)")
        rows = ", ".join(
            f"({x}, {y}, 'a')" for x, y in zip(BLOBS["x"].to_pylist(), BLOBS["y"].to_pylist(), strict=True)
        )
        server.ask(f"INSERT INTO blobs VALUES {rows}")
        yield server


@pytest.fixture
def proxy(kube: Kube) -> Iterator[FaultyProxy]:
    """A proxy on the node's bridge in front of the cluster's S3 server."""
    address = kube.kubectl("get", "service", "s3", "--namespace", "s3", "--output", "jsonpath={.spec.clusterIP}")
    with run_proxy(f"http://{address}:7070", HOST_ADDRESS) as proxy:
        yield proxy


def source_model(name: str, source: Object, **training: Any) -> Object:
    """A model of the blobs from a source that is given whole."""
    model = build_model(name, "", columns=[], eps=0.5, minSamples=5)
    model["spec"]["source"] = {"secretRef": {"name": STORE_SECRET}, **source}
    model["spec"]["training"] = {"retries": 0, **training}
    return model


def put(kube: Kube, files: dict[str, bytes]) -> str:
    """Upload files into a folder of their own; returns its uri."""
    folder = f"e2e-data/{next(_FOLDERS)}"
    upload(kube, {f"{folder}/{name}": content for name, content in files.items()})
    return f"s3://{DATA_BUCKET}/{folder}/"


def login(scene: Scene, database: PostgresServer, password: str | None = None, name: str = "database") -> Object:
    """Make the Secret of a database; returns a source that lacks its query."""
    values = {"PGUSER": database.user, "PGPASSWORD": password or database.password}
    scene.kube.apply(
        scene.namespace, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
    )
    return {"uri": database.place, "secretRef": {"name": name}}


def await_data(scene: Scene, name: str, seconds: float = 150) -> Object:
    """Wait for a model's first version; returns what it records of the data."""

    def look() -> Object | None:
        version = scene.kube.get("clusteringmodelversions", scene.namespace, f"{name}-v1", missing_ok=True)
        return version and version["spec"]["data"]

    return wait_for(f"version 1 of {name}", look, seconds)


def await_refusal(scene: Scene, name: str, reason: str, *parts: str, seconds: float = 150) -> None:
    """Wait until a model says why it can't be trained, in words that hold these parts."""
    found = scene.await_condition("clusteringmodels", name, "Ready", reason, seconds)
    for part in parts:
        assert part in found["message"], (name, found["message"])


def test_every_format_trains(scene: Scene, database: PostgresServer) -> None:
    """All sources hold the same rows, so all versions have the same clusters; each tells what it read."""
    for name, (files, path) in SOURCES.items():
        columns = ["x0", "x1"] if name == "npy" else ["x", "y"]
        source = {"uri": put(scene.kube, files) + path, "columns": columns}
        scene.kube.apply(scene.namespace, source_model(name, source))
    asked = {**login(scene, database), "sql": {"query": "SELECT x, y, name FROM blobs"}}
    scene.kube.apply(scene.namespace, source_model("sql", asked))
    formats = {"feather": "arrow", "stream": "arrow", "folder": "csv", "hive": "parquet"}
    for name in (*SOURCES, "sql"):
        data = await_data(scene, name)
        assert (data["format"], data["rows"], data["rowsRead"]) == (formats.get(name, name), 2_000, 2_000)
        assert data["files"] == {"folder": 4, "hive": 2, "sql": 0}.get(name, 1)
        first = data["columns"][0]
        assert first["min"] == pytest.approx(min(BLOBS["x"].to_pylist()))
        assert first["mean"] == pytest.approx(np.mean(BLOBS["x"]))
        assert first["nulls"] == 0
        version = scene.kube.get("clusteringmodelversions", scene.namespace, f"{name}-v1") or {}
        assert version["spec"]["metrics"]["clusters"] == 4
    printed = scene.kube.kubectl("get", "cmv", "--output=wide", "--namespace", scene.namespace)
    assert "READ" in printed
    described = scene.kube.kubectl("describe", "cmv", "hive-v1", "--namespace", scene.namespace)
    for part in ("Rows Read:", "Nulls:", "Mean:"):
        assert part in described


def test_columns_of_folders_cluster_and_a_sample_is_the_same_again(scene: Scene) -> None:
    """The folder's name is a column; the same sample of the same data is the same version."""
    uri = put(scene.kube, SOURCES["hive"][0])
    source = {"uri": uri, "columns": ["x", "y", "half"], "sample": {"rows": 1_500, "seed": 3}}
    scene.kube.apply(scene.namespace, source_model("sampled", source), source_model("again", source))
    data, again = await_data(scene, "sampled"), await_data(scene, "again")
    assert (data["rowsRead"], data["rows"]) == (2_000, 1_500)
    half = data["columns"][2]
    assert (half["name"], half["dtype"], half["min"], half["max"]) == ("half", "int64", 0, 1)
    assert data == again
    digests = {
        (scene.kube.get("clusteringmodelversions", scene.namespace, f"{name}-v1") or {})["spec"]["artifact"]["digest"]
        for name in ("sampled", "again")
    }
    assert len(digests) == 1


BAD: dict[str, tuple[dict[str, bytes], str, Object, str, tuple[str, ...]]] = {
    "a missing column": (
        {"0.parquet": parquet(BLOBS), "1.parquet": parquet(BLOBS.drop(["y"]))}, "", {"columns": ["x", "y"]},
        "ColumnMissing", ("1.parquet", "x, z, name"),
    ),
    "a further column": (
        {"0.parquet": parquet(BLOBS.drop(["z"])), "1.parquet": parquet(BLOBS)}, "", {},
        "SourceFormatInvalid", ("1.parquet", "spec.source.columns"),
    ),
    "a type that changes": (
        {"0.parquet": parquet(BLOBS), "1.parquet": parquet(BLOBS.set_column(1, "y", BLOBS["y"].cast(pa.string())))}, "",
        {"columns": ["x", "y"]}, "SourceFormatInvalid", ("double", "string", "1.parquet"),
    ),
    "a column without values": (
        {"a.parquet": parquet(BLOBS.set_column(1, "y", pa.nulls(2_000)))}, "a.parquet", {"columns": ["x", "y"]},
        "DataInvalid", ("'y'", "all"),
    ),
    "no rows": ({"a.parquet": parquet(BLOBS.slice(0, 0))}, "a.parquet", {}, "DataInvalid", ("no rows",)),
    "an empty folder": ({"_SUCCESS": b""}, "", {}, "DataInvalid", ("no data files",)),
    "half a file": (
        {"0.parquet": parquet(BLOBS), "1.parquet": parquet(BLOBS)[:9_000]}, "", {"columns": ["x", "y"]},
        "SourceFormatInvalid", ("1.parquet",),
    ),
    "a pickle": (
        {"a.npy": npy(np.array([{"a": 1}], dtype=object), pickled=True)}, "a.npy", {},
        "SourceFormatInvalid", ("unpickled",),
    ),
    "a shape that lies": (
        {"a.npy": npy(np.zeros((100, 2))).replace(b"(100, 2)", b"(900, 2)")}, "a.npy", {},
        "SourceFormatInvalid", ("bytes",),
    ),
    "ragged rows": ({"a.csv": b"x,y\n1,2\n3\n"}, "a.csv", {}, "SourceFormatInvalid", ("Expected 2 columns",)),
}  # fmt: skip


def test_what_is_wrong_with_a_source_is_a_condition_and_the_served_version_goes_on(
    scene: Scene, database: PostgresServer
) -> None:
    """Thirteen bad sources at once; each model says what is wrong and where, and the one that serves serves on."""
    scene.serve()
    models = {name: f"bad-{at}" for at, name in enumerate(BAD)}
    for name, (files, path, fields, _, _) in BAD.items():
        source = {"uri": put(scene.kube, files) + path, **fields}
        scene.kube.apply(scene.namespace, source_model(models[name], source))
    asked = login(scene, database)
    queries = {
        "fails": ("SELECT nothing FROM blobs", "QueryFailed", "does not exist"),
        "writes": ("DELETE FROM blobs RETURNING x, y", "QueryFailed", "writes"),
        "texts": ("SELECT name FROM blobs", "ColumnNotNumeric", "no column is numeric"),
        "endless": ("SELECT count(*) AS x FROM generate_series(1, 1e12)", "QueryFailed", "timeoutSeconds"),
    }
    for name, (query, _, _) in queries.items():
        sql = {"query": query, "timeoutSeconds": 2}
        scene.kube.apply(scene.namespace, source_model(f"sql-{name}", {**asked, "sql": sql}))
    refused = {**login(scene, database, "wrong", "stale"), "sql": {"query": "SELECT x, y FROM blobs"}}
    scene.kube.apply(scene.namespace, source_model("sql-refused", refused))
    for name, (_, _, _, reason, parts) in BAD.items():
        await_refusal(scene, models[name], reason, *parts)
    for name, (_, reason, part) in queries.items():
        await_refusal(scene, f"sql-{name}", reason, part)
    await_refusal(scene, "sql-refused", "CredentialsRejected", "PGPASSWORD")
    assert database.ask("SELECT count(*) FROM blobs") == [(2_000,)]
    # The model that serves gets a bad source as well.
    broken = source_model(NAME, {"uri": f"s3://no-such-bucket-{scene.namespace}/a.parquet", "columns": ["x", "y"]})
    scene.kube.apply(scene.namespace, broken)
    scene.await_condition("clusteringmodels", NAME, "Degraded", "SourceUnreadable", 90)
    assert scene.status()["stable"]["version"] == 1
    with scene.client() as client:
        assert infer(client, np.zeros((3, 2))).shape == (3,)


def test_a_store_that_is_busy_for_a_while_is_waited_for(scene: Scene, proxy: FaultyProxy) -> None:
    """Some 503 in mid-read cost time only; a store that stays so is a condition, and heals by itself."""
    held = credentials(scene.kube) | {"AWS_ENDPOINT_URL": proxy.url}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "proxied"}, "stringData": held}
    scene.kube.apply(scene.namespace, secret)
    uri = put(scene.kube, SOURCES["folder"][0])
    source = {"uri": uri, "columns": ["x", "y"], "secretRef": {"name": "proxied"}}
    proxy.break_by(fail(503, "SlowDown", times=4, after=1))
    scene.kube.apply(scene.namespace, source_model("patient", source))
    assert await_data(scene, "patient")["rows"] == 2_000
    assert proxy.answers.count(503) == 4

    proxy.break_by(fail(503, "SlowDown"))
    scene.kube.apply(scene.namespace, source_model("stuck", source, retries=5))

    def told() -> bool:
        found = condition(scene.kube.get("clusteringmodels", scene.namespace, "stuck"), "Degraded")
        return found.get("status") == "True" and found.get("reason") == "SourceUnreadable"

    wait_for("the condition of a busy store", told, 150)
    proxy.break_by(lambda _request: None)
    assert await_data(scene, "stuck", 200)["rows"] == 2_000


def test_what_does_not_fit_the_memory_is_refused_or_sampled(scene: Scene) -> None:
    """Ten million rows and a pod of 384 MiB: refused before they are read; as a sample they train."""
    random = np.random.default_rng(5)
    centres = np.array([(-5, -5), (5, 5), (-5, 5), (5, -5)], dtype=np.float32)
    files = {}
    for part in range(5):
        points = centres[random.integers(0, 4, LARGE_ROWS // 5)]
        points += random.normal(0, 0.6, points.shape).astype(np.float32).round(2)
        files[f"{part}.parquet"] = parquet(pa.table({"x": points[:, 0], "y": points[:, 1]}))
    uri = put(scene.kube, files)
    # A few kilobytes that become 150 MB in one cell.
    cell = pa.table({"x": [1.0, 2.0], "kind": ["a" * 150_000_000, "b"]})
    sink = io.BytesIO()
    pq.write_table(cell, sink, compression="zstd", use_dictionary=False)
    bomb = put(scene.kube, {"a.parquet": sink.getvalue()}) + "a.parquet"
    resources = {"requests": {"memory": "256Mi"}, "limits": {"memory": "384Mi"}}
    scene.kube.apply(
        scene.namespace,
        source_model("whole", {"uri": uri}, resources=resources),
        source_model("sampled", {"uri": uri, "sample": {"rows": 20_000}}, resources=resources),
    )
    swollen = source_model("swollen", {"uri": bomb, "columns": ["x", "kind"]}, resources=resources)
    swollen["spec"]["preprocessing"] = [{"oneHot": {"columns": ["kind"]}}]
    scene.kube.apply(scene.namespace, swollen)
    await_refusal(scene, "whole", "DataInvalid", "at most", "spec.source.sample.rows")
    await_refusal(scene, "swollen", "DataInvalid", "'kind'", "150000")
    data = await_data(scene, "sampled", 240)
    assert (data["rowsRead"], data["rows"]) == (LARGE_ROWS, 20_000)
