"""A real PostgreSQL has each part of a run once, however often it is loaded; what it refuses is told."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shoal_worker.errors import CredentialsRejected, SettingsInvalid, SinkFailed, WorkerError
from shoal_worker.results.record import PartRecord
from shoal_worker.results.run import ResultRun
from shoal_worker.results.schema import result_schema
from shoal_worker.results.sink import PostgresSink
from shoal_worker.results.tabular import table_columns
from shoal_worker.spec.output import PostgresSpec
from tests.postgres import PostgresServer, postgres_server
from tests.unit.models.conftest import Place, place, s3_server
from tests.unit.results.conftest import SCHEMA, fill, key, plan_of, rows, run

__all__ = ["place", "postgres_server", "run", "s3_server"]


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    """A table's name that no other test has."""
    return "".join(letter if letter.isalnum() else "_" for letter in request.node.name.lower())[-50:].lstrip(
        "_0123456789"
    )


@pytest.fixture
def sink(postgres_server: PostgresServer, table: str, tmp_path: Path) -> PostgresSink:
    return sink_of(postgres_server, table, tmp_path)


def sink_of(server: PostgresServer, table: str, tmp_path: Path, **changes: str) -> PostgresSink:
    secret = tmp_path / "postgres"
    secret.mkdir(exist_ok=True)
    for name, value in {"PGUSER": server.user, "PGPASSWORD": server.password, **changes}.items():
        if name.isupper():
            (secret / name).write_text(value)
    return PostgresSink(PostgresSpec(uri=changes.get("uri", server.place), table=table), secret)


def record(run: ResultRun, number: int) -> PartRecord:
    found = run.part(number)
    assert found is not None
    return found


def test_a_run_in_a_table(run: ResultRun, sink: PostgresSink, postgres_server: PostgresServer, table: str) -> None:
    fill(run)
    sink.prepare(SCHEMA)
    assert [sink.load(run, record(run, number)) for number in (0, 1)] == [10, 10]
    assert postgres_server.ask(f"SELECT run_id, part, count(*) FROM {table} GROUP BY 1, 2 ORDER BY 2") == [
        ("demo/nightly/r1", 0, 10),
        ("demo/nightly/r1", 1, 10),
    ]
    assert postgres_server.ask(f"SELECT * FROM {table} WHERE part = 1 AND row IN (0, 4) ORDER BY row") == [
        ("demo/nightly/r1", 1, "s3://data/in/1.parquet", 0, -1, -1, 0.0, None, "row 0", -4),
        ("demo/nightly/r1", 1, "s3://data/in/1.parquet", 4, 0, 7, 2.0, 0.25, "row 4", 0),
    ]
    sink.forget(key("r9"))
    assert postgres_server.ask(f"SELECT count(*) FROM {table}") == [(20,)]
    sink.forget(run.key)
    assert postgres_server.ask(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_part_that_is_loaded_again_and_at_once_is_there_once(
    run: ResultRun, place: Place, sink: PostgresSink, postgres_server: PostgresServer, table: str
) -> None:
    fill(run)
    other = ResultRun(*place.open(), key("r2"))
    fill(other, 1)
    part = record(run, 0)

    def attempt(_: int) -> int:
        sink.prepare(SCHEMA)
        return sink.load(run, part)

    with ThreadPoolExecutor(6) as attempts:
        assert list(attempts.map(attempt, range(12))) == [10] * 12
    sink.load(other, record(other, 0))
    sink.load(run, part)
    assert postgres_server.ask(f"SELECT run_id, count(*), count(DISTINCT row) FROM {table} GROUP BY 1 ORDER BY 1") == [
        ("demo/nightly/r1", 10, 10),
        ("demo/nightly/r2", 10, 10),
    ]


def test_a_load_that_is_cut_leaves_what_was_there(
    run: ResultRun, place: Place, sink: PostgresSink, postgres_server: PostgresServer, table: str
) -> None:
    """The rows of the second load end in a damaged page: the table keeps those of the first."""
    run.begin(plan_of(run.key, parts=1))
    with run.write_part(0, SCHEMA) as part:
        for _ in range(30):
            part.write(rows(count=10_000))
        part.finish()
    sink.prepare(SCHEMA)
    found = record(run, 0)
    assert sink.load(run, found) == 300_000
    path = place.folder / "demo" / "nightly" / "r1" / found.file
    content = path.read_bytes()
    path.write_bytes(
        content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 255]) + content[len(content) // 2 + 1 :]
    )
    with pytest.raises(WorkerError):
        sink.load(run, found)
    assert postgres_server.ask(f"SELECT count(*) FROM {table}") == [(300_000,)]
    path.unlink()
    with pytest.raises(WorkerError, match="no such object"):
        sink.load(run, found)
    assert postgres_server.ask(f"SELECT count(*) FROM {table}") == [(300_000,)]


