"""Rows as a table for people, as CSV and as JSON for programs; called by the verbs of `shoal results`.

Invariant: CSV and JSON are written while rows arrive, so that a result of any size can be passed on.
"""

import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import Any, Literal

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from shoal_cli.console import make_console

MOST_SHOWN = 100
_EXACT = 2**53
_AS_IT_IS = frozenset({int, str, float, bool, type(None)})
Row = Sequence[Any]


def print_rows(headings: Sequence[str], rows: Iterable[Row], output: Literal["table", "json", "csv"]) -> None:
    """Print rows; a table ends after the first 100 of them and says so."""
    match output:
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(headings)
            # Most values are of these types, and a look at each costs more than writing it.
            writer.writerows([each if type(each) in _AS_IT_IS else _plain(each) for each in row] for row in rows)
        case "json":
            _print_json(headings, rows)
        case "table":
            _print_table(headings, rows)


def as_text(value: str) -> Text:
    """A foreign text as a terminal may show it: no markup, and nothing that moves its cursor or changes its colours."""
    return Text("".join(each if each.isprintable() else "?" for each in value), overflow="fold")


def _print_json(headings: Sequence[str], rows: Iterable[Row]) -> None:
    separator = "["
    for row in rows:
        values = dict(zip(headings, map(_encodable, row), strict=True))
        sys.stdout.write(separator + "\n  " + json.dumps(values, ensure_ascii=False, default=str))
        separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")


def _print_table(headings: Sequence[str], rows: Iterable[Row]) -> None:
    remaining = iter(rows)
    shown = list(islice(remaining, MOST_SHOWN))
    table = Table(box=SIMPLE, pad_edge=False)
    for place, heading in enumerate(headings):
        numeric = any(isinstance(row[place], int | float) for row in shown)
        table.add_column(as_text(heading), justify="right" if numeric else "left")
    for row in shown:
        table.add_row(*(as_text(_shown(value)) for value in row))
    console = make_console()
    console.print(table)
    if next(remaining, None) is not None:
        console.print(f"The first {MOST_SHOWN} rows; -o csv and -o json print all.")


def _shown(value: object) -> str:
    if isinstance(value, float):
        # Sums and counts of floats are read as the whole numbers that they are.
        whole = value.is_integer() and abs(value) < _EXACT
        return f"{value:,.0f}" if whole else f"{value:,.6g}" if math.isfinite(value) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return str(_plain(value))


def _plain(value: object) -> object:
    """As CSV has it: nothing for a missing value, hexadecimal digits for bytes."""
    match value:
        case None:
            return ""
        case bytes():
            return value.hex()
        case datetime() | date() | time():
            return value.isoformat()
        case dict() | list() | tuple():
            return json.dumps(_encodable(value), ensure_ascii=False, default=str)
    return value


def _encodable(value: object) -> object:
    """As JSON has it, which knows no NaN."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {str(name): _encodable(each) for name, each in value.items()}
        case list() | tuple():
            return [_encodable(each) for each in value]
        case bytes() | datetime() | date() | time():
            return _plain(value)
    return value
