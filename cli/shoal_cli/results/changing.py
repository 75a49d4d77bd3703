"""`shoal results prune`: runs that may go are deleted.

Invariant: what goes is shown and confirmed first; the newest complete run of a batch stays.
"""

import sys
from typing import Annotated

import typer

from shoal_cli.errors import UsageError
from shoal_cli.models.options import working
from shoal_cli.results.options import (
    CredentialsOption,
    NamespaceOption,
    NeededStore,
    SomeBatchArgument,
    choose_batches,
    open_store,
)
from shoal_cli.results.reading import print_runs


def prune(
    store: NeededStore,
    batch: SomeBatchArgument = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    keep: Annotated[int | None, typer.Option("--keep", min=1, help="Runs of each batch that stay, the newest.")] = None,
    older_than: Annotated[
        int | None, typer.Option("--older-than-days", min=1, help="Delete runs that ended before that many days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete old runs, and what is left of runs that were cut off more than a day ago."""
    from shoal_worker.spec.output import Retention

    retention = Retention(keep_runs=keep, max_age_days=older_than)
    with working("Reading the store"):
        results = open_store(store, credentials_dir)
        keys = choose_batches(results, batch, namespace)
        expired = [run for key in keys for run in results.prune(key, retention, dry_run=True)]
    if not expired:
        print("Nothing to delete.")
        return
    print_runs(expired)
    if dry_run:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{len(expired)} runs would be deleted", field="--yes", remedy="Add --yes to delete them")
        if not typer.confirm(f"Delete these {len(expired)} runs?"):
            raise typer.Exit(1)
    with working("Deleting"):
        for run in expired:
            results.delete(run)
    print(f"{len(expired)} deleted.")
