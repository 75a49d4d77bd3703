"""`shoal batch create`: a ClusteringBatch from options.

Invariant: the manifest passed the checks of `shoal lint` before anything is sent.
"""

from typing import Annotated, Any

import typer
import yaml

from shoal_cli.batch.reading import NameArgument, watch_batch
from shoal_cli.cluster import Cluster
from shoal_cli.errors import UsageError
from shoal_cli.lint.check import check
from shoal_cli.lint.documents import Document
from shoal_cli.names import split_name
from shoal_cli.options import ContextOption, NamespaceOption
from shoal_operator.api.meta import API_VERSION


def create(
    name: NameArgument,
    source: Annotated[str, typer.Option(help="What to label: an object, or a folder ending in /.", show_default=False)],
    output: Annotated[str, typer.Option(help="Folder of the result store.", show_default=False)],
    model: Annotated[
        str | None, typer.Option(help="ClusteringModel, with a version after a colon: towns:3.", show_default=False)
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(help="ClusteringDeployment whose stable version labels.", show_default=False)
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="Secret with the credentials of source and output.", show_default=False)
    ] = None,
    output_secret: Annotated[
        str | None, typer.Option(help="Secret of the output, where it is another one.", show_default=False)
    ] = None,
    source_format: Annotated[
        str | None, typer.Option("--format", help="parquet, csv, arrow or npy; else by the suffix.")
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column to carry into the results; repeatable.")] = None,
    shards: Annotated[int | None, typer.Option(help="Parts that the data is cut into.")] = None,
    rows_per_shard: Annotated[int | None, typer.Option(help="About how many rows a part has, instead.")] = None,
    parallelism: Annotated[int, typer.Option(help="Shards that are worked on at once.")] = 2,
    batch_rows: Annotated[int | None, typer.Option(help="Rows that a pod holds at a time.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory limit of each pod, such as 512Mi.")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds after its end when the batch is deleted.")] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifest and stop.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it until its end.")] = False,
) -> None:
    """Create a batch: label a whole data set with one version of a model."""
    told_namespace, name = split_name(name, namespace)
    spec: dict[str, Any] = {
        "modelRef": _model_reference(model) if model else None,
        "deploymentRef": {"name": deployment} if deployment else None,
        "source": {"uri": source, "format": source_format, "secretRef": {"name": secret} if secret else None},
        "output": {
            "uri": output,
            "secretRef": {"name": output_secret or secret} if output_secret or secret else None,
            "columns": column,
        },
        "shards": shards,
        "rowsPerShard": rows_per_shard,
        "parallelism": parallelism,
        "batchRows": batch_rows,
        "ttlSecondsAfterFinished": ttl,
        "resources": {"limits": {"memory": memory}} if memory else None,
    }
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "ClusteringBatch",
        "metadata": {"name": name, **({"namespace": told_namespace} if told_namespace else {})},
        "spec": _without_absent(spec),
    }
    _check(manifest)
    if dry_run:
        print(yaml.safe_dump(manifest, sort_keys=False), end="")
        return
    cluster = Cluster(context)
    where = cluster.create_batch(manifest, told_namespace)
    print(f"clusteringbatch {where}/{name} created")
    if watch:
        watch_batch(cluster, name, where, 86_400)


def _model_reference(text: str) -> dict[str, Any]:
    name, _, version = text.partition(":")
    return {"name": name, "version": version} if version else {"name": name}


def _check(manifest: dict[str, Any]) -> None:
    """Refuse what the API server would, in the words of `shoal lint`."""
    for wrong in check(Document("options", manifest, {})):
        raise UsageError(wrong.message, field=wrong.field, remedy="See shoal batch create --help")


def _without_absent(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_absent(item) for key, item in value.items() if item is not None}
    return value
