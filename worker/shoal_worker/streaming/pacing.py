"""How many messages a worker may lease now, so that versions share the leases as asked; used by `leases`.

All workers of all versions lease from one consumer, so that a message is somebody's at any time, whatever the shares.
A worker with a share of less than all counts: the consumer numbers its leases, so each message tells how many there
were, and the worker takes no more than its share of them. Nobody has to agree with anybody. Pure: time is an argument.

Invariant: a share of 0 leases nothing. A worker beyond its share leases only when nobody else holds any message while
some wait: work is never left lying for the sake of a proportion.
"""

from dataclasses import dataclass

ALL = 100.0
UNKNOWN_PATIENCE = 30.0
"""Seconds after which a worker that was told no share stands in for workers that lease nothing."""
PATIENCE = 2.0
"""Seconds after which a worker with a share does."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the consumer."""

    leases: int
    """Number of its newest lease."""
    pending: int
    """Messages that it has not delivered."""
    held: int
    """Messages that any worker holds."""


class Pacer:
    """One worker's part. `share` is in percent of all leases; None: not told yet."""

    def __init__(self, share: float | None, now: float) -> None:
        self.share = share
        self._begin: int | None = None
        self._own = 0
        self._others = 0
        self._moved = now

    def change(self, share: float | None, now: float) -> None:
        """Count anew for another share."""
        if share != self.share:
            self.share = share
            self._begin, self._own, self._others, self._moved = None, 0, 0, now

    def count(self, leases: int) -> None:
        """Messages that this worker has leased."""
        self._own += leases

    def allow(self, standing: Standing, own_held: int, now: float) -> int | None:
        """Messages that may be leased now; None: any number.

        own_held: messages that this worker holds or has asked for.
        """
        if self.share is not None and self.share >= ALL:
            return None
        if self.share == 0:
            return 0
        if self._begin is None or standing.leases < self._begin:
            # A consumer that was created anew counts from 1 again.
            self._begin, self._own, self._others = standing.leases, 0, 0
        total = standing.leases - self._begin
        if total - self._own > self._others or standing.held > own_held or not standing.pending:
            self._others, self._moved = max(self._others, total - self._own), now
        if now - self._moved > (UNKNOWN_PATIENCE if self.share is None else PATIENCE):
            # What is taken for others is no part of the share.
            self._begin = None
            return None
        return max(0, int(total * (self.share or 0) / ALL) - self._own)
