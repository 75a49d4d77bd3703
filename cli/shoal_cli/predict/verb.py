"""`shoal predict`: asks a served model for the labels of rows, and prints them.

Invariant: the rows go to the model that is named and nowhere else; a port-forward leads to one ready pod.
"""

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from shoal_cli.console import make_console
from shoal_cli.deployments import looking, rules
from shoal_cli.deployments.looking import Target
from shoal_cli.deployments.options import NameArgument
from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.kube import VERSIONS, Object
from shoal_cli.options import ContextOption, NamespaceOption

if TYPE_CHECKING:
    from shoal_cli.predict.protocol import Answer

_GRPC_PORT = 8001
_NOISE = -1
_SHOWN_ROWS = 200


def predict(
    name: NameArgument,
    rows: Annotated[
        list[str] | None,
        typer.Argument(help="Rows, values with commas between: 52.5,13.4", metavar="[ROW]...", show_default=False),
    ] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="Rows of a .csv, .parquet or .npy file.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", help="Ask a pod of this version, also one on trial.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", "-a", help="host:port of the endpoint; no cluster is asked.")
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    output: Annotated[
        Literal["table", "csv", "json"], typer.Option("--output", "-o", help="How to print it.")
    ] = "table",
) -> None:
    """Predict the clusters of rows: labels, lasting cluster ids, and how firmly rows belong (adaptive models)."""
    import grpc

    from shoal_cli.predict.protocol import Model, fit_columns
    from shoal_cli.predict.rows import read_arguments, read_file
    from shoal_cli.predict.stream import explain_stream

    if bool(rows) == (file is not None):
        raise UsageError("give rows either as arguments or by --file", field="ROW", remedy="Write 52.5,13.4 or -f FILE")
    table = read_arguments(rows or []) if file is None else read_file(file)
    with ExitStack() as stack:
        names: list[str] = []
        model_name = name.rpartition("/")[2]
        if address is None:
            target = looking.find(name, namespace, context)
            names = _columns(target, version)
            if (ingestion := rules.ingestion_of(target.fetch())) is not None:
                raise explain_stream(f"{target.namespace}/{target.name}", ingestion, names, table)
            address = stack.enter_context(_reach(target, version))
        channel = stack.enter_context(grpc.insecure_channel(address))
        model = Model(channel, model_name, "" if version is None else str(version))
        signature = model.signature()
        chosen = fit_columns(table, signature, names)
        started = perf_counter()
        answer = model.predict(chosen, signature)
        seconds = perf_counter() - started
    _tell({**dict(chosen.columns), **answer.outputs}, answer, model_name, seconds, output)


@contextmanager
def _reach(target: Target, version: int | None) -> Iterator[str]:
    """Yield an address that leads to a ready pod: of stable, or of the version that was asked for."""
    from shoal_cli.predict.forward import forward

    label, value = rules.VERSION, str(version)
    if version is None:
        stable = rules.status_of(target.fetch()).stable
        if stable is None:
            raise ShoalError(
                "nothing serves yet",
                field=f"{target.namespace}/{target.name}",
                remedy=f"Wait: shoal watch {target.name}",
            )
        label, value = rules.REVISION, stable.revision
    pods = [pod for pod in target.pods() if pod["metadata"]["labels"].get(label) == value]
    ready = next((pod for pod in pods if _is_ready(pod)), None)
    if ready is None:
        raise ShoalError(
            f"no pod of {'the stable version' if version is None else f'version {version}'} is ready",
            field=f"{target.namespace}/{target.name}",
            remedy=f"See: shoal status {target.name} -n {target.namespace}",
        )
    with forward(target.kube, ready["metadata"]["name"], target.namespace, _GRPC_PORT) as address:
        yield address


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _columns(target: Target, version: int | None) -> list[str]:
    """Return the names of the model's columns, from the version's record; none where that may not be read."""
    deployment = target.fetch()
    stable = rules.status_of(deployment).stable
    number = version if version is not None else stable.version if stable else None
    model = deployment["spec"]["modelRef"]["name"]
    try:
        found = target.kube.get(VERSIONS, f"{model}-v{number}", target.namespace)
    except ShoalError:
        return []
    return [each["name"] for each in found["spec"]["schema"]["columns"]]


def _tell(columns: dict[str, Any], answer: "Answer", model: str, seconds: float, output: str) -> None:
    """Print the rows with their outputs."""
    rows = list(zip(*(values.tolist() for values in columns.values()), strict=True))
    if output == "json":
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        print(json.dumps({"model": model, "version": answer.version, "rows": found}, ensure_ascii=False, indent=2))
        return
    if output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    labels = answer.outputs.get("labels")
    table = Table(box=SIMPLE, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right", style="" if name in answer.outputs else "dim")
    for place, row in enumerate(rows[:_SHOWN_ROWS]):
        noise = labels is not None and labels[place] == _NOISE
        table.add_row(*(Text(_shown(value), style="yellow" if noise else "") for value in row))
    console = make_console()
    console.print(table)
    if len(rows) > _SHOWN_ROWS:
        console.print(f"… {len(rows) - _SHOWN_ROWS:,} more; all of them by -o csv or -o json.")
    told = f"{len(rows):,} rows by {model} version {answer.version} in {1000 * seconds:.1f} ms"
    if labels is not None:
        clusters = len({*labels.tolist()} - {_NOISE})
        told += f": {clusters} clusters, {int((labels == _NOISE).sum()) / len(labels):.1%} noise"
    console.print(told)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
