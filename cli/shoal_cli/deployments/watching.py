"""Looks at a deployment until it is over: as a live picture, as plain lines, or silently.

Called by `status --wait`, `watch` and the commands. Invariant: one look a second and nothing is written; an API server
that is away for a while ends no watch before its time.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live

from shoal_cli.deployments.lines import tell, tell_figures
from shoal_cli.deployments.looking import Target
from shoal_cli.deployments.outcome import ExitCode, Outcome, exit_code, judge
from shoal_cli.deployments.picture import draw
from shoal_cli.deployments.trends import Trends
from shoal_cli.deployments.view import View
from shoal_cli.errors import ShoalError
from shoal_cli.kube import ForbiddenError, MissingError

_EVERY_SECONDS = 1.0
_AWAY_SECONDS = 60.0


class Show(Protocol):
    """Shows one look."""

    def __call__(self, view: View, notes: tuple[str, ...]) -> None:
        """Show it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a watch ended."""

    view: View
    notes: tuple[str, ...]
    outcome: Outcome
    code: ExitCode
    timed_out: bool


def watch(
    target: Target, show: Show, over: Callable[[View], Outcome], seconds: float | None, *, keep: bool = False
) -> Ended:
    """Look until it is over or the time is up; with `keep` until the time is up."""
    started = time.monotonic()
    last_seen: float | None = None
    while True:
        try:
            view, notes = target.look()
        except (MissingError, ForbiddenError):
            raise
        except ShoalError:
            now = time.monotonic()
            late = seconds is not None and now - started >= seconds
            if last_seen is None or late or now - last_seen > _AWAY_SECONDS:
                raise
            time.sleep(_EVERY_SECONDS)
            continue
        last_seen = time.monotonic()
        show(view, notes)
        outcome = over(view)
        late = seconds is not None and last_seen - started >= seconds
        if (outcome.over and not keep) or late:
            timed_out = late and not outcome.over
            return Ended(view, notes, outcome, exit_code(outcome, view.phase, timed_out=timed_out), timed_out)
        time.sleep(_EVERY_SECONDS)


def watch_live(
    target: Target, console: Console, version: int | None, seconds: float | None, *, keep: bool = False
) -> Ended:
    """Show a picture that lives where the output is a terminal, else a line for each change."""

    def over(view: View) -> Outcome:
        return judge(view, version)

    if not console.is_terminal:
        return watch(target, Lines(), over, seconds, keep=keep)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        trends = Trends()

        def show(view: View, notes: tuple[str, ...]) -> None:
            nonlocal trends
            trends = trends.add(view)
            live.update(draw(view, trends, notes), refresh=True)

        return watch(target, show, over, seconds, keep=keep)


class Lines:
    """Prints a line for each change, with the time."""

    def __init__(self) -> None:
        self._last = ""
        self._notes: tuple[str, ...] = ()

    def __call__(self, view: View, notes: tuple[str, ...]) -> None:
        """Print what changed."""
        line = tell(view)
        if line != self._last:
            figures = tell_figures(view)
            print(f"{view.time:%H:%M:%SZ}  {line}{f'  [{figures}]' if figures else ''}", flush=True)
        if notes != self._notes:
            print(*notes, sep="\n", flush=True)
        self._last, self._notes = line, notes


class JsonLines:
    """Prints each changed look as one line of JSON."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, view: View, notes: tuple[str, ...]) -> None:  # noqa: ARG002, programs need none
        """Print the look if it says anything new."""
        document = view.to_json()
        told = json.dumps({name: value for name, value in document.items() if name not in ("time", "eta")})
        if told != self._last:
            print(json.dumps(document, ensure_ascii=False), flush=True)
        self._last = told


def silent(view: View, notes: tuple[str, ...]) -> None:
    """Show nothing."""
