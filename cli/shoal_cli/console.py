"""How results are printed: the console for them, tables, JSON and YAML as every verb prints them."""

import json
from collections.abc import Collection, Sequence

import yaml
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

_NARROWEST = 160


def make_console() -> Console:
    """Return the console for results, never so narrow that what is piped breaks."""
    console = Console(soft_wrap=False, highlight=False)
    if console.width < _NARROWEST and not console.is_terminal:
        console.width = _NARROWEST
    return console


def make_table(headings: Sequence[str], right: Collection[str] = ()) -> Table:
    """Return an empty table; the headings in `right` stand over columns of numbers."""
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left")
    return table


def print_json(console: Console, document: object) -> None:
    """Print JSON as it is, whatever the width of the terminal."""
    console.print(json.dumps(document, indent=2, ensure_ascii=False), markup=False, highlight=False, soft_wrap=True)


def print_yaml(console: Console, document: object) -> None:
    """Print YAML as it is, whatever the width of the terminal."""
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip()
    console.print(text, markup=False, highlight=False, soft_wrap=True)
