"""`shoal explain`: how the engine would do a piece of work, or how it was planned; run by `__main__`.

Invariant: it computes and reads, and changes nothing. What a plan is comes from the engine and the records alone.
"""

import sys
from dataclasses import replace
from typing import Annotated, Literal

import typer
from rich.console import Console

from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.facts import Dtype, Facts, merge, preprocess, require_size
from shoal_cli.quantities import read_bytes, read_count, read_cpus, show_bytes
from shoal_cli.render import Explained, as_record, print_json, print_table
from shoal_operator.api.algorithm import Metric
from shoal_operator.api.version import ClusteringModelVersionSpec

Workload = Literal["fit", "predict", "batch"]
_WORK = {"fit": "Training", "predict": "Serving", "batch": "Batch"}
_NARROWEST = 100

# One paragraph for each: lines of one paragraph would be joined.
EXAMPLES = """\
Examples: a size; a file's metadata; a manifest's columns, metric and resources; a version as recorded; the newest one.

$ shoal explain --rows 1000000 --columns 2 --memory 2Gi --cpus 2

$ shoal explain points.parquet

$ shoal explain -f model.yaml --rows 50000

$ shoal explain version towns-v3 -n demo

$ shoal explain model/towns -n demo -o json
"""


def explain(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="A Parquet file, `version NAME` or `model NAME`.", metavar="[WHAT]", show_default=False),
    ] = None,
    filename: Annotated[
        str | None, typer.Option("--filename", "-f", help="Manifest of a ClusteringModel; - for standard input.")
    ] = None,
    rows: Annotated[str | None, typer.Option(help="Rows of the data; core samples for predict.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of the data.")] = None,
    metric: Annotated[Metric | None, typer.Option(help="Distance; euclidean unless told.")] = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Type of the values; float64 unless told.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory that the work may use, such as 2Gi.")] = None,
    cpus: Annotated[str | None, typer.Option(help="CPUs that it may use, such as 2 or 500m.")] = None,
    workload: Annotated[Workload, typer.Option(help="Train, answer requests, or label many rows at once.")] = "fit",
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace of the object.")] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="How to print it.")] = "table",
) -> None:
    """Tell which index, threads, batches and memory a piece of work gets, and why."""
    options = Facts(
        rows=read_count(rows, "--rows") if rows else None,
        columns=read_count(columns, "--columns") if columns else None,
        metric=metric,
        dtype=dtype,
        memory=read_bytes(memory, "--memory"),
        cpus=read_cpus(cpus, "--cpus"),
    )
    kind, name = _parse(what or [])
    if kind in ("version", "model"):
        if filename is not None or options != Facts():
            raise UsageError(
                "an object of the cluster is explained by its record",
                field="WHAT",
                value=f"{kind} {name}",
                remedy="Leave the other options out, or leave WHAT out",
            )
        explained = _recorded(kind, name, namespace, context)
    else:
        explained = [_planned(options, filename, name, workload)]
    console = Console(file=sys.stdout, soft_wrap=False)
    if console.width < _NARROWEST and not console.is_terminal:
        console.width = _NARROWEST
    (print_json if output == "json" else print_table)(console, explained)


def _parse(words: list[str]) -> tuple[str, str]:
    """Read `version NAME`, `version/NAME` (model alike) or the name of a file; nothing at all is no file."""
    head, slash, tail = words[0].partition("/") if words else ("", "", "")
    if head in ("version", "model") and len(words) == (1 if slash else 2):
        return head, tail if slash else words[1]
    if len(words) > 1 or (head in ("version", "model")):
        raise UsageError(
            "it must be one thing",
            field="WHAT",
            value=" ".join(words),
            remedy="Write a file, version NAME or model NAME",
        )
    return "file", words[0] if words else ""


def _planned(options: Facts, manifest: str | None, data: str, workload: Workload) -> Explained:
    from shoal_cli.files import read_manifest, read_parquet
    from shoal_engine import plan

    model = read_manifest(manifest) if manifest is not None else Facts()
    table = read_parquet(data, model.names) if data else Facts()
    facts = merge([options, preprocess(merge([model, table]))])
    rows, columns = require_size(facts)
    metric, dtype = facts.metric or "euclidean", facts.dtype or "float64"
    if metric == "haversine" and columns != 2:
        raise UsageError(
            "haversine takes two columns, latitude and longitude", field="--columns", value=columns, remedy="Give two"
        )
    found = plan(
        rows, columns, metric=metric, dtype=dtype, memory_limit=facts.memory, cores=facts.cpus, workload=workload
    )
    if facts.adaptive and workload == "fit":
        reason = "tree: densities are measured in one, whatever the number of columns"
        found = replace(found, index="tree", reasons=found.reasons | {"index": reason})
    limit = f", {show_bytes(facts.memory)}" if facts.memory is not None else ""
    of = f"{rows:,} rows × {columns} columns of {dtype}, {metric}"
    cores = f"{facts.cpus} CPUs" if facts.cpus is not None else "this machine's CPUs"
    return Explained(_WORK[workload], f"{of}, on {cores}{limit}", as_record(found))


def _recorded(kind: str, name: str, namespace: str | None, context: str | None) -> list[Explained]:
    from shoal_cli.cluster import Cluster
    from shoal_engine import plan

    cluster = Cluster(context)
    if kind == "model":
        latest = (cluster.model(name, namespace).manifest.get("status") or {}).get("latestVersion")
        if latest is None:
            raise ShoalError(
                "it has no version that can be served yet",
                field=f"model/{name}",
                remedy="Wait for its training, or explain its manifest: kubectl get cmodel -o yaml NAME | "
                "shoal explain -f - --rows N",
            )
        name = f"{name}-v{latest}"
    found = cluster.version(name, namespace)
    spec = ClusteringModelVersionSpec.model_validate(found.manifest["spec"])
    if spec.plan is None:
        raise ShoalError(
            "its record holds no plan: it was trained by an older release",
            field=f"version/{name}",
            remedy="Train the model again",
        )
    columns = spec.schema_.feature_count or len(spec.schema_.columns)
    place = f"{found.namespace}/{found.manifest['metadata']['name']}"
    about = f"{place}, {spec.metrics.rows:,} rows × {columns} columns, {spec.algorithm.metric}"
    serving = plan(spec.metrics.core_samples, columns, metric=spec.algorithm.metric, workload="predict")
    return [
        Explained("Training", f"{about}, as recorded", spec.plan),
        Explained("Serving", f"its {spec.metrics.core_samples:,} core samples", as_record(serving)),
    ]
