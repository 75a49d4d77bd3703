"""A leased message: what it holds, and what its reply subject tells of the lease; made by `leases`, read by all others.

Invariant: a message's identity is its place in its stream, which no redelivery and no version of the model changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_TOKENS, _TOKENS_WITH_DOMAIN = 9, 11


class Lease(NamedTuple):
    """Which message of which stream was leased, and which delivery of it this is."""

    stream: str
    sequence: int
    """The message's number in its stream."""
    deliveries: int
    """How often the message was delivered, this time included."""
    number: int
    """The lease's number among all that the consumer has given to any worker."""
    pending: int
    """Messages that the consumer has not delivered yet."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was leased."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    reply: str
    """Where it is acknowledged."""
    lease: Lease
    received: float
    """When, on the monotonic clock."""

    @property
    def redelivered(self) -> bool:
        """Whether somebody had it before."""
        return self.lease.deliveries > 1


def read_lease(reply: str) -> Lease | None:
    """Read the reply subject of a message; None where it is not one of JetStream.

    >>> read_lease("$JS.ACK.ORDERS.labels.2.71.105.1700000000000000000.4")
    Lease(stream='ORDERS', sequence=71, deliveries=2, number=105, pending=4)
    """
    tokens = reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) not in (_TOKENS, _TOKENS_WITH_DOMAIN, _TOKENS_WITH_DOMAIN + 1):
        return None
    # With a domain there are two more in front and maybe one behind.
    stream, _, deliveries, sequence, number, _, pending = tokens[2:9] if len(tokens) == _TOKENS else tokens[4:11]
    try:
        return Lease(stream, int(sequence), int(deliveries), int(number), int(pending))
    except ValueError:
        return None
