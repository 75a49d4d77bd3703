"""How results are printed: the console for them, and JSON as every verb prints it."""

import json

from rich.console import Console

_NARROWEST = 160


def make_console() -> Console:
    """Return the console for results, never so narrow that what is piped breaks."""
    console = Console(soft_wrap=False, highlight=False)
    if console.width < _NARROWEST and not console.is_terminal:
        console.width = _NARROWEST
    return console


def print_json(console: Console, document: object) -> None:
    """Print JSON as it is, whatever the width of the terminal."""
    console.print(json.dumps(document, indent=2, ensure_ascii=False), markup=False, highlight=False, soft_wrap=True)
