"""Tables that look alike in a terminal and on a page."""

from dataclasses import dataclass, field

from rich import box
from rich.table import Table as RichTable
from rich.text import Text


@dataclass(frozen=True)
class Table:
    """A titled grid of finished strings; the first `names` columns are names and read from the left."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    names: int = 1
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table for a page."""
        rule = ["---" if at < self.names else "---:" for at in range(len(self.columns))]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.columns, rule, *self.rows)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def rich(self) -> RichTable:
        """The table for a terminal."""
        table = RichTable(title=self.title, box=box.SIMPLE_HEAD, title_justify="left", caption="\n".join(self.notes))
        for at, column in enumerate(self.columns):
            table.add_column(column, justify="left" if at < self.names else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        return table


def _style(cell: str) -> str:
    """Colour for the cells that carry a judgement."""
    if cell in ("met", "yes"):
        return "green"
    return "red" if cell in ("not met", "slower") or "≠" in cell else ""


def seconds(value: float) -> str:
    """A time with three digits and the unit that suits it."""
    if value >= 1:
        return f"{value:.3g} s"
    if value >= 1e-3:
        return f"{value * 1e3:.3g} ms"
    return f"{value * 1e6:.3g} µs"


def size(value: float) -> str:
    """Bytes with the unit that suits them."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def ratio(value: float) -> str:
    """How many times; two digits below ten."""
    return f"{value:.1f}x" if value < 10 else f"{value:,.0f}x"


def count(value: int) -> str:
    """Rows, short: 10k, 1M."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= unit and value % unit == 0:
            return f"{value // unit}{letter}"
    return f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:,}"
