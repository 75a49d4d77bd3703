"""`shoal batch` that reads: list, show, watch.

Invariant: nothing is changed; a batch that is watched goes on when the watching ends.
"""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from shoal_cli.batch.rows import Row, describe, print_rows, row_of
from shoal_cli.cluster import Cluster
from shoal_cli.completing import names_of
from shoal_cli.console import make_console, print_json
from shoal_cli.deployments.options import read_seconds
from shoal_cli.errors import ShoalError, TimedOutError
from shoal_cli.kube import BATCHES
from shoal_cli.models.options import OutputOption
from shoal_cli.options import ContextOption, EverywhereOption, NamespaceOption

NameArgument = Annotated[
    str,
    typer.Argument(help="Name of the batch, or namespace/name.", show_default=False, autocompletion=names_of(BATCHES)),
]
_PAUSE_SECONDS = 1.0


def list_batches(
    namespace: NamespaceOption = None,
    everywhere: EverywhereOption = False,
    context: ContextOption = None,
    output: OutputOption = "table",
) -> None:
    """List the batches of a namespace, or of all."""
    found = Cluster(context).batches(namespace, everywhere=everywhere)
    rows = sorted((row_of(each) for each in found), key=lambda row: row.created)
    if output == "json":
        print_json(make_console(), [row.as_json() for row in rows])
    else:
        print_rows(make_console(), rows, namespaces=everywhere)


def show(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    output: OutputOption = "table",
) -> None:
    """Show how far a batch is, and what came of it."""
    found = Cluster(context).batch(name, namespace).manifest
    if output == "json":
        print_json(
            make_console(),
            {"name": found["metadata"]["name"], "spec": found["spec"], "status": found.get("status") or {}},
        )
    else:
        describe(make_console(), found)


def watch(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    timeout: Annotated[
        str, typer.Option(help="Longest watch: 90s, 15m, 1h30m; the batch goes on after that. Exit code 4.")
    ] = "24h",
) -> None:
    """Watch a batch until its end; exit code 0 when it is complete, 1 when it failed."""
    watch_batch(Cluster(context), name, namespace, read_seconds(timeout, "--timeout"))


def watch_batch(cluster: Cluster, name: str, namespace: str | None, seconds: float) -> None:
    """Show a bar on a terminal, else a line for each change; the end goes to standard output."""
    console = Console(stderr=True)
    deadline = time.monotonic() + seconds
    told = ""
    with console.status("") as status:
        while True:
            row = row_of(cluster.batch(name, namespace).manifest)
            line = row.progress()
            if console.is_terminal:
                status.update(line)
            elif line != told:
                console.print(Text(line))
            told = line
            if row.ended:
                break
            if time.monotonic() > deadline:
                raise TimedOutError(
                    f"it has not ended within {seconds:g} s; it goes on",
                    field=f"batch/{name}",
                    value=row.phase,
                    remedy=f"Watch on: shoal batch watch {name}",
                )
            time.sleep(_PAUSE_SECONDS)
    _end(row)


def _end(row: Row) -> None:
    if row.phase != "Complete":
        raise ShoalError(row.message.rstrip(". "), field=f"batch/{row.name}", remedy="Then watch it again")
    print(row.message)
