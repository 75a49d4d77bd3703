"""Deployments as rows of a table, one line each; pure. Used by `get`."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoal_cli.deployments.figures import show_age
from shoal_cli.deployments.picture import PHASES
from shoal_cli.deployments.view import View

_COLUMNS = ("Name", "Phase", "Stable", "Candidate", "Weight", "Step", "Ready", "Model", "Age", "Message")
_GAP = 3


def print_listing(console: Console, views: Sequence[View], *, namespaces: bool) -> None:
    """Print a table, or that there is nothing."""
    if not views:
        console.print("No ClusteringDeployments.")
        return
    headings = (*(("Namespace",) if namespaces else ()), *_COLUMNS)
    rows = [((Text(view.namespace),) if namespaces else ()) + _row(view) for view in views]
    widths = [max(len(heading), *(row[place].cell_len for row in rows)) for place, heading in enumerate(headings[:-1])]
    # Only the message, the last, gives way on a narrow terminal.
    left = max(20, console.width - sum(widths) - _GAP * len(headings))
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("Weight", "Age") else "left", no_wrap=True)
    for row in rows:
        row[-1].truncate(left, overflow="ellipsis")
        table.add_row(*row)
    console.print(table)


def _row(view: View) -> tuple[Text, ...]:
    mark, colour = PHASES.get(view.phase, ("●", "white"))
    stable = view.pool("stable")
    return (
        Text(view.name, style="bold"),
        Text(f"{mark} {view.phase}", style=colour),
        Text(_version(view.stable_version)),
        Text(_version(view.candidate_version)),
        Text("" if view.candidate_version is None else f"{view.actual_weight} %"),
        Text(_step(view)),
        Text(f"{stable.ready}/{view.replicas}" if stable else ""),
        Text(f"{view.model} @ {view.follows}"),
        Text(show_age(view.created, view.time)),
        Text(view.message),
    )


def _step(view: View) -> str:
    if view.step is None:
        return ""
    return "back" if view.going_back == "at once" else f"{min(view.step + 1, len(view.steps))}/{len(view.steps)}"


def _version(version: int | None) -> str:
    return "" if version is None else f"v{version}"
