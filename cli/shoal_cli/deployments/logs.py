"""`shoal logs`: what a deployment's pods, or the operator about it, wrote; by the right to read pods' logs alone.

Both write JSON lines, which are shown as time, level, event and fields. Invariant: a line that is no JSON is shown as
it is; a pod that goes away ends its own stream only.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from heapq import merge
from threading import Lock, Thread
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from shoal_cli.deployments import looking, rules
from shoal_cli.deployments.looking import Target
from shoal_cli.deployments.options import complete_name, read_seconds
from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.kube import PODS, Kube, MissingError, Object
from shoal_cli.names import split_name
from shoal_cli.options import ContextOption, NamespaceOption

_OPERATOR = "app.kubernetes.io/component=operator,app.kubernetes.io/name=shoal"
_COLOURS = ("green", "cyan", "magenta", "yellow", "blue", "bright_black")
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}
_HIDDEN = frozenset({"timestamp", "level", "event", "logger", "exception"})
_MOST_PODS = 40


@dataclass(frozen=True, slots=True)
class _Stream:
    """One pod's log, and how its lines are marked."""

    pod: str
    namespace: str
    label: str
    colour: str


def logs(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the ClusteringDeployment.", show_default=False, autocompletion=complete_name),
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    version: Annotated[int | None, typer.Option("--version", help="Only the pods of this version.")] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="The operator's log; about the deployment only, where one is named.")
    ] = False,
    operator_namespace: Annotated[
        str, typer.Option("--operator-namespace", help="Where the operator runs.")
    ] = "shoal-system",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the containers that ended before.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Newest lines of each pod.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Not older than: 10m, 1h.")] = None,
    output: Annotated[
        Literal["table", "json", "raw"], typer.Option("--output", "-o", help="raw: lines as they were written.")
    ] = "table",
) -> None:
    """Show what the pods of a deployment's versions wrote, or what the operator wrote about it."""
    query = {"follow": "true"} if follow else {"timestamps": "true"}
    query |= {"previous": "true"} if previous else {}
    query |= {"tailLines": str(tail)} if tail is not None else {}
    query |= {"sinceSeconds": str(max(1, round(read_seconds(since, "--since"))))} if since is not None else {}
    about = ""
    if operator:
        kube = Kube(context)
        streams = _operator_streams(kube, operator_namespace)
        if name is not None:
            where, plain = split_name(name, namespace)
            about = f"{where or kube.namespace}/{plain}"
    elif name is None:
        raise UsageError("which deployment is not told", field="NAME", remedy="Name one, or add --operator")
    else:
        target = looking.find(name, namespace, context)
        kube, streams = target.kube, _pod_streams(target, version)
    if len(streams) > _MOST_PODS:
        typer.echo(f"The logs of {_MOST_PODS} of {len(streams)} pods are shown; choose by --version.", err=True)
        streams = streams[:_MOST_PODS]
    printer = _Printer(output, about)
    if follow:
        _follow_all(kube, streams, query, printer)
        return
    with ThreadPoolExecutor(len(streams)) as pool:
        found = pool.map(lambda stream: _read(kube, stream, query), streams)
        for _, line, stream in merge(*found, key=lambda each: each[0]):
            printer.print(stream, line)


def _pod_streams(target: Target, version: int | None) -> list[_Stream]:
    pods = target.pods()
    if not pods:
        target.fetch()  # A name that does not exist is told as such.
    label = str(version) if version is not None else None
    chosen = [pod for pod in pods if label in (None, pod["metadata"]["labels"].get(rules.VERSION))]
    if not chosen:
        held = sorted({int(pod["metadata"]["labels"].get(rules.VERSION, 0)) for pod in pods})
        raise ShoalError(
            "no pod of it is there",
            field=f"{target.namespace}/{target.name}" if version is None else "--version",
            value=version,
            remedy=f"There are pods of: {', '.join(f'v{each}' for each in held)}" if held else "See: shoal status",
        )
    return [
        _Stream(
            pod["metadata"]["name"],
            target.namespace,
            f"v{pod['metadata']['labels'].get(rules.VERSION, '?')} {pod['metadata']['name'][-5:]}",
            _COLOURS[place % len(_COLOURS)],
        )
        for place, pod in enumerate(sorted(chosen, key=_age))
    ]


def _operator_streams(kube: Kube, namespace: str) -> list[_Stream]:
    pods = kube.list(PODS, namespace, labelSelector=_OPERATOR)
    if not pods:
        raise ShoalError(
            f"no operator runs in namespace {namespace}",
            field="--operator-namespace",
            remedy="Name the namespace that the chart was installed into",
        )
    return [
        _Stream(pod["metadata"]["name"], namespace, f"operator {pod['metadata']['name'][-5:]}", _COLOURS[place % 6])
        for place, pod in enumerate(sorted(pods, key=_age))
    ]


def _age(pod: Object) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _follow_all(kube: Kube, streams: list[_Stream], query: dict[str, str], printer: "_Printer") -> None:
    """Print all pods' lines as they come, until the pods have gone or the user has had enough."""
    failures: list[ShoalError] = []

    def follow(stream: _Stream) -> None:
        # A pod may go between the listing and the reading.
        try:
            with suppress(MissingError), kube.log(stream.pod, stream.namespace, query) as lines:
                for line in lines:
                    printer.print(stream, line.decode(errors="replace"))
        except ShoalError as error:
            failures.append(error)

    # Daemons, for one that waits for a line must not keep the program from ending.
    threads = [Thread(target=follow, args=(stream,), daemon=True) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _read(kube: Kube, stream: _Stream, query: dict[str, str]) -> list[tuple[str, str, _Stream]]:
    """Return a pod's lines with the times that the kubelet put before them."""
    found: list[tuple[str, str, _Stream]] = []
    with suppress(MissingError), kube.log(stream.pod, stream.namespace, query) as lines:
        for line in lines:
            time, _, text = line.decode(errors="replace").partition(" ")
            found.append((time, text, stream))
    return found


class _Printer:
    """Prints lines of many pods, one at a time."""

    def __init__(self, output: str, about: str) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._output, self._lock = output, Lock()
        self._about = re.compile(rf"(?<![\w./-]){re.escape(about)}(?![\w.-])") if about else None

    def print(self, stream: _Stream, line: str) -> None:
        """Print a line, unless it is about another object."""
        if self._about is not None and not self._about.search(line):
            return
        with self._lock:
            if self._output == "raw":
                print(line, flush=True)
            elif self._output == "json":
                record = _record(line) or {"event": line}
                print(json.dumps({"pod": stream.pod, **record}, ensure_ascii=False), flush=True)
            else:
                self._console.print(Text.assemble((f"{stream.label}  ", stream.colour), tell(line)))


def _record(line: str) -> dict[str, Any] | None:
    """Return a line's JSON object; None where it is none with an event."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def tell(line: str) -> Text:
    """Return a log line for people."""
    record = _record(line)
    if record is None:
        return Text(line)
    level = str(record.get("level", ""))
    text = Text(str(record.get("timestamp", ""))[11:19], style="dim")
    text.append(f" {level:<8}", _LEVELS.get(level, "dim"))
    text.append(str(record["event"]), _LEVELS.get(level, ""))
    for key, value in record.items():
        if key not in _HIDDEN:
            text.append(f" {key}=", "dim")
            text.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if "exception" in record:
        text.append(f"\n{record['exception']}", "red")
    return text
