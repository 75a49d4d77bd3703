"""What the verbs of `shoal results` have in common: options, the store, and which run is meant."""

import logging
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shoal_cli.cluster import Cluster
from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.kube import MissingError
from shoal_cli.models.options import CredentialsOption
from shoal_cli.names import split_name

if TYPE_CHECKING:
    from pathlib import Path

    from shoal_worker.results.layout import BatchKey
    from shoal_worker.results.listing import RunSummary
    from shoal_worker.results.store import ResultStore

__all__ = ["CredentialsOption"]

NeededStore = Annotated[
    str,
    typer.Option(
        "--store", envvar="SHOAL_RESULTS", help="spec.output.uri of the batch: s3://bucket/path or file:///path."
    ),
]
FoundStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="SHOAL_RESULTS",
        help="spec.output.uri of the batch: s3://bucket/path or file:///path; as the cluster's batch tells.",
    ),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the batch; default unless told.")
]
OutputOption = Annotated[Literal["table", "json", "csv"], typer.Option("--output", "-o", help="How to print it.")]
BatchArgument = Annotated[str, typer.Argument(help="Name of the batch, or namespace/name.", show_default=False)]
SomeBatchArgument = Annotated[
    str | None, typer.Argument(help="Name of a batch, or namespace/name; all unless told.", show_default=False)
]
RunArgument = Annotated[str, typer.Argument(help="Name of the run, or latest.")]
LATEST = "latest"


def open_store(uri: str, credentials_dir: "Path | None") -> "ResultStore":
    """Open the results; the library's own log lines would only disturb."""
    import structlog

    from shoal_worker.results.store import open_results

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return open_results(uri, credentials_dir)


def find_store(
    batch: str | None, store: str | None, namespace: str | None, context: str | None
) -> tuple[str, str | None]:
    """Return store and namespace as told; without a store, as the ClusteringBatch in the cluster tells."""
    if store is not None:
        return store, namespace
    if batch is None:
        raise UsageError("no store is told", field="--store", remedy="Give it, set SHOAL_RESULTS, or name a batch")
    cluster = Cluster(context)
    try:
        found = cluster.batch(batch, namespace)
    except MissingError:
        raise ShoalError(
            "it is not in the cluster, which could tell where its results are",
            field=f"batch/{batch}",
            remedy="Give --store: results stay there when their batch is deleted",
        ) from None
    return cluster.results_of(found), found.namespace


def read_batch(batch: str, namespace: str | None) -> "BatchKey":
    """Read `name` or `namespace/name`."""
    from shoal_worker.results.layout import batch_key

    where, name = split_name(batch, namespace)
    return batch_key(where or "default", name)


def choose_batches(results: "ResultStore", batch: str | None, namespace: str | None) -> "tuple[BatchKey, ...]":
    """Return the batch that was named, or all there are."""
    return (read_batch(batch, namespace),) if batch else results.batches(namespace)


def find_run(results: "ResultStore", batch: str, namespace: str | None, run: str) -> "RunSummary":
    """Return the run that was named, or the one that was finished last."""
    from shoal_worker.results.layout import run_key

    key = read_batch(batch, namespace)
    return results.latest(key) if run == LATEST else results.find(run_key(*key, run))


def need_complete(run: "RunSummary") -> None:
    """Refuse a run that cannot be read."""
    if run.state != "Complete":
        raise ShoalError(
            f"the run is {run.state}{f': {run.message}' if run.message else ''}",
            field=str(run.key),
            remedy="Choose a complete run: shoal results ls --state Complete",
        )
