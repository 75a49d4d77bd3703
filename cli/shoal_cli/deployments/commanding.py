"""The verbs that ask the operator for something: promote, pause, resume, abort, retry, approve, rollback.

Invariant: one patch of the named deployment and nothing else; the operator alone acts. With --wait a verb ends once the
operator has acted, with what came of it.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from shoal_cli.console import make_console, print_json
from shoal_cli.deployments import commands, looking
from shoal_cli.deployments.lines import tell
from shoal_cli.deployments.looking import Target
from shoal_cli.deployments.options import NameArgument, Output, OutputOption, now, read_seconds
from shoal_cli.deployments.outcome import ExitCode, Outcome
from shoal_cli.deployments.rules import WayBack, command_annotation, find_way_back, read_spec
from shoal_cli.deployments.view import View
from shoal_cli.deployments.watching import silent, watch
from shoal_cli.errors import TimedOutError, UsageError
from shoal_cli.kube import VERSIONS, Object
from shoal_cli.options import ContextOption, NamespaceOption

WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until the operator has acted, and tell what it did.")]
TimeoutOption = Annotated[
    str, typer.Option("--timeout", help="Longest wait for the operator; exit code 4 when it is over.")
]
_LONGEST = "60s"


def promote(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    full: Annotated[bool, typer.Option("--full", help="Skip the remaining steps.")] = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = _LONGEST,
    output: OutputOption = "table",
) -> int:
    """End the present pause or step and go to the next; with --full promote the candidate at once."""
    return _command("promote-full" if full else "promote", name, namespace, context, wait, timeout, output)


def pause(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = _LONGEST,
    output: OutputOption = "table",
) -> int:
    """Hold the rollout where it is; traffic flows on."""
    return _command("pause", name, namespace, context, wait, timeout, output)


def resume(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = _LONGEST,
    output: OutputOption = "table",
) -> int:
    """Go on after `pause`."""
    return _command("resume", name, namespace, context, wait, timeout, output)


def abort(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = _LONGEST,
    output: OutputOption = "table",
) -> int:
    """Give all traffic back to the stable version at once and block the candidate; wins over all other commands."""
    return _command("abort", name, namespace, context, wait, timeout, output)


def retry(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = _LONGEST,
    output: OutputOption = "table",
) -> int:
    """Forget which versions are blocked, and try again."""
    return _command("retry", name, namespace, context, wait, timeout, output)


def approve(
    name: NameArgument,
    version: Annotated[int | None, typer.Argument(help="The version that waits.", show_default=False)] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = _LONGEST,
    output: OutputOption = "table",
) -> int:
    """Let the version roll out that waits for approval (modelRef.policy Manual)."""
    seconds = read_seconds(timeout, "--timeout")
    target = looking.find(name, namespace, context)
    number = commands.check_approval(target.look()[0], version)
    return _give(target, "approve", str(number), seconds if wait else None, output)


def rollback(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    to: Annotated[
        str | None, typer.Option("--to", help="The version to go back to; what served before unless told.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Skip the strategy's steps where it would walk them.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; print the line for the manifest in Git.")
    ] = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = _LONGEST,
    output: OutputOption = "table",
) -> int:
    """Go back to the version that served before, at once while it stands by; what is left is blocked until `retry`."""
    seconds = read_seconds(timeout, "--timeout")
    target = looking.find(name, namespace, context)
    view, _ = target.look()
    deployment = target.fetch()
    value = commands.read_version(to)
    way = _find_way_back(deployment, _versions_of(target, view.model), value, view)
    line = commands.build_line(view, way.version)
    told = {"namespace": view.namespace, "name": view.name, "command": "rollback", "version": way.version}
    if dry_run:
        _tell(output, line, {**told, "done": False})
        return 0
    told["by"] = by = target.kube.whoami()
    target.patch(commands.build_command("rollback", value, by))
    waits = wait or full
    if not waits or output == "table":
        asked = f"{view.namespace}/{view.name}: the operator is asked to {commands.describe_way_back(view, way)}"
        _tell(output, asked, {**told, "done": False})
    _tell_of_keeper(deployment, line)
    if not waits:
        return 0
    ended = watch(target, silent, lambda seen: _gone_back(seen, way), seconds)
    if not ended.timed_out and full and ended.view.going_back == "by steps":
        return _give(target, "promote-full", commands.unique_value(now()), seconds if wait else None, output)
    _tell(output, tell(ended.view), {**told, "done": not ended.timed_out, "deployment": ended.view.to_json()})
    # What is left is degraded from the spec's point of view; the way back has succeeded all the same.
    return ExitCode.DONE if ended.outcome.kind == "healthy" else ended.code


def _command(
    command: str, name: str, namespace: str | None, context: str | None, wait: bool, timeout: str, output: Output
) -> int:
    seconds = read_seconds(timeout, "--timeout")
    target = looking.find(name, namespace, context)
    commands.check(command, target.look()[0])
    return _give(target, command, commands.unique_value(now()), seconds if wait else None, output)


def _give(target: Target, command: str, value: str, seconds: float | None, output: Output) -> int:
    """Give a command in the user's name; wait until the operator has acted on it, where there is a time for that."""
    by = target.kube.whoami()
    target.patch(commands.build_command(command, value, by))
    place = f"{target.namespace}/{target.name}"
    told = {"namespace": target.namespace, "name": target.name, "command": command, "by": by}
    if seconds is None:
        _tell(output, f"{place}: the operator is asked to {command}", {**told, "done": False})
        return 0

    def acted(view: View) -> Outcome:
        return Outcome("running", view.behind) if command in view.waiting_commands else Outcome("healthy", "")

    ended = watch(target, silent, acted, seconds)
    if ended.timed_out:
        raise TimedOutError(
            f"the operator has not acted on {command} within {seconds:g} s",
            field=place,
            remedy=f"It stays given ({command_annotation(command)}); does the operator run? shoal logs --operator",
        )
    _tell(
        output,
        f"{place}: {command} done. {tell(ended.view)}",
        {**told, "done": True, "deployment": ended.view.to_json()},
    )
    return 0


