"""`shoal models` that reads: list, show, latest, pull, verify.

Invariant: nothing is changed, but for the store's catalog, which is derived and made anew when it is behind.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from shoal_cli.cluster import Cluster
from shoal_cli.console import make_console, print_json
from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.models.options import (
    CredentialsOption,
    FoundStore,
    ModelArgument,
    NamespaceOption,
    NeededStore,
    OutputOption,
    StoreOption,
    VersionArgument,
    find_store,
    open_store,
    read_key,
    read_labels,
    read_time,
    read_version,
    working,
)
from shoal_cli.options import ContextOption

if TYPE_CHECKING:
    from shoal_worker.models.record import Problem


def list_versions(
    model: Annotated[
        str | None, typer.Argument(help="Name of a model, or namespace/name; all unless told.", show_default=False)
    ] = None,
    store: StoreOption = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Active, Rejected, Retired, Archived or Deleted; repeatable.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="name=value; repeatable.")] = None,
    since: Annotated[str | None, typer.Option(help="Created at or after: 2026-05-01, 7d, 12h.")] = None,
    until: Annotated[str | None, typer.Option(help="Created before.")] = None,
    output: OutputOption = "table",
) -> None:
    """List the versions of a model, or of all models."""
    from shoal_cli.models.rows import Row, print_rows, row_of, row_of_object
    from shoal_worker.models.record import SHOWN, STATES

    if wrong := set(state or ()) - set(STATES):
        raise UsageError(
            "there is no such state", field="--state", value=min(wrong), remedy=f"Choose among {', '.join(STATES)}"
        )
    states = frozenset(each for each in STATES if each in state) if state else SHOWN
    wanted, start, end = read_labels(label or [], "--label"), read_time(since, "--since"), read_time(until, "--until")
    rows: list[Row] = []
    problems: list[Problem] = []
    if store is None:
        for found in Cluster(context).versions(model, namespace):
            row = row_of_object(found)
            created = read_time(row.created, "created")
            inside = (start is None or (created and created >= start)) and (end is None or (created and created < end))
            if row.state in states and wanted.items() <= row.labels.items() and inside:
                rows.append(row)
    else:
        with working("Reading the store"):
            models = open_store(store, credentials_dir)
            keys = (read_key(model, namespace),) if model else models.models()
            for key in keys:
                if namespace is not None and key.namespace != namespace:
                    continue
                listing = models.list(key, states=states, labels=wanted, since=start, until=end)
                rows += [row_of(key, version) for version in listing.versions]
                problems += listing.problems
    rows.sort(key=lambda row: (row.namespace, row.model, row.version))
    console = make_console()
    if output == "json":
        print_json(console, [row.as_json() for row in rows])
    else:
        print_rows(console, rows)
    _tell(problems)


def show(
    model: ModelArgument,
    version: VersionArgument,
    store: StoreOption = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Show all that is recorded of a version, as JSON."""
    document: dict[str, Any]
    if store is None:
        cluster = Cluster(context)
        number = version.removeprefix("v")
        if version == "latest":
            number = str(cluster.latest_version(model, namespace))
        found = cluster.version(f"{model}-v{number}", namespace).manifest
        document = {"name": found["metadata"]["name"], "status": found.get("status"), "spec": found["spec"]}
    else:
        with working("Reading the store"):
            models = open_store(store, credentials_dir)
            key = read_key(model, namespace)
            number_found = read_version(models, key, version)
            summary = models.find(key, number_found)
            record = models.record(key, number_found)
        document = {
            **record.model_dump(by_alias=True, mode="json"),
            "labels": summary.labels,
            "state": summary.state,
            "since": summary.since,
        }
    print_json(make_console(), document)


def latest(
    model: ModelArgument,
    store: StoreOption = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Print the number of the newest version that can be served."""
    if store is None:
        print(Cluster(context).latest_version(model, namespace))
        return
    with working("Reading the store"):
        number = open_store(store, credentials_dir).latest(read_key(model, namespace)).number
    print(number)


def pull(
    model: ModelArgument,
    version: VersionArgument,
    directory: Annotated[Path, typer.Argument(help="Where to write the files.", show_default=False)],
    store: FoundStore = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Fetch a version's files, verified: manifest.json, model.safetensors and its card, if stored."""
    store, namespace, version = find_store(model, version, store, namespace, context)
    with working("Fetching and verifying"):
        models = open_store(store, credentials_dir)
        key = read_key(model, namespace)
        files = models.files(key, read_version(models, key, version))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name).write_bytes(content)
    except OSError as error:
        raise ShoalError(
            f"it cannot be written: {error.strerror}", field="DIRECTORY", value=directory, remedy="Choose another place"
        ) from None
    print(f"{directory}: {', '.join(sorted(files))}")


def verify(
    store: NeededStore,
    model: Annotated[
        str | None, typer.Argument(help="Name of a model, or namespace/name; all unless told.", show_default=False)
    ] = None,
    version: Annotated[str | None, typer.Argument(help="Number of the version; all unless told.")] = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Read versions' files and compare each with its digest; exit code 1 where one is not as it was."""
    from shoal_worker.errors import ArtifactInvalid

    console, failed, sound = make_console(), 0, 0
    problems: list[Problem] = []
    with working("Listing"):
        models = open_store(store, credentials_dir)
        keys = (read_key(model, namespace),) if model else models.models()
        listings = [models.list(key) for key in keys if namespace is None or key.namespace == namespace]
        only = read_version(models, keys[0], version) if version is not None and model else None
    for listing in listings:
        problems += listing.problems
        for each in listing.versions:
            if only not in (None, each.number):
                continue
            name = f"{listing.key} version {each.number}"
            with working(f"Reading {name}"):
                try:
                    models.verify(listing.key, each.number)
                    sound += 1
                    continue
                except ArtifactInvalid as error:
                    failed += 1
                    console.print(Text(f"{name}: {error}", style="red"))
    _tell(problems)
    print(f"{sound} sound, {failed} not as they were.")
    if failed or problems:
        raise typer.Exit(1)


def _tell(problems: "list[Problem]") -> None:
    """Tell what was passed over, on standard error."""
    console = Console(stderr=True, soft_wrap=True)
    for problem in problems:
        console.print(Text(f"passed over: {problem.place}: {problem.message}", style="yellow"))
