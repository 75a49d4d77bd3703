"""Rows of a PostgreSQL query, through ADBC; called by `reading`.

Invariant: the query runs alone in a read-only transaction, which is proven before it is sent, and the server stops it
after its time. Rows come in batches, so memory does not grow with the result. A password is never in an error.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions, dbapi

from shoal_worker.data.dataset import Access
from shoal_worker.data.formats.format import URI_FIELD, slices
from shoal_worker.errors import (
    CredentialsRejected,
    SettingsInvalid,
    SourceInvalid,
    StoreError,
    StoreUnavailable,
    WorkerError,
    shorten,
)
from shoal_worker.spec.source import SourceSpec, SqlSpec
from shoal_worker.store.postgres import connection_uri

_QUERY_FIELD = "spec.source.sql.query"
_BATCH_BYTES = 8 << 20
_REFUSED = re.compile(r"password|authentication|pg_hba\.conf|role \"|permission denied for database", re.IGNORECASE)
_NO_DATABASE = re.compile(r'database ".*" does not exist')
_MESSAGE = re.compile(r"(?:ERROR|FATAL): +(.*)")
_TIMEOUT = "statement timeout"
# Shutdown, start, too many connections, deadlock: the same query may succeed later. The class 08 is the connection.
_PASSING = re.compile(r"08\w{3}|57P0\w|53\w{3}|40\w{3}")
_CUT = re.compile("terminating connection|server closed the connection|no connection to the server|timed out")


class Query:
    """A query whose columns are known; its rows are read once."""

    def __init__(self, reader: pa.RecordBatchReader, sql: SqlSpec) -> None:
        self._reader = reader
        self._sql = sql
        self.schema = pa.schema([field.with_type(_as_read(field.type)) for field in reader.schema])

    def batches(self, names: tuple[str, ...], *, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The rows, with these columns; the types are those of `schema`."""
        while True:
            with _explained(self._sql):
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    return
                columns = {name: _converted(batch.column(name)) for name in names}
            yield from slices(pa.record_batch(columns), batch_rows)


@contextmanager
def open_query(source: SourceSpec, access: Access) -> Iterator[Query]:
    """Connect and start the source's query. Raises StoreError, or SourceInvalid with reason QueryFailed."""
    if (sql := source.sql) is None:
        raise AssertionError("the source is no query")
    try:
        connection = dbapi.connect(_connection_uri(source, sql, access.secret_dir))
    except adbc_driver_manager.Error as error:
        raise _connection_failure(source.uri, str(error)) from None
    with connection, connection.cursor() as cursor:
        with _explained(sql):
            cursor.execute("SELECT current_setting('transaction_read_only')")
            if cursor.fetchall() != [("on",)]:
                raise SourceInvalid(
                    "the server does not keep the transaction read-only", reason="QueryFailed", field=URI_FIELD,
                    value=source.uri, remedy="Connect to PostgreSQL itself, not to a pooler that drops its options",
                )  # fmt: skip
            cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)})
            cursor.execute(sql.query)
            reader = cursor.fetch_record_batch()
        try:
            yield Query(reader, sql)
        except BaseException:
            # Closing alone would wait for the rest of the rows.
            cursor.adbc_cancel()
            raise


def _connection_uri(source: SourceSpec, sql: SqlSpec, secret_dir: Path) -> str:
    parts = urlsplit(source.uri)
    database = parts.path.strip("/")
    if parts.scheme != "postgresql" or not parts.hostname or not database or parts.query or "@" in parts.netloc:
        raise SettingsInvalid(
            "a database has the form postgresql://host:5432/database",
            field=URI_FIELD,
            value=source.uri.rpartition("@")[2],
            remedy="Put user and password into the Secret of spec.source.secretRef, as PGUSER and PGPASSWORD",
        )
    settings = (
        "-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read "
        f"-c statement_timeout={sql.timeout_seconds}s"
    )
    return connection_uri(f"postgresql://{parts.netloc}/{quote(database)}", secret_dir, {"options": settings})


def _connection_failure(uri: str, text: str) -> StoreError:
    told = shorten((found[1] if (found := _MESSAGE.search(text)) else text.partition("\n")[0]), 300)
    if _NO_DATABASE.search(text):
        return StoreUnavailable(
            "there is no such database",
            reason="SourceUnreadable",
            field=URI_FIELD,
            value=uri,
            remedy="Create the database or correct the uri",
            transient=False,
        )
    if _REFUSED.search(text):
        return CredentialsRejected(
            f"the database refused access: {told}",
            field=URI_FIELD,
            value=uri,
            remedy="Check PGUSER and PGPASSWORD in the Secret of spec.source.secretRef and the rights of that user",
        )
    return StoreUnavailable(
        f"the database cannot be reached: {told}",
        reason="SourceUnreadable",
        field=URI_FIELD,
        value=uri,
        remedy="Check host and port, the network policy and the server's health",
    )


@contextmanager
def _explained(sql: SqlSpec) -> Iterator[None]:
    """Tell what the server says of a query; while rows are read it tells no SQLSTATE, only a text."""
    try:
        yield
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise _query_failure(error, sql) from None


def _query_failure(error: Exception, sql: SqlSpec) -> WorkerError:
    text = str(error)
    state = getattr(error, "sqlstate", None) or ""
    told = shorten(found[1] if (found := _MESSAGE.search(text)) else text.partition("\n")[0], 300)
    if _PASSING.fullmatch(state) or _CUT.search(text):
        return StoreUnavailable(
            f"the database broke the query off: {told}",
            reason="SourceUnreadable",
            field=URI_FIELD,
            remedy="Check the server's health",
        )
    if _TIMEOUT in text:
        message = f"the query did not end within {sql.timeout_seconds} s and was stopped"
        remedy = "Ask for less, add an index, or raise spec.source.sql.timeoutSeconds"
    elif state == "25006" or "read-only transaction" in text or "read-write mode" in text:
        message, remedy = f"the query writes: {told}", "Sources are only read: write a SELECT"
    elif state == "42501":
        message, remedy = told, "Grant the user of the Secret the right to SELECT"
    else:
        message, remedy = f"the query failed: {told}", "Correct the query; psql runs it with the same text"
    return SourceInvalid(message, reason="QueryFailed", field=_QUERY_FIELD, value=sql.query, remedy=remedy)


def _as_read(dtype: pa.DataType) -> pa.DataType:
    """PostgreSQL's numeric has no equal in Arrow and comes as text; a double is what is clustered."""
    return pa.float64() if isinstance(dtype, pa.OpaqueType) and dtype.type_name == "numeric" else dtype


def _converted(column: "pa.Array[pa.Scalar[pa.DataType]]") -> "pa.Array[pa.Scalar[pa.DataType]]":
    wanted = _as_read(column.type)
    return column if wanted == column.type else column.storage.cast(wanted)  # type: ignore[attr-defined]