def test_values_of_every_kind_come_through(
    place: Place, sink: PostgresSink, postgres_server: PostgresServer, table: str
) -> None:
    when = datetime(2026, 5, 1, 12, tzinfo=UTC)
    kinds: dict[str, tuple[pa.DataType, Any, Any]] = {
        "tiny": (pa.int8(), -5, -5),
        "byte": (pa.uint8(), 255, 255),
        "word": (pa.uint16(), 65_535, 65_535),
        "double word": (pa.uint32(), 2**32 - 1, 2**32 - 1),
        "big": (pa.uint64(), 2**64 - 1, str(2**64 - 1)),
        "half": (pa.float16(), 0.5, 0.5),
        "endless": (pa.float64(), math.inf, math.inf),
        "yes": (pa.bool_(), True, True),
        "day": (pa.date32(), when.date(), when.date()),
        "when": (pa.timestamp("us", tz="UTC"), when, when),
        "local": (pa.timestamp("ms"), when.replace(tzinfo=None), when.replace(tzinfo=None)),
        "price": (pa.decimal128(9, 2), Decimal("1.50"), "1.5"),
        "kind": (pa.dictionary(pa.int32(), pa.string()), "a", "a"),
        "raw": (pa.binary(), b"\x00\xff", b"\x00\xff"),
        'quote"d': (pa.large_string(), "ü\n;--", "ü\n;--"),
    }
    schema = result_schema(carried=[pa.field(name, dtype) for name, (dtype, _, _) in kinds.items()])
    own = {"file": "f", "row": 0, "label": 0, "cluster_id": 1, "distance": 0.5}
    run = ResultRun(*place.open(), key("types"))
    with run.write_part(0, schema) as part:
        values = {**own, **{name: value for name, (_, value, _) in kinds.items()}}
        missing = {**own, "row": 1, **dict.fromkeys(kinds)}
        part.write(pa.RecordBatch.from_pylist([values, missing], schema=schema))
        part.finish()
    sink.prepare(schema)
    assert sink.load(run, record(run, 0)) == 2
    (found, empty) = postgres_server.ask(f"SELECT * FROM {table} ORDER BY row")
    assert found[7:] == tuple(expected for _, _, expected in kinds.values())
    assert empty[7:] == (None,) * len(kinds)


def test_a_table_that_is_there_is_used_if_it_fits(
    run: ResultRun, sink: PostgresSink, postgres_server: PostgresServer, table: str
) -> None:
    columns = ", ".join(f"{name} {dtype}" for name, dtype in reversed(table_columns(SCHEMA).items()))
    postgres_server.ask(f"CREATE TABLE {table} (mine text DEFAULT 'yes', {columns})")
    fill(run, 1)
    sink.prepare(SCHEMA)
    sink.load(run, record(run, 0))
    assert postgres_server.ask(f"SELECT DISTINCT mine, run_id FROM {table}") == [("yes", "demo/nightly/r1")]
    postgres_server.ask(f"ALTER TABLE {table} ALTER COLUMN height TYPE text")
    with pytest.raises(SettingsInvalid, match="height is of type text, and the results need smallint"):
        sink.prepare(SCHEMA)
    postgres_server.ask(f"ALTER TABLE {table} DROP COLUMN height")
    with pytest.raises(SettingsInvalid, match="height is not there") as told:
        sink.prepare(SCHEMA)
    assert told.value.field == "spec.output.postgres.table"


def test_a_table_in_a_schema_of_its_own(run: ResultRun, postgres_server: PostgresServer, tmp_path: Path) -> None:
    postgres_server.ask("CREATE SCHEMA IF NOT EXISTS shoals")
    postgres_server.ask("DROP TABLE IF EXISTS shoals.labels")
    sink = sink_of(postgres_server, "shoals.labels", tmp_path)
    fill(run, 1)
    sink.prepare(SCHEMA)
    sink.load(run, record(run, 0))
    assert postgres_server.ask("SELECT count(*) FROM shoals.labels") == [(10,)]


@pytest.mark.parametrize(
    "dtype",
    [pa.struct([("x", pa.int8())]), pa.duration("s"), pa.list_(pa.uint64()), pa.list_(pa.string()), pa.time64("us")],
)
def test_a_type_that_no_table_holds_is_refused_first(dtype: pa.DataType) -> None:
    with pytest.raises(SettingsInvalid, match="a table cannot hold") as told:
        table_columns(result_schema(carried=[pa.field("odd", dtype)]))
    assert (told.value.field, told.value.value) == ("spec.output.columns", "odd")


@pytest.mark.parametrize("name", ["run_id", "part", "n" * 64, "ü" * 32])
def test_a_name_that_no_table_holds_is_refused_first(name: str) -> None:
    with pytest.raises(SettingsInvalid):
        table_columns(result_schema(carried=[pa.field(name, pa.int8())]))


