"""`shoal diff`: what manifests would change in the cluster: what rolls out, what scales in place, what trains.

Invariant: it reads; nothing is applied, not even as a dry run, so that no right to write is needed.
"""

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from shoal_cli.console import make_console, print_json
from shoal_cli.deployments import comparison
from shoal_cli.deployments.comparison import Comparison, Surroundings
from shoal_cli.deployments.options import OutputOption
from shoal_cli.deployments.outcome import ExitCode
from shoal_cli.errors import UsageError
from shoal_cli.kube import MODELS, VERSIONS, Kube, MissingError, Object, Resource
from shoal_cli.lint.check import check, is_ours, read_spec
from shoal_cli.lint.documents import Document, read_documents
from shoal_cli.options import ContextOption, NamespaceOption
from shoal_operator.api.deployment import ClusteringDeploymentSpec


def diff(
    files: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input.", show_default=False)],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit code 5 if anything would change.")] = False,
    output: OutputOption = "table",
) -> int:
    """Compare manifests with the cluster: which would be a new revision, which scale in place, which train."""
    documents = [each for each in read_documents(files) if is_ours(each)]
    for document in documents:
        for problem in check(document):
            raise UsageError(
                f"{problem.field}: {problem.message}".removeprefix(": "),
                field=f"{problem.file}:{problem.line}",
                remedy="Correct it; shoal lint shows all there is",
            )
    kube = Kube(context)
    found = [_compare(kube, each, each.namespace or namespace or kube.namespace) for each in documents]
    console = make_console()
    if output == "json":
        print_json(console, [each.to_json() for each in found])
    else:
        for each in found:
            _print(console, each)
    return ExitCode.DIFFERENT if exit_code and any(each.different for each in found) else ExitCode.DONE


def _compare(kube: Kube, document: Document, namespace: str) -> Comparison:
    told = f"{document.kind}/{document.name} in {namespace}"
    live = _find(kube, Resource(f"{document.kind.lower()}s"), document.name, namespace)
    spec, raw = read_spec(document), document.value.get("spec") or {}
    if isinstance(spec, ClusteringDeploymentSpec):
        around = _surroundings(kube, spec.model_ref.name, namespace) if live is not None else Surroundings()
        return comparison.compare_deployment(told, live, spec, raw, around)
    if document.kind == "ClusteringModel" and spec is not None:
        before = None
        if live is not None:
            before = read_spec(Document("", live, {}))
        return comparison.compare_model(told, live, before, spec)
    return comparison.compare_other(told, live, raw)


def _surroundings(kube: Kube, model: str, namespace: str) -> Surroundings:
    versions = kube.list(VERSIONS, namespace)
    mine = [each for each in versions if each["spec"]["modelRef"]["name"] == model]
    return Surroundings(_find(kube, MODELS, model, namespace), mine)


def _find(kube: Kube, resource: Resource, name: str, namespace: str) -> Object | None:
    try:
        return kube.get(resource, name, namespace)
    except MissingError:
        return None


def _print(console: Console, found: Comparison) -> None:
    state = "" if found.exists else " (new)"
    console.print(Text(f"{found.object}{state}", style="bold"))
    if not found.different:
        console.print("  no difference")
    for change in found.changes:
        line = Text(f"  {change.field}: ")
        line.append(_shown(change.before), "red")
        line.append(" → ")
        line.append(_shown(change.after), "green")
        line.append(f"   {change.effect}" if change.effect else "", "dim")
        console.print(line)
    for effect in found.effects:
        console.print(Text(f"  ⇒ {effect}", style="cyan"))


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)
