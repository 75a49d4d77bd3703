"""`shoal results sql`: questions to the rows of runs, answered by DuckDB.

Invariant: a statement reaches the rows of runs and nothing else, no file, no network, no setting; memory is bounded.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.models.options import working
from shoal_cli.options import ContextOption
from shoal_cli.quantities import read_bytes
from shoal_cli.results.options import (
    LATEST,
    BatchArgument,
    CredentialsOption,
    FoundStore,
    NamespaceOption,
    OutputOption,
    find_run,
    find_store,
    need_complete,
    open_store,
    read_batch,
)
from shoal_cli.results.printing import print_rows

if TYPE_CHECKING:
    import duckdb

    from shoal_worker.results.dataset import RunRows
    from shoal_worker.results.listing import RunSummary

_AT_ONCE = 1000
_EACH_ONCE = """
CREATE VIEW results AS SELECT * FROM deliveries
QUALIFY row_number() OVER (PARTITION BY message_id, row ORDER BY labelled_at, version) = 1
"""
"""A message that was delivered again counts once: as it was labelled first."""
_READING_FAILED = "reading the stream registered as"
"""What a failure of Arrow, which reads the rows, looks like to DuckDB."""


def sql(
    batch: BatchArgument,
    statement: Annotated[str, typer.Argument(metavar="SQL", help="The question; - reads it from standard input.")],
    store: FoundStore = None,
    run: Annotated[
        str, typer.Option("--run", help="The run that is the view `results`; latest: of a stream all.")
    ] = LATEST,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    memory: Annotated[str, typer.Option("--memory", help="What DuckDB may use; beyond that it uses the disk.")] = "1Gi",
    output: OutputOption = "table",
) -> None:
    """Ask the rows of a batch or a stream by SQL. Views: results, each complete run by its name, and runs.

    Of a batch results is one run, of a stream all that it has, each message once; deliveries is that with doubles.
    """
    if statement == "-":
        statement = typer.get_text_stream("stdin").read()
    store, namespace = find_store(batch, store, namespace, context)
    limit = read_bytes(memory, "--memory") or 0
    with tempfile.TemporaryDirectory(prefix="shoal-sql-") as scratch:
        with working("Opening the runs"):
            results = open_store(store, credentials_dir)
            runs = results.runs(read_batch(batch, namespace))
            complete = [each for each in runs if each.state == "Complete"]
            deliveries = results.stream_rows(runs) if run == LATEST else None
            views = {} if deliveries else {"results": find_run(results, batch, namespace, run)}
            for each in views.values():
                need_complete(each)
            # A view costs a look into a file, so only runs that the statement speaks of get one.
            views |= {each.key.run: each for each in complete if each.key.run in statement}
            opened = {
                name: results.run(each.key).rows(results.manifest(each.key).parts) for name, each in views.items()
            }
            if deliveries is not None:
                opened["deliveries"] = deliveries
        with _telling(list(opened.values())), _connect(limit, scratch) as database:
            database.register("runs", _runs_table(complete))
            for name, rows in opened.items():
                database.register(name, rows.dataset)
            if deliveries is not None:
                database.execute(_EACH_ONCE)
            database.execute("SET lock_configuration = true")
            with working("Asking"):
                answer = database.execute(statement)
            if answer.description:
                print_rows([column[0] for column in answer.description], _fetch(answer), output)


def _connect(memory: int, scratch: str) -> "duckdb.DuckDBPyConnection":
    import duckdb

    # Reading a local file or a URL by name, or loading an extension, needs external access.
    return duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": f"{memory}B",
            "temp_directory": scratch,
        },
    )


@contextmanager
def _telling(opened: "list[RunRows]") -> Iterator[None]:
    """Tell what was wrong: with the statement, or with the store."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        for rows in opened:
            if rows.failure is not None:
                failure = rows.failure
                raise ShoalError(
                    failure.message, field=failure.field or "store", value=failure.value, remedy=failure.remedy
                ) from None
        message = " ".join(str(error).split())[:500].rstrip(".")
        if isinstance(error, duckdb.OutOfMemoryException):
            raise ShoalError(message, field="--memory", remedy="Give it more, or ask for less") from None
        if isinstance(error, duckdb.IOException) or _READING_FAILED in message:
            raise ShoalError(
                message, field="run", remedy="`shoal results verify` tells whether it is damaged"
            ) from None
        raise UsageError(
            message,
            field="SQL",
            remedy="There are the views results, runs, and each complete run by its name in double quotes; DESCRIBE "
            "results tells the columns",
        ) from None


def _fetch(answer: "duckdb.DuckDBPyConnection") -> Iterator[tuple[Any, ...]]:
    while some := answer.fetchmany(_AT_ONCE):
        yield from some


def _runs_table(runs: "list[RunSummary]") -> Any:
    import pyarrow as pa

    time = pa.timestamp("ms", tz="UTC")
    return pa.table(
        {
            "run": pa.array([run.key.run for run in runs], pa.string()),
            "model": pa.array([run.model and run.model.name for run in runs], pa.string()),
            "version": pa.array([run.model and run.model.version for run in runs], pa.int64()),
            "created": pa.array([datetime.fromisoformat(run.created) for run in runs], time),
            "finished": pa.array([datetime.fromisoformat(run.finished) for run in runs], time),
            "rows": pa.array([run.rows for run in runs], pa.int64()),
            "clusters": pa.array([run.clusters for run in runs], pa.int64()),
            "noise_ratio": pa.array([run.noise_ratio for run in runs], pa.float64()),
            "processing_time": pa.array([run.processing_time for run in runs], pa.float64()),
            "input": pa.array([run.input_uri for run in runs], pa.string()),
        }
    )