class TestRefusals:
    """Who asks wrongly is told what to change; what may pass is tried again."""

    def test_a_wrong_password(self, postgres_server: PostgresServer, tmp_path: Path) -> None:
        sink = sink_of(postgres_server, "t", tmp_path, PGPASSWORD="wrong-password")
        with pytest.raises(CredentialsRejected, match="refused who asked") as told:
            sink.prepare(SCHEMA)
        assert told.value.transient
        assert "wrong-password" not in f"{told.value} {told.value.__dict__}"

    def test_no_secret(self, postgres_server: PostgresServer, tmp_path: Path) -> None:
        spec = PostgresSpec(uri=postgres_server.place, table="t")
        with pytest.raises(CredentialsRejected):
            PostgresSink(spec, tmp_path / "none").prepare(SCHEMA)

    def test_no_server(self, postgres_server: PostgresServer, tmp_path: Path) -> None:
        sink = sink_of(postgres_server, "t", tmp_path, uri="postgresql://127.0.0.1:9/postgres")
        with pytest.raises(SinkFailed, match="cannot be reached") as told:
            sink.prepare(SCHEMA)
        assert told.value.transient
        assert postgres_server.password not in str(told.value)

    def test_no_database(self, postgres_server: PostgresServer, tmp_path: Path) -> None:
        uri = postgres_server.place.replace("/postgres", "/none")
        with pytest.raises(SinkFailed, match="no such database") as told:
            sink_of(postgres_server, "t", tmp_path, uri=uri).prepare(SCHEMA)
        assert not told.value.transient

    def test_no_rights(self, postgres_server: PostgresServer, tmp_path: Path) -> None:
        postgres_server.ask("DROP ROLE IF EXISTS reader")
        postgres_server.ask("CREATE ROLE reader LOGIN PASSWORD 'p@ss w%rd&'")
        with pytest.raises(SinkFailed, match="permission denied") as told:
            sink_of(postgres_server, "t", tmp_path, PGUSER="reader", PGPASSWORD="p@ss w%rd&").prepare(SCHEMA)
        assert "Grant the user CREATE" in told.value.remedy
        assert not told.value.transient

    def test_a_text_that_no_database_holds(
        self, place: Place, sink: PostgresSink, postgres_server: PostgresServer, table: str
    ) -> None:
        run = ResultRun(*place.open(), key())
        with run.write_part(0, SCHEMA) as part:
            batch = rows(count=1)
            part.write(batch.set_column(6, SCHEMA.field("name"), pa.array(["a\0b"])))
            part.finish()
        sink.prepare(SCHEMA)
        with pytest.raises(SinkFailed, match="invalid byte sequence") as told:
            sink.load(run, record(run, 0))
        assert not told.value.transient
        assert postgres_server.ask(f"SELECT count(*) FROM {table}") == [(0,)]


@pytest.fixture
def authority(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Path]:
    """The certificate of the server, which speaks TLS for as long."""
    ((data,),) = postgres_server.ask("SELECT current_setting('data_directory')")
    folder = Path(str(data))
    key, certificate = folder / "tls.key", folder / "tls.crt"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=postgres"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *files], check=True, capture_output=True)
    for path in (key, certificate):
        os.chown(path, folder.stat().st_uid, folder.stat().st_gid)
    for name, value in {"ssl_key_file": key, "ssl_cert_file": certificate, "ssl": "on"}.items():
        postgres_server.ask(f"ALTER SYSTEM SET {name} = '{value}'")
    postgres_server.ask("SELECT pg_reload_conf()")
    yield certificate
    postgres_server.ask("ALTER SYSTEM RESET ALL")
    postgres_server.ask("SELECT pg_reload_conf()")


def test_a_server_must_prove_its_name_where_the_secret_has_an_authority(
    run: ResultRun, postgres_server: PostgresServer, authority: Path, table: str, tmp_path: Path
) -> None:
    fill(run, 1)
    sink_of(postgres_server, table, tmp_path)
    shutil.copy(authority, tmp_path / "postgres" / "ca.crt")
    sink = sink_of(postgres_server, table, tmp_path)
    sink.prepare(SCHEMA)
    assert sink.load(run, record(run, 0)) == 10
    by_name = sink_of(postgres_server, table, tmp_path, uri=postgres_server.place.replace("127.0.0.1", "localhost"))
    with pytest.raises(SinkFailed, match="does not match host name"):
        by_name.prepare(SCHEMA)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uri", "postgresql://user:password@host/db"),
        ("uri", "postgresql://host/db?sslmode=disable"),
        ("uri", "mysql://host/db"),
        ("table", 't"; DROP TABLE x'),
        ("table", "a.b.c"),
        ("table", "Upper"),
        ("table", "x" * 64),
    ],
)
def test_a_hostile_sink_is_no_sink(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=field):
        PostgresSpec(**{"uri": "postgresql://host:5432/db", "table": "labels", field: value})
