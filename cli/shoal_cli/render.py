"""Plans as tables for people and as JSON for programs; called by `explain`.

Invariant: both show the same plans. A plan has the form of the ClusteringModelVersion's record.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic.alias_generators import to_camel
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoal_cli.console import print_json as print_document
from shoal_cli.quantities import show_bytes
from shoal_engine import Plan
from shoal_operator.api.version import TrainingPlan

_NAMES = {
    "index": "index",
    "threads": "threads",
    "batchRows": "rows at a time",
    "memoryMap": "memory map",
    "fitBytes": "memory of the fit",
    "indexBytes": "size of the index",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """One plan, for which work, and how it came about."""

    work: str
    about: str
    plan: TrainingPlan


def as_record(plan: Plan) -> TrainingPlan:
    """Return an engine's plan in the form of the record, whose reasons go by the record's field names."""
    reasons = {to_camel(name): reason for name, reason in plan.reasons.items()}
    return TrainingPlan.model_validate({**plan.as_dict(), "reasons": reasons})


def print_table(console: Console, explained: Sequence[Explained]) -> None:
    """Print each plan as a table; a warning where the work does not fit the memory."""
    for each in explained:
        console.print(Text(f"{each.work}: {each.about}", style="bold"))
        table = Table(box=SIMPLE, pad_edge=False)
        for heading in ("Choice", "Value", "Why"):
            table.add_column(heading, no_wrap=heading != "Why")
        choices = each.plan.to_wire()
        for field, name in _NAMES.items():
            table.add_row(name, _shown(field, choices[field]), each.plan.reasons.get(field, ""))
        console.print(table)
        if warning := each.plan.reasons.get("memory"):
            console.print(Text(f"It does not fit: {warning}.", style="bold red"))


def print_json(console: Console, explained: Sequence[Explained]) -> None:
    """Print all plans as one JSON object, by the work that they are for."""
    document = {each.work.lower(): {"about": each.about, "plan": each.plan.to_wire()} for each in explained}
    print_document(console, document)


def _shown(field: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return show_bytes(value) if field.endswith("Bytes") else f"{value:,}"
    return str(value)
