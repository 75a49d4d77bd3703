"""The verbs that look: get, status, watch, history.

Invariant: nothing in the cluster is changed.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import typer
from rich.console import Console

from shoal_cli.console import make_console, print_json, print_yaml
from shoal_cli.deployments import looking
from shoal_cli.deployments.decisions import DecisionView, find_decision, print_decision, read_decisions
from shoal_cli.deployments.history import History, print_history, read_history
from shoal_cli.deployments.listing import print_listing
from shoal_cli.deployments.options import NameArgument, OutputOption, complete_name, now, read_seconds
from shoal_cli.deployments.outcome import exit_code, judge
from shoal_cli.deployments.picture import draw
from shoal_cli.deployments.rules import owned_selector
from shoal_cli.deployments.view import View, build_view
from shoal_cli.deployments.watching import JsonLines, silent, watch, watch_live
from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.kube import DEPLOYMENTS, EVENTS, PODS, VERSIONS, ForbiddenError, Kube, Object
from shoal_cli.options import ContextOption, EverywhereOption, NamespaceOption

HistoryOutput = Literal["table", "wide", "json", "yaml"]
TimeoutOption = Annotated[
    str | None, typer.Option("--timeout", help="Longest wait: 90s, 15m, 1h30m; exit code 4 when it is over.")
]
ForVersionOption = Annotated[
    int | None, typer.Option("--version", help="Healthy only once this version of the model serves.")
]


def get(
    name: Annotated[
        str | None, typer.Argument(help="One deployment; all unless told.", autocompletion=complete_name)
    ] = None,
    namespace: NamespaceOption = None,
    everywhere: EverywhereOption = False,
    context: ContextOption = None,
    output: OutputOption = "table",
) -> None:
    """List deployments: phase, versions, weight, step."""
    if name is not None:
        if everywhere:
            raise UsageError("it asks for all", field="-A", remedy="Leave out the name or -A")
        target = looking.find(name, namespace, context)
        view, notes = target.look()
        views = [view]
    else:
        kube = Kube(context)
        where = None if everywhere else namespace or kube.namespace
        found = kube.list(DEPLOYMENTS, where)
        views, notes = _with_pods(kube, where, found)
    console = make_console()
    if output == "json":
        print_json(console, [view.to_json() for view in views])
    else:
        print_listing(console, views, namespaces=everywhere)
    for note in notes:
        typer.echo(note, err=True)


def status(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is healthy or has failed.")] = False,
    live: Annotated[bool, typer.Option("--watch", "-w", help="Wait, and show how it goes.")] = False,
    timeout: TimeoutOption = None,
    version: ForVersionOption = None,
    output: OutputOption = "table",
) -> int:
    """Show a deployment: traffic, steps, pools and pods, gates. Exit code 0 healthy, 3 degraded or rolled back."""
    if live:
        return watch_deployment(name, namespace, context, timeout=timeout, version=version, output=output)
    seconds = _read_timeout(timeout, waits=wait)
    target, console = looking.find(name, namespace, context), make_console()
    if wait:
        ended = watch(target, silent, lambda view: judge(view, version), seconds)
        view, notes, code = ended.view, ended.notes, ended.code
    else:
        view, notes = target.look()
        code = exit_code(judge(view, version), view.phase, timed_out=False)
    if output == "json":
        print_json(console, view.to_json())
    else:
        console.print(draw(view, notes=notes))
    return code


def watch_deployment(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    keep: Annotated[bool, typer.Option("--keep", "-k", help="Go on after it is healthy or has failed.")] = False,
    timeout: TimeoutOption = None,
    version: ForVersionOption = None,
    output: OutputOption = "table",
) -> int:
    """Watch a rollout live until it is healthy or has failed: traffic, pods, gates and their trends, time left."""
    seconds = _read_timeout(timeout, waits=True)
    target, console = looking.find(name, namespace, context), make_console()
    if output == "json":
        return watch(target, JsonLines(), lambda view: judge(view, version), seconds, keep=keep).code
    return watch_live(target, console, version, seconds, keep=keep).code


def history(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    decision: Annotated[
        str | None,
        typer.Option("--decision", "-d", help="One decision in full, by its number or name: all gates and figures."),
    ] = None,
    version: Annotated[int | None, typer.Option("--version", help="What concerns this version only.")] = None,
    output: Annotated[
        HistoryOutput, typer.Option("--output", "-o", help="For people (wide: every decision in full) or for programs.")
    ] = "table",
) -> None:
    """Tell what was decided, when, by whom and why; which versions serve, stand by and were rolled back."""
    target = looking.find(name, namespace, context)
    deployment = target.fetch()
    notes: list[str] = []

    def ask(what: str, read: Callable[[], list[Object]]) -> list[Object]:
        try:
            return read()
        except ShoalError as error:
            notes.append(f"{what} are not shown: {error}")
            return []

    uid, kube = deployment["metadata"]["uid"], target.kube
    decisions = ask("Decisions", target.decisions)
    console = make_console()
    if decision is not None:
        _show_decision(console, find_decision(read_decisions(decisions, uid), decision), output)
    else:
        events = ask("Events", lambda: kube.list(EVENTS, target.namespace, fieldSelector=f"involvedObject.uid={uid}"))
        versions = ask("Versions", lambda: kube.list(VERSIONS, target.namespace))
        _show_history(console, read_history(deployment, events, versions, decisions, version), output)
    for note in notes:
        typer.echo(note, err=True)


def _show_decision(console: Console, decision: DecisionView, output: HistoryOutput) -> None:
    match output:
        case "json":
            print_json(console, decision.to_json())
        case "yaml":
            print_yaml(console, decision.to_json())
        case _:
            print_decision(console, decision)


def _show_history(console: Console, found: History, output: HistoryOutput) -> None:
    match output:
        case "json":
            print_json(console, found.to_json())
        case "yaml":
            print_yaml(console, found.to_json())
        case _:
            print_history(console, found, wide=output == "wide")


def _with_pods(kube: Kube, namespace: str | None, found: list[Object]) -> tuple[list[View], tuple[str, ...]]:
    """Return the views of many deployments by one listing of their pods."""
    label, _, _ = owned_selector("").partition("=")
    notes: tuple[str, ...] = ()
    try:
        pods = kube.list(PODS, namespace, labelSelector=label) if found else []
    except ForbiddenError as error:
        pods, notes = [], (f"Pods are not counted: {error}",)
    views = []
    for each in found:
        value = owned_selector(each["metadata"]["name"]).partition("=")[2]
        mine = [
            pod
            for pod in pods
            if pod["metadata"]["namespace"] == each["metadata"]["namespace"]
            and pod["metadata"]["labels"].get(label) == value
        ]
        views.append(build_view(each, mine, now()))
    return sorted(views, key=lambda view: (view.namespace, view.name)), notes


def _read_timeout(timeout: str | None, *, waits: bool) -> float | None:
    if timeout is None:
        return None
    if not waits:
        raise UsageError("nothing is waited for", field="--timeout", value=timeout, remedy="Add --wait or --watch")
    return read_seconds(timeout, "--timeout")
