"""One deployment as a picture for a terminal: traffic, steps, pools with their pods, gates; pure, a view in, rich out.

Used by `status` and `watch`. Invariant: colour adds nothing that the text does not say, so it reads the same without.
"""

from typing import Literal

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shoal_cli.deployments.figures import show_age, show_figure, show_seconds
from shoal_cli.deployments.trends import LONGEST, Trend, Trends, sparkline, top_of
from shoal_cli.deployments.view import Gate, Place, Pod, Pool, Scaling, View

PHASES = {
    "Healthy": ("✔", "green"),
    "Progressing": ("●", "cyan"),
    "Paused": ("‖", "yellow"),
    "Pending": ("○", "blue"),
    "Degraded": ("✖", "red"),
}
VERDICTS = {"pass": ("✔", "green"), "fail": ("✖", "red"), "inconclusive": ("…", "yellow"), "error": ("!", "red")}
_ROLES = {"stable": "green", "candidate": "cyan", "standing by": "bright_black", "going": "bright_black"}
_BAR = 44
# Of fixed widths, so that nothing moves while figures come.
_GATE_COLUMNS: tuple[tuple[int, Literal["left", "right"]], ...] = (
    (9, "left"),
    (14, "left"),
    (9, "left"),
    (7, "right"),
    (LONGEST, "left"),
    (9, "right"),
)
_MOST_PODS = 6


def draw(view: View, trends: Trends | None = None, notes: tuple[str, ...] = ()) -> RenderableType:
    """Return the picture; with trends, each gate shows its figures over the time of the watch."""
    parts: list[RenderableType] = [_head(view), _said(view)]
    if any(pool.share for pool in view.pools):
        parts += [Text(), _traffic(view)]
    if view.steps:
        parts += [Text(), _steps(view)]
    if view.pools:
        parts += [Text(), _pools(view)]
    if view.scaling is not None:
        parts += [Text(), _scaling(view.scaling)]
    if view.gates and view.candidate_version is not None:
        parts += [Text(), _gates(view, trends or Trends())]
    if view.blocked:
        parts += [Text(), _blocked(view)]
    parts += [Text(note, style="yellow") for note in notes]
    title = Text.assemble((f" {view.namespace}/", "dim"), (f"{view.name} ", "bold"))
    return Panel(Group(*parts), title=title, title_align="left", box=ROUNDED, padding=(0, 1))


def _head(view: View) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    mark, colour = PHASES.get(view.phase, ("●", "white"))
    facts = f"   model {view.model} @ {view.follows} · {view.strategy} · router {view.router}"
    grid.add_row(
        Text.assemble((f"{mark} {view.phase}", f"bold {colour}"), (facts, "dim")),
        Text(view.time.astimezone().strftime("%H:%M:%S"), style="dim"),
    )
    return grid


def _said(view: View) -> Text:
    waits = "" if view.candidate_version is not None or not view.user_paused else "The next rollout is held by pause."
    told = " ".join(part for part in (view.message, view.behind, waits) if part)
    return Text(told, style="red" if view.phase == "Degraded" else "")


def _traffic(view: View) -> Table:
    table = _section("Traffic")
    for pool in view.pools:
        if pool.role not in ("stable", "candidate"):
            continue
        filled = round(_BAR * pool.share / 100)
        colour = _ROLES[pool.role]
        bar = Text.assemble(("█" * filled, colour), ("·" * (_BAR - filled), "bright_black"))
        asked = f"  asked {view.weight} %" if pool.role == "candidate" and view.weight != pool.share else ""
        table.add_row(
            "",
            Text.assemble(
                (f"v{pool.version} {pool.role}".ljust(16), colour), bar, f" {pool.share:>3} %", (asked, "yellow")
            ),
        )
    return table


def _steps(view: View) -> Table:
    table = _section("Steps")
    line = Text()
    before = 0
    for place, step in enumerate(view.steps):
        if place:
            line.append("  →  ", "bright_black")
        line.append_text(_step(view, step, rising=step.weight != before or not place))
        before = step.weight
    promoting = view.step is not None and view.step >= len(view.steps)
    line.append("  →  ", "bright_black")
    line.append("▸ promote" if promoting else "promote", "bold cyan" if promoting else "dim")
    table.add_row("", line)
    table.add_row("", Text(_ending(view), style="dim"))
    return table


def _step(view: View, step: Place, *, rising: bool) -> Text:
    if step.hold_seconds is None:
        told = "until promoted"
    elif step.hold_seconds:
        told = f"hold {show_seconds(step.hold_seconds)}"
        if step.state == "now" and view.eta.step_ends is not None:
            left = (view.eta.step_ends - view.time).total_seconds()
            told += f" ({show_seconds(left)} left)" if left > 0 else " (over)"
    else:
        told = ""
    if rising or not told:
        told = f"{step.weight} % {told}".strip()
    mark, style = {"done": ("✔ ", "green"), "now": ("▸ ", "bold cyan"), "next": ("", "dim")}[step.state]
    return Text(f"{mark}{told}", style=style)


def _ending(view: View) -> str:
    eta = view.eta
    if eta.waits_at is not None:
        return f"step {eta.waits_at + 1} of {len(view.steps)} waits for: shoal promote {view.name} -n {view.namespace}"
    if view.step is not None and view.step >= len(view.steps):
        return "promoting: full pool, all traffic, then it is stable"
    if eta.done is not None:
        seconds = (eta.done - view.time).total_seconds()
        return f"promoted in {show_seconds(seconds)} at the earliest, about {eta.done.astimezone():%H:%M:%S}"
    return "held: no end is in sight until it goes on"


