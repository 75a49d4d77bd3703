"""Deployments as rows of a table; pure. Used by `get`."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoal_cli.deployments.figures import show_age
from shoal_cli.deployments.picture import PHASES
from shoal_cli.deployments.view import View

_COLUMNS = ("Name", "Phase", "Stable", "Candidate", "Weight", "Step", "Ready", "Model", "Age", "Message")


def print_listing(console: Console, views: Sequence[View], *, namespaces: bool) -> None:
    """Print a table, or that there is nothing."""
    if not views:
        console.print("No ClusteringDeployments.")
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in (*(("Namespace",) if namespaces else ()), *_COLUMNS):
        table.add_column(
            heading, justify="right" if heading in ("Weight", "Age") else "left", no_wrap=heading != "Message"
        )
    for view in views:
        mark, colour = PHASES.get(view.phase, ("●", "white"))
        stable = view.pool("stable")
        row = (
            Text(view.name, style="bold"),
            Text(f"{mark} {view.phase}", style=colour),
            _version(view.stable_version),
            _version(view.candidate_version),
            "" if view.candidate_version is None else f"{view.actual_weight} %",
            "" if view.step is None else f"{min(view.step + 1, len(view.steps))}/{len(view.steps)}",
            f"{stable.ready}/{view.replicas}" if stable else "",
            f"{view.model} @ {view.follows}",
            show_age(view.created, view.time),
            view.message,
        )
        table.add_row(*((view.namespace,) if namespaces else ()), *row)
    console.print(table)


def _version(version: int | None) -> str:
    return "" if version is None else f"v{version}"
