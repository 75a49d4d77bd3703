"""`shoal results` that reads: ls, show, verify.

Invariant: nothing is changed.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from shoal_cli.console import make_console, print_json
from shoal_cli.errors import UsageError
from shoal_cli.models.options import read_time, working
from shoal_cli.options import ContextOption
from shoal_cli.quantities import show_bytes
from shoal_cli.results.options import (
    LATEST,
    BatchArgument,
    CredentialsOption,
    FoundStore,
    NamespaceOption,
    OutputOption,
    RunArgument,
    SomeBatchArgument,
    choose_batches,
    find_run,
    find_store,
    open_store,
)
from shoal_cli.results.printing import as_text, print_rows

if TYPE_CHECKING:
    from shoal_worker.results.listing import RunSummary
    from shoal_worker.results.record import RunManifest

_HEADINGS = (
    "namespace",
    "batch",
    "run",
    "state",
    "created",
    "finished",
    "model",
    "version",
    "rows",
    "clusters",
    "noiseRatio",
    "parts",
    "partsDone",
    "bytes",
    "message",
)
_LARGEST = 20


def ls(
    batch: SomeBatchArgument = None,
    store: FoundStore = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="Complete, Running or Broken; repeatable.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Labelled by this model.")] = None,
    version: Annotated[int | None, typer.Option("--version", help="And by this version of it.")] = None,
    since: Annotated[str | None, typer.Option(help="Begun at or after: 2026-05-01, 7d, 12h.")] = None,
    until: Annotated[str | None, typer.Option(help="Begun before.")] = None,
    output: OutputOption = "table",
) -> None:
    """List runs, batch by batch, the newest first."""
    from shoal_worker.results.listing import STATES

    if wrong := set(state or ()) - set(STATES):
        raise UsageError(
            "there is no such state", field="--state", value=min(wrong), remedy=f"Choose among {', '.join(STATES)}"
        )
    wanted = [each for each in STATES if each in state] if state else None
    start, end = read_time(since, "--since"), read_time(until, "--until")
    store, namespace = find_store(batch, store, namespace, context)
    with working("Reading the store"):
        results = open_store(store, credentials_dir)
        runs = [
            run
            for key in choose_batches(results, batch, namespace)
            for run in results.runs(key, states=wanted, model=model, version=version, since=start, until=end)
        ]
    if output == "table":
        print_runs(runs)
    else:
        print_rows(_HEADINGS, [_told(run) for run in runs], output)


def show(
    batch: BatchArgument,
    store: FoundStore = None,
    run: RunArgument = LATEST,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    output: OutputOption = "table",
) -> None:
    """Show a run: model, metrics, columns, clusters. -o json prints the manifest, -o csv the rows of each cluster."""
    store, namespace = find_store(batch, store, namespace, context)
    with working("Reading the store"):
        results = open_store(store, credentials_dir)
        found = find_run(results, batch, namespace, run)
        manifest = None if found.state == "Running" else results.manifest(found.key)
    if manifest is None:
        print_runs([found]) if output == "table" else print_rows(_HEADINGS, [_told(found)], output)
    elif output == "json":
        print_json(make_console(), manifest.model_dump(by_alias=True, mode="json", exclude_none=True))
    elif output == "csv":
        print_rows(("clusterId", "rows"), [(-1, manifest.noise), *manifest.counts.items()], "csv")
    else:
        _print_manifest(found, manifest, results.run(found.key).uri)


def verify(
    batch: SomeBatchArgument = None,
    run: Annotated[
        str | None, typer.Argument(help="Name of a run, or latest; all that can be read unless told.")
    ] = None,
    store: FoundStore = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Read all rows of runs and compare them with their digests; exit code 1 where one is not as it was."""
    from shoal_worker.errors import ResultInvalid

    console, sound, failed = make_console(), 0, 0
    store, namespace = find_store(batch, store, namespace, context)
    with working("Listing"):
        results = open_store(store, credentials_dir)
        if batch and run:
            runs = [find_run(results, batch, namespace, run)]
        else:
            runs = [each for key in choose_batches(results, batch, namespace) for each in results.runs(key)]
    for each in runs:
        if each.state == "Running" and not each.is_stream and run is None:
            continue
        with working(f"Reading {each.key}"):
            try:
                results.verify(each.key)
                sound += 1
            except ResultInvalid as error:
                failed += 1
                console.print(as_text(f"{each.key}: {error}"), style="red")
    print(f"{sound} sound, {failed} not as they were.")
    if failed:
        raise typer.Exit(1)


def _told(run: "RunSummary") -> tuple[Any, ...]:
    return (
        *run.key.batch,
        run.key.run,
        run.state,
        run.created or None,
        run.finished or None,
        run.model.name if run.model else None,
        run.model.version if run.model else None,
        run.rows,
        run.clusters,
        run.noise_ratio,
        run.parts,
        run.parts_done,
        run.bytes,
        run.message or None,
    )


def print_runs(runs: "list[RunSummary]") -> None:
    """Print runs as a table, and on standard error what is wrong with them."""
    console = make_console()
    if not runs:
        console.print("No runs.")
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("Batch", "Run", "State", "Created", "Model"):
        table.add_column(heading)
    for heading in ("Parts", "Rows", "Clusters", "Noise", "Took", "Size"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(
            str(run.key.batch),
            run.key.run,
            run.state,
            run.created[:16].replace("T", " "),
            as_text(f"{run.model.name} v{run.model.version}" if run.model else ""),
            str(run.parts) if run.state == "Complete" else _progress(run),
            "" if run.rows is None else f"{run.rows:,}",
            "" if run.clusters is None else f"{run.clusters:,}",
            "" if run.noise_ratio is None else f"{run.noise_ratio:.1%}",
            "" if run.processing_time is None else f"{run.processing_time:,.1f} s",
            show_bytes(run.bytes),
        )
    console.print(table)
    errors = Console(stderr=True, soft_wrap=True)
    for run in runs:
        if run.message:
            errors.print(as_text(f"{run.key}: {run.message}"), style="yellow")


def _progress(run: "RunSummary") -> str:
    return str(run.parts_done) if run.is_stream else f"{run.parts_done}/{run.parts or '?'}"


def _print_manifest(run: "RunSummary", manifest: "RunManifest", uri: str) -> None:
    console = make_console()
    print_runs([run])
    facts = Table.grid(padding=(0, 2))
    model = manifest.model
    for name, value in (
        ("folder", uri),
        ("input", manifest.input.uri),
        ("model", f"{model.name} version {model.version}, {model.digest}"),
        ("time", f"{manifest.created} to {manifest.finished}"),
        ("files", f"{len(manifest.parts):,}, written in {sum(part.seconds for part in manifest.parts):,.1f} s of work"),
        ("columns", ", ".join(f"{column.name} {column.type}" for column in manifest.columns)),
    ):
        facts.add_row(name, as_text(value))
    console.print(facts)
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("Cluster", "Rows", "Share"):
        table.add_column(heading, justify="right")
    largest = sorted(manifest.counts.items(), key=lambda item: -item[1])
    for cluster, rows in [("noise", manifest.noise), *largest[:_LARGEST]]:
        table.add_row(str(cluster), f"{rows:,}", f"{rows / manifest.rows:.1%}" if manifest.rows else "")
    console.print(table)
    if len(largest) > _LARGEST:
        console.print(f"The largest {_LARGEST} of {len(largest):,} clusters; -o csv prints all.")
