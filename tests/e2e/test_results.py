"""Results on the cluster: in the store for `shoal results`, in a real PostgreSQL once, and old ones gone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest

from hack.cluster.layout import HOST_ADDRESS
from hack.lab.install import DATA_BUCKET, STORE_NAMESPACE, credentials, port_forward
from hack.lab.kube import Object, condition
from hack.lab.objects import build_batch
from shoal_cli.__main__ import main
from tests.e2e.scene import NAME, Scene
from tests.e2e.test_batch import BATCH, DAYS, ROWS, Batches, build_rows, encode
from tests.postgres import PostgresServer, run_postgres

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Shoal = Callable[..., Any]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server on this machine, at the address by which pods reach it."""
    with run_postgres(HOST_ADDRESS) as server:
        yield server


@pytest.fixture
def batches(scene: Scene) -> Batches:
    """A trained model, and a folder of three days with three row groups each."""
    made = Batches(scene)
    made.output = f"s3://{DATA_BUCKET}/results-{scene.namespace}"
    made.upload({f"{day}/rows.parquet": encode(build_rows(ROWS, seed)) for seed, day in enumerate(DAYS)})
    scene.apply_model()
    scene.await_version(1)
    return made


@pytest.fixture
def shoal(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shoal]:
    """`shoal results` on the batches' output; returns what it prints as JSON."""
    kube = batches.scene.kube
    with port_forward(kube, STORE_NAMESPACE, "service/s3", 7070) as port:
        for name, value in {**credentials(kube), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SHOAL_RESULTS", batches.output)

        def run(*words: str) -> Any:
            with redirect_stdout(io.StringIO()) as printed:
                assert main(["results", *words, "--namespace", batches.scene.namespace, "-o", "json"]) == 0
            return json.loads(printed.getvalue())

        yield run


def apply(batches: Batches, server: PostgresServer, table: str, **output: Object) -> None:
    manifest = build_batch(BATCH, source=batches.source, output=batches.output, columns=["id", "name"])
    manifest["spec"] |= {"modelRef": {"name": NAME}, "rowsPerShard": 1000, "parallelism": 3}
    postgres = {"uri": server.place, "table": table, "secretRef": {"name": "loader"}}
    manifest["spec"]["output"] |= {"postgres": postgres, **output}
    batches.scene.kube.apply(batches.scene.namespace, manifest)


def apply_secret(batches: Batches, server: PostgresServer, password: str | None = None) -> None:
    data = {"PGUSER": server.user, "PGPASSWORD": password or server.password}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "loader"}, "stringData": data}
    batches.scene.kube.apply(batches.scene.namespace, secret)


def rerun(batches: Batches, word: str) -> Object:
    """Run the batch again, and wait until that is complete; returns the status."""
    before = batches.status()["batchHash"]
    name = ("cbatch", BATCH, f"shoal.dev/rerun={word}", "--overwrite", "--namespace", batches.scene.namespace)
    batches.scene.kube.kubectl("annotate", *name)
    batches.wait("the new identity", lambda found: found.get("batchHash") != before, 30)
    return batches.complete()


def test_results_in_store_and_table(batches: Batches, postgres: PostgresServer, shoal: Shoal) -> None:
    """Rows once in both, by whatever was done again; SQL agrees; an older run goes from both."""
    table = f"labels_{batches.scene.namespace.replace('-', '_')}"
    apply(batches, postgres, table, retention={"keepRuns": 1})
    batches.wait(
        "the Secret missed",
        lambda found: "spec.output.postgres.secretRef" in condition({"status": found}, "Degraded").get("message", ""),
        60,
    )
    apply_secret(batches, postgres)
    first = batches.complete()
    assert first["shards"]["done"] == 5
    stored = batches.rows(first["result"]["uri"])
    names = ("file", "row", "label", "cluster_id", "distance", "id", "name")
    ask = f"SELECT {', '.join(names)} FROM {table} ORDER BY file, row"
    assert postgres.ask(ask) == list(zip(*(stored[name].to_pylist() for name in names), strict=True))
    assert postgres.ask(f"SELECT DISTINCT run_id FROM {table}") == [
        (f"{batches.scene.namespace}/{BATCH}/{first['run']}",)
    ]

    (listed,) = shoal("ls", BATCH)
    assert (listed["run"], listed["state"], listed["rows"]) == (first["run"], "Complete", 4500)
    assert listed["noiseRatio"] == pytest.approx(first["result"]["noiseRatio"])
    assert shoal("show", BATCH)["metrics"]["nClusters"] == first["result"]["clusters"]
    statement = "SELECT cluster_id, count(*) AS n FROM {} GROUP BY 1 ORDER BY 1"
    counted = [(row["cluster_id"], row["n"]) for row in shoal("sql", BATCH, statement.format("results"))]
    assert counted == postgres.ask(statement.format(table))

    again = rerun(batches, "again")
    assert again["run"] == first["run"]
    assert postgres.ask(f"SELECT count(*), count(DISTINCT id) FROM {table}") == [(4500, 4500)]

    batches.upload({"day=4/rows.parquet": encode(build_rows(ROWS, 9))})
    other = rerun(batches, "more")
    assert other["run"] != first["run"]
    assert [(run["run"], run["state"]) for run in shoal("ls", BATCH)] == [(other["run"], "Complete")]
    assert batches.files(first["result"]["uri"]) == {}
    assert postgres.ask(f"SELECT run_id, count(*) FROM {table} GROUP BY 1") == [
        (f"{batches.scene.namespace}/{BATCH}/{other['run']}", 6000)
    ]


def test_a_table_that_cannot_be_used_is_told(batches: Batches, postgres: PostgresServer) -> None:
    """A wrong password and a table of other columns end the plan, with the field and the remedy."""
    apply_secret(batches, postgres, password="wrong")
    apply(batches, postgres, "unused")
    failed = batches.wait("the failure", lambda found: found.get("phase") == "Failed", 120)
    assert "spec.output.postgres.secretRef" in failed["message"]
    assert "PGPASSWORD" in failed["message"]
    apply_secret(batches, postgres)
    postgres.ask("CREATE TABLE IF NOT EXISTS narrow (run_id text)")
    apply(batches, postgres, "narrow")
    failed = batches.wait("the other failure", lambda found: "narrow" in found.get("message", ""), 120)
    assert "Name another table" in failed["message"]
    apply(batches, postgres, "wide")
    batches.complete()
    assert postgres.ask("SELECT count(*) FROM wide") == [(4500,)]
