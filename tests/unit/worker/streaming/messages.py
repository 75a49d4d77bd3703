"""Messages as JetStream leases them."""

from __future__ import annotations

from collections.abc import Mapping

from shoal_worker.streaming.answers import Origin
from shoal_worker.streaming.message import Message, read_lease

ORIGIN = Origin("readings", "1700000000", "labels")


def message(
    data: bytes, sequence: int = 1, *, deliveries: int = 1, headers: Mapping[str, str] | None = None
) -> Message:
    """A leased message."""
    lease = read_lease(f"$JS.ACK.readings.labels.{deliveries}.{sequence}.{sequence}.1700000000000000000.0")
    assert lease is not None
    return Message("readings.in", data, headers or {}, "reply", lease, 0.0)
