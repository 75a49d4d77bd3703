"""A query's rows come from a real PostgreSQL; what fails, writes, never ends or yields no numbers is told."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shoal_worker.data.dataset import Access
from shoal_worker.data.reading import Bounds, TrainingData, read_training_data
from shoal_worker.errors import CredentialsRejected, SettingsInvalid, SourceInvalid, StoreUnavailable, WorkerError
from shoal_worker.spec.source import SampleSpec, SourceSpec, SqlSpec
from tests.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

ROWS = 150_000


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    postgres_server.ask(
        "CREATE TABLE catches AS SELECT g AS id, g * 0.5::float8 AS x, (g * 1.25)::numeric(12, 2) AS price, "
        "'k' || g % 3 AS kind, NULL::float8 AS nothing, now() AS caught "
        f"FROM generate_series(1, {ROWS}) g"
    )
    yield postgres_server
    postgres_server.ask("DROP TABLE catches")


class Asker:
    """Reads queries with the credentials of a Secret."""

    def __init__(self, server: PostgresServer, secret: Path) -> None:
        self.server = server
        self.secret = secret
        secret.mkdir()
        self.login(server.user, server.password)

    def login(self, user: str, password: str) -> None:
        (self.secret / "PGUSER").write_text(user)
        (self.secret / "PGPASSWORD").write_text(password + "\n")

    def read(
        self,
        query: str,
        *columns: str,
        uri: str = "",
        seconds: int = 60,
        rows: int = 1 << 30,
        texts: frozenset[str] | None = None,
        sample: SampleSpec | None = None,
    ) -> TrainingData:
        source = SourceSpec(
            uri=uri or self.server.place,
            sql=SqlSpec(query=query, timeout_seconds=seconds),
            columns=columns or None,
            sample=sample,
        )
        return read_training_data(source, Access(self.secret, Path("/none")), Bounds(rows, 1 << 30), texts)

    def refusal(self, query: str, *columns: str, seconds: int = 60, uri: str = "") -> WorkerError:
        with pytest.raises(WorkerError) as error:
            self.read(query, *columns, seconds=seconds, uri=uri)
        assert error.value.remedy
        assert self.server.password not in str(error.value)
        return error.value


@pytest.fixture
def asker(server: PostgresServer, tmp_path: Path) -> Asker:
    return Asker(server, tmp_path / "secret")


def test_rows_come_in_the_order_of_the_query(asker: Asker) -> None:
    data = asker.read("SELECT * FROM catches ORDER BY id DESC")
    assert [(column.name, column.dtype) for column in data.frame.columns] == [
        ("id", "int32"),
        ("x", "float64"),
        ("price", "float64"),
        ("nothing", "float64"),
    ]
    ids = np.arange(ROWS, 0, -1)
    np.testing.assert_array_equal(data.frame.numbers[:, :3], np.column_stack([ids, ids * 0.5, ids * 1.25]))
    assert (data.profile.format, data.profile.rows_read, data.profile.columns[3].nulls) == ("sql", ROWS, ROWS)


def test_texts_and_columns_are_chosen_as_in_files(asker: Asker) -> None:
    data = asker.read("SELECT * FROM catches ORDER BY id LIMIT 4", "kind", "x", texts=frozenset({"kind"}))
    assert data.frame.texts["kind"].tolist() == ["k1", "k2", "k0", "k1"]


def test_a_sample_is_drawn_while_the_rows_come(asker: Asker) -> None:
    sample = SampleSpec(rows=1_000, seed=5)
    first = asker.read("SELECT id FROM catches ORDER BY id", sample=sample, rows=2_000)
    again = asker.read("SELECT id FROM catches ORDER BY id", sample=sample, rows=2_000)
    assert first.frame.rows == 1_000
    np.testing.assert_array_equal(first.frame.numbers, again.frame.numbers)


def test_more_rows_than_fit_are_refused_on_the_way(asker: Asker) -> None:
    with pytest.raises(SourceInvalid, match="at most 1000"):
        asker.read("SELECT generate_series(1, 100000000000) AS g", rows=1_000)


@pytest.mark.parametrize(
    ("query", "reason", "part"),
    [
        ("SELECT * FROM nothing", "QueryFailed", "does not exist"),
        ("SELEC", "QueryFailed", "syntax error"),
        ("SELECT 1; SELECT 2", "QueryFailed", "multiple commands"),
        ("SELECT 1 / (g - 20000) FROM generate_series(1, 30000) g", "QueryFailed", "division by zero"),
        ("DELETE FROM catches RETURNING id", "QueryFailed", "writes"),
        ("WITH gone AS (DELETE FROM catches RETURNING id) SELECT * FROM gone", "QueryFailed", "writes"),
        ("INSERT INTO catches (id) VALUES (1)", "QueryFailed", "writes"),
        ("CREATE TABLE more (id int)", "QueryFailed", "writes"),
        ("SELECT 1 AS x, set_config('transaction_read_only', 'off', false)", "QueryFailed", "writes"),
        ("SELECT 1 AS x) TO PROGRAM 'touch /tmp/x' --", "QueryFailed", "syntax error"),
        ("SELECT kind FROM catches", "ColumnNotNumeric", "no column is numeric"),
        ("SET statement_timeout = 0", "ColumnNotNumeric", "no column is numeric"),
        ("SELECT id FROM catches WHERE false", "DataInvalid", "no rows"),
    ],
)
def test_what_yields_no_rows_of_numbers_is_told(asker: Asker, query: str, reason: str, part: str) -> None:
    error = asker.refusal(query)
    assert error.reason == reason
    assert part in error.message
    assert not error.transient
    assert asker.read("SELECT count(*) FROM catches").frame.numbers.tolist() == [[ROWS]]


@pytest.mark.parametrize(
    "query", ["SELECT pg_sleep(60)::text, 1 AS x", "SELECT count(*) FROM generate_series(1, 1e12)"]
)
def test_a_query_that_does_not_end_is_stopped(asker: Asker, query: str) -> None:
    error = asker.refusal(query, seconds=1)
    assert (error.reason, error.field) == ("QueryFailed", "spec.source.sql.query")
    assert "within 1 s" in error.message
    assert "timeoutSeconds" in error.remedy


def test_a_missing_column_is_told_with_those_of_the_query(asker: Asker) -> None:
    error = asker.refusal("SELECT id, x FROM catches", "y")
    assert (error.reason, error.value) == ("ColumnMissing", "y")
    assert "id, x" in error.remedy


@pytest.mark.parametrize("login", [("shoal", "wrong"), ("nobody", "wrong")])
def test_wrong_credentials_are_told(asker: Asker, login: tuple[str, str]) -> None:
    asker.login(*login)
    error = asker.refusal("SELECT 1")
    assert isinstance(error, CredentialsRejected)
    assert "PGPASSWORD" in error.remedy


def test_a_user_without_rights_is_told(asker: Asker) -> None:
    asker.server.ask("CREATE USER stranger PASSWORD 'pass'")
    asker.login("stranger", "pass")
    error = asker.refusal("SELECT id FROM catches")
    assert "permission denied" in error.message
    assert "SELECT" in error.remedy


def test_a_missing_database_is_no_matter_of_patience(asker: Asker) -> None:
    error = asker.refusal("SELECT 1", uri=asker.server.place.replace("/postgres", "/none"))
    assert error.reason == "SourceUnreadable"
    assert not error.transient


def test_a_server_that_is_not_there_may_come_back(asker: Asker) -> None:
    error = asker.refusal("SELECT 1", uri="postgresql://127.0.0.1:1/fish")
    assert isinstance(error, StoreUnavailable)
    assert (error.reason, error.transient) == ("SourceUnreadable", True)


def test_a_connection_that_is_cut_may_come_back(asker: Asker) -> None:
    error = asker.refusal(
        "SELECT g FROM generate_series(1, 100000) g, LATERAL (SELECT pg_terminate_backend(pg_backend_pid())) t"
    )
    assert error.transient


@pytest.mark.parametrize(
    "uri",
    ["postgresql://u:p@127.0.0.1/d", "postgresql://127.0.0.1/d?sslmode=disable", "postgresql:///d", "mysql://h/d"],
)
def test_a_uri_holds_no_credentials_or_options(asker: Asker, uri: str) -> None:
    error = asker.refusal("SELECT 1", uri=uri)
    assert isinstance(error, SettingsInvalid)
    assert ":p@" not in str(error)


def test_a_certificate_authority_in_the_secret_demands_encryption(asker: Asker) -> None:
    """The server of the tests speaks no TLS: with an authority given, nothing is sent to it."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*command, "-subj", "/CN=x", "-keyout", "/dev/null", "-out", asker.secret / "ca.crt"],
        check=True,
        capture_output=True,
    )
    assert "SSL" in asker.refusal("SELECT 1").message