def _pools(view: View) -> Table:
    table = _section("Pools")
    for pool in view.pools:
        table.add_row("", _pool(view, pool))
        grid = Table.grid(padding=(0, 2))
        for _ in range(6):
            grid.add_column(no_wrap=True)
        # Those that are not ready first: they are what one looks for.
        shown = sorted(pool.pods, key=lambda pod: pod.ready)[:_MOST_PODS]
        for pod in sorted(shown, key=lambda pod: pod.name):
            grid.add_row(*_pod(view, pod))
        if pool.pods:
            table.add_row("", grid)
        if len(pool.pods) > len(shown):
            table.add_row("", Text(f"    … {len(pool.pods) - len(shown)} more pods", style="dim"))
    return table


def _pool(view: View, pool: Pool) -> Text:
    wanted = f" of {view.replicas}" if pool.role == "stable" else ""
    ready = (
        f"{pool.ready}{wanted} ready"
        if wanted or pool.ready == pool.replicas
        else f"{pool.ready} of {pool.replicas} ready"
    )
    left = ""
    if pool.until is not None:
        left = f"  for {show_seconds((pool.until - view.time).total_seconds())} more, for an instant way back"
    elif pool.role == "standing by":
        left = "  kept as a standby, for an instant way back"
    colour = _ROLES[pool.role]
    return Text.assemble(
        (f"v{pool.version} {pool.role}".ljust(16), f"bold {colour}"),
        (f"{pool.revision}  ", "dim"),
        ready,
        (left, "dim"),
    )


def _pod(view: View, pod: Pod) -> tuple[Text, ...]:
    mark, style = ("✔", "green") if pod.ready else ("✖", "red") if pod.problem else ("○", "yellow")
    return (
        Text(f"  {mark}", style=style),
        Text(pod.name),
        Text("" if pod.ready else pod.state, style=style),
        Text(show_age(pod.created, view.time), style="dim"),
        Text(f"{pod.restarts} restarts" if pod.restarts else "", style="yellow"),
        Text(pod.problem, style="red", overflow="ellipsis"),
    )


def _scaling(scaling: Scaling) -> Table:
    table = _section("Scaling")
    table.add_row("", Text.assemble((f"{scaling.wanted} pods", "bold"), f" of {scaling.least} to {scaling.most}"))
    grid = Table.grid(padding=(0, 2))
    for each in scaling.readings:
        wants = Text(
            f"wants {each.wants}" if each.wants is not None else "no figure",
            style="" if each.wants is not None else "dim",
        )
        figure = "–" if each.value is None else f"{each.value:.3g}"
        grid.add_row(Text(each.name, style="bold"), figure, Text(f"target {each.target:g}", style="dim"), wants)
    if scaling.readings:
        table.add_row("", grid)
    for note in scaling.notes:
        table.add_row("", Text(note, style="yellow"))
    return table


def _gates(view: View, trends: Trends) -> Table:
    table = _section("Gates")
    grid = Table.grid(padding=(0, 1))
    for width, justify in _GATE_COLUMNS:
        grid.add_column(min_width=width, justify=justify, no_wrap=True)
    for gate in view.gates:
        for row in _gate(gate, trends.by_gate.get(gate.name, Trend())):
            grid.add_row(*row)
    table.add_row("", grid)
    for gate in view.gates:
        if gate.message and gate.verdict != "pass":
            table.add_row("", Text(f"{gate.name}: {gate.message}", style=VERDICTS.get(gate.verdict, ("", ""))[1]))
    return table


def _gate(gate: Gate, trend: Trend) -> list[tuple[Text, ...]]:
    """Return a gate's lines: the candidate's figures, and stable's below them where the two are compared."""
    mark, style = VERDICTS.get(gate.verdict, ("?", "white"))
    head = (Text(gate.name, style="bold"), Text(f"{mark} {gate.verdict}", style=style))
    if gate.stable_calls is None:
        return [(*head, Text("candidate", style="cyan"), Text(show_figure(gate.name, gate.candidate)), Text(), Text())]
    top = top_of(trend)
    sides = (
        ("candidate", "cyan", gate.candidate, trend.candidate, gate.candidate_calls),
        ("stable", "green", gate.stable, trend.stable, gate.stable_calls),
    )
    rows = [
        (
            Text(side, style=colour),
            Text(show_figure(gate.name, value) or "–"),
            Text(sparkline(values, top), style=colour),
            Text(f"{calls or 0:,} calls", style="dim"),
        )
        for side, colour, value, values, calls in sides
    ]
    return [(*head, *rows[0]), (Text(), Text(), *rows[1])]


def _blocked(view: View) -> Table:
    table = _section("Blocked")
    for each in view.blocked:
        ago = f"{show_age(each.since, view.time)} ago"
        table.add_row("", Text.assemble((f"v{each.version} ", "bold red"), f"{each.reason}, {ago}: {each.message}"))
    return table


def _section(title: str) -> Table:
    """Return a table with a title above an indented column."""
    table = Table.grid(padding=(0, 1))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    table.add_column(width=1)
    table.add_column()
    return table
