"""Results as rows of a PostgreSQL table, beside the store; called by the batch's verbs.

Invariant: of each part of a run the table has all rows once or none, however often and by how many at once it is
loaded: what is there of it is deleted and all of it inserted in one transaction, one attempt after the other. The
password of the Secret is in no message.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as postgresql
import pyarrow as pa

from shoal_worker.errors import CredentialsRejected, SettingsInvalid, SinkFailed, WorkerError, shorten
from shoal_worker.results.layout import RunKey
from shoal_worker.results.record import PartRecord
from shoal_worker.results.run import ResultRun
from shoal_worker.results.tabular import PART, RUN_ID, as_table_rows, table_columns, table_schema
from shoal_worker.spec.output import PostgresSpec
from shoal_worker.store.postgres import connection_uri, read_credentials

_FIELD = "spec.output.postgres"
_LOCK_SECONDS = 60
# Connections (08), rollbacks (40), resources (53), operators (57) and locks (55P03); see "PostgreSQL Error Codes".
_PASSING = re.compile(r"08...|40...|53...|57...|55P03")
_REFUSED = re.compile(r"authentication failed|no password supplied|role .* does not exist|no pg_hba.conf entry")
_ABSENT = re.compile(r"database .* does not exist")


class PostgresSink:
    """One table."""

    def __init__(self, spec: PostgresSpec, secret_dir: Path) -> None:
        self._spec = spec
        self._schema, _, self._table = spec.table.rpartition(".")
        self._name = ".".join(f'"{part}"' for part in spec.table.split("."))
        self._password = read_credentials(secret_dir).get("password", "")
        self._uri = connection_uri(spec.uri, secret_dir)

    def prepare(self, schema: pa.Schema) -> None:
        """Create the table unless it is there, and check that it takes the columns of results of this schema."""
        wanted = table_columns(schema)
        with self._transaction() as cursor:
            # Two that create one table at once would fail at the catalog's unique index.
            _lock(cursor, f"shoal {self._spec.table}", 0)
            cursor.execute("SELECT to_regclass($1)::text", (self._name,))
            if cursor.fetchone() == (None,):
                columns = ", ".join(f"{_quoted(name)} {dtype}" for name, dtype in wanted.items())
                cursor.execute(f"CREATE TABLE {self._name} ({columns})")
                cursor.execute(f"CREATE INDEX ON {self._name} ({RUN_ID}, {PART})")
            cursor.execute(
                "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute "
                "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
                (self._name,),
            )
            found = dict(cursor.fetchall())
        for name, dtype in wanted.items():
            if found.get(name) != dtype:
                there = f"is of type {found[name]}" if name in found else "is not there"
                raise SettingsInvalid(
                    f"the table's column {name} {there}, and the results need {dtype}",
                    field=f"{_FIELD}.table",
                    value=self._spec.table,
                    remedy="Name another table, which is then created, or alter this one",
                )

    def load(self, run: ResultRun, part: PartRecord) -> int:
        """Let the table have exactly the rows of a complete part, and return how many they are."""
        rows = run.rows([part])
        try:
            return self._load(str(run.key), part.part, rows.stream())
        except SinkFailed:
            # What the store refused while the database took rows is the store's failure.
            if rows.failure is not None:
                raise rows.failure from None
            raise

    def _load(self, run_id: str, part: int, rows: pa.RecordBatchReader) -> int:
        with self._transaction() as cursor:
            _lock(cursor, run_id, part)
            cursor.execute(f"DELETE FROM {self._name} WHERE {RUN_ID} = $1 AND {PART} = $2", (run_id, part))  # noqa: S608
            loaded: int = cursor.adbc_ingest(
                self._table,
                pa.RecordBatchReader.from_batches(
                    table_schema(rows.schema), (as_table_rows(batch, run_id, part) for batch in rows)
                ),
                mode="append",
                db_schema_name=self._schema or None,
            )
        return loaded

    def forget(self, run: RunKey) -> None:
        """Delete the rows of a run that is pruned."""
        with self._transaction() as cursor:
            cursor.execute(f"DELETE FROM {self._name} WHERE {RUN_ID} = $1", (str(run),))  # noqa: S608

    @contextmanager
    def _transaction(self) -> Iterator[postgresql.Cursor]:
        """One transaction, which is committed at the end and rolled back by an error."""
        try:
            with postgresql.connect(self._uri) as connection, connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
                yield cursor
                connection.commit()
        except adbc_driver_manager.Error as error:
            raise self._explain(error) from None

    def _explain(self, error: adbc_driver_manager.Error) -> WorkerError:
        text = " ".join(str(error).split())
        for secret in (self._uri, self._password):
            text = text.replace(secret, "***") if secret else text
        text, state = shorten(text, 400), error.sqlstate or ""
        if _REFUSED.search(text) or state.startswith("28"):
            return CredentialsRejected(
                "the database refused who asked",
                field=f"{_FIELD}.secretRef",
                value=self._spec.uri,
                remedy="Check PGUSER and PGPASSWORD in the Secret",
            )
        unconnected = "Failed to connect" in text
        if unconnected and not _ABSENT.search(text):
            return SinkFailed(
                f"the database cannot be reached: {text}",
                field=f"{_FIELD}.uri",
                value=self._spec.uri,
                remedy="Check host, port, network policy and the database's health",
                transient=True,
            )
        if unconnected:
            return SinkFailed(
                "there is no such database",
                field=f"{_FIELD}.uri",
                value=self._spec.uri,
                remedy="Create the database, or correct the name",
            )
        remedy = "See the message; the rows in the result store are not concerned"
        if state == "42501":
            remedy = "Grant the user CREATE on the schema, or SELECT, INSERT and DELETE on the table"
        return SinkFailed(
            f"the database did not do it: {text}",
            field=f"{_FIELD}.table",
            value=self._spec.table,
            remedy=remedy,
            transient=bool(_PASSING.fullmatch(state)),
        )


def _lock(cursor: postgresql.Cursor, name: str, number: int) -> None:
    """Wait until no other transaction holds this lock, and hold it to the end of this one."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, $2))::text", (name, number))
    cursor.fetchall()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
