"""How many messages of a stream nobody has answered, from what a NATS server tells.

Called by runtime.loads. Pure. Invariant: what cannot be read is no number, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal_operator.core.facts import items_at, mapping_at, number_at, text_at


def read_monitoring(answer: object, stream: str, consumer: str) -> int:
    """Read the backlog out of a NATS server's answer to /jsz?consumers=true.

    A consumer that does not exist yet will begin with what the stream holds. Raises ValueError where the server knows
    no such stream.
    """
    for account in items_at(answer, "account_details"):
        for detail in items_at(account, "stream_detail"):
            if text_at(detail, "name") == stream:
                return _read_stream(detail, consumer)
    raise ValueError(f"the server knows no stream {stream!r}; name one that holds it in ingestion.nats.monitoringUrl")


def _read_stream(detail: Mapping[str, object], consumer: str) -> int:
    for item in items_at(detail, "consumer_detail"):
        if text_at(item, "name") == consumer:
            return number_at(item, "num_pending") + number_at(item, "num_ack_pending")
    return number_at(mapping_at(detail, "state"), "messages")
