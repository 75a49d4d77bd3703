"""Makes the card of a version and keeps it beside its artifact; called by the verbs, notebooks and the command line.

Invariant: what goes wrong here is told and logged; a version is as good without its card.
"""

from collections.abc import Callable
from typing import Any

import structlog

from shoal_worker.card.facts import Facts, facts_of
from shoal_worker.card.page import render_page
from shoal_worker.card.picture import render_picture
from shoal_worker.card.plots import choose_colours
from shoal_worker.card.sketch import Sketch
from shoal_worker.errors import shorten
from shoal_worker.models.artifacts import CARD_NAMES
from shoal_worker.models.record import ModelKey, VersionRecord
from shoal_worker.models.store import ModelStore

_log = structlog.get_logger(__name__)


def draw_card(facts: Facts, sketch: Sketch) -> dict[str, bytes]:
    """Draw a card: its files by name."""
    palette = choose_colours(sketch)
    page, picture = CARD_NAMES
    return {page: render_page(facts, sketch, palette), picture: render_picture(facts, sketch, palette)}


def keep_card(models: ModelStore, key: ModelKey, record: VersionRecord, sketch: Callable[[], Sketch]) -> dict[str, Any]:
    """Draw the card of a version that was just stored and store it; return its report, with a warning if that failed.

    sketch: makes the sketch, which may fail as well. One of another artifact is of no use: a training that was
    repeated found other data, and its version is the one that it made before.
    """
    try:
        found = sketch()
        if found.digest == record.digest:
            models.keep_card(key, record.number, draw_card(facts_of(key, record), found))
    except Exception as error:  # whatever it is, the version is there, and its card can be drawn later
        _log.warning("the card was not made", version=record.number, message=str(error), exc_info=True)
        reason = shorten(f"card: it was not made ({type(error).__name__}: {error}); `shoal models card` draws one", 500)
        judged = record.report.get("validation", {})
        return {**record.report, "validation": {**judged, "warnings": [*judged.get("warnings", []), reason]}}
    return record.report