def _tell(output: Output, line: str, document: Object) -> None:
    """Print the line for people, or the document for programs."""
    if output == "json":
        print_json(make_console(), document)
    else:
        print(line)


def _find_way_back(deployment: Object, versions: Sequence[Object], value: str, view: View) -> WayBack:
    place, spec = f"{view.namespace}/{view.name}", read_spec(deployment)
    if spec is None:
        raise UsageError("its spec cannot be read", field=place, remedy=f"See: shoal status {view.name}")
    found = find_way_back(deployment, spec, versions, value)
    if isinstance(found, WayBack):
        return found
    raise UsageError(found.rstrip("."), field=place, remedy=f"See: shoal history {view.name} -n {view.namespace}")


def _gone_back(view: View, way: WayBack) -> Outcome:
    """Tell whether the operator went back, or walks the steps to there."""
    if "rollback" in view.waiting_commands:
        return Outcome("running", view.behind)
    if view.going_back:
        return Outcome("healthy" if view.going_back == "by steps" else "running", view.message)
    return Outcome("healthy" if view.stable_version == way.version else "failed", view.message)


def _versions_of(target: Target, model: str) -> Sequence[Object]:
    found = target.kube.list(VERSIONS, target.namespace)
    return [each for each in found if each["spec"]["modelRef"]["name"] == model]


def _tell_of_keeper(deployment: Object, line: str) -> None:
    """Tell that the spec still says otherwise, and where the way back is to be written down."""
    keeper = commands.keeper_of(deployment)
    whose = f"; {keeper} applies it" if keeper else ""
    typer.echo(
        f"The spec stays as it is{whose}: what is left is blocked until shoal retry. To make it last, write where the "
        f"manifest is kept: {line}",
        err=True,
    )
