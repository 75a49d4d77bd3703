"""`shoal models card`: fetches a version's model card, or draws it where the store has none.

Invariant: the store is read only; a card that is drawn here goes to the person's file and nowhere else.
"""

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from shoal_cli.errors import ShoalError
from shoal_cli.models.options import (
    CredentialsOption,
    FoundStore,
    ModelArgument,
    NamespaceOption,
    VersionArgument,
    find_store,
    open_store,
    read_key,
    read_version,
    working,
)
from shoal_cli.options import ContextOption


def card(
    model: ModelArgument,
    version: VersionArgument,
    store: FoundStore = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    png: Annotated[bool, typer.Option("--png", help="The overview as a picture, instead of the page.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; MODEL-vVERSION.html or .png unless told.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it, in the browser or what opens pictures.")] = False,
) -> None:
    """Fetch a version's model card: clusters, sizes, figures, validation, data and lineage on one page."""
    from shoal_worker.card.facts import facts_of
    from shoal_worker.card.making import draw_card
    from shoal_worker.card.sketch import sketch_artifact

    store, namespace, version = find_store(model, version, store, namespace, context)
    with working("Fetching the card"):
        models = open_store(store, credentials_dir)
        key = read_key(model, namespace)
        number = read_version(models, key, version)
        name = "card.png" if png else "card.html"
        content = models.card(key, number).get(name)
        drawn = content is None
        if content is None:
            record = models.record(key, number)
            sketch = sketch_artifact(models.load(key, number), show_points=record.card_points)
            content = draw_card(facts_of(key, record), sketch)[name]
    path = output or Path(f"{key.name}-v{number}{Path(name).suffix}")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ShoalError(
            f"it cannot be written: {error.strerror}", field="--output", value=path, remedy="Choose another place"
        ) from None
    if drawn:
        print("The store has no card of this version; it was drawn from its artifact and record.", file=sys.stderr)
    print(path)
    if show and not webbrowser.open(path.resolve().as_uri()):
        raise ShoalError("nothing here can show it", field="--open", value=path, remedy="Open the file elsewhere")
