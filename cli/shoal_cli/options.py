"""The options of all verbs that ask a cluster."""

from typing import Annotated

import typer

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; that of the kubeconfig unless told.")
]
EverywhereOption = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Those of all namespaces.")]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
