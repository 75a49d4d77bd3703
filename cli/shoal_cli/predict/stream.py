"""What `shoal predict` says of a deployment that labels a stream: no call reaches it, a message does; pure."""

import json
import shlex
from collections.abc import Sequence

from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.predict.rows import Rows
from shoal_operator.api.ingestion import Ingestion


def explain_stream(where: str, ingestion: Ingestion, columns: Sequence[str], rows: Rows) -> ShoalError:
    """Return the error for NAMESPACE/NAME that tells how its first row would be published instead.

    Without the names of the model's columns, it tells what a message is.
    """
    subject = ingestion.subject
    if not subject or "*" in subject or ">" in subject:
        subject = "SUBJECT"
    words = ["nats", "-s", ingestion.nats.url, "pub", subject, json.dumps(_first(columns, rows), ensure_ascii=False)]
    which = " (SUBJECT being any that the stream takes)" if subject == "SUBJECT" else ""
    return ShoalError(
        "it answers no calls, for it takes its rows from the stream "
        f"{ingestion.stream} of {ingestion.nats.url} and publishes the labels to {ingestion.output.subject}",
        field=where,
        remedy=f"Publish a row there: {shlex.join(words)}{which}; see docs/streams.md, Messages",
    )


def _first(columns: Sequence[str], rows: Rows) -> dict[str, object]:
    try:
        chosen = rows.choose(columns) if columns else rows
    except UsageError:
        return dict.fromkeys(columns, 0.0)
    if not chosen.named:
        return {"COLUMN": 0.0}
    return {name: values[0].item() if hasattr(values[0], "item") else values[0] for name, values in chosen.columns}
