"""The ClusteringDecisions of a deployment: what was decided, when, by whom and why; pure but for printing.

Used by `history`. Invariant: a record is shown as it stands, whichever release wrote it; what cannot be read is left
out, and nothing is added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoal_cli.console import make_table
from shoal_cli.deployments import rules
from shoal_cli.deployments.figures import show_figure, show_time
from shoal_cli.deployments.picture import VERDICTS
from shoal_cli.errors import UsageError
from shoal_cli.kube import Object

_STYLES = {
    "Promoted": "green",
    "Started": "cyan",
    "RolledBack": "red",
    "Aborted": "red",
    "FailurePaused": "red",
    "Held": "yellow",
    "Paused": "yellow",
}


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One record, as far as it is shown."""

    name: str
    number: int
    spec: Object

    @property
    def versions(self) -> tuple[int | None, int | None]:
        """What served, and what was on trial."""
        return _number(self.spec, "stable", "version"), _number(self.spec, "candidate", "version")

    @property
    def title(self) -> str:
        """What was decided, in a word."""
        return str(self.spec.get("decision", ""))

    def to_json(self) -> Object:
        """Return it for programs: the record with its name."""
        return {"name": self.name, **self.spec}


def read_decisions(found: Iterable[Object], uid: str) -> tuple[DecisionView, ...]:
    """Return the records that a deployment of this uid owns, oldest first."""
    mine = [each for each in found if any(owner.get("uid") == uid for owner in _owners(each))]
    views = [DecisionView(each["metadata"]["name"], _number(each, "spec", "number") or 0, _spec(each)) for each in mine]
    return tuple(sorted(views, key=lambda view: (view.number, view.name)))


def of_version(decisions: Iterable[DecisionView], version: int) -> tuple[DecisionView, ...]:
    """Return those that are about a version, as stable or on trial."""
    return tuple(each for each in decisions if version in each.versions)


def find_decision(decisions: Sequence[DecisionView], wanted: str) -> DecisionView:
    """Return one by its name or its number."""
    for each in decisions:
        if wanted in (each.name, str(each.number)):
            return each
    first, last = (decisions[0].number, decisions[-1].number) if decisions else (0, 0)
    kept = f"Numbers {first} to {last} are kept" if decisions else "There is none"
    raise UsageError("no such decision is kept", field="--decision", value=wanted, remedy=f"{kept}: shoal history")


def print_decisions(console: Console, decisions: Sequence[DecisionView]) -> None:
    """Print one line for each, oldest first."""
    if not decisions:
        console.print("No decisions are recorded.")
        return
    table = make_table(("#", "Time", "Decision", "Version", "Weight", "Who", "Why"), right=("#", "Weight"))
    for each in decisions:
        time = show_time(rules.instant(str(each.spec.get("at", ""))))
        title = Text(each.title, style=_STYLES.get(each.title, ""))
        why = Text(str(each.spec.get("message", "")))
        table.add_row(str(each.number), time, title, _versions(each), _weight(each), Text(_who(each)), why)
    console.print(table)


def print_decision(console: Console, decision: DecisionView) -> None:
    """Print one record with everything that it rests on."""
    spec = decision.spec
    head = Text(f"{decision.title}", style=f"bold {_STYLES.get(decision.title, '')}".strip())
    console.print(head.append(f"  {decision.name}", style="not bold dim"))
    for label, value in (
        ("Time", show_time(rules.instant(str(spec.get("at", ""))))),
        ("Why", f"{spec.get('reason', '')}: {spec.get('message', '')}"),
        ("Who", _who(decision)),
        ("Stable", _bundle(spec.get("stable"))),
        ("Candidate", _bundle(spec.get("candidate"))),
        ("Weight", f"{_weight(decision)}, {_number(spec, 'weight', 'actual') or 0} % by the router then"),
        ("Step", _step(spec)),
    ):
        if value:
            console.print(Text(f"{label:<11}", style="dim").append(value, style="not dim"))
    if gates := [each for each in spec.get("gates") or () if isinstance(each, dict)]:
        console.print(_gates(gates))


def _gates(gates: Sequence[Object]) -> Table:
    table = make_table(("Gate", "Verdict", "Stable", "Candidate", "Samples", "Interval", "Limit", "Said"))
    for each in gates:
        name, verdict = str(each.get("gate", "")), str(each.get("verdict", ""))
        mark, colour = VERDICTS.get(verdict, ("", ""))
        said = str(each.get("message", "")) or f"last asked {show_time(rules.instant(str(each.get('at', ''))))}"
        table.add_row(
            Text(name),
            Text(f"{mark} {verdict}{' (dry run)' if each.get('dryRun') else ''}".strip(), style=colour),
            show_figure(name, each.get("stable")),
            show_figure(name, each.get("candidate")),
            _samples(each),
            _interval(each),
            _figure(each.get("limit")),
            Text(said),
        )
    return table


def _samples(gate: Object) -> str:
    """Return the calls on both sides, candidate's first as in all messages."""
    both = [gate.get("candidateSamples"), gate.get("stableSamples")]
    return " / ".join(str(each) for each in both) if any(both) else ""


def _interval(gate: Object) -> str:
    low, high = gate.get("low"), gate.get("high")
    if low is None and high is None:
        return ""
    return f"{_figure(low) or '−∞'} … {_figure(high) or '∞'}"


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"


def _who(decision: DecisionView) -> str:
    """Return who or what moved the operator: the person first, where the command names one."""
    actor = decision.spec.get("actor") or {}
    kind, manager = str(actor.get("kind", "")), str(actor.get("manager", ""))
    match kind:
        case "Command":
            name, command = actor.get("name") or manager or "somebody", actor.get("command", "")
            by = f" by {manager}" if manager and manager != name else ""
            return f"{name}: {command}{by}"
        case "Spec":
            return f"spec, by {manager}" if manager else "spec"
        case "Gates":
            return f"gate {actor['gate']}" if actor.get("gate") else "gates"
        case "Version":
            return "newer version"
        case _:
            return kind.lower()


def _versions(decision: DecisionView) -> str:
    stable, candidate = decision.versions
    told = [f"v{each}" for each in (stable, candidate) if each is not None]
    return " → ".join(reversed(told) if decision.title in ("RolledBack", "Aborted", "Withdrawn") else told)


def _weight(decision: DecisionView) -> str:
    before, after = (_number(decision.spec, "weight", side) or 0 for side in ("before", "after"))
    return f"{after} %" if before == after else f"{before} → {after} %"


def _step(spec: Object) -> str:
    step, count = spec.get("step"), spec.get("stepCount")
    if step is None or count is None:
        return ""
    return "all steps done" if step >= count else f"{step + 1} of {count}"


def _bundle(bundle: Any) -> str:
    if not isinstance(bundle, dict):
        return ""
    return f"v{bundle.get('version')}  {bundle.get('revision', '')}  {bundle.get('digest', '')}"


def _owners(raw: Object) -> list[Object]:
    return raw.get("metadata", {}).get("ownerReferences") or []


def _spec(raw: Object) -> Object:
    spec: Object = raw.get("spec") or {}
    return spec


def _number(raw: Object, *path: str) -> int | None:
    found: Any = raw
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, int) else None
