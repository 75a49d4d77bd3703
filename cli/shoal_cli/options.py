"""What verbs of all kinds have in common: where an object lies, and the console for results."""

from typing import Annotated

import typer
from rich.console import Console

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; that of the kubeconfig unless told.")
]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]

_NARROWEST = 160


def make_console() -> Console:
    """Return the console for results, never so narrow that what is piped breaks."""
    console = Console(soft_wrap=False, highlight=False)
    if console.width < _NARROWEST and not console.is_terminal:
        console.width = _NARROWEST
    return console
