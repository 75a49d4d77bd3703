"""The demo's live views: what the rollout does and what the callers see, how pods follow the load; redrawn in place.

Pure rendering of the deployment's status and of the load's last line; reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shoal_cli.deployments.trends import sparkline

Object = dict[str, Any]
BAR = 40
COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow", "error": "magenta"}
PHASES = {"Healthy": "green", "Degraded": "red", "Paused": "yellow"}


def render_bar(weight: int) -> Text:
    """Draw stable's and the candidate's share of the traffic.

    >>> str(render_bar(25)).count("█")
    10
    """
    filled = round(BAR * weight / 100)
    return Text("█" * filled, style="cyan") + Text("░" * (BAR - filled), style="blue") + Text(f" {weight:3d} %")


def render_version(revision: Object | None) -> str:
    """Name a revision, or a dash."""
    return f"v{revision['version']} ({revision['revision']})" if revision else "-"


def render_figure(verdict: Object, side: str) -> str:
    """Show a side's figure in a gate, with its calls."""
    figures = verdict.get(side) or {}
    value = figures.get("value")
    return "-" if value is None else f"{value:.4g} ({figures['calls']} calls)"


def render_agreement(agreement: Object) -> str:
    """Show how far the candidate agrees with stable, and the clusters that match worst.

    >>> match = {"stable": 3, "candidate": 1, "rows": 40, "jaccard": 0.25}
    >>> figures = {"ari": 0.4, "noiseAgreement": 0.9, "rows": 800, "requests": 200, "worst": [match]}
    >>> render_agreement({"version": 2, **figures})
    'v2: ARI 0.400, noise 90% alike, 800 rows of 200 requests; worst: 3 with 1 (25%)'
    """
    worst = (f"{match['stable']} with {match['candidate']} ({match['jaccard']:.0%})" for match in agreement["worst"])
    return (
        f"v{agreement['version']}: ARI {agreement['ari']:.3f}, noise {agreement['noiseAgreement']:.0%} alike, "
        f"{agreement['rows']} rows of {agreement['requests']} requests; worst: {', '.join(worst) or '-'}"
    )


def render(status: Object, load: Object, seconds: float) -> RenderableType:
    """Return the whole view."""
    phase = status.get("phase", "")
    facts = Table.grid(padding=(0, 2))
    facts.add_row("phase", Text(phase, style=PHASES.get(phase, "cyan")) + Text(f"  after {seconds:.0f} s", style="dim"))
    facts.add_row("stable", render_version(status.get("stable")))
    facts.add_row("candidate", render_version(status.get("candidate")))
    facts.add_row("weight", render_bar(status.get("actualWeight", 0)))
    facts.add_row("message", Text(status.get("message", ""), style="dim"))
    agreement = status.get("agreement")
    if agreement is not None:
        facts.add_row("agreement", render_agreement(agreement))
    gates = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("gate", "verdict", "stable", "candidate"):
        gates.add_column(heading)
    for verdict in status.get("verdicts") or []:
        word = verdict["verdict"]
        figures = (render_figure(verdict, "stable"), render_figure(verdict, "candidate"))
        gates.add_row(verdict["gate"], Text(word, style=COLOURS.get(word, "")), *figures)
    shares = ", ".join(f"v{version}: {calls}" for version, calls in sorted(load.get("byVersion", {}).items()))
    failed = load.get("failed", 0)
    calls = Text(f"calls  {load.get('sent', 0)} sent, answered by {shares or '-'}; ") + Text(
        f"{failed} failed", style="red" if failed else "green"
    )
    return Group(facts, gates, calls)


class Size(NamedTuple):
    """A pool at one moment."""

    load: float
    """Calls a second, all pods together, as the scaler read them last."""
    wanted: int
    ready: int


def read_size(status: Object) -> Size:
    """Return what a status tells of the pool.

    >>> reading = {"name": "requestsPerSecond", "value": 20.0, "target": 20}
    >>> read_size({"scaling": {"replicas": 3, "metrics": [reading]}, "readyReplicas": 2})
    Size(load=40.0, wanted=3, ready=2)
    """
    scaling = status.get("scaling") or {}
    ready = status.get("readyReplicas", 0)
    each = next((reading.get("value") or 0.0 for reading in scaling.get("metrics") or []), 0.0)
    return Size(each * ready, scaling.get("replicas", 0), ready)


def render_scaling(status: Object, sizes: Sequence[Size], seconds: float) -> RenderableType:
    """Return the view of a pool that follows its load: the figures now, and each over the time since the beginning."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading, justify in (("", "left"), ("now", "right"), (f"the last {seconds:.0f} s", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    now, shown = sizes[-1], sizes[-BAR:]
    most = max(1, *(max(size.wanted, size.ready) for size in shown))
    rows = (
        ("calls a second", f"{now.load:.0f}", [size.load for size in shown], max(1.0, *(size.load for size in shown))),
        ("pods wanted", str(now.wanted), [float(size.wanted) for size in shown], float(most)),
        ("pods ready", str(now.ready), [float(size.ready) for size in shown], float(most)),
    )
    for (name, value, values, top), colour in zip(rows, ("yellow", "cyan", "green"), strict=True):
        table.add_row(name, Text(value, style=colour), Text(sparkline(values, top), style=colour))
    told = [each.get("message", "") for each in status.get("conditions") or [] if each["type"] == "ScalingActive"]
    return Group(table, Text(" ".join(told), style="dim"))
