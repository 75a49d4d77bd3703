"""How a shell completes the names of objects; used by the arguments that take one.

Invariant: the cluster is asked for names only, and whatever goes wrong offers nothing, silently.
"""

from collections.abc import Callable

import typer

from shoal_cli.errors import ShoalError
from shoal_cli.kube import Kube, Resource

Completer = Callable[[typer.Context, str], list[str]]


def names_of(resource: Resource) -> Completer:
    """Return what offers the objects of a kind whose names begin so, of the namespace that was typed."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        if ctx.params.get("store"):
            return []  # What lies in a store outside is in no cluster.
        try:
            kube = Kube(ctx.params.get("context"))
            found = kube.list(resource, ctx.params.get("namespace") or kube.namespace)
        except ShoalError:
            return []
        return sorted(name for each in found if (name := each["metadata"]["name"]).startswith(incomplete))

    return complete
